/* snapshot.h - <domainsnapshot> (libvirt formatsnapshot; schema domainsnapshot.rng of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_SNAPSHOT_H
#define KILN_XML_SNAPSHOT_H

#include "xml/domain.h"

/* Where a part of a snapshot is. */
typedef enum {
    SNAPSHOT_LOCATION_ABSENT,
    SNAPSHOT_NO,
    SNAPSHOT_INTERNAL,
    SNAPSHOT_EXTERNAL,
    SNAPSHOT_MANUAL,
} SnapshotLocation;

/* virDomainState from 1 on, and the snapshot of nothing but disks. */
typedef enum {
    SNAPSHOT_STATE_ABSENT,
    SNAPSHOT_STATE_NOSTATE,
    SNAPSHOT_STATE_RUNNING,
    SNAPSHOT_STATE_BLOCKED,
    SNAPSHOT_STATE_PAUSED,
    SNAPSHOT_STATE_SHUTDOWN,
    SNAPSHOT_STATE_SHUTOFF,
    SNAPSHOT_STATE_CRASHED,
    SNAPSHOT_STATE_PMSUSPENDED,
    SNAPSHOT_STATE_DISK_SNAPSHOT,
} SnapshotState;

typedef struct {
    char *name;   /* the disk's target; always set. A source's path becomes that when aligned */
    int location; /* SnapshotLocation */
    int type;     /* DomainDiskType of the new image; EXTERNAL */
    char *format; /* driver type= */
    char *file, *dev;
    DomainEncryption *encryption; /* of the new image; NULL: none */
} SnapshotDisk;

typedef struct {
    char *name, *description, *parent;
    int state;              /* SnapshotState */
    uint64_t creation_time; /* seconds since 1970 */
    int memory;             /* SnapshotLocation */
    char *memory_file;
    GPtrArray *disks;    /* SnapshotDisk */
    DomainDef *domain;   /* as the guest was */
    DomainDef *inactive; /* and as it was defined; NULL: the same */
    uint64_t active;     /* 1: the current one. Only in the daemon's own files */
} SnapshotDef;

extern const XmlType snapshot_def_type, snapshot_disk_type;

typedef enum {
    SNAPSHOT_PARSE_VALIDATE = 1 << 0, /* against the schema first */
    SNAPSHOT_PARSE_REDEFINE =
        1 << 1, /* of what exists: name, state, time, parent and <domain> count */
    SNAPSHOT_PARSE_STATUS = 1 << 2, /* the daemon's own file, as REDEFINE; with <domain> */
} SnapshotParseFlags;

/* Without REDEFINE: name (the time when there is none), time and memory's default are set, and what
 * only existing snapshots have is dropped. With it <domain> may be missing. Errors as
 * domain_def_parse(). */
SnapshotDef *snapshot_def_parse(const char *xml, unsigned flags, const DomainDefaults *defaults,
                                GError **err);

/* @flags: DomainFormatFlags; SECURE and STATUS matter. */
char *snapshot_def_format(const SnapshotDef *def, unsigned flags);

void snapshot_def_free(SnapshotDef *def);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SnapshotDef, snapshot_def_free)

/* Gives every disk of @def->domain an entry: those named get what is named, others @fallback,
 * drives without a medium and read-only ones "no". External ones get a file beside the disk's own
 * named after the snapshot. VIR_ERR_CONFIG_UNSUPPORTED for a disk that is not there, twice, or
 * cannot have what is wanted; internal where @fallback is external unless @mixed. */
bool snapshot_def_align(SnapshotDef *def, int fallback, bool mixed, GError **err);

/* Whether any part is outside the images. */
bool snapshot_def_is_external(const SnapshotDef *def);

/* The new image of an external @entry: a file, or a device. */
const char *snapshot_disk_path(const SnapshotDisk *entry);

#endif
