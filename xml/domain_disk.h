/* domain_disk.h - <disk> (libvirt formatdomain "Hard drives, floppy disks, CDROMs", schema of 9.0).
 *
 * Sources other than file, block and network are kept whole in @kept, as are authentication and the
 * parts of <source> that Kiln does not use.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_DOMAIN_DISK_H
#define KILN_XML_DOMAIN_DISK_H

#include "xml/domain_device.h"

typedef enum {
    DOMAIN_DISK_NONE,
    DOMAIN_DISK_FILE,
    DOMAIN_DISK_BLOCK,
    DOMAIN_DISK_DIR,
    DOMAIN_DISK_NETWORK,
    DOMAIN_DISK_VOLUME,
    DOMAIN_DISK_NVME,
    DOMAIN_DISK_VHOSTUSER,
} DomainDiskType;
extern const char *const domain_disk_types[];

typedef enum {
    DOMAIN_DISK_DEVICE_ABSENT,
    DOMAIN_DISK_DEVICE_DISK,
    DOMAIN_DISK_DEVICE_CDROM,
    DOMAIN_DISK_DEVICE_FLOPPY,
    DOMAIN_DISK_DEVICE_LUN,
} DomainDiskDevice;
extern const char *const domain_disk_devices[];

typedef enum {
    DOMAIN_BUS_ABSENT,
    DOMAIN_BUS_IDE,
    DOMAIN_BUS_FDC,
    DOMAIN_BUS_SCSI,
    DOMAIN_BUS_VIRTIO,
    DOMAIN_BUS_XEN,
    DOMAIN_BUS_USB,
    DOMAIN_BUS_UML,
    DOMAIN_BUS_SATA,
    DOMAIN_BUS_SD,
} DomainDiskBus;
extern const char *const domain_disk_buses[];

typedef enum { DOMAIN_TRAY_ABSENT, DOMAIN_TRAY_CLOSED, DOMAIN_TRAY_OPEN } DomainTray;

typedef enum {
    DOMAIN_CACHE_ABSENT,
    DOMAIN_CACHE_DEFAULT,
    DOMAIN_CACHE_NONE,
    DOMAIN_CACHE_WRITETHROUGH,
    DOMAIN_CACHE_WRITEBACK,
    DOMAIN_CACHE_DIRECTSYNC,
    DOMAIN_CACHE_UNSAFE,
} DomainDiskCache;
extern const char *const domain_disk_caches[];

typedef enum {
    DOMAIN_DISK_IO_ABSENT,
    DOMAIN_DISK_IO_NATIVE,
    DOMAIN_DISK_IO_THREADS,
    DOMAIN_DISK_IO_URING,
} DomainDiskIo;
extern const char *const domain_disk_ios[];

typedef enum {
    DOMAIN_ERROR_POLICY_ABSENT,
    DOMAIN_ERROR_POLICY_STOP,
    DOMAIN_ERROR_POLICY_REPORT,
    DOMAIN_ERROR_POLICY_IGNORE,
    DOMAIN_ERROR_POLICY_ENOSPACE,
} DomainErrorPolicy;
extern const char *const domain_error_policies[];

typedef enum { DOMAIN_DISCARD_ABSENT, DOMAIN_DISCARD_UNMAP, DOMAIN_DISCARD_IGNORE } DomainDiscard;
extern const char *const domain_discards[];

typedef enum {
    DOMAIN_DETECT_ZEROES_ABSENT,
    DOMAIN_DETECT_ZEROES_OFF,
    DOMAIN_DETECT_ZEROES_ON,
    DOMAIN_DETECT_ZEROES_UNMAP,
} DomainDetectZeroes;
extern const char *const domain_detect_zeroes[];

typedef enum {
    DOMAIN_STARTUP_ABSENT,
    DOMAIN_STARTUP_MANDATORY,
    DOMAIN_STARTUP_REQUISITE,
    DOMAIN_STARTUP_OPTIONAL,
} DomainStartupPolicy;
extern const char *const domain_startup_policies[];

typedef struct {
    uint64_t total_bytes_sec, read_bytes_sec, write_bytes_sec;
    uint64_t total_iops_sec, read_iops_sec, write_iops_sec;
    uint64_t total_bytes_sec_max, read_bytes_sec_max, write_bytes_sec_max;
    uint64_t total_iops_sec_max, read_iops_sec_max, write_iops_sec_max;
    uint64_t size_iops_sec;
    char *group_name;
    uint64_t total_bytes_sec_max_length, read_bytes_sec_max_length, write_bytes_sec_max_length;
    uint64_t total_iops_sec_max_length, read_iops_sec_max_length, write_iops_sec_max_length;
} DomainIotune;
extern const XmlType domain_iotune_type;

typedef enum {
    DOMAIN_ENCRYPTION_ABSENT,
    DOMAIN_ENCRYPTION_DEFAULT,
    DOMAIN_ENCRYPTION_QCOW,
    DOMAIN_ENCRYPTION_LUKS,
    DOMAIN_ENCRYPTION_LUKS2,
} DomainEncryptionFormat;
extern const char *const domain_encryption_formats[];

typedef enum {
    DOMAIN_ENCRYPTION_ENGINE_ABSENT,
    DOMAIN_ENCRYPTION_ENGINE_QEMU,
    DOMAIN_ENCRYPTION_ENGINE_LIBRBD,
} DomainEncryptionEngine;

enum { DOMAIN_SECRET_PASSPHRASE = 1 };

/* Which of libvirt's secrets: one of the two strings is set. */
typedef struct {
    int type; /* DOMAIN_SECRET_PASSPHRASE */
    char *uuid, *usage;
} DomainDiskSecret;
extern const XmlType domain_secret_type;

/* What a new image is encrypted with; the words are those of the image's format. */
typedef struct {
    char *name;    /* "aes" */
    uint64_t size; /* of the key, bits */
    char *mode, *hash;
} DomainCipher;

typedef struct {
    char *name, *hash;
} DomainIvgen;

/* Of disks, snapshots and volumes. */
typedef struct {
    int format;         /* DomainEncryptionFormat */
    int engine;         /* DomainEncryptionEngine; of a disk set after completion */
    GPtrArray *secrets; /* DomainDiskSecret */
    DomainCipher *cipher;
    DomainIvgen *ivgen; /* with cipher only */
} DomainEncryption;
extern const XmlType domain_encryption_type;

typedef enum {
    DOMAIN_HOST_ABSENT,
    DOMAIN_HOST_TCP,
    DOMAIN_HOST_UNIX,
    DOMAIN_HOST_RDMA,
} DomainDiskTransport;
extern const char *const domain_disk_transports[];

typedef struct {
    int transport; /* DomainDiskTransport; absent is TCP */
    char *name, *port, *socket;
} DomainDiskHost;
extern const XmlType domain_disk_host_type;

typedef struct {
    int type;   /* DomainDiskType; always set */
    int device; /* DomainDiskDevice; always set after completion */
    int model;  /* DomainVirtioModel */
    int rawio;  /* yes/no */
    int sgio;
    int snapshot;

    char *driver_name;                      /* "qemu" */
    char *format;                           /* driver type=: "raw", "qcow2" … */
    int cache;                              /* DomainDiskCache */
    int error_policy, rerror_policy;        /* DomainErrorPolicy */
    int io;                                 /* DomainDiskIo */
    int ioeventfd, event_idx, copy_on_read; /* on/off */
    int discard;                            /* DomainDiscard */
    uint64_t iothread;
    int detect_zeroes; /* DomainDetectZeroes */
    uint64_t queues, queue_size;
    DomainVirtioOptions virtio;

    char *file;            /* source; FILE. NULL: an empty drive */
    char *fdgroup;         /* source; FILE */
    char *dev;             /* source; BLOCK */
    char *protocol;        /* source; NETWORK: "nbd" … */
    char *export_name;     /* source; NETWORK */
    char *query;           /* source; NETWORK */
    int tls;               /* yes/no; source; NETWORK */
    char *tls_hostname;    /* source; NETWORK */
    GPtrArray *hosts;      /* DomainDiskHost; source; NETWORK */
    int startup_policy;    /* DomainStartupPolicy */
    uint64_t source_index; /* live */
    /* <encryption> in <source> and in the disk itself: libvirt takes either */
    DomainEncryption *source_encryption, *encryption;
    char *backing_store;             /* the element as XML */
    char *mirror;                    /* live; the element as XML */
    char *mirror_job, *mirror_ready; /* of domain_mirror_type only */
    GPtrArray *kept;                 /* XmlKept */

    char *target;  /* "vda"; always set */
    int bus;       /* DomainDiskBus; always set after completion */
    int tray;      /* DomainTray */
    int removable; /* on/off */
    uint64_t rotation_rate;
    DomainIotune *iotune;
    int readonly, shareable, transient; /* 0 or 1 */
    int transient_share;                /* yes/no */
    char *serial, *wwn, *vendor, *product;
    uint64_t logical_block_size, physical_block_size;
    uint64_t cyls, heads, secs;
    int trans;
    DomainDeviceInfo info;
} DomainDisk;

extern const XmlType domain_disk_type;
/* One <backingStore>: a DomainDisk of which only type, format, source and backing store are used;
 * type NONE ends a chain. */
extern const XmlType domain_backing_type;
/* <mirror>, and the <disk> that a copy goes to: likewise. */
extern const XmlType domain_mirror_type, domain_copy_type;

/* What its bus is when none is given, by its device and target (and what the device is, when that
 * is not given). Completing a definition does it. */
void domain_disk_give_bus(DomainDisk *disk);
/* The file, or device, of a disk of type FILE or BLOCK; NULL for an empty drive and other types. */
const char *domain_disk_path(const DomainDisk *disk);
/* Whether the disk has an image: not an empty drive. */
bool domain_disk_has_source(const DomainDisk *disk);
/* Makes @to's type, format and <source>, with its encryption, a copy of @from's; not the index. */
void domain_disk_take_source(DomainDisk *to, const DomainDisk *from);
/* How its image is encrypted; NULL: not. */
const DomainEncryption *domain_disk_encryption(const DomainDisk *disk);

#endif
