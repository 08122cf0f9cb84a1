/* domain_disk.h - <disk> (libvirt formatdomain "Hard drives, floppy disks, CDROMs", schema of 9.0).
 *
 * Sources other than file and block are kept whole in @kept, as are authentication, encryption and
 * the parts of <source> that Kiln does not use.
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
    int startup_policy;    /* DomainStartupPolicy */
    uint64_t source_index; /* live */
    char *backing_store;   /* the element as XML */
    char *mirror;          /* live; the element as XML */
    GPtrArray *kept;       /* XmlKept */

    char *target;  /* "vda"; always set */
    int bus;       /* DomainDiskBus; always set after completion */
    int tray;      /* 0, 1 closed, 2 open */
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

#endif
