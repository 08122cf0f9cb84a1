/* log.h - the log of a guest.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_LOG_H
#define KILN_DRIVER_DOMAIN_LOG_H

#include <glib.h>
#include <sys/types.h>

/* Opened for appending; -1 with VIR_ERR_SYSTEM_ERROR. */
int domain_log_open(const char *path, GError **err);
/* A command line as a shell takes it, an option on each line; g_free() it. */
char *domain_log_words(char *const *argv);
/* Writes the time and the command line, as a shell takes it. */
void domain_log_command(int fd, char *const *argv);
void domain_log_end(const char *path, const char *reason);

/* The end of the log now, and the last words written since; g_free() them. */
off_t domain_log_mark(int fd);
char *domain_log_since(const char *path, off_t mark);

#endif
