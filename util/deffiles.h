/* deffiles.h - definitions kept in files, one each: DIR/NAME.xml, and DIR/autostart/NAME.xml for
 * those that start with the host, a link to it. This is the layout of libvirt's directories.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_UTIL_DEFFILES_H
#define KILN_UTIL_DEFFILES_H

#include <glib.h>
#include <stdbool.h>

/* Longest file that is read. */
enum { DEF_FILE_MAX = 4 * 1024 * 1024 };

/* Replaces the file by @text, readable by the daemon's user only. */
bool def_file_write(const char *dir, const char *name, const char *text, GError **err);
bool def_file_exists(const char *dir, const char *name);

/* What is not there is no error. The first leaves the link alone. */
bool def_file_remove(const char *dir, const char *name, GError **err);
bool def_file_remove_linked(const char *dir, const char *name, GError **err);

/* Makes the link (and its directory), or takes it away. */
bool def_file_set_autostart(const char *dir, const char *name, bool on, GError **err);
bool def_file_is_autostart(const char *dir, const char *name);

/* Names of files in @dir that end in ".xml" (char *, owned by the array), sorted. */
GPtrArray *def_file_list(const char *dir, GError **err);

/* Whether @file (without its directory) is where the definition of @name belongs; false with @err.
 */
bool def_file_check_name(const char *file, const char *name, GError **err);

#endif
