/* storage_pool.h - <pool>: a storage pool as XML (libvirt formatstorage, schema storagepool.rng of
 * 9.0), for the types that have a back end here: dir, fs, netfs, logical, disk. The others are
 * refused by name.
 *
 * Lists are never NULL; absent numbers are XML_UNSET, absent strings and sub-structs NULL.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_STORAGE_POOL_H
#define KILN_XML_STORAGE_POOL_H

#include "xml/xmltab.h"

enum { STORAGE_NAME_MAX = 200 };

/* In libvirt's order; 0 is no type. */
typedef enum {
    STORAGE_POOL_DIR = 1,
    STORAGE_POOL_FS,
    STORAGE_POOL_NETFS,
    STORAGE_POOL_LOGICAL,
    STORAGE_POOL_DISK,
    STORAGE_POOL_ISCSI, /* the first without a back end */
} StoragePoolType;
/* NULL-terminated, by StoragePoolType from 1 on; those without a back end too. */
extern const char *const storage_pool_types[];

typedef struct {
    char *mode;           /* octal, "0755" */
    int64_t owner, group; /* XML_UNSET_INT: leave as it is */
    char *label;          /* kept, not applied */
} StoragePermissions;

typedef struct {
    char *name;
    uint64_t port;
} StoragePoolHost;

typedef struct {
    uint64_t start, end; /* bytes */
} StorageExtent;

typedef struct {
    char *path;
    int part_separator; /* Tristate */
    GPtrArray *free;    /* StorageExtent */
} StoragePoolDevice;

typedef struct {
    char *type, *username;
    int has_secret; /* 0 or 1 */
    char *secret_uuid, *secret_usage;
} StorageAuth;

typedef struct {
    GPtrArray *hosts;   /* StoragePoolHost */
    GPtrArray *devices; /* StoragePoolDevice */
    char *dir, *name;
    char *format;       /* never NULL where the type has formats */
    char *protocol_ver; /* NFS */
    StorageAuth *auth;  /* kept; no type with a back end here asks for it */
    char *vendor, *product;
} StoragePoolSource;

typedef struct {
    int type; /* StoragePoolType */
    char *name, *uuid;
    uint64_t capacity, allocation, available; /* bytes; never unset */
    int cow;                                  /* Tristate */
    StoragePoolSource *source;                /* never NULL */
    char *path;                               /* of the target; never NULL */
    StoragePermissions *permissions;
    char *refresh_allocation; /* kept; for types without a back end here */
    GPtrArray *mount_opts;    /* char *, of <fs:mount_opts> */
} StoragePoolDef;

typedef enum {
    STORAGE_DEF_VALIDATE = 1 << 0, /* refuse what the schema does not allow */
    /* volumes: */
    STORAGE_DEF_NO_CAPACITY = 1 << 1,  /* <capacity> may be missing */
    STORAGE_DEF_OPT_CAPACITY = 1 << 2, /* …when there is a <backingStore> */
} StorageDefFlags;

/* The root's table. */
extern const XmlType storage_pool_def_type;

/* Parses, checks, and makes up what is left out. NULL with VIR_ERR_XML_ERROR, VIR_ERR_XML_DETAIL
 * (not well formed), VIR_ERR_XML_INVALID_SCHEMA, VIR_ERR_INTERNAL_ERROR (a type without back end).
 */
StoragePoolDef *storage_pool_def_parse(const char *xml, unsigned flags, GError **err);

/* g_free() the text. */
char *storage_pool_def_format(const StoragePoolDef *def);
StoragePoolDef *storage_pool_def_copy(const StoragePoolDef *def);
void storage_pool_def_free(StoragePoolDef *def);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StoragePoolDef, storage_pool_def_free)

/* Path of the first source device, or NULL. */
const char *storage_pool_def_device(const StoragePoolDef *def);

/* The <source> of srcSpec, as source discovery takes it: nothing is demanded of it. */
StoragePoolSource *storage_pool_source_parse(const char *xml, GError **err);
void storage_pool_source_free(StoragePoolSource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(StoragePoolSource, storage_pool_source_free)

/* <sources> with these (StoragePoolSource *); g_free() the text. */
char *storage_pool_sources_format(const GPtrArray *sources);
StoragePoolSource *storage_pool_source_new(void);
void storage_pool_source_add_device(StoragePoolSource *source, const char *path);
/* The first device's free extents are these @n. */
void storage_pool_source_set_free(StoragePoolSource *source, const StorageExtent *extents,
                                  size_t n);
void storage_pool_source_add_host(StoragePoolSource *source, const char *name);

/* NULL-terminated names of the formats that sources of @type have, the default first; NULL when it
 * has none. */
const char *const *storage_pool_formats(int type);

/* Mode, owner and group of something, from stat(2). */
StoragePermissions *storage_permissions_new(unsigned mode, unsigned owner, unsigned group);
/* The mode, or @fallback. */
unsigned storage_permissions_mode(const StoragePermissions *permissions, unsigned fallback);

#endif
