/* file.c - character devices without a connection: a file, named pipes, standard input and output,
 * nothing.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/char/backend.h"

#include "util/error.h"

#include <errno.h>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

typedef struct {
    bool raw; /* the terminal's mode was changed */
    struct termios saved;
    int in_flags, out_flags;
} Stdio;

static bool
file_open(Chardev *chardev, GError **err)
{
    const char *path = chardev_option(chardev, "path");
    bool append;
    int fd;

    if (!path)
        return chardev_error(chardev, err, VIR_ERR_CONFIG_UNSUPPORTED, "a file needs path=");
    if (!chardev_option_bool(chardev, "append", false, &append, err))
        return false;
    fd = machine_open_file(chardev_machine(chardev), path,
                           O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC), 0600, err);
    if (fd < 0)
        return false;
    chardev_set_fds(chardev, -1, fd, false);
    chardev_set_open(chardev, true);
    return true;
}

static char *
file_filename(Chardev *chardev)
{
    return g_strdup_printf("file:%s", chardev_option(chardev, "path"));
}

/* PATH.in and PATH.out; or PATH for both ways. Opened for both, a named pipe has no end. */
static bool
pipe_open(Chardev *chardev, GError **err)
{
    const char *path = chardev_option(chardev, "path");
    g_autofree char *in_name = NULL, *out_name = NULL;
    int in, out;

    if (!path)
        return chardev_error(chardev, err, VIR_ERR_CONFIG_UNSUPPORTED, "a pipe needs path=");
    in_name = g_strconcat(path, ".in", NULL);
    out_name = g_strconcat(path, ".out", NULL);
    in = machine_open_file(chardev_machine(chardev), in_name, O_RDWR, 0, NULL);
    out = machine_open_file(chardev_machine(chardev), out_name, O_RDWR, 0, NULL);
    if (in < 0 || out < 0) {
        if (in >= 0)
            close(in);
        if (out >= 0)
            close(out);
        in = out = machine_open_file(chardev_machine(chardev), path, O_RDWR, 0, err);
    }
    if (in < 0)
        return false;
    chardev_set_fds(chardev, in, out, true);
    chardev_set_open(chardev, true);
    return true;
}

static char *
pipe_filename(Chardev *chardev)
{
    return g_strdup_printf("pipe:%s", chardev_option(chardev, "path"));
}

static bool
null_open(Chardev *chardev, GError **err)
{
    (void)err;
    chardev_set_open(chardev, true);
    return true;
}

static bool
stdio_open(Chardev *chardev, GError **err)
{
    Stdio *s = chardev_state(chardev);
    struct termios mode;
    bool signals;
    int in, out;

    if (!chardev_option_bool(chardev, "signal", true, &signals, err))
        return false;
    in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (in < 0 || out < 0) {
        int saved = errno;

        if (in >= 0)
            close(in);
        if (out >= 0)
            close(out);
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, saved,
                                    "chardev '%s': standard input or output is closed",
                                    chardev_id(chardev));
    }
    /* Non-blocking mode belongs to the open file, which the shell shares: it is put back at the
     * end. */
    s->in_flags = fcntl(in, F_GETFL);
    s->out_flags = fcntl(out, F_GETFL);
    if (tcgetattr(in, &mode) == 0) {
        s->saved = mode;
        s->raw = true;
        mode.c_iflag &=
            ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
        mode.c_oflag |= OPOST;
        mode.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN);
        if (!signals)
            mode.c_lflag &= ~(tcflag_t)ISIG;
        mode.c_cc[VMIN] = 1;
        mode.c_cc[VTIME] = 0;
        (void)tcsetattr(in, TCSANOW, &mode);
    }
    chardev_set_fds(chardev, in, out, true);
    chardev_set_open(chardev, true);
    return true;
}

static void
stdio_close(Chardev *chardev)
{
    Stdio *s = chardev_state(chardev);

    if (s->raw)
        (void)tcsetattr(STDIN_FILENO, TCSANOW, &s->saved);
    (void)fcntl(STDIN_FILENO, F_SETFL, s->in_flags);
    (void)fcntl(STDOUT_FILENO, F_SETFL, s->out_flags);
}

/* Standard input at its end does not end the output. */
static void
stdio_hung_up(Chardev *chardev)
{
    int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);

    chardev_set_fds(chardev, -1, out, true);
    chardev_set_open(chardev, out >= 0);
}

static const char *const file_options[] = { "path", "append", NULL };
static const char *const pipe_options[] = { "path", NULL };
static const char *const stdio_options[] = { "signal", NULL };
static const char *const null_options[] = { NULL };

const ChardevBackend chardev_file = {
    .name = "file",
    .help = "output into a file: path=, append=on",
    .options = file_options,
    .open = file_open,
    .filename = file_filename,
};

const ChardevBackend chardev_pipe = {
    .name = "pipe",
    .help = "named pipes: path= with .in and .out behind it, or itself",
    .options = pipe_options,
    .open = pipe_open,
    .filename = pipe_filename,
};

const ChardevBackend chardev_null = {
    .name = "null",
    .help = "output goes nowhere, input never comes",
    .options = null_options,
    .open = null_open,
};

const ChardevBackend chardev_stdio = {
    .name = "stdio",
    .help = "standard input and output; signal=off takes the interrupt key as input",
    .options = stdio_options,
    .state_size = sizeof(Stdio),
    .open = stdio_open,
    .close = stdio_close,
    .hung_up = stdio_hung_up,
    .keeps_output = true,
};
