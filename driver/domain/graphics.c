/* graphics.c - sockets for VNC: the daemon listens, so that a port once chosen is the guest's, and
 * the VMM takes the sockets over.
 *
 * Ports are chosen as libvirt does by default: 5900 to 65535, WebSockets from 5700. Leaves out not
 * listening at all.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/graphics.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/error.h"

enum {
    PORT_FIRST = 5900,
    WEBSOCKET_FIRST = 5700,
    PORT_LAST = 65535,
    BACKLOG = 16,
};

#define DEFAULT_ADDRESS "127.0.0.1"

static int
listen_at(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1, error;

    if (fd < 0)
        return -errno;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    error = -errno;
    close(fd);
    return error;
}

/* Returns a listening socket, or -errno. */
static int
listen_port(const char *address, unsigned port)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV };
    g_autofree char *service = g_strdup_printf("%u", port);
    struct addrinfo *list = NULL;
    int fd;

    if (getaddrinfo(address, service, &hints, &list) != 0)
        return -EADDRNOTAVAIL;
    fd = listen_at(list);
    freeaddrinfo(list);
    return fd;
}

/* Listens at @port, or at the first free one from @first on when it is -1, and stores it. */
static int
listen_chosen(const char *address, int64_t *port, unsigned first, GError **err)
{
    unsigned from = *port > 0 ? (unsigned)*port : first;
    unsigned to = *port > 0 ? from : PORT_LAST;
    int fd = -EADDRINUSE;

    for (unsigned n = from; n <= to; n++) {
        fd = listen_port(address, n);
        if (fd >= 0) {
            *port = n;
            return fd;
        }
        if (fd != -EADDRINUSE)
            break;
    }
    if (from == to)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, fd,
                             "cannot listen for VNC viewers at '%s' port %u", address, from);
    else
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, fd,
                             "cannot listen for VNC viewers at '%s' at any port from %u on",
                             address, first);
    return -1;
}

static void
replace(char **text, const char *value)
{
    if (g_strcmp0(*text, value) == 0)
        return;
    g_free(*text);
    *text = g_strdup(value);
}

static bool
open_unix(DomainResources *resources, DomainGraphics *graphics, DomainListen *listen, int *ret_fd,
          GError **err)
{
    int fd;

    if (!listen->socket) {
        /* beside the monitor's socket, which has a directory of the guest's own name */
        g_autofree char *dir = g_path_get_dirname(resources->run->monitor_path);
        g_autofree char *name = g_path_get_basename(resources->run->monitor_path);
        g_autofree char *path = g_strdup_printf("%s/%s-vnc.sock", dir, name);

        replace(&listen->socket, path);
    }
    fd = domain_socket_listen_unix(listen->socket, err);
    if (fd < 0)
        return false;
    replace(&graphics->socket, listen->socket);
    g_ptr_array_add(resources->run->sockets, g_strdup(listen->socket));
    *ret_fd = domain_resources_add(resources, fd);
    return true;
}

/* The text of an address that viewers elsewhere can name: not one of the link alone. */
static char *
address_text(const struct sockaddr *address)
{
    char text[INET6_ADDRSTRLEN];
    const void *bytes;

    if (address && address->sa_family == AF_INET)
        bytes = &((const struct sockaddr_in *)address)->sin_addr;
    else if (address && address->sa_family == AF_INET6 &&
             !IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)address)->sin6_addr))
        bytes = &((const struct sockaddr_in6 *)address)->sin6_addr;
    else
        return NULL;
    return g_strdup(inet_ntop(address->sa_family, bytes, text, sizeof(text)));
}

char *
domain_graphics_interface_address(const char *interface, GError **err)
{
    g_autofree char *other = NULL;
    char *found = NULL;
    struct ifaddrs *list;

    if (getifaddrs(&list) < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot list host addresses");
        return NULL;
    }
    for (const struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
        if (strcmp(i->ifa_name, interface) != 0 || !i->ifa_addr)
            continue;
        if (i->ifa_addr->sa_family == AF_INET)
            found = address_text(i->ifa_addr);
        else if (!other)
            other = address_text(i->ifa_addr);
    }
    freeifaddrs(list);
    found = found ? found : g_steal_pointer(&other);
    if (!found)
        kiln_error_set(err, VIR_ERR_XML_ERROR, "interface '%s' has no IP address", interface);
    return found;
}

/* The host's own address in network @name; the network must run. */
static char *
network_address(NetworkManager *networks, const char *name, GError **err)
{
    g_autoptr(Network) network = NULL;
    g_autofree char *bridge = NULL;

    if (!networks) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "<listen type='network'> needs host networks, which this daemon does not "
                       "keep; give an address");
        return NULL;
    }
    network = network_manager_lookup_name(networks, name, err);
    if (!network)
        return NULL;
    if (!network_is_active(network)) {
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "network '%s' is not active", name);
        return NULL;
    }
    bridge = network_bridge_name(network, err);
    return bridge ? domain_graphics_interface_address(bridge, err) : NULL;
}

static bool
open_tcp(DomainResources *resources, DomainGraphics *graphics, DomainListen *listen, int *ret_fd,
         int *ret_websocket, GError **err)
{
    const char *address = listen && listen->address && *listen->address ? listen->address
                          : graphics->listen && *graphics->listen
                              ? graphics->listen
                              : resources->run->domain->manager->vnc_listen;
    g_autofree char *chosen = g_strdup(address);
    int fd = listen_chosen(chosen, &graphics->port, PORT_FIRST, err);

    if (fd < 0)
        return false;
    *ret_fd = domain_resources_add(resources, fd);
    if (graphics->websocket != XML_UNSET_INT && graphics->websocket != 0) {
        fd = listen_chosen(chosen, &graphics->websocket, WEBSOCKET_FIRST, err);
        if (fd < 0)
            return false;
        *ret_websocket = domain_resources_add(resources, fd);
    }
    replace(&graphics->listen, chosen);
    if (listen)
        replace(&listen->address, chosen);
    return true;
}

bool
domain_graphics_open(void *opaque, DomainGraphics *graphics, int *ret_fd, int *ret_websocket,
                     GError **err)
{
    DomainListen *listen = graphics->listens->len ? graphics->listens->pdata[0] : NULL;
    DomainResources *resources = opaque;
    g_autofree char *address = NULL;

    *ret_websocket = -1;
    switch (listen ? listen->type : DOMAIN_LISTEN_ADDRESS) {
    case DOMAIN_LISTEN_ABSENT:
    case DOMAIN_LISTEN_ADDRESS:
        return open_tcp(opaque, graphics, listen, ret_fd, ret_websocket, err);
    case DOMAIN_LISTEN_SOCKET:
        return open_unix(opaque, graphics, listen, ret_fd, err);
    case DOMAIN_LISTEN_NETWORK:
        address = network_address(resources->run->domain->manager->networks, listen->network, err);
        if (!address)
            return false;
        /* Looked up at every start: the network may have another by then. */
        replace(&listen->address, address);
        return open_tcp(opaque, graphics, listen, ret_fd, ret_websocket, err);
    case DOMAIN_LISTEN_NONE:
        *ret_fd = -1;
        return true;
    }
    g_return_val_if_reached(false);
}

void
domain_graphics_configure(DomainManager *manager, const DomainVncConfig *vnc)
{
    manager->vnc_listen = g_strdup(vnc->listen ? vnc->listen : DEFAULT_ADDRESS);
    manager->vnc_password = g_strdup(vnc->password);
    manager->vnc_tls_verify = vnc->tls_verify;
    if (vnc->tls)
        manager->vnc_tls_dir =
            vnc->tls_dir ? g_strdup(vnc->tls_dir) : domain_tls_dir(manager, "libvirt-vnc");
}

/* ---- passwords ---- */

static bool
set_password(DomainRun *run, const char *password, GError **err)
{
    JsonObject *arguments = json_object_new();

    json_object_set_string_member(arguments, "protocol", "vnc");
    json_object_set_string_member(arguments, "password", password);
    return qmp_command(run->qmp, "set_password", arguments, DOMAIN_QMP_SECONDS, err);
}

static bool
set_expiry(DomainRun *run, const DomainGraphics *graphics, GError **err)
{
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) when = g_date_time_new_from_iso8601(graphics->passwd_valid_to, utc);
    g_autofree char *seconds = NULL;
    JsonObject *arguments;

    if (!when)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "passwdValidTo='%s' is not a time as 2030-12-31T23:59:59",
                              graphics->passwd_valid_to);
    seconds = g_strdup_printf("%" G_GINT64_FORMAT, MAX(g_date_time_to_unix(when), 0));
    arguments = json_object_new();
    json_object_set_string_member(arguments, "protocol", "vnc");
    json_object_set_string_member(arguments, "time", seconds);
    return qmp_command(run->qmp, "expire_password", arguments, DOMAIN_QMP_SECONDS, err);
}

bool
domain_graphics_set_passwords(DomainRun *run, const DomainDef *def, GError **err)
{
    for (guint i = 0; i < def->graphics->len; i++) {
        const DomainGraphics *graphics = def->graphics->pdata[i];
        const char *password =
            graphics->passwd ? graphics->passwd : run->domain->manager->vnc_password;

        if (graphics->type != DOMAIN_GRAPHICS_VNC || !password)
            continue;
        if (!set_password(run, password, err) ||
            (graphics->passwd_valid_to && !set_expiry(run, graphics, err)))
            return false;
    }
    return true;
}
