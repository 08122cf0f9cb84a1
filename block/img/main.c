/* main.c - kiln-img: makes, looks into, converts and mends images of disks.
 *
 * Sub-commands, options, output and exit codes are those of qemu-img 7.2 (its manual page), so that
 * scripts written for it go on working. Not here: tracing (-T before the sub-command).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/img/img.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#ifndef KILN_VERSION
#define KILN_VERSION "unknown"
#endif

#define X(command) extern const ImgCommand command;
#include "block/img/commands.def"
#undef X

const ImgCommand *const img_commands[] = {
#define X(command) &command,
#include "block/img/commands.def"
#undef X
    NULL,
};

static void
print_help(void)
{
    g_auto(GStrv) names = block_format_names();

    printf("kiln-img version " KILN_VERSION "\n"
           "usage: kiln-img command [command options]\n"
           "Makes, looks into, converts and mends images of disks; takes what qemu-img takes.\n\n"
           "    -h, --help       print this and exit\n"
           "    -V, --version    print the version and exit\n\n"
           "Command syntax:\n");
    for (unsigned i = 0; img_commands[i]; i++) {
        g_autofree char *usage = img_usage(img_commands[i]);

        printf("  %s\n", usage);
    }
    printf("\nSizes take the suffixes k, M, G, T, P and E (powers of 1024).\n"
           "Cache modes are none, writeback, writethrough, directsync and unsafe.\n"
           "'-o help' with a format lists what the format takes. See kiln-img(1).\n\n"
           "Supported formats:");
    for (unsigned i = 0; names[i]; i++)
        printf(" %s", names[i]);
    printf("\n");
}

int
main(int argc, char **argv)
{
    const ImgCommand *command = NULL;
    ImgArgs args;
    int code;

    setlocale(LC_ALL, "C");
    signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        img_fail("Not enough arguments\nTry 'kiln-img --help' for more information");
        return IMG_FAILED;
    }
    if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0) {
        print_help();
        return IMG_OK;
    }
    if (strcmp(argv[1], "-V") == 0 || strcmp(argv[1], "--version") == 0) {
        printf("kiln-img version " KILN_VERSION "\n");
        return IMG_OK;
    }
    for (unsigned i = 0; img_commands[i]; i++)
        if (strcmp(img_commands[i]->name, argv[1]) == 0)
            command = img_commands[i];
    if (!command)
        return img_fail("Command not found: %s\nTry 'kiln-img --help' for more information",
                        argv[1]);
    if (!img_args_parse(command, argc - 1, argv + 1, &args)) {
        img_args_clear(&args);
        return IMG_FAILED;
    }
    if (args.told) {
        code = IMG_OK;
    } else if (args.help) {
        print_help();
        code = IMG_OK;
    } else {
        code = command->run(&args);
    }
    img_args_clear(&args);
    if (fflush(stdout) != 0 && code == IMG_OK)
        return img_fail("standard output cannot be written: %s", g_strerror(errno));
    return code;
}
