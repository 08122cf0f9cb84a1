/* snapshot.h - the snapshots of a domain: what is known of them, and what is done with them.
 *
 * A snapshot's definition is LIB/snapshot/DOMAIN/NAME.xml, as libvirt keeps it. Beside it stand
 * NAME.memory, the memory of an internal snapshot of a running guest (a save file; images hold no
 * state of machines here), and NAME.nvram, the variable store of UEFI as it was.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_SNAPSHOT_H
#define KILN_DRIVER_DOMAIN_SNAPSHOT_H

#include "driver/domain/private.h"
#include "xml/snapshot.h"

/* --- snapshot.c: what is known ---------------------------------------------------------------- */

/* Reads the snapshots of all domains. */
void domain_snapshots_load(DomainManager *manager);
/* How many there are. */
unsigned domain_snapshots_count(Domain *domain);
/* In a job: forgets all of them and removes their files; the images keep what they hold. */
bool domain_snapshots_forget(Domain *domain, GError **err);

/* A copy, for work without the lock; NULL with VIR_ERR_NO_DOMAIN_SNAPSHOT. snapshot_def_free(). */
SnapshotDef *domain_snapshot_copy(Domain *domain, const char *name, GError **err);
/* In a job: writes @def (taken over) and enters it in place of one of its name; it becomes the
 * current one if @current, and stops being that otherwise. */
bool domain_snapshot_enter(Domain *domain, SnapshotDef *def, bool current, GError **err);
/* In a job: takes the snapshot out and removes its files. Its children become its parent's, and so
 * does being the current one. */
bool domain_snapshot_drop(Domain *domain, const char *name, GError **err);
/* In a job: makes @name (NULL: none) the current one. */
bool domain_snapshot_set_current(Domain *domain, const char *name, GError **err);
/* LIB/snapshot/DOMAIN/NAME.SUFFIX; with @make the directory is made. NULL with @err. */
char *domain_snapshot_path(Domain *domain, const char *name, const char *suffix, bool make,
                           GError **err);

/* --- snapshot_image.c: what is done to images ------------------------------------------------- */

/* "create", "apply", "delete" of the internal snapshot @name in every image of @def with one; all
 * or none for create. @run: the guest whose VMM has the images open; NULL: nobody has. */
bool domain_snapshot_images(DomainManager *manager, DomainRun *run, const SnapshotDef *def,
                            const char *what, GError **err);
/* Makes the new images of @def's external disks, lying on those of @def->domain. @run as above.
 * @made (char *, owned by the array) gets their paths. */
bool domain_snapshot_overlays(DomainManager *manager, DomainRun *run, const SnapshotDef *def,
                              GPtrArray *made, GError **err);
/* The disks of @def, inactive, that @snapshot has new images for use these. */
bool domain_snapshot_follow(DomainDef *def, const SnapshotDef *snapshot, GError **err);
/* The new image of @entry as a disk's source (domain_backing_type); xml_type_free() it. */
DomainDisk *domain_snapshot_source(const SnapshotDisk *entry);
/* In a job: the running guest writes to the new images from now on, and its definitions say so. */
bool domain_snapshot_switch(DomainRun *run, const SnapshotDef *snapshot, GError **err);
/* Not in a job: merges the new images of the external @def into those that they lie on, and removes
 * them (snapshot_merge.c). What lies on them then lies on the latter, and snapshots that are of
 * them are of the latter. The snapshot itself is still known. */
bool domain_snapshot_merge(Domain *domain, const SnapshotDef *def, GError **err);
/* Copies the variable store of @def to where @snapshot keeps it, or (@back) from there. True when
 * there is none. */
bool domain_snapshot_nvram(Domain *domain, const DomainDef *def, const char *snapshot, bool back,
                           GError **err);

#endif
