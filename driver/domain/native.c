/* native.c - the command line that a definition comes to (virConnectDomainXMLToNative).
 *
 * What images lie on is not looked at, only what <backingStore> says of it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/native.h"

#include <string.h>

#include "driver/domain/argv.h"
#include "driver/domain/log.h"
#include "driver/domain/private.h"
#include "driver/domain/resources.h"
#include "driver/node/firmware.h"
#include "util/error.h"

/* As long as a guest is not there yet. */
enum { NATIVE_ID = 0, NATIVE_FIRST_FD = 3 };

typedef struct {
    DomainManager *manager;
    int next_fd;
} Native;

static int
next_fd(void *opaque)
{
    return ((Native *)opaque)->next_fd++;
}

static int
native_file(void *opaque, const char *path, int flags, const char *what, GError **err)
{
    (void)path, (void)flags, (void)what, (void)err;
    return next_fd(opaque);
}

static int
native_host(void *opaque, const DomainDiskHost *host, GError **err)
{
    (void)host, (void)err;
    return next_fd(opaque);
}

static int
native_secret(void *opaque, const DomainDiskSecret *secret, GError **err)
{
    (void)secret, (void)err;
    return next_fd(opaque);
}

static int
native_pty(void *opaque, DomainChar *device, GError **err)
{
    (void)device, (void)err;
    return next_fd(opaque);
}

static int
native_socket(void *opaque, DomainChar *device, bool connected, GError **err)
{
    (void)device, (void)connected, (void)err;
    return next_fd(opaque);
}

static int
native_monitor(void *opaque, GError **err)
{
    (void)err;
    return next_fd(opaque);
}

static int
native_vsock(void *opaque, DomainVsock *vsock, GError **err)
{
    (void)vsock, (void)err;
    return next_fd(opaque);
}

static bool
native_nvram(void *opaque, const char *path, const char *template, GError **err)
{
    (void)opaque, (void)path, (void)template, (void)err;
    return true;
}

static bool
native_graphics(void *opaque, DomainGraphics *graphics, int *ret_fd, int *ret_websocket,
                GError **err)
{
    (void)err;
    *ret_fd = next_fd(opaque);
    *ret_websocket = graphics->websocket == XML_UNSET_INT ? -1 : next_fd(opaque);
    return true;
}

static bool
native_taps(void *opaque, DomainInterface *net, int *taps, unsigned *ret_n_taps, int *vhosts,
            unsigned *ret_n_vhosts, GError **err)
{
    unsigned n = net->queues == XML_UNSET ? 1 : (unsigned)net->queues;

    (void)err;
    *ret_n_taps = *ret_n_vhosts = CLAMP(n, 1, NETWORK_PORT_MAX_QUEUES);
    for (unsigned i = 0; i < *ret_n_taps; i++) {
        taps[i] = next_fd(opaque);
        vhosts[i] = next_fd(opaque);
    }
    return true;
}

static const NodeHostModel *
native_host_model(void *opaque, GError **err)
{
    DomainManager *manager = ((Native *)opaque)->manager;

    if (manager->ops && manager->ops->host_model)
        return manager->ops->host_model(manager->opaque, err);
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "the host's CPU model is not known");
    return NULL;
}

static char *
native_sysinfo(void *opaque, GError **err)
{
    return domain_host_sysinfo(((Native *)opaque)->manager, err);
}

static const ArgvOps native_ops = {
    .file = native_file,
    .host = native_host,
    .secret = native_secret,
    .pty = native_pty,
    .socket = native_socket,
    .monitor = native_monitor,
    .sysinfo = native_sysinfo,
    .vsock = native_vsock,
    .nvram = native_nvram,
    .graphics = native_graphics,
    .taps = native_taps,
};

char *
domain_manager_to_native(DomainManager *manager, const char *format, const char *xml, GError **err)
{
    g_autofree char *user = manager->drops ? g_strdup_printf("%u:%u", (unsigned)manager->vmm_uid,
                                                             (unsigned)manager->vmm_gid)
                                           : NULL;
    g_autofree char *nvram = g_build_filename(manager->lib_dir, "nvram", NULL);
    g_autoptr(DomainDef) def = NULL;
    g_autoptr(DomainDef) live = NULL;
    g_autoptr(GPtrArray) firmwares = NULL;
    g_autoptr(GPtrArray) argv = NULL;
    Native native = { manager, NATIVE_FIRST_FD };
    ArgvConfig config = {
        .vmm = manager->vmm,
        .kvm_device = manager->kvm_device,
        .sandbox_user = user,
        .nvram_dir = nvram,
        .host_model = native_host_model,
        .ops = &native_ops,
        .opaque = &native,
    };

    if (strcmp(format, "qemu-argv") != 0) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "unsupported config type %s", format);
        return NULL;
    }
    def = domain_def_parse(xml, 0, &manager->defaults, err);
    if (!def || !domain_def_as_new(def, false, err) || !domain_def_unsupported(def, err))
        return NULL;
    live = domain_live_new(def, NATIVE_ID);
    if (!domain_disks_resolve(manager, live, err))
        return NULL;
    config.firmwares = firmwares = host_firmware_list("", live->os.arch);
    argv = argv_build(&config, live, err);
    return argv ? domain_log_words((char *const *)argv->pdata) : NULL;
}
