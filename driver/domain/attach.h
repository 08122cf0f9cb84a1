/* attach.h - devices that come to, go from or change in a guest or its definition.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_ATTACH_H
#define KILN_DRIVER_DOMAIN_ATTACH_H

#include "driver/domain/argv.h"
#include "driver/domain/private.h"

/* --- attach_kinds.c, attach_device.c: what the XML of one device stands for
 * -------------------------------------
 */

typedef enum {
    DEVICE_OTHER,
    DEVICE_DISK,
    DEVICE_INTERFACE,
    DEVICE_CONTROLLER,
    DEVICE_INPUT,
    DEVICE_RNG,
    DEVICE_WATCHDOG,
    DEVICE_HUB,
    DEVICE_SERIAL,
    DEVICE_PARALLEL,
    DEVICE_CONSOLE,
    DEVICE_CHANNEL,
    DEVICE_GRAPHICS,
    DEVICE_VSOCK,
} DeviceKindId;

typedef struct {
    DeviceKindId id;
    const char *element; /* NULL ends the table */
    const XmlType *type; /* NULL: known by its name only */
    size_t list;         /* of the GPtrArray * in DomainDef; of the device itself when @single */
    size_t info;         /* of the DomainDeviceInfo in the device; SIZE_MAX: it has none */
    /* The device's options (argv.h); NULL: it cannot come to a running guest. */
    bool (*build)(Argv *argv, void *device, GError **err);
    /* Whether @device is the one that @wanted, which may say less, means. */
    bool (*match)(const void *wanted, const void *device);
    bool single; /* a guest has one at most */
} DeviceKind;
extern const DeviceKind domain_device_kinds[];

typedef struct {
    const DeviceKind *kind;
    void *device;
} DomainDevice;

/* @flags: XmlFlags. VIR_ERR_XML_ERROR and others of the parser; VIR_ERR_INTERNAL_ERROR for an
 * element that is no device. domain_device_clear() the result. */
bool domain_device_parse(const char *xml, unsigned flags, DomainDevice *ret, GError **err);
void domain_device_clear(DomainDevice *device);

DomainDeviceInfo *domain_device_info(const DomainDevice *device);
/* The kind's devices in @def; not for a kind of which there is one at most. */
GPtrArray *domain_device_list(const DomainDef *def, const DeviceKind *kind);
/* Puts a copy of @device in its place in @def; @ret (may be NULL) is that copy, @def's. */
void domain_device_insert(DomainDef *def, const DomainDevice *device, DomainDevice *ret);
/* The device of @def that @wanted means; *ret borrows it. VIR_ERR_DEVICE_MISSING, or
 * VIR_ERR_OPERATION_FAILED when it could be several. */
bool domain_device_find(const DomainDef *def, const DomainDevice *wanted, DomainDevice *ret,
                        GError **err);
bool domain_device_find_alias(const DomainDef *def, const char *alias, DomainDevice *ret);
/* Takes the device, which is @def's, out and frees it. */
void domain_device_remove(DomainDef *def, const DomainDevice *device);
/* Refuses @device beside what @def has: a target, an index or a name twice. */
bool domain_device_check_new(const DomainDef *def, const DomainDevice *device, bool live,
                             GError **err);

/* --- attach_plug.c: options of kiln-vmm given to one that runs ----------------------------------
 */

typedef struct DomainPlug DomainPlug;

/* In a job. @live is the definition to be, with the device in it and all aliases; it must live as
 * long as the plug. NULL with @err. */
DomainPlug *domain_plug_new(DomainRun *run, DomainDef *live, GError **err);
/* For the builders of argv.h. */
Argv *domain_plug_argv(DomainPlug *plug);
/* Sends what the builders have left. On failure everything sent is taken back, and what was opened
 * on the host is given back. */
bool domain_plug_send(DomainPlug *plug, GError **err);
/* Takes back what was sent, for a failure later on. */
void domain_plug_undo(DomainPlug *plug);
/* Closes the daemon's descriptors; what was not sent is given back. */
void domain_plug_free(DomainPlug *plug);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DomainPlug, domain_plug_free)

/* The ids of the devices that the VMM has; NULL with @err. */
GHashTable *domain_plug_devices(DomainRun *run, GError **err);

/* Closes the nodes of one image and forgets its secret; what is not there is passed over. */
void domain_plug_drop_layer(DomainRun *run, const ChainLayer *layer);
/* Closes the nodes of @disk's image and of those it lies on; what is not there is passed over. */
void domain_plug_drop_image(DomainRun *run, const DomainDisk *disk);
/* Gives back what the device, which the VMM no longer has, leaves behind in it and on the host. */
void domain_plug_drop(DomainRun *run, const DomainDevice *device);

/* --- change.c -----------------------------------------------------------------------------------
 */

/* In a job: makes @def the live definition (taken over), keeping what events have changed in the
 * present one, and writes the status file. */
void domain_live_replace(Domain *domain, DomainDef *def);
/* In a job: makes @def the persistent definition (taken over) after writing its file. */
bool domain_config_replace(Domain *domain, DomainDef *def, GError **err);
/* In a job: copies of the definitions that @flags mean, with CURRENT resolved in *flags. */
bool domain_copies(Domain *domain, unsigned *flags, DomainDef **ret_live, DomainDef **ret_config,
                   GError **err);

/* A change without devices coming or going. */
typedef struct {
    const char *job; /* what it is called while it lasts */
    /* Notes @wanted in @config, the persistent definition; @live, as it was, is NULL when that is
     * not to change. Comes before apply, so that what it refuses has no effect. */
    bool (*note)(DomainDef *config, const DomainDef *live, void *wanted, GError **err);
    /* Does it to the guest, and notes it in @live. */
    bool (*apply)(DomainRun *run, DomainDef *live, void *wanted, GError **err);
    void (*tell)(Domain *domain, void *wanted); /* after apply; NULL: no event belongs to it */
} DomainTuning;

/* Takes the domain's job; @flags: virDomainModificationImpact. */
bool domain_tune(Domain *domain, const DomainTuning *what, void *wanted, unsigned flags,
                 GError **err);

#endif
