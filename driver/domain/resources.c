/* resources.c - opening what a guest needs on the host before its VMM starts: files, ptys, sockets,
 * taps. The VMM gets descriptors and opens nothing by name.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/resources.h"

#include "driver/domain/graphics.h"
#include "driver/secret/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"
#include "util/uuid.h"

enum { RESOURCE_FIRST_FD = 3, VSOCK_CID_FIRST = 3, CIDS_TRIED = 65536 };

#define VHOST_NET "/dev/vhost-net"
#define VHOST_VSOCK "/dev/vhost-vsock"
#define NBD_PORT "10809"

void
domain_resources_init(DomainResources *resources, DomainRun *run, DomainDef *def)
{
    *resources = (DomainResources){ run, def, g_array_new(FALSE, FALSE, sizeof(SpawnFd)) };
}

void
domain_resources_clear(DomainResources *resources)
{
    for (guint i = 0; i < resources->fds->len; i++)
        close(g_array_index(resources->fds, SpawnFd, i).fd);
    g_clear_pointer(&resources->fds, g_array_unref);
}

/* Takes @fd; its number in the child. */
static int
resource_add(DomainResources *resources, int fd)
{
    SpawnFd entry = { file_move_high(fd), RESOURCE_FIRST_FD + (int)resources->fds->len };

    g_array_append_val(resources->fds, entry);
    return entry.number;
}

int
domain_resources_add(DomainResources *resources, int fd)
{
    return resource_add(resources, fd);
}

static void
file_error(GError **err, int errnum, const char *path, int flags, const char *what)
{
    g_autofree char *doing = g_strconcat("open ", what, NULL);

    if (g_str_equal(what, "KVM device") &&
        (errnum == ENOENT || errnum == ENODEV || errnum == ENXIO))
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "this host offers no KVM: '%s': %s; load kvm_intel or kvm_amd, or turn "
                       "virtualization on in the host's firmware",
                       path, g_strerror(errnum));
    else if (g_str_equal(what, "KVM device"))
        kiln_error_set(err, VIR_ERR_SYSTEM_ERROR,
                       "cannot open the KVM device '%s': %s; the user needs to be in group 'kvm'",
                       path, g_strerror(errnum));
    else
        file_open_error(err, errnum, doing, path, flags);
}

static int
resource_file(void *opaque, const char *path, int flags, const char *what, GError **err)
{
    /* non-blocking, or a named pipe would hold the daemon up */
    int fd = open(path, flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0600);
    struct stat st;
    int set;

    if (fd < 0) {
        file_error(err, errno, path, flags, what);
        return -1;
    }
    if (fstat(fd, &st) < 0 ||
        (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode) && !S_ISCHR(st.st_mode))) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "%s '%s' is not a file or device", what,
                       path);
        close(fd);
        return -1;
    }
    set = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, set & ~O_NONBLOCK);
    return resource_add(opaque, fd);
}

static int
resource_host(void *opaque, const DomainDiskHost *host, GError **err)
{
    int fd = host->transport == DOMAIN_HOST_UNIX
                 ? domain_socket_connect_unix(host->socket, err)
                 : domain_socket_tcp(host->name, host->port ? host->port : NBD_PORT, true, err);

    return fd < 0 ? -1 : resource_add(opaque, fd);
}

char *
domain_tls_dir(const DomainManager *manager, const char *own)
{
    g_autofree char *dir = NULL;

    if (!manager->pki_dir)
        return NULL;
    dir = g_build_filename(manager->pki_dir, own, NULL);
    return g_file_test(dir, G_FILE_TEST_IS_DIR) ? g_steal_pointer(&dir)
                                                : g_build_filename(manager->pki_dir, "qemu", NULL);
}

int
domain_secret_pipe(const DomainManager *manager, const DomainDiskSecret *secret, GError **err)
{
    g_autoptr(GBytes) value = NULL;

    if (!manager->ops || !manager->ops->secret) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "an image is encrypted, and there are no secrets here");
        return -1;
    }
    value = manager->ops->secret(manager->opaque, secret->uuid, VIR_SECRET_USAGE_TYPE_VOLUME,
                                 secret->usage, err);
    return value ? secret_value_pipe(value, err) : -1;
}

static int
resource_secret(void *opaque, const DomainDiskSecret *secret, GError **err)
{
    int fd = domain_secret_pipe(((DomainResources *)opaque)->run->domain->manager, secret, err);

    return fd < 0 ? -1 : resource_add(opaque, fd);
}

/* The guest's bytes pass through as they are: no echo, no line editing. */
static bool
pty_make_raw(const char *path)
{
    int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios modes;
    bool ok;

    if (fd < 0)
        return false;
    ok = tcgetattr(fd, &modes) == 0;
    if (ok) {
        cfmakeraw(&modes);
        ok = tcsetattr(fd, TCSANOW, &modes) == 0;
    }
    close(fd);
    return ok;
}

static int
resource_pty(void *opaque, DomainChar *device, GError **err)
{
    DomainResources *resources = opaque;
    int fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), copy;
    char path[64];

    if (fd < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0 || ptsname_r(fd, path, sizeof(path)) != 0 ||
        !pty_make_raw(path) || (copy = fcntl(fd, F_DUPFD_CLOEXEC, RESOURCE_FIRST_FD)) < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot make a pty for %s",
                             device->info.alias);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    copy = file_move_high(copy); /* kept as long as the guest runs */
    g_array_append_val(resources->run->masters, copy);
    g_free(device->source.path);
    device->source.path = g_strdup(path);
    return resource_add(resources, fd);
}

/* The socket of a channel whose definition names none. */
static char *
channel_path(const DomainResources *resources, const DomainChar *device, GError **err)
{
    g_autofree char *dir = g_build_filename(resources->run->domain->manager->lib_dir, "channel",
                                            resources->def->uuid, NULL);
    const char *name = device->name ? device->name : device->info.alias;

    if (strchr(name, '/')) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "channel '%s' needs a <source> with a path: its name cannot be a file's",
                       name);
        return NULL;
    }
    return file_make_dirs(dir, 0711, err) ? g_build_filename(dir, name, NULL) : NULL;
}

/* Whether channel_path() made it: a live definition, as snapshots keep it and as people copy it for
 * another guest, has the path of then, whose directory went with the guest. */
static bool
is_channel_path(const DomainResources *resources, const char *path)
{
    g_autofree char *dir =
        g_build_filename(resources->run->domain->manager->lib_dir, "channel", "", NULL);

    return g_str_has_prefix(path, dir);
}

static int
resource_socket(void *opaque, DomainChar *device, bool connected, GError **err)
{
    DomainResources *resources = opaque;
    DomainCharSource *source = &device->source;
    int fd;

    if (source->type == DOMAIN_CHAR_TCP) {
        fd = domain_socket_tcp(source->host, source->service, connected, err);
    } else if (connected) {
        fd = domain_socket_connect_unix(source->path ? source->path : "", err);
    } else {
        if (!source->path || is_channel_path(resources, source->path)) {
            g_free(source->path);
            if (!(source->path = channel_path(resources, device, err)))
                return -1;
        }
        source->mode = DOMAIN_CHAR_BIND; /* as a new daemon finds it in the status file */
        fd = domain_socket_listen_unix(source->path, err);
        if (fd >= 0)
            g_ptr_array_add(resources->run->sockets, g_strdup(source->path));
    }
    return fd < 0 ? -1 : resource_add(resources, fd);
}

static int
resource_monitor(void *opaque, GError **err)
{
    DomainResources *resources = opaque;
    int fd = domain_socket_listen_unix(resources->run->monitor_path, err);

    if (fd < 0)
        return -1;
    g_ptr_array_add(resources->run->sockets, g_strdup(resources->run->monitor_path));
    return resource_add(resources, fd);
}

/* Where the definition leaves the address open, the first one from 3 that no guest has. */
static int
resource_vsock(void *opaque, DomainVsock *vsock, GError **err)
{
    DomainResources *resources = opaque;
    uint64_t cid = vsock->auto_cid == TRISTATE_ON ? VSOCK_CID_FIRST : vsock->cid;
    int fd = open(VHOST_VSOCK, O_RDWR | O_CLOEXEC), r;

    if (fd < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                             "unable to open " VHOST_VSOCK " (module vhost_vsock)");
        return -1;
    }
    do
        r = ioctl(fd, VHOST_VSOCK_SET_GUEST_CID, &cid) < 0 ? errno : 0;
    while (r == EADDRINUSE && vsock->auto_cid == TRISTATE_ON &&
           ++cid < VSOCK_CID_FIRST + CIDS_TRIED);
    if (r != 0) {
        kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, r,
                             "unable to give <vsock> the address %" G_GUINT64_FORMAT, cid);
        close(fd);
        return -1;
    }
    vsock->cid = cid;
    return resource_add(resources, fd);
}

static bool
open_vhosts(DomainResources *resources, const DomainInterface *net, unsigned n, int *vhosts,
            unsigned *ret_n, GError **err)
{
    int fds[NETWORK_PORT_MAX_QUEUES];

    *ret_n = 0;
    if (net->driver == DOMAIN_NET_DRIVER_QEMU)
        return true;
    for (unsigned i = 0; i < n; i++) {
        fds[i] = open(net->backend_vhost ? net->backend_vhost : VHOST_NET, O_RDWR | O_CLOEXEC);
        if (fds[i] >= 0)
            continue;
        while (i-- > 0)
            close(fds[i]);
        /* an accelerator: without a word of the definition its absence is no error */
        return net->driver != DOMAIN_NET_DRIVER_VHOST ||
               kiln_error_set_errno(err, VIR_ERR_CONFIG_UNSUPPORTED, errno,
                                    "vhost-net was requested for interface %s, but is unavailable",
                                    net->info.alias);
    }
    for (unsigned i = 0; i < n; i++)
        vhosts[i] = resource_add(resources, fds[i]);
    *ret_n = n;
    return true;
}

NetworkLimit
domain_net_limit(const DomainBandwidth *bandwidth)
{
    NetworkLimit limit = { 0 };

    if (!bandwidth)
        return limit;
    limit.average = bandwidth->average == XML_UNSET ? 0 : bandwidth->average;
    limit.peak = bandwidth->peak == XML_UNSET ? 0 : bandwidth->peak;
    limit.burst = bandwidth->burst == XML_UNSET ? 0 : bandwidth->burst;
    limit.floor = bandwidth->floor == XML_UNSET ? 0 : bandwidth->floor;
    return limit;
}

G_STATIC_ASSERT((int)DOMAIN_DIRECT_VEPA == NETWORK_DIRECT_VEPA &&
                (int)DOMAIN_DIRECT_PASSTHROUGH == NETWORK_DIRECT_PASSTHROUGH);

/* What @net joins, by its name in ret_source. */
static NetworkPortKind
port_kind(const DomainInterface *net, const char **ret_source)
{
    switch (net->type) {
    case DOMAIN_NET_NETWORK:
        *ret_source = net->network;
        return NETWORK_PORT_NETWORK;
    case DOMAIN_NET_BRIDGE:
        *ret_source = net->bridge;
        return NETWORK_PORT_BRIDGE;
    case DOMAIN_NET_DIRECT:
        *ret_source = net->source_dev;
        return NETWORK_PORT_DIRECT;
    default:
        *ret_source = NULL;
        return NETWORK_PORT_ETHERNET;
    }
}

static DomainPort *
port_new(const DomainResources *resources, const DomainInterface *net)
{
    DomainPort *port = g_new0(DomainPort, 1);
    NetworkPortRequest *request = &port->request;
    const char *source;

    request->kind = port_kind(net, &source);
    request->mode = (NetworkDirectMode)net->source_mode;
    port->source = g_strdup(source);
    port->portgroup = g_strdup(net->portgroup);
    port->domain_name = g_strdup(resources->def->name);
    request->source = port->source;
    request->portgroup = port->portgroup;
    request->domain_name = port->domain_name;
    request->domain_uuid = resources->run->domain->uuid;
    xml_mac_parse(net->mac, request->mac);
    request->queues = net->queues == XML_UNSET ? 1 : net->queues;
    request->mtu = net->mtu == XML_UNSET ? 0 : net->mtu;
    request->vnet_hdr = true;
    request->isolated = net->isolated == TRISTATE_ON;
    request->managed = net->managed != TRISTATE_OFF;
    request->link_down = net->link == DOMAIN_LINK_DOWN;
    request->inbound = domain_net_limit(net->inbound);
    request->outbound = domain_net_limit(net->outbound);
    return port;
}

/* What the client reads back of the port: the tap's name, the bridge, the port's id. */
static void
port_show(const NetworkPort *port, DomainInterface *net)
{
    g_free(net->ifname);
    net->ifname = g_strdup(port->ifname);
    if (net->type == DOMAIN_NET_NETWORK) {
        g_free(net->bridge);
        net->bridge = g_strdup(port->bridge);
        g_free(net->source_dev);
        net->source_dev = g_strdup(port->dev);
        net->source_mode = (int)port->mode;
        g_free(net->port_id);
        net->port_id = kiln_uuid_format(port->id);
        if (port->portgroup && !net->portgroup)
            net->portgroup = g_strdup(port->portgroup);
    }
    if (net->mtu == XML_UNSET && port->mtu != 0 && port->mtu != 1500)
        net->mtu = port->mtu;
}

static bool
resource_taps(void *opaque, DomainInterface *net, int *taps, unsigned *ret_n_taps, int *vhosts,
              unsigned *ret_n_vhosts, GError **err)
{
    DomainResources *resources = opaque;
    NetworkManager *networks = resources->run->domain->manager->networks;
    g_autoptr(NetworkPort) opened = NULL;
    DomainPort *port;

    if (!networks)
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "<interface type='%s'> needs host networks, which this daemon does not "
            "manage; use type='user'",
            domain_net_types[net->type]);
    port = port_new(resources, net);
    port->request.ifname = net->ifname;
    opened = network_port_open(networks, &port->request, err);
    port->request.ifname = NULL;
    g_ptr_array_add(resources->run->ports, port);
    if (!opened) {
        g_ptr_array_set_size(resources->run->ports, resources->run->ports->len - 1);
        return false;
    }
    port->ifname = g_strdup(opened->ifname);
    memcpy(port->id, opened->id, sizeof(port->id));
    port_show(opened, net);
    for (unsigned i = 0; i < opened->n_fds; i++)
        taps[i] = resource_add(resources, opened->fds[i]);
    *ret_n_taps = opened->n_fds;
    opened->n_fds = 0; /* they are the resources' now */
    return open_vhosts(resources, net, *ret_n_taps, vhosts, ret_n_vhosts, err);
}

const NodeHostModel *
domain_resources_host_model(void *opaque, GError **err)
{
    const DomainResources *resources = opaque;
    DomainManager *manager = resources->run->domain->manager;

    if (manager->ops && manager->ops->host_model)
        return manager->ops->host_model(manager->opaque, err);
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "the host's CPU model is not known");
    return NULL;
}

char *
domain_host_sysinfo(DomainManager *manager, GError **err)
{
    if (manager->ops && manager->ops->sysinfo)
        return manager->ops->sysinfo(manager->opaque, err);
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "Host SMBIOS information is not available");
    return NULL;
}

static char *
resource_sysinfo(void *opaque, GError **err)
{
    const DomainResources *resources = opaque;

    return domain_host_sysinfo(resources->run->domain->manager, err);
}

const ArgvOps domain_resources_ops = {
    .file = resource_file,
    .backing = domain_chain_backing,
    .host = resource_host,
    .secret = resource_secret,
    .pty = resource_pty,
    .socket = resource_socket,
    .monitor = resource_monitor,
    .sysinfo = resource_sysinfo,
    .vsock = resource_vsock,
    .nvram = domain_nvram_make,
    .graphics = domain_graphics_open,
    .taps = resource_taps,
};
