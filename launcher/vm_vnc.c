/* vm_vnc.c - -vnc: addresses to listening sockets, and what a server is told.
 *
 * Syntax of qemu-system-x86_64(1); fd=N and websocket-fd=N are Kiln's own: sockets that listen
 * already. Leaves out SASL, reverse connections and lossy encodings.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/vm_vnc.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "launcher/keyval.h"
#include "launcher/vm_secrets.h"
#include "launcher/vm_tls.h"
#include "util/error.h"

struct VmVnc {
    GPtrArray *servers;
    GHashTable *tls; /* id -> VncTls */
};

enum {
    PORT_BASE = 5900,
    WEBSOCKET_BASE = 5700,
    SOCKETS_MAX = 8, /* addresses of one name */
    BACKLOG = 16,
};

typedef struct {
    int fds[SOCKETS_MAX];
    unsigned n;
} Sockets;

static VmVnc *
vnc_of(Vm *vm)
{
    if (!vm->vnc) {
        vm->vnc = g_new0(VmVnc, 1);
        vm->vnc->servers = g_ptr_array_new_with_free_func((GDestroyNotify)vnc_server_free);
        vm->vnc->tls = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, vnc_tls_unref);
    }
    return vm->vnc;
}

void
vm_vnc_free(VmVnc *vnc)
{
    if (!vnc)
        return;
    g_ptr_array_unref(vnc->servers);
    g_hash_table_unref(vnc->tls);
    g_free(vnc);
}

VncServer *
vm_vnc_get(Vm *vm, unsigned index)
{
    return vm->vnc && index < vm->vnc->servers->len ? g_ptr_array_index(vm->vnc->servers, index)
                                                    : NULL;
}

VncServer *
vm_vnc_find(Vm *vm, const char *id)
{
    for (unsigned i = 0;; i++) {
        VncServer *server = vm_vnc_get(vm, i);

        if (!server || !id || strcmp(vnc_server_id(server), id) == 0)
            return server;
    }
}

/* ---- objects ---- */

bool
vm_vnc_takes_object(const char *type)
{
    return strcmp(type, "tls-creds-x509") == 0 || strcmp(type, "secret") == 0;
}

static bool
vnc_add_tls(Vm *vm, const char *id, JsonObject *object, GError **err)
{
    static const char *const keys[] = { "qom-type", "id", "dir", "endpoint", "verify-peer", NULL };
    static const char *const endpoints[] = { "server", "client", NULL };
    const char *dir = keyval_text(object, "dir");
    bool verify = true;
    int endpoint = 0;
    VncTls *tls;

    if (!keyval_check("-object tls-creds-x509", object, keys, err) ||
        !keyval_enum("-object tls-creds-x509", object, "endpoint", endpoints, &endpoint, err) ||
        !keyval_bool("-object tls-creds-x509", object, "verify-peer", &verify, err))
        return false;
    if (!dir)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-object tls-creds-x509,id=%s: wants dir=", id);
    if (endpoint == 1)
        return vm_tls_add_client(vm, id, dir, verify, err);
    tls = vnc_tls_new(dir, verify, err);
    if (!tls)
        return false;
    g_hash_table_replace(vnc_of(vm)->tls, g_strdup(id), tls);
    return true;
}

bool
vm_vnc_add_object(Vm *vm, JsonObject *object, GError **err)
{
    const char *type = keyval_text(object, "qom-type"), *id = keyval_text(object, "id");

    if (!id)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-object %s: wants id=", type);
    if (strcmp(type, "secret") == 0)
        return vm_secrets_add(vm, object, err);
    return vnc_add_tls(vm, id, object, err);
}

/* ---- sockets ---- */

static void
sockets_close(Sockets *sockets)
{
    while (sockets->n > 0)
        close(sockets->fds[--sockets->n]);
}

static bool
sockets_listen_unix(Sockets *ret, const char *path, GError **err)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd;

    if (g_strlcpy(address.sun_path, path, sizeof(address.sun_path)) >= sizeof(address.sun_path))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-vnc unix:%s: a path has at most %zu bytes", path,
                              sizeof(address.sun_path) - 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, BACKLOG) < 0) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "-vnc unix:%s", path);
        if (fd >= 0)
            close(fd);
        return false;
    }
    ret->fds[ret->n++] = fd;
    return true;
}

/* Returns a listening socket or -errno. */
static int
sockets_listen_one(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (address->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        int ret = -errno;

        close(fd);
        return ret;
    }
    return fd;
}

/* All addresses of @host at @port; 0 or the -errno that stands in the way. */
static int
sockets_listen_port(Sockets *ret, const char *host, unsigned port, bool ipv4, bool ipv6)
{
    const struct addrinfo hints = { .ai_family = ipv4 && !ipv6   ? AF_INET
                                                 : ipv6 && !ipv4 ? AF_INET6
                                                                 : AF_UNSPEC,
                                    .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    g_autofree char *service = g_strdup_printf("%u", port);
    struct addrinfo *list = NULL;
    int error = -ENOENT;

    if (getaddrinfo(*host ? host : NULL, service, &hints, &list) != 0)
        return -EADDRNOTAVAIL;
    for (struct addrinfo *a = list; a && ret->n < SOCKETS_MAX; a = a->ai_next) {
        int fd = sockets_listen_one(a);

        if (fd >= 0) {
            ret->fds[ret->n++] = fd;
        } else if (fd != -EAFNOSUPPORT && fd != -EADDRNOTAVAIL) {
            /* In use in one family is in use. */
            sockets_close(ret);
            freeaddrinfo(list);
            return fd;
        } else {
            error = fd;
        }
    }
    freeaddrinfo(list);
    return ret->n > 0 ? 0 : error;
}

static bool
sockets_take_fd(Vm *vm, Sockets *ret, const char *text, GError **err)
{
    int fd = vm_take_fd(vm, text, err), listens = 0;
    socklen_t len = sizeof(listens);

    if (fd < 0)
        return false;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens) {
        close(fd);
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-vnc fd=%s is not a listening socket", text);
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    ret->fds[ret->n++] = fd;
    return true;
}

/* "HOST:DISPLAY", with @to further displays to try. */
static bool
sockets_listen(Sockets *ret, JsonObject *option, const char *text, unsigned base, uint64_t to,
               unsigned *ret_port, GError **err)
{
    const char *colon = strrchr(text, ':');
    g_autofree char *host = colon ? g_strndup(text, (gsize)(colon - text)) : NULL;
    bool ipv4 = false, ipv6 = false;
    uint64_t number;
    int error = 0;

    if (!colon || !g_ascii_string_to_unsigned(colon + 1, 10, 0, 65535 - base, &number, NULL))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-vnc %s: wants HOST:DISPLAY with a display of 0 to %u, unix:PATH, "
                              "fd=N or none",
                              text, 65535 - base);
    if (!keyval_bool("-vnc", option, "ipv4", &ipv4, err) ||
        !keyval_bool("-vnc", option, "ipv6", &ipv6, err))
        return false;
    if (*host == '[' && g_str_has_suffix(host, "]")) {
        host[strlen(host) - 1] = '\0';
        memmove(host, host + 1, strlen(host));
    }
    for (uint64_t n = number; n <= MAX(number, to); n++) {
        *ret_port = base + (unsigned)n;
        error = sockets_listen_port(ret, host, *ret_port, ipv4, ipv6);
        if (error != -EADDRINUSE)
            break;
    }
    return error == 0 || kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, error,
                                              "-vnc %s: cannot listen at port %u", text, *ret_port);
}

static bool
vnc_open_websocket(Vm *vm, JsonObject *option, unsigned port, Sockets *ret, GError **err)
{
    const char *text = keyval_text(option, "websocket"), *fd = keyval_text(option, "websocket-fd");
    const char *vnc = keyval_text(option, "vnc");
    const char *colon = vnc ? strrchr(vnc, ':') : NULL;
    g_autofree char *at = NULL;
    bool on = false;
    unsigned got;

    if (fd)
        return sockets_take_fd(vm, ret, fd, err);
    if (!text)
        return true;
    if (g_str_has_prefix(text, "unix:"))
        return sockets_listen_unix(ret, text + strlen("unix:"), err);
    if (!g_ascii_isdigit(*text) && !strchr(text, ':')) {
        if (!keyval_bool("-vnc", option, "websocket", &on, err))
            return false;
        if (!on)
            return true;
        if (port < PORT_BASE || !colon)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "-vnc websocket=on: the address has no display number; give a "
                                  "port");
        at = g_strdup_printf("%.*s:%u", (int)(colon - vnc), vnc, port - PORT_BASE + WEBSOCKET_BASE);
    } else if (strchr(text, ':')) {
        at = g_strdup(text);
    } else {
        at = g_strdup_printf("%.*s:%s", colon ? (int)(colon - vnc) : 0, vnc ? vnc : "", text);
    }
    return sockets_listen(ret, option, at, 0, 0, &got, err);
}

/* ---- the option ---- */

static const char *const vnc_keys[] = {
    "vnc",
    "id",
    "fd",
    "websocket",
    "websocket-fd",
    "password",
    "to",
    "ipv4",
    "ipv6",
    "tls-creds",
    "share",
    "display",
    "head",
    "connections",
    "power-control",
    "password-secret",
    "key-delay-ms",
    "lossy",
    "non-adaptive",
    "audiodev",
    "sasl",
    "reverse",
    "locale",
    NULL,
};

/* Options that say how to do what is not done here; "off" is accepted. */
static bool
vnc_check_refused(JsonObject *option, GError **err)
{
    static const char *const refused[] = { "sasl", "reverse", "lossy" };

    for (unsigned i = 0; i < G_N_ELEMENTS(refused); i++) {
        bool on = false;

        if (!keyval_bool("-vnc", option, refused[i], &on, err))
            return false;
        if (on)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "-vnc: %s is not offered; leave it out", refused[i]);
    }
    return true;
}

static bool
vnc_read_config(Vm *vm, JsonObject *option, VncConfig *config, GError **err)
{
    static const char *const shares[] = { "allow-exclusive", "force-shared", "ignore", NULL };
    const char *tls = keyval_text(option, "tls-creds");
    uint64_t head = 0, connections = 0;
    int share = VNC_SHARE_ALLOW_EXCLUSIVE;

    if (!keyval_check("-vnc", option, vnc_keys, err) || !vnc_check_refused(option, err) ||
        !keyval_bool("-vnc", option, "password", &config->password, err) ||
        !keyval_bool("-vnc", option, "power-control", &config->power_control, err) ||
        !keyval_enum("-vnc", option, "share", shares, &share, err) ||
        !keyval_uint("-vnc", option, "head", 0, 255, &head, err) ||
        !keyval_uint("-vnc", option, "connections", 1, VNC_CLIENTS_MAX, &connections, err))
        return false;
    config->share = (VncShare)share;
    config->head = (unsigned)head;
    config->connections = (unsigned)connections;
    config->id = keyval_text(option, "id") ? keyval_text(option, "id") : "default";
    config->name = vm->name;
    config->device = keyval_text(option, "display");
    if (keyval_text(option, "password-secret"))
        config->password = true;
    if (tls) {
        config->tls = g_hash_table_lookup(vnc_of(vm)->tls, tls);
        if (!config->tls)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "-vnc tls-creds=%s: there is no -object tls-creds-x509 of that "
                                  "id",
                                  tls);
    }
    return true;
}

static bool
vnc_open(Vm *vm, JsonObject *option, Sockets *listen, Sockets *web, GError **err)
{
    const char *address = keyval_text(option, "vnc"), *fd = keyval_text(option, "fd");
    uint64_t to = 0;
    unsigned port = 0;

    if (!keyval_uint("-vnc", option, "to", 0, 65535 - PORT_BASE, &to, err))
        return false;
    if (fd) {
        if (!sockets_take_fd(vm, listen, fd, err))
            return false;
    } else if (address && g_str_has_prefix(address, "unix:")) {
        if (!sockets_listen_unix(listen, address + strlen("unix:"), err))
            return false;
    } else if (!address || strcmp(address, "none") != 0) {
        if (!sockets_listen(listen, option, address ? address : "", PORT_BASE, to, &port, err))
            return false;
    }
    return vnc_open_websocket(vm, option, port, web, err);
}

static bool
vnc_add(Vm *vm, JsonObject *option, GError **err)
{
    const char *secret = keyval_text(option, "password-secret");
    g_autofree char *password = NULL;
    size_t length;
    Sockets listen = { .n = 0 }, web = { .n = 0 };
    VncConfig config = { .head = 0 };
    VncServer *server;

    if (!vnc_read_config(vm, option, &config, err))
        return false;
    if (vm_vnc_find(vm, config.id))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-vnc id=%s is there already; give each another id", config.id);
    if (secret) {
        password = (char *)block_secrets_get(vm->secrets, secret, &length, NULL);
        if (!password)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "-vnc password-secret=%s: there is no -object secret of that id",
                                  secret);
    }
    if (!vnc_open(vm, option, &listen, &web, err)) {
        sockets_close(&listen);
        sockets_close(&web);
        return false;
    }
    config.listen = listen.fds;
    config.n_listen = listen.n;
    config.websockets = web.fds;
    config.n_websockets = web.n;
    server = vnc_server_new(vm->machine, &config, err);
    if (!server) {
        sockets_close(&listen);
        sockets_close(&web);
        return false;
    }
    if (password)
        vnc_server_set_password(server, password);
    g_ptr_array_add(vnc_of(vm)->servers, server);
    return true;
}

bool
vm_vnc_start(Vm *vm, GError **err)
{
    for (guint i = 0; i < vm->options->vncs->len; i++)
        if (!vnc_add(vm, g_ptr_array_index(vm->options->vncs, i), err))
            return false;
    return true;
}
