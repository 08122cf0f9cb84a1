/* server.c - the VNC server: its sockets, who may be in, and what QMP is told.
 *
 * Names of events and members are those of QEMU 7.2, qapi/ui.json.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <glib-unix.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "hw/core/device.h"
#include "hw/vnc/private.h"
#include "util/error.h"

typedef struct {
    VncServer *server;
    int fd;
    bool websocket;
    GSource *source;
    char *host, *service;
    const char *family;
} VncListener;

enum { SHADOW_WIDTH = 640, SHADOW_HEIGHT = 480 };

/* ---- QMP ---- */

static const char *
server_auth(const VncServer *server)
{
    return server->tls ? "vencrypt" : server->auth_password ? "vnc" : "none";
}

static void
server_put_vencrypt(const VncServer *server, JsonObject *to)
{
    if (server->tls)
        json_object_set_string_member(to, "vencrypt",
                                      server->auth_password ? "x509-vnc" : "x509-none");
}

static JsonObject *
server_address(const char *host, const char *service, const char *family, bool websocket)
{
    JsonObject *object = json_object_new();

    json_object_set_string_member(object, "host", host ? host : "");
    json_object_set_string_member(object, "service", service ? service : "");
    json_object_set_string_member(object, "family", family ? family : "unknown");
    json_object_set_boolean_member(object, "websocket", websocket);
    return object;
}

static JsonObject *
server_client(const VncClient *client)
{
    return server_address(client->host, client->service, client->family, client->web.on);
}

static JsonArray *
server_clients(const VncServer *server)
{
    JsonArray *array = json_array_new();

    for (guint i = 0; i < server->clients->len; i++) {
        const VncClient *client = g_ptr_array_index(server->clients, i);

        if (client->active && !client->closing)
            json_array_add_object_element(array, server_client(client));
    }
    return array;
}

JsonObject *
vnc_server_info(const VncServer *server)
{
    const VncListener *first =
        server->listeners->len ? g_ptr_array_index(server->listeners, 0) : NULL;
    JsonObject *info = json_object_new();

    json_object_set_boolean_member(info, "enabled", first != NULL);
    if (!first)
        return info;
    json_object_set_string_member(info, "host", first->host);
    json_object_set_string_member(info, "service", first->service);
    json_object_set_string_member(info, "family", first->family);
    json_object_set_string_member(info, "auth", server_auth(server));
    json_object_set_array_member(info, "clients", server_clients(server));
    return info;
}

JsonObject *
vnc_server_info2(const VncServer *server)
{
    JsonObject *info = json_object_new();
    JsonArray *sockets = json_array_new();

    for (guint i = 0; i < server->listeners->len; i++) {
        const VncListener *l = g_ptr_array_index(server->listeners, i);
        JsonObject *socket = server_address(l->host, l->service, l->family, l->websocket);

        json_object_set_string_member(socket, "auth", server_auth(server));
        server_put_vencrypt(server, socket);
        json_array_add_object_element(sockets, socket);
    }
    json_object_set_string_member(info, "id", server->id);
    json_object_set_array_member(info, "server", sockets);
    json_object_set_array_member(info, "clients", server_clients(server));
    json_object_set_string_member(info, "auth", server_auth(server));
    server_put_vencrypt(server, info);
    if (server->device)
        json_object_set_string_member(info, "display", server->device);
    return info;
}

void
vnc_server_event(VncServer *server, VncClient *client, const char *event)
{
    Machine *machine = server->machine;
    const VncListener *first =
        server->listeners->len ? g_ptr_array_index(server->listeners, 0) : NULL;
    JsonObject *data, *self;

    if (!machine->ops->event || client->fake)
        return;
    data = json_object_new();
    self = first ? server_address(first->host, first->service, first->family, client->web.on)
                 : server_address(NULL, NULL, NULL, false);
    json_object_set_string_member(self, "auth", server_auth(server));
    json_object_set_object_member(data, "server", self);
    json_object_set_object_member(data, "client", server_client(client));
    machine->ops->event(machine->host, event, data);
}

/* ---- who is in ---- */

bool
vnc_server_admit(VncServer *server, VncClient *client)
{
    bool others = false, held = false;

    for (guint i = 0; i < server->clients->len; i++) {
        const VncClient *other = g_ptr_array_index(server->clients, i);

        if (other == client || !other->active || other->closing)
            continue;
        others = true;
        held |= other->exclusive;
    }
    if (server->share == VNC_SHARE_IGNORE || !others)
        return true;
    if (server->share == VNC_SHARE_FORCE_SHARED)
        return !client->exclusive;
    if (!client->exclusive)
        return !held;
    for (guint i = 0; i < server->clients->len; i++) {
        VncClient *other = g_ptr_array_index(server->clients, i);

        if (other != client && other->active)
            vnc_client_close(other);
    }
    return true;
}

void
vnc_server_client_gone(VncServer *server, VncClient *client)
{
    vnc_server_event(server, client, "VNC_DISCONNECTED");
    g_ptr_array_remove(server->clients, client);
    vnc_client_free(client);
    vnc_server_watch(server);
}

/* ---- the screen ---- */

Surface *
vnc_server_surface(VncServer *server)
{
    return server->shadow;
}

/* Without a card, or memory for its picture: a black screen, so that one can at least type. */
static void
server_look_at_nothing(VncServer *server)
{
    server->screen = NULL;
    server->shadow = surface_new(SHADOW_WIDTH, SHADOW_HEIGHT);
    if (!server->shadow)
        return;
    server->columns = SHADOW_WIDTH / VNC_TILE_WIDTH;
    server->rows = SHADOW_HEIGHT / VNC_TILE_HEIGHT;
    server->touched = g_malloc0((size_t)server->columns * server->rows / 8 + 1);
}

static void
server_look(VncServer *server)
{
    server->screen = displays_find(server->machine->displays, server->device, server->head);
    if (server->screen) {
        screen_refresh(server->screen);
        vnc_screen_ops.surface(server);
    }
    if (!server->shadow) {
        server_look_at_nothing(server);
        return;
    }
    server->viewer = screen_view(server->screen, &vnc_screen_ops, server);
}

void
vnc_server_watch(VncServer *server)
{
    bool active = false;

    for (guint i = 0; i < server->clients->len; i++)
        active |= ((VncClient *)g_ptr_array_index(server->clients, i))->active;
    if (active && !server->shadow) {
        server_look(server);
    } else if (!active && server->shadow) {
        screen_unview(g_steal_pointer(&server->viewer));
        server->screen = NULL;
        g_clear_pointer(&server->shadow, surface_unref);
        g_clear_pointer(&server->touched, g_free);
        server->columns = server->rows = 0;
    }
}

static void
server_input_changed(void *opaque)
{
    VncServer *server = opaque;
    int absolute = input_is_absolute(server->machine->input);

    for (guint i = 0; i < server->clients->len; i++) {
        VncClient *client = g_ptr_array_index(server->clients, i);

        client->send_led = true;
        if (absolute != server->absolute && (client->can & VNC_CAN_POINTER_MOTION))
            client->send_motion = true;
        vnc_update(client);
    }
    server->absolute = absolute;
}

/* ---- sockets ---- */

static void
server_limit_connecting(VncServer *server)
{
    VncClient *oldest = NULL;
    unsigned n = 0;

    for (guint i = 0; i < server->clients->len; i++) {
        VncClient *client = g_ptr_array_index(server->clients, i);

        if (client->authenticated || client->closing)
            continue;
        oldest = oldest ? oldest : client;
        n++;
    }
    if (n >= server->connections && oldest)
        vnc_client_close(oldest);
}

static void
server_add(VncServer *server, int fd, bool websocket, bool skip_auth)
{
    int one = 1;

    /* Fails on a Unix socket, which needs neither. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    vnc_client_new(server, fd, websocket, skip_auth);
}

static gboolean
listener_ready(gint fd, GIOCondition condition, gpointer opaque)
{
    const VncListener *listener = opaque;
    VncServer *server = listener->server;
    int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)condition;
    if (client < 0)
        return G_SOURCE_CONTINUE;
    if (server->clients->len >= VNC_CLIENTS_MAX) {
        close(client);
        return G_SOURCE_CONTINUE;
    }
    server_limit_connecting(server);
    server_add(server, client, listener->websocket, false);
    return G_SOURCE_CONTINUE;
}

static void
listener_free(gpointer opaque)
{
    VncListener *listener = opaque;

    g_source_destroy(listener->source);
    g_source_unref(listener->source);
    close(listener->fd);
    g_free(listener->host);
    g_free(listener->service);
    g_free(listener);
}

static void
listener_name(VncListener *listener)
{
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof(address);
    char host[NI_MAXHOST] = "", service[NI_MAXSERV] = "";

    listener->family = "unknown";
    if (getsockname(listener->fd, (struct sockaddr *)&address, &len) < 0)
        len = 0;
    if (address.ss_family == AF_INET || address.ss_family == AF_INET6) {
        getnameinfo((struct sockaddr *)&address, len, host, sizeof(host), service, sizeof(service),
                    NI_NUMERICHOST | NI_NUMERICSERV);
        listener->family = address.ss_family == AF_INET ? "ipv4" : "ipv6";
    } else if (address.ss_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)&address;

        if (len > offsetof(struct sockaddr_un, sun_path))
            g_strlcpy(service, un->sun_path, MIN(sizeof(service), sizeof(un->sun_path)));
        listener->family = "unix";
    }
    listener->host = g_strdup(host);
    listener->service = g_strdup(service);
}

static void
server_listen(VncServer *server, int fd, bool websocket)
{
    VncListener *listener = g_new0(VncListener, 1);

    listener->server = server;
    listener->fd = fd;
    listener->websocket = websocket;
    listener_name(listener);
    listener->source = g_unix_fd_source_new(fd, G_IO_IN);
    g_source_set_callback(listener->source, (GSourceFunc)(void (*)(void))listener_ready, listener,
                          NULL);
    g_source_attach(listener->source, server->machine->context);
    g_ptr_array_add(server->listeners, listener);
}

/* ---- life ---- */

VncServer *
vnc_server_new(Machine *machine, const VncConfig *config, GError **err)
{
    VncServer *server;

    if (config->device && !displays_find(machine->displays, config->device, config->head)) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "-vnc: there is no video card '%s' with screen %u", config->device,
                       config->head);
        return NULL;
    }
    server = g_new0(VncServer, 1);
    server->machine = machine;
    server->id = g_strdup(config->id);
    server->name = g_strdup(config->name);
    server->device = g_strdup(config->device);
    server->head = config->head;
    server->auth_password = config->password;
    server->expires = INT64_MAX;
    server->tls = config->tls ? vnc_tls_ref(config->tls) : NULL;
    server->share = config->share;
    server->power_control = config->power_control;
    server->connections = config->connections ? config->connections : VNC_CONNECTING_MAX;
    server->listeners = g_ptr_array_new_with_free_func(listener_free);
    server->clients = g_ptr_array_new();
    for (unsigned i = 0; i < config->n_listen; i++)
        server_listen(server, config->listen[i], false);
    for (unsigned i = 0; i < config->n_websockets; i++)
        server_listen(server, config->websockets[i], true);
    server->absolute = input_is_absolute(machine->input);
    server->watch = input_watch(machine->input, server_input_changed, server);
    return server;
}

static void
server_forget_password(VncServer *server)
{
    if (server->password)
        explicit_bzero(server->password, strlen(server->password));
    g_clear_pointer(&server->password, g_free);
}

void
vnc_server_free(VncServer *server)
{
    if (!server)
        return;
    input_unwatch(server->machine->input, server->watch);
    g_ptr_array_unref(server->listeners);
    while (server->clients->len > 0)
        vnc_client_free(g_ptr_array_steal_index(server->clients, server->clients->len - 1));
    vnc_server_watch(server);
    g_ptr_array_unref(server->clients);
    vnc_tls_unref(server->tls);
    server_forget_password(server);
    g_free(server->id);
    g_free(server->name);
    g_free(server->device);
    g_free(server);
}

const char *
vnc_server_id(const VncServer *server)
{
    return server->id;
}

bool
vnc_server_set_password(VncServer *server, const char *password)
{
    if (!server->auth_password)
        return false;
    server_forget_password(server);
    /* An empty one is none: it lets nobody in. */
    if (password && *password)
        server->password = g_strndup(password, VNC_PASSWORD_MAX);
    return true;
}

bool
vnc_server_expire_password(VncServer *server, int64_t when)
{
    if (!server->auth_password)
        return false;
    server->expires = when;
    return true;
}

bool
vnc_server_add_client(VncServer *server, int fd, bool skip_auth, GError **err)
{
    if (server->clients->len >= VNC_CLIENTS_MAX) {
        close(fd);
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "VNC server '%s' has %d clients, the most it takes", server->id,
                              VNC_CLIENTS_MAX);
    }
    server_add(server, fd, false, skip_auth);
    return true;
}
