/* startup.c - disks whose image need not be there when a guest starts: <source startupPolicy=>.
 *
 * Follows libvirt 9.0: an `optional` image may be missing at every start, a `requisite` one only
 * where the guest goes on from elsewhere. Its drive is empty then; a disk that cannot be empty is
 * left out.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/stat.h>

#include "driver/domain/private.h"

bool
domain_disk_may_miss(const DomainDisk *disk, bool boot)
{
    const char *path = domain_disk_path(disk);
    struct stat st;

    if (disk->startup_policy != DOMAIN_STARTUP_OPTIONAL &&
        (disk->startup_policy != DOMAIN_STARTUP_REQUISITE || boot))
        return false;
    return path && stat(path, &st) < 0;
}

static void
empty_drive(DomainDisk *drive)
{
    DomainDisk *empty = xml_type_new(&domain_disk_type);

    empty->type = drive->type;
    empty->format = g_strdup(drive->format);
    domain_disk_take_source(drive, empty);
    g_clear_pointer(&drive->backing_store, g_free);
    xml_type_free(&domain_disk_type, empty);
}

void
domain_disks_drop_missing(DomainRun *run, DomainDef *live, bool boot)
{
    for (guint i = 0; i < live->disks->len;) {
        DomainDisk *disk = live->disks->pdata[i];
        bool drive =
            disk->device == DOMAIN_DISK_DEVICE_CDROM || disk->device == DOMAIN_DISK_DEVICE_FLOPPY;
        g_autofree char *path = NULL;

        if (!domain_disk_may_miss(disk, boot)) {
            i++;
            continue;
        }
        path = g_strdup(domain_disk_path(disk));
        domain_event_disk_missing(run, disk->info.alias, path,
                                  drive ? VIR_DOMAIN_EVENT_DISK_CHANGE_MISSING_ON_START
                                        : VIR_DOMAIN_EVENT_DISK_DROP_MISSING_ON_START);
        if (drive) {
            empty_drive(disk);
            i++;
        } else {
            g_ptr_array_remove_index(live->disks, i);
            xml_type_free(&domain_disk_type, disk);
        }
    }
}
