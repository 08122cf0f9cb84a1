/* daemonize.h - going to the background once the guest is set up, and the pid file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_DAEMONIZE_H
#define KILN_LAUNCHER_DAEMONIZE_H

#include <glib.h>
#include <stdbool.h>

/* fd: the end of the pipe on which the parent waits; -1 without one. */
typedef struct {
    int fd, null; /* null: /dev/null, opened before the file system goes */
} Daemonize;
#define DAEMONIZE_NONE                                                                             \
    {                                                                                              \
        -1, -1                                                                                     \
    }

/* With @wanted forks: the parent waits for daemonize_ready() and ends with the child's outcome, the
 * child goes on in a new session. Before any thread exists. */
bool daemonize_begin(Daemonize *d, bool wanted, GError **err);

/* The guest is set up: lets the parent end well, and leaves the terminal. */
void daemonize_ready(Daemonize *d);

/* What went wrong stands on stderr already: lets the parent end badly. */
void daemonize_fail(Daemonize *d);

/* Writes the process id to @path (NULL: nowhere). */
bool daemonize_write_pidfile(const char *path, GError **err);

#endif
