/* sysfs.h - small files of /proc and /sys below a root that tests can choose.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_NODE_SYSFS_H
#define KILN_DRIVER_NODE_SYSFS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* The text of the file @format names below @root (""), without blanks at its ends; NULL when it
 * cannot be read or has more than 1 MiB. g_free() it. Any thread. */
char *sysfs_read(const char *root, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* The same for texts that devices and firmware give, to be shown: without control characters, and
 * NULL also when nothing is left or it is not UTF-8. */
char *sysfs_read_text(const char *root, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* A decimal number alone in its file. false, with *ret untouched, when there is none. */
bool sysfs_read_uint(uint64_t *ret, const char *root, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Whether the path is there. */
bool sysfs_exists(const char *root, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* The value after "KEY:" or "KEY " in a text of lines (/proc/meminfo, /proc/cpuinfo), up to the end
 * of the line without blanks at its ends; the first such line. NULL when there is none. g_free()
 * it. */
char *sysfs_find_line(const char *text, const char *key);

/* Numbers of a kernel list ("0-3,8") in the order given (array of unsigned; empty for NULL or
 * nonsense; numbers from 65536 on are left out). */
GArray *sysfs_parse_list(const char *text);

#endif
