/* partitions.h - the partition table of a disk (dos or gpt), and where there is room on it.
 *
 * sfdisk(8) reads and writes it: it knows both kinds of table to the sector, says what it found as
 * JSON, tells the kernel of single partitions while others are in use, and is a process of its own,
 * so that no library reads a disk's bytes in the daemon.
 *
 * All offsets are in bytes from the start of the disk; ends are behind the last byte.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_STORAGE_PARTITIONS_H
#define KILN_DRIVER_STORAGE_PARTITIONS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum { PARTITION_PRIMARY, PARTITION_EXTENDED, PARTITION_LOGICAL } PartitionKind;

typedef struct {
    PartitionKind kind;
    unsigned number;
    uint64_t start, end;
} Partition;

typedef struct {
    bool gpt;
    uint64_t size;        /* of the disk */
    uint64_t sector;      /* bytes */
    uint64_t first, last; /* what partitions may take: from first to before last */
    GArray *partitions;   /* Partition, by start */
} PartitionTable;

/* VIR_ERR_OPERATION_INVALID when there is none on @device, or one of another kind. */
PartitionTable *partition_table_read(const char *device, GError **err);
/* From what `sfdisk --json` says (@text), of a disk of @size. */
PartitionTable *partition_table_parse(const char *text, uint64_t size, GError **err);
void partition_table_free(PartitionTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PartitionTable, partition_table_free)

/* A new table of @label, "dos" or "gpt", on an empty @device. */
bool partition_table_make(const char *device, const char *label, GError **err);

/* Where there is room: Partition with number 0 (PRIMARY or LOGICAL), by start. */
GArray *partition_table_room(const PartitionTable *table);

/* Finds the place of a new partition of @size bytes: the smallest that it fits into. A table of
 * kind dos has four primary partitions, one of which may be extended and hold logical ones; those
 * are taken when there is no other place. */
bool partition_table_place(const PartitionTable *table, uint64_t size, bool extended,
                           Partition *ret, GError **err);

/* Writes it; @format is one of storage_vol_disk_formats. */
bool partition_add(const char *device, const PartitionTable *table, const Partition *partition,
                   const char *format, GError **err);
bool partition_remove(const char *device, unsigned number, GError **err);

#endif
