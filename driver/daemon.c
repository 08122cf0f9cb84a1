/* daemon.c - the whole of virtkilnd put together. See daemon.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/daemon.h"

#include <grp.h>
#include <libvirt/libvirt.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/calls/dispatch.h"
#include "driver/log.h"
#include "driver/managers.h"
#include "driver/node/node.h"
#include "driver/rpc/socket.h"
#include "util/error.h"

/* Descriptors for everything but clients: guests, networks, files. */
#define DAEMON_SPARE_FDS 16384
/* How long calls at work may take at the end. */
#define DAEMON_END_SECONDS 10

struct Daemon {
    const DaemonPaths *paths;
    DaemonConfig *config;
    CallServices services;
    RpcPool *pool;
    CallDispatcher *dispatcher;
    RpcServer *server;
    GThread *loader; /* NULL when nothing is being loaded */
    guint load_done; /* source that tells the main loop of its end */
    GError *load_error;
    DaemonLoaded loaded;
    void *loaded_opaque;
    GPtrArray *socket_paths; /* sockets made here, removed at the end */
};

static void
daemon_raise_fd_limit(const DaemonConfig *config)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)config->max_clients + DAEMON_SPARE_FDS;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= wanted)
        return;
    /* Root may raise the hard limit too. */
    if (limit.rlim_max < wanted) {
        struct rlimit raised = { wanted, wanted };

        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            return;
    }
    limit.rlim_cur = MIN(wanted, limit.rlim_max);
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < config->max_clients)
        g_warning("%llu descriptors are fewer than the %u clients of max_clients",
                  (unsigned long long)limit.rlim_cur, config->max_clients);
}

static void
daemon_apply(Daemon *daemon)
{
    const DaemonConfig *config = daemon->config;
    RpcLimits limits = daemon_config_limits(config);

    daemon_log_set_level(config->log_level);
    daemon_raise_fd_limit(config);
    rpc_pool_set_limits(daemon->pool, config->max_workers, config->prio_workers);
    rpc_server_set_limits(daemon->server, &limits);
}

Daemon *
daemon_new(const DaemonPaths *paths, DaemonConfig *config, GError **err)
{
    g_autoptr(Daemon) daemon = g_new0(Daemon, 1);
    RpcLimits limits = daemon_config_limits(config);

    daemon->paths = paths;
    daemon->config = config;
    daemon->socket_paths = g_ptr_array_new_with_free_func(g_free);
    daemon->services.paths = paths;
    daemon->services.events = event_hub_new();
    daemon->services.node = node_new(paths);
    managers_init(&daemon->services, config);
    daemon->pool = rpc_pool_new(config->max_workers, config->prio_workers);
    daemon->dispatcher = call_dispatcher_new(&daemon->services, daemon->pool);
    daemon->server = rpc_server_new(NULL, &limits, &call_server_ops, daemon->dispatcher, err);
    if (!daemon->server)
        return NULL;
    daemon_apply(daemon);
    return g_steal_pointer(&daemon);
}

/* Group of the read-write sockets: the configured one, or libvirt's if this host has it. False with
 * @err when the configured one does not exist. */
static bool
daemon_socket_group(const Daemon *daemon, gid_t *ret_gid, GError **err)
{
    const char *name = daemon->config->unix_sock_group;
    struct group *group;

    *ret_gid = (gid_t)-1;
    if (daemon->paths->session || geteuid() != 0)
        return true;
    group = getgrnam(name ? name : "libvirt");
    if (group)
        *ret_gid = group->gr_gid;
    else if (name)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "unix_sock_group '%s' is no group of this host", name);
    return true;
}

static mode_t
daemon_socket_mode(const Daemon *daemon, bool read_only, gid_t gid)
{
    const DaemonConfig *config = daemon->config;

    if (daemon->paths->session)
        return 0700;
    if (read_only)
        return config->unix_sock_ro_perms;
    /* Without a group to give it to, the group's bits would be root's group's. Polkit decides who
     * may come in when it is asked. */
    if (daemon_config_auth(config, false) == RPC_AUTH_POLKIT)
        return 0777;
    return gid == (gid_t)-1 ? config->unix_sock_rw_perms & 0700 : config->unix_sock_rw_perms;
}

/* One socket of the name @name. 1 listening, 0 another daemon has it, -1 @err. */
static int
daemon_listen_one(Daemon *daemon, const char *name, bool read_only, gid_t gid, GError **err)
{
    g_autofree char *path =
        g_strdup_printf("%s/%s-sock%s", daemon->paths->socket_dir, name, read_only ? "-ro" : "");
    RpcSocketSpec spec = {
        .path = path,
        .mode = daemon_socket_mode(daemon, read_only, gid),
        .gid = read_only ? (gid_t)-1 : gid,
        .backlog = (int)daemon->config->max_queued_clients,
    };
    g_autoptr(GError) failure = NULL;
    int fd = rpc_socket_listen(&spec, &failure);

    if (fd < 0 && kiln_error_code(failure) == VIR_ERR_OPERATION_FAILED) {
        g_warning("%s", failure->message);
        return 0;
    }
    if (fd < 0) {
        g_propagate_error(err, g_steal_pointer(&failure));
        return -1;
    }
    g_message("listening on %s", path);
    g_ptr_array_add(daemon->socket_paths, g_steal_pointer(&path));
    return rpc_server_listen(daemon->server, fd, read_only,
                             daemon_config_auth(daemon->config, read_only), err)
               ? 1
               : -1;
}

static bool
daemon_listen_own(Daemon *daemon, GError **err)
{
    char **names = daemon->config->sockets;
    guint listening = 0;
    gid_t gid;

    if (!daemon_socket_group(daemon, &gid, err))
        return false;
    for (guint i = 0; names[i]; i++) {
        int rc = daemon_listen_one(daemon, names[i], false, gid, err);

        /* Clients of a session have no read-only socket. */
        if (rc > 0 && !daemon->paths->session)
            rc = daemon_listen_one(daemon, names[i], true, gid, err) < 0 ? -1 : rc;
        if (rc < 0)
            return false;
        listening += (guint)rc;
    }
    if (!listening)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "every name of 'sockets' is another daemon's");
    return true;
}

bool
daemon_listen(Daemon *daemon, GError **err)
{
    g_autoptr(GArray) activated = rpc_socket_activated(err);

    if (!activated)
        return false;
    if (!activated->len)
        return daemon_listen_own(daemon, err);
    for (guint i = 0; i < activated->len; i++) {
        RpcActivatedSocket *socket = &g_array_index(activated, RpcActivatedSocket, i);
        int fd = socket->fd;

        g_message("listening on %s for systemd", socket->path);
        socket->fd = -1;
        if (!rpc_server_listen(daemon->server, fd, socket->read_only,
                               daemon_config_auth(daemon->config, socket->read_only), err))
            return false;
    }
    return true;
}

static gboolean
daemon_load_done(void *data)
{
    Daemon *daemon = data;

    /* The thread still writes load_done when this runs at once. */
    g_thread_join(g_steal_pointer(&daemon->loader));
    daemon->load_done = 0;
    if (!daemon->load_error)
        call_dispatcher_release(daemon->dispatcher);
    daemon->loaded(daemon->load_error, daemon->loaded_opaque);
    return G_SOURCE_REMOVE;
}

static void *
daemon_load_thread(void *data)
{
    Daemon *daemon = data;

    managers_load(&daemon->services, &daemon->load_error);
    daemon->load_done = g_idle_add_full(G_PRIORITY_DEFAULT, daemon_load_done, daemon, NULL);
    return NULL;
}

void
daemon_load(Daemon *daemon, DaemonLoaded loaded, void *opaque)
{
    daemon->loaded = loaded;
    daemon->loaded_opaque = opaque;
    call_dispatcher_hold(daemon->dispatcher);
    daemon->loader = g_thread_new("load", daemon_load_thread, daemon);
}

void
daemon_reload(Daemon *daemon, DaemonConfig *config)
{
    daemon_config_free(daemon->config);
    daemon->config = config;
    daemon_apply(daemon);
}

bool
daemon_is_idle(Daemon *daemon)
{
    return !daemon->loader && !rpc_server_n_clients(daemon->server) &&
           rpc_pool_is_idle(daemon->pool) && !managers_count_active(&daemon->services);
}

static gboolean
daemon_end_tick(void *opaque)
{
    (void)opaque;
    return G_SOURCE_CONTINUE;
}

/* Lets calls at work end and their replies go out. */
static void
daemon_drain(Daemon *daemon)
{
    gint64 until = g_get_monotonic_time() + DAEMON_END_SECONDS * G_TIME_SPAN_SECOND;
    guint tick = g_timeout_add(20, daemon_end_tick, NULL);

    while (!rpc_pool_is_idle(daemon->pool) && g_get_monotonic_time() < until)
        g_main_context_iteration(NULL, TRUE);
    g_source_remove(tick);
}

void
daemon_free(Daemon *daemon)
{
    if (!daemon)
        return;
    if (daemon->loader)
        g_thread_join(daemon->loader);
    if (daemon->load_done)
        g_source_remove(daemon->load_done);
    if (daemon->server) {
        rpc_server_stop_listening(daemon->server);
        for (guint i = 0; i < daemon->socket_paths->len; i++)
            unlink(daemon->socket_paths->pdata[i]);
        event_hub_connection_closed(daemon->services.events, VIR_CONNECT_CLOSE_REASON_EOF);
        daemon_drain(daemon);
        rpc_server_disconnect(daemon->server);
    }
    rpc_pool_free(daemon->pool);
    call_dispatcher_free(daemon->dispatcher);
    managers_clear(&daemon->services);
    rpc_server_free(daemon->server);
    node_free(daemon->services.node);
    event_hub_free(daemon->services.events);
    daemon_config_free(daemon->config);
    g_clear_error(&daemon->load_error);
    g_ptr_array_unref(daemon->socket_paths);
    g_free(daemon);
}
