/* fdset.h - descriptors given with -add-fd, used as file names "/dev/fdset/N".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_FDSET_H
#define KILN_LAUNCHER_FDSET_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct FdSets FdSets;

FdSets *fdset_new(void);
/* Closes what was given. */
void fdset_free(FdSets *sets);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FdSets, fdset_free)

/* Takes one -add-fd option: the descriptor is the set's from now on, closed on exec. Refuses
 * numbers that are not open. Main thread, as all of these. */
bool fdset_add_option(FdSets *sets, JsonObject *option, GError **err);

/* Adds @fd to set @id, or to a new set when @id is -1; takes @fd. Returns the set's number. */
int64_t fdset_add(FdSets *sets, int64_t id, int fd, const char *opaque);

/* Removes @fd, or with -1 every descriptor, from set @id; false when there is none. */
bool fdset_remove(FdSets *sets, int64_t id, int fd);

/* What query-fdsets answers. */
JsonArray *fdset_list(FdSets *sets);

/* A copy of the message @text in which sets whose descriptors came with a file's name (opaque=) are
 * called by it: people do not know what '/dev/fdset/3' is. g_free() it. */
char *fdset_name_files(FdSets *sets, const char *text);

/* The process reaches no files by their names any more: errors say so. */
void fdset_confine(FdSets *sets);

/* Opens @path with open(2) @flags; for "/dev/fdset/N" a duplicate of the set's descriptor whose
 * access mode allows @flags. The caller owns the descriptor; -1 with @err. */
int fdset_open(FdSets *sets, const char *path, int flags, mode_t mode, GError **err);

#endif
