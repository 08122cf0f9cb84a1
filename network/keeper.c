/* keeper.c - keeps each network's dnsmasq running: starts it, takes up one that a former daemon
 * started, and starts it again when it ends by itself.
 *
 * dnsmasq is not our child (it goes to the background), so its end is seen by a pidfd, in a thread
 * of its own: starting it again waits for a program, which the main loop must not.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "network/private.h"

#include "util/error.h"
#include "util/file.h"

#include <glib-unix.h>
#include <sys/pidfd.h>
#include <unistd.h>

/* After one that lived for less than SHORT_LIFE the next is started only PAUSE later, so that a
 * dnsmasq that cannot live does not spin. */
enum { SHORT_LIFE_US = 10 * G_USEC_PER_SEC, PAUSE_S = 10 };

typedef struct {
    Network *network; /* a reference */
    int fd;           /* pidfd, or -1 */
} Watch;

static void
watch_free(Watch *watch)
{
    if (watch->fd >= 0)
        close(watch->fd);
    network_unref(watch->network);
    g_free(watch);
}

static void
watch_drop(Network *network)
{
    if (!network->dnsmasq_watch)
        return;
    g_source_destroy(network->dnsmasq_watch);
    g_clear_pointer(&network->dnsmasq_watch, g_source_unref);
}

static void
watch_source(Network *network, GSource *source, int fd, GSourceFunc call)
{
    Watch *watch = g_new0(Watch, 1);

    watch->network = network_ref(network);
    watch->fd = fd;
    watch_drop(network);
    network->dnsmasq_watch = source;
    g_source_set_callback(source, call, watch, (GDestroyNotify)watch_free);
    g_source_attach(source, network->manager->keeper);
}

static gboolean dnsmasq_restart(gpointer opaque);

static gboolean
dnsmasq_ended(gint fd, GIOCondition condition, gpointer opaque)
{
    Watch *watch = opaque;
    Network *network = watch->network;
    NetworkManager *manager = network->manager;

    (void)fd;
    (void)condition;
    g_mutex_lock(&manager->registry.change);
    /* Stopped, or started anew, while this was waiting for the lock. */
    if (network->dnsmasq_watch == g_main_current_source()) {
        gint64 lived = g_get_monotonic_time() - network->dnsmasq_started;
        guint pause = lived < SHORT_LIFE_US ? PAUSE_S : 0;

        registry_warn(&manager->registry,
                      "dnsmasq of network '%s' has ended unexpectedly; it is started "
                      "again%s",
                      network->object.name, pause ? " after a pause" : "");
        watch_source(network, g_timeout_source_new_seconds(pause), -1, dnsmasq_restart);
    }
    g_mutex_unlock(&manager->registry.change);
    return G_SOURCE_REMOVE;
}

static void
watch_pid(Network *network, pid_t pid)
{
    int fd = pidfd_open(pid, 0);

    if (fd >= 0)
        fd = file_move_high(fd);
    /* Gone already: the same way, a moment later. */
    if (fd < 0)
        watch_source(network, g_timeout_source_new_seconds(PAUSE_S), -1, dnsmasq_restart);
    else
        watch_source(network, g_unix_fd_source_new(fd, G_IO_IN), fd, G_SOURCE_FUNC(dnsmasq_ended));
}

static bool
dnsmasq_run(Network *network, const NetworkDef *live, const DnsmasqPaths *paths, GError **err)
{
    NetworkManager *manager = network->manager;
    DnsmasqSetup setup = { manager->dnsmasq, manager->leases_helper, manager->dnsmasq_dir };
    pid_t pid;

    network->dnsmasq_started = g_get_monotonic_time();
    if (!dnsmasq_start(&setup, live->bridge->name, paths, &pid, err))
        return false;
    watch_pid(network, pid);
    return true;
}

static gboolean
dnsmasq_restart(gpointer opaque)
{
    Watch *watch = opaque;
    Network *network = watch->network;
    NetworkManager *manager = network->manager;

    g_mutex_lock(&manager->registry.change);
    if (network->dnsmasq_watch == g_main_current_source() && network->live) {
        g_autoptr(DnsmasqPaths) paths = network_dnsmasq_paths(network, network->live);
        g_autoptr(GError) err = NULL;

        if (!dnsmasq_run(network, network->live, paths, &err)) {
            registry_warn(&manager->registry,
                          "dnsmasq of network '%s' does not start: %s; it is tried "
                          "again in %d seconds",
                          network->object.name, err->message, PAUSE_S);
            watch_source(network, g_timeout_source_new_seconds(PAUSE_S), -1, dnsmasq_restart);
        }
    }
    g_mutex_unlock(&manager->registry.change);
    return G_SOURCE_REMOVE;
}

bool
network_serve(Network *network, const NetworkDef *live, bool adopt, GError **err)
{
    g_autoptr(DnsmasqPaths) paths = NULL;
    pid_t pid;

    if (!dnsmasq_config_needed(live))
        return true;
    paths = network_dnsmasq_paths(network, live);
    pid = dnsmasq_find(paths);
    if (adopt && pid) {
        network->dnsmasq_started = g_get_monotonic_time();
        watch_pid(network, pid);
        return true;
    }
    if (adopt)
        registry_warn(&network->manager->registry,
                      "dnsmasq of network '%s' is gone; it is started again", network->object.name);
    watch_drop(network);
    dnsmasq_stop(paths);
    if (!file_make_dirs(network->manager->dnsmasq_dir, 0755, err) ||
        !dnsmasq_write_files(live, paths, err))
        return false;
    if (dnsmasq_run(network, live, paths, err))
        return true;
    dnsmasq_remove_files(paths, false);
    return false;
}

void
network_unserve(Network *network, const NetworkDef *live, bool drop_leases)
{
    g_autoptr(DnsmasqPaths) paths = NULL;

    if (!network_def_owns_bridge(live))
        return;
    paths = network_dnsmasq_paths(network, live);
    watch_drop(network);
    dnsmasq_stop(paths);
    dnsmasq_remove_files(paths, drop_leases);
}

static gpointer
keeper_main(gpointer opaque)
{
    NetworkManager *manager = opaque;

    g_main_context_push_thread_default(manager->keeper);
    g_main_loop_run(manager->keeper_loop);
    g_main_context_pop_thread_default(manager->keeper);
    return NULL;
}

void
network_keeper_start(NetworkManager *manager)
{
    manager->keeper = g_main_context_new();
    manager->keeper_loop = g_main_loop_new(manager->keeper, FALSE);
    manager->keeper_thread = g_thread_new("network-keeper", keeper_main, manager);
}

/* Runs in the loop, so that it cannot be told to end before it has begun. */
static gboolean
keeper_quit(gpointer opaque)
{
    g_main_loop_quit(opaque);
    return G_SOURCE_REMOVE;
}

void
network_keeper_stop(NetworkManager *manager)
{
    GHashTableIter iter;
    gpointer value;
    GSource *quit;

    if (!manager->keeper_thread)
        return;
    quit = g_idle_source_new();
    g_source_set_callback(quit, keeper_quit, manager->keeper_loop, NULL);
    g_source_attach(quit, manager->keeper);
    g_source_unref(quit);
    g_thread_join(g_steal_pointer(&manager->keeper_thread));
    g_mutex_lock(&manager->registry.change);
    g_hash_table_iter_init(&iter, manager->registry.by_name);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        watch_drop(value);
    g_mutex_unlock(&manager->registry.change);
    g_main_loop_unref(manager->keeper_loop);
    g_main_context_unref(manager->keeper);
}
