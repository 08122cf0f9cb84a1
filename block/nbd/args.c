/* args.c - the command line of kiln-nbd, with the options of qemu-nbd.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/nbd/nbd.h"
#include "block/nbd/tool.h"

enum {
    OPT_CACHE = 256,
    OPT_AIO,
    OPT_DISCARD,
    OPT_DETECT_ZEROES,
    OPT_OBJECT,
    OPT_TLS_CREDS,
    OPT_TLS_HOSTNAME,
    OPT_IMAGE_OPTS,
    OPT_FORK,
    OPT_PID_FILE,
};

int
nbd_fail(const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list list;

    va_start(list, format);
    text = g_strdup_vprintf(format, list);
    va_end(list);
    fprintf(stderr, "kiln-nbd: %s\n", text);
    return 1;
}

static void
set_text(char **to, const char *text)
{
    g_free(*to);
    *to = g_strdup(text);
}

static bool
once(const char *option, char **to, const char *text)
{
    if (*to) {
        nbd_fail("%s is given twice: '%s' and '%s'; give it once", option, *to, text);
        return false;
    }
    set_text(to, text);
    return true;
}

static bool
one_of(const char *option, const char *value, const char *const *names)
{
    g_autofree char *all = NULL;

    if (g_strv_contains(names, value))
        return true;
    all = g_strjoinv(", ", (char **)names);
    nbd_fail("%s: '%s' is none of %s", option, value, all);
    return false;
}

static bool
number(const char *option, const char *text, uint64_t max, uint64_t *ret)
{
    char *end;
    guint64 value;

    errno = 0;
    value = g_ascii_strtoull(text, &end, 0);
    if (errno == 0 && end != text && !*end && *text != '-' && value <= max) {
        *ret = value;
        return true;
    }
    nbd_fail("%s: '%s' is not a number from 0 to %" G_GUINT64_FORMAT, option, text, max);
    return false;
}

static void
usage(void)
{
    printf("usage: kiln-nbd [OPTION…] IMAGE\n"
           "       kiln-nbd -L [OPTION…]\n"
           "       kiln-nbd -d /dev/nbdN\n"
           "Serves an image by the NBD protocol, with the options of qemu-nbd.\n\n"
           "Clients:\n"
           "  -k, --socket=PATH       listen on a unix socket\n"
           "  -p, --port=PORT         listen on a TCP port (%d)\n"
           "  -b, --bind=ADDRESS      address to listen at (all)\n"
           "  -e, --shared=N          N clients at once, 0 for any number (1)\n"
           "  -t, --persistent        go on when the last client has gone\n"
           "  -L, --list              list the exports of another server\n"
           "  -c, --connect=DEVICE    give the image to the kernel as /dev/nbdN\n"
           "  -d, --disconnect=DEVICE take it away again\n"
           "  -v, --verbose           say when clients come and go, and why\n\n"
           "Export:\n"
           "  -x, --export-name=NAME  name of the export (the default export)\n"
           "  -D, --description=TEXT  text that clients may show\n"
           "  -B, --bitmap=NAME       offer a dirty bitmap of the image (repeatable)\n"
           "  -A, --allocation-depth  offer the depth in the chain of images\n"
           "  -o, --offset=N          begin N bytes into the image\n\n"
           "Image:\n"
           "  -f, --format=FORMAT     its format (found out)\n"
           "  -r, --read-only\n"
           "  -s, --snapshot          keep what is written in a temporary file\n"
           "  -l, --load-snapshot=ID  serve an internal snapshot, read-only\n"
           "      --image-opts        IMAGE is KEY=VALUE,…\n"
           "  -n, --nocache           the same as --cache=none\n"
           "      --cache=MODE        writeback, none, writethrough, directsync, unsafe\n"
           "      --aio=MODE          threads, native, io_uring\n"
           "      --discard=MODE      unmap, ignore (unmap)\n"
           "      --detect-zeroes=MODE off, on, unmap (off)\n\n"
           "Process:\n"
           "      --object=OBJECT     tls-creds-x509,id=ID,dir=DIR[,verify-peer=no] or\n"
           "                          tls-creds-psk,id=ID,dir=DIR[,username=NAME] or\n"
           "                          secret,id=ID,data=TEXT|file=FILE[,format=base64]\n"
           "      --tls-creds=ID      clients have to use TLS with this object\n"
           "      --tls-hostname=NAME with -L: name in the server's certificate\n"
           "      --fork              go to the background when clients can connect\n"
           "      --pid-file=FILE\n"
           "  -h, --help\n"
           "  -V, --version\n",
           NBD_DEFAULT_PORT);
}

static const struct option long_options[] = {
    { "help", no_argument, NULL, 'h' },
    { "version", no_argument, NULL, 'V' },
    { "port", required_argument, NULL, 'p' },
    { "bind", required_argument, NULL, 'b' },
    { "socket", required_argument, NULL, 'k' },
    { "shared", required_argument, NULL, 'e' },
    { "persistent", no_argument, NULL, 't' },
    { "verbose", no_argument, NULL, 'v' },
    { "export-name", required_argument, NULL, 'x' },
    { "description", required_argument, NULL, 'D' },
    { "offset", required_argument, NULL, 'o' },
    { "allocation-depth", no_argument, NULL, 'A' },
    { "bitmap", required_argument, NULL, 'B' },
    { "list", no_argument, NULL, 'L' },
    { "connect", required_argument, NULL, 'c' },
    { "disconnect", required_argument, NULL, 'd' },
    { "format", required_argument, NULL, 'f' },
    { "read-only", no_argument, NULL, 'r' },
    { "snapshot", no_argument, NULL, 's' },
    { "load-snapshot", required_argument, NULL, 'l' },
    { "nocache", no_argument, NULL, 'n' },
    { "cache", required_argument, NULL, OPT_CACHE },
    { "aio", required_argument, NULL, OPT_AIO },
    { "discard", required_argument, NULL, OPT_DISCARD },
    { "detect-zeroes", required_argument, NULL, OPT_DETECT_ZEROES },
    { "object", required_argument, NULL, OPT_OBJECT },
    { "tls-creds", required_argument, NULL, OPT_TLS_CREDS },
    { "tls-hostname", required_argument, NULL, OPT_TLS_HOSTNAME },
    { "image-opts", no_argument, NULL, OPT_IMAGE_OPTS },
    { "fork", no_argument, NULL, OPT_FORK },
    { "pid-file", required_argument, NULL, OPT_PID_FILE },
    { NULL, 0, NULL, 0 },
};

static bool
option_of_image(NbdArgs *args, int letter)
{
    static const char *const caches[] = { "writeback",  "none",   "off", "writethrough",
                                          "directsync", "unsafe", NULL };
    static const char *const engines[] = { "threads", "native", "io_uring", NULL };
    static const char *const discards[] = { "ignore", "off", "unmap", "on", NULL };
    static const char *const detections[] = { "off", "on", "unmap", NULL };

    switch (letter) {
    case 'f':
        set_text(&args->format, optarg);
        return true;
    case 'r':
        args->read_only = true;
        return true;
    case 's':
        args->temporary = true;
        return true;
    case 'l':
        set_text(&args->load_snapshot, optarg);
        args->read_only = true;
        return true;
    case 'o':
        return number("--offset", optarg, G_MAXINT64, &args->offset);
    case 'n':
        return once("--cache (-n)", &args->cache, "none");
    case OPT_CACHE:
        return one_of("--cache", optarg, caches) &&
               once("--cache (-n)", &args->cache, strcmp(optarg, "off") == 0 ? "none" : optarg);
    case OPT_AIO:
        return one_of("--aio", optarg, engines) && once("--aio", &args->aio, optarg);
    case OPT_DISCARD:
        return one_of("--discard", optarg, discards) && once("--discard", &args->discard, optarg);
    case OPT_DETECT_ZEROES:
        set_text(&args->detect_zeroes, optarg);
        return one_of("--detect-zeroes", optarg, detections);
    case OPT_IMAGE_OPTS:
        args->image_opts = true;
        return true;
    default:
        return false; /* getopt_long() said what is wrong */
    }
}

static bool
option_take(NbdArgs *args, int letter)
{
    g_autoptr(GError) why = NULL;
    uint64_t n;

    switch (letter) {
    case 'p':
        set_text(&args->port, optarg);
        return true;
    case 'b':
        set_text(&args->bind, optarg);
        return true;
    case 'k':
        set_text(&args->socket, optarg);
        return true;
    case 'e':
        if (!number("--shared", optarg, G_MAXINT32, &n))
            return false;
        args->shared = (unsigned)n;
        return true;
    case 't':
        args->persistent = true;
        return true;
    case 'v':
        args->verbose = true;
        return true;
    case 'x':
        set_text(&args->export_name, optarg);
        return true;
    case 'D':
        set_text(&args->description, optarg);
        return true;
    case 'A':
        args->allocation_depth = true;
        return true;
    case 'B':
        g_ptr_array_add(args->bitmaps, g_strdup(optarg));
        return true;
    case 'L':
        args->list = true;
        return true;
    case 'c':
        set_text(&args->connect, optarg);
        return true;
    case 'd':
        set_text(&args->disconnect, optarg);
        return true;
    case OPT_OBJECT:
        if (tool_objects_add(args->objects, optarg, &args->told, &why))
            return true;
        nbd_fail("%s", why->message);
        return false;
    case OPT_TLS_CREDS:
        set_text(&args->tls_creds, optarg);
        return true;
    case OPT_TLS_HOSTNAME:
        set_text(&args->tls_hostname, optarg);
        return true;
    case OPT_FORK:
        args->fork = true;
        return true;
    case OPT_PID_FILE:
        set_text(&args->pid_file, optarg);
        return true;
    default:
        return option_of_image(args, letter);
    }
}

/* What --aio and --detect-zeroes need. */
static bool
cache_check(NbdArgs *args)
{
    static const char *const direct[] = { "none", "directsync", NULL };
    static const char *const unmap[] = { "unmap", "on", NULL };

    if (g_strcmp0(args->aio, "native") == 0 &&
        !(args->cache && g_strv_contains(direct, args->cache))) {
        nbd_fail("--aio=native is for images past the page cache: add --cache=none or "
                 "--cache=directsync");
        return false;
    }
    if (g_strcmp0(args->detect_zeroes, "unmap") == 0 &&
        !(args->discard && g_strv_contains(unmap, args->discard))) {
        nbd_fail("--detect-zeroes=unmap gives zeroes' space back: add --discard=unmap");
        return false;
    }
    if (args->read_only) /* nothing is written that would have to be kept elsewhere */
        args->temporary = false;
    return true;
}

/* What does not go together. */
static bool
args_check(NbdArgs *args, int n_files)
{
    bool serves = !args->list && !args->disconnect;

    if (n_files != (serves ? 1 : 0)) {
        nbd_fail(serves ? "give one image to serve (%d were given)"
                        : "--list and --disconnect take no image (%d were given)",
                 n_files);
        return false;
    }
    if (args->socket && (args->port || args->bind))
        fprintf(stderr,
                "kiln-nbd: warning: with --socket nothing listens on TCP: --port and --bind "
                "do nothing\n");
    if (args->socket && *args->socket != '/') {
        nbd_fail("--socket: '%s' is no absolute path; begin it with '/'", args->socket);
        return false;
    }
    if (args->connect && (args->port || args->bind || args->tls_creds)) {
        nbd_fail(
            "--connect serves the kernel of this host: without --port, --bind and --tls-creds");
        return false;
    }
    if (args->tls_hostname && !args->tls_creds) {
        nbd_fail("--tls-hostname is not permitted without --tls-creds");
        return false;
    }
    if ((args->export_name && strlen(args->export_name) > NBD_STRING_MAX) ||
        (args->description && strlen(args->description) > NBD_STRING_MAX)) {
        nbd_fail("--export-name and --description have at most %d bytes each", NBD_STRING_MAX);
        return false;
    }
    if (args->format && args->image_opts) {
        nbd_fail("--image-opts names the format as driver=…: leave --format out");
        return false;
    }
    return cache_check(args);
}

bool
nbd_args_parse(int argc, char **argv, NbdArgs *args, int *ret_status)
{
    int letter;

    args->shared = 1;
    args->bitmaps = g_ptr_array_new_with_free_func(g_free);
    args->objects = tool_objects_new();
    *ret_status = 1;
    while ((letter = getopt_long(argc, argv, "hVp:b:k:e:tvx:D:o:AB:Lc:d:f:rsl:n", long_options,
                                 NULL)) >= 0) {
        if (letter == 'h' || letter == 'V') {
            if (letter == 'h')
                usage();
            else
                printf("kiln-nbd %s\n", KILN_VERSION);
            *ret_status = 0;
            return false;
        }
        if (!option_take(args, letter))
            return false;
        if (args->told) {
            *ret_status = 0;
            return false;
        }
    }
    if (!args_check(args, argc - optind))
        return false;
    g_ptr_array_add(args->bitmaps, NULL);
    if (optind < argc)
        args->file = g_strdup(argv[optind]);
    return true;
}

void
nbd_args_clear(NbdArgs *args)
{
    char **texts[] = {
        &args->file,     &args->format,        &args->load_snapshot, &args->cache,
        &args->aio,      &args->detect_zeroes, &args->export_name,   &args->description,
        &args->socket,   &args->bind,          &args->port,          &args->connect,
        &args->discard,  &args->disconnect,    &args->tls_creds,     &args->tls_hostname,
        &args->pid_file,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++)
        g_clear_pointer(texts[i], g_free);
    g_clear_pointer(&args->bitmaps, g_ptr_array_unref);
    g_clear_pointer(&args->objects, tool_objects_free);
}
