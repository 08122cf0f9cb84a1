/* storage_vol.h - <volume>: a storage volume as XML (libvirt formatstorage, schema storagevol.rng
 * of 9.0).
 *
 * Absent numbers are XML_UNSET, absent strings and sub-structs NULL.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_STORAGE_VOL_H
#define KILN_XML_STORAGE_VOL_H

#include "xml/domain_disk.h"
#include "xml/storage_pool.h"

/* virStorageVolType + 1; 0 is no type. */
typedef enum {
    STORAGE_VOL_TYPE_FILE = 1,
    STORAGE_VOL_TYPE_BLOCK,
    STORAGE_VOL_TYPE_DIR,
    STORAGE_VOL_TYPE_NETWORK,
    STORAGE_VOL_TYPE_NETDIR,
    STORAGE_VOL_TYPE_PLOOP,
} StorageVolType;

typedef struct {
    char *path;
    GPtrArray *extents; /* StorageExtent */
} StorageVolDevice;

typedef struct {
    GPtrArray *devices; /* StorageVolDevice: where the volume lies */
} StorageVolSource;

typedef struct {
    char *atime, *mtime, *ctime, *btime; /* seconds since 1970, with up to nine decimals */
} StorageTimes;

typedef struct {
    char *path;
    char *format; /* a name of storage_vol_formats, or of a partition type */
    StoragePermissions *permissions;
    StorageTimes *times;
    DomainEncryption *encryption;
    char *compat; /* of qcow2: "0.10", "1.1" */
    int nocow;
    uint64_t cluster_size;           /* bytes */
    int lazy_refcounts, extended_l2; /* 0 or 1 */
} StorageVolTarget;

typedef struct {
    char *path, *format;
    StoragePermissions *permissions;
    StorageTimes *times;
} StorageVolBacking;

typedef struct {
    int type; /* StorageVolType; 0: by the pool */
    char *name, *key;
    StorageVolSource *source;                /* never NULL */
    uint64_t capacity, allocation, physical; /* bytes; allocation XML_UNSET: not given */
    StorageVolTarget *target;                /* never NULL */
    StorageVolBacking *backing;
} StorageVolDef;

/* NULL-terminated, from 1 on. */
extern const char *const storage_vol_types[];
/* Formats of files, NULL-terminated. */
extern const char *const storage_vol_formats[];
/* Types of partitions, for disk pools, NULL-terminated. */
extern const char *const storage_vol_disk_formats[];

extern const XmlType storage_vol_def_type;

/* @flags: StorageDefFlags. NULL with VIR_ERR_XML_ERROR, VIR_ERR_XML_DETAIL or
 * VIR_ERR_XML_INVALID_SCHEMA. */
StorageVolDef *storage_vol_def_parse(const char *xml, unsigned flags, GError **err);
/* g_free() the text. */
char *storage_vol_def_format(const StorageVolDef *def);
/* A volume called @name. */
StorageVolDef *storage_vol_def_new(const char *name);
StorageVolDef *storage_vol_def_copy(const StorageVolDef *def);
void storage_vol_def_free(StorageVolDef *def);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StorageVolDef, storage_vol_def_free)

/* Replaces these parts; strings are copied. */
void storage_vol_def_set_backing(StorageVolDef *def, const char *path, const char *format);
void storage_vol_def_add_extent(StorageVolDef *def, const char *device, uint64_t start,
                                uint64_t end);
/* NULL: not encrypted. */
void storage_vol_def_set_encryption(StorageVolDef *def, const DomainEncryption *encryption);
/* Encrypted so, by secrets that are not known; @format: DomainEncryptionFormat. */
void storage_vol_def_set_encryption_format(StorageVolDef *def, int format);
/* Names the secret that opens an encrypted volume. */
void storage_vol_def_add_secret(StorageVolDef *def, const char *uuid);
StorageTimes *storage_times_new(void);
void storage_times_free(StorageTimes *times);

#endif
