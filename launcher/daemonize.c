/* daemonize.c - -daemonize and -pidfile of qemu(1).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/daemonize.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"

/* The parent of a daemonized guest: ends when the child says how it went, or dies. */
static void
daemonize_wait(int fd)
{
    char ok = 0;
    ssize_t n;

    do {
        n = read(fd, &ok, 1);
    } while (n < 0 && errno == EINTR);
    _exit(n == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

bool
daemonize_begin(Daemonize *d, bool wanted, GError **err)
{
    int ends[2];
    pid_t child;

    if (!wanted)
        return true;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "-daemonize");
    child = fork();
    if (child < 0) {
        close(ends[0]);
        close(ends[1]);
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "-daemonize");
    }
    if (child > 0) {
        close(ends[1]);
        daemonize_wait(ends[0]);
    }
    close(ends[0]);
    d->fd = ends[1];
    d->null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (d->null < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "/dev/null");
    setsid();
    return true;
}

void
daemonize_ready(Daemonize *d)
{
    struct stat error;

    if (d->fd < 0)
        return;
    dup2(d->null, STDIN_FILENO);
    dup2(d->null, STDOUT_FILENO);
    /* stderr stays when it is a log file; a terminal does not outlive its user, and who reads a
     * pipe would wait for its end. */
    if (fstat(STDERR_FILENO, &error) < 0 || !S_ISREG(error.st_mode))
        dup2(d->null, STDERR_FILENO);
    close(d->null);
    if (write(d->fd, "", 1) == 1) {
        close(d->fd);
        d->fd = -1;
    }
}

void
daemonize_fail(Daemonize *d)
{
    if (d->fd >= 0)
        close(d->fd);
    d->fd = -1;
}

bool
daemonize_write_pidfile(const char *path, GError **err)
{
    g_autofree char *text = NULL;
    ssize_t len;
    int fd;

    if (!path)
        return true;
    text = g_strdup_printf("%d\n", (int)getpid());
    len = strlen(text);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, len) != len) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "-pidfile %s", path);
        if (fd >= 0)
            close(fd);
        return false;
    }
    close(fd);
    return true;
}
