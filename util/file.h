/* file.h - files written so that a crash leaves the old or the new content, never a mixture.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_UTIL_FILE_H
#define KILN_UTIL_FILE_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* Replaces @path with @len bytes of @data: written to a temporary name in the same directory,
 * synced, renamed, and the directory synced. On failure the old file is intact, no temporary file
 * is left, and @err names the path (VIR_ERR_SYSTEM_ERROR). Any thread. */
bool file_write_atomic(const char *path, const void *data, size_t len, mode_t mode, GError **err);

/* Makes @path and its missing parents; those that exist keep their mode. */
bool file_make_dirs(const char *path, mode_t mode, GError **err);

/* Removes what processes that died while they wrote a file of @dir whose name ends with @suffix
 * have left there: the temporary names of file_write_atomic() and of others that are made the same
 * way. For those that know that nobody writes there now. */
void file_sweep_temporaries(const char *dir, const char *suffix);

/* Removes @path and syncs its directory; a path that is not there is no error. */
bool file_remove(const char *path, GError **err);

/* Makes @link a symbolic link to @target, replacing an older link; removes nothing else. */
bool file_link_atomic(const char *target, const char *link, GError **err);

/* Reads at most @limit bytes of a file into a NUL-terminated string; refuses a longer one by name.
 */
char *file_read_limited(const char *path, size_t limit, size_t *ret_len, GError **err);

/* Writes all of @data at the place where @fd is. 0 or -errno. */
int file_write_all(int fd, const void *data, size_t len);

/* Writes @text to @path, which must exist, in one go: a setting of the kernel in /proc, /sys or a
 * control group. 0 or -errno: what the kernel says of the path or of the value. Any thread. */
int file_put_setting(const char *path, const char *text);

/* When @err says that @path could not be opened (@errnum) and the reason is a file server that
 * takes root for nobody, adds that and what helps; else leaves it. Any thread. */
void file_explain_denied(GError **err, int errnum, const char *path);

/* @err says that @path could not be opened with open(2)'s @flags, and what would help; @doing:
 * "open", "create", "open the disk". Any thread. */
void file_open_error(GError **err, int errnum, const char *doing, const char *path, int flags);

/* Moves @fd beyond the numbers that select(2) can name (FD_SETSIZE), for descriptors that come in
 * thousands: libraries that wait by select (libnftables) end the process when they are given a
 * higher one. The new number, or @fd itself when there is none. Close-on-exec. */
int file_move_high(int fd);

#endif
