/* console.c - a client's hold of a guest's console or channel.
 *
 * One client at a time has a pty or a channel's socket. The daemon opens the pty's other side by
 * the path in the live definition, so that it works as well after a restart of the daemon.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "driver/domain/resources.h"
#include "util/error.h"

/* How long a reader may take for the last words of a guest, and how often that is looked at. */
enum { CONSOLE_DRAIN_US = 300000, CONSOLE_LOOK_US = 2000 };

struct DomainConsole {
    gint refs;
    Domain *domain; /* a reference */
    char *path;
    const void *client;
    int fd; /* -1: taken */

    GMutex lock; /* after domain->lock; held while @revoke runs */
    bool revoked;
    void (*revoke)(void *opaque);
    void *opaque;
    GDestroyNotify free_opaque;
};

DomainConsole *
domain_console_ref(DomainConsole *console)
{
    g_atomic_int_inc(&console->refs);
    return console;
}

void
domain_console_unref(DomainConsole *console)
{
    if (!console || !g_atomic_int_dec_and_test(&console->refs))
        return;
    if (console->fd >= 0)
        close(console->fd);
    if (console->free_opaque)
        console->free_opaque(console->opaque);
    g_mutex_clear(&console->lock);
    domain_unref(console->domain);
    g_free(console->path);
    g_free(console);
}

int
domain_console_take_fd(DomainConsole *console)
{
    int fd = console->fd;

    console->fd = -1;
    return fd;
}

void
domain_console_on_revoke(DomainConsole *console, void (*revoke)(void *opaque), void *opaque,
                         GDestroyNotify free_opaque)
{
    g_mutex_lock(&console->lock);
    console->revoke = revoke;
    console->opaque = opaque;
    console->free_opaque = free_opaque;
    if (console->revoked)
        revoke(opaque);
    g_mutex_unlock(&console->lock);
}

static void
console_revoke(DomainConsole *console)
{
    g_mutex_lock(&console->lock);
    if (!console->revoked && console->revoke)
        console->revoke(console->opaque);
    console->revoked = true;
    g_mutex_unlock(&console->lock);
}

void
domain_console_end(DomainConsole *console)
{
    Domain *domain = console->domain;

    g_mutex_lock(&domain->lock);
    if (g_hash_table_lookup(domain->consoles, console->path) == console)
        g_hash_table_remove(domain->consoles, console->path);
    g_mutex_unlock(&domain->lock);
}

void
domain_console_forget(Domain *domain)
{
    g_mutex_lock(&domain->lock);
    g_hash_table_remove_all(domain->consoles);
    g_mutex_unlock(&domain->lock);
}

/* Whether some holder's pty has bytes that nobody has read. */
static bool
console_has_unread(Domain *domain)
{
    GHashTableIter iter;
    gpointer path;
    bool unread = false;

    g_mutex_lock(&domain->lock);
    g_hash_table_iter_init(&iter, domain->consoles);
    while (!unread && g_hash_table_iter_next(&iter, &path, NULL)) {
        int fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), n = 0;

        unread = fd >= 0 && ioctl(fd, FIONREAD, &n) == 0 && n > 0;
        if (fd >= 0)
            close(fd);
    }
    g_mutex_unlock(&domain->lock);
    return unread;
}

void
domain_console_drain(DomainRun *run)
{
    gint64 deadline = g_get_monotonic_time() + CONSOLE_DRAIN_US;

    while (run->masters->len > 0 && g_get_monotonic_time() < deadline &&
           console_has_unread(run->domain))
        g_usleep(CONSOLE_LOOK_US);
    g_array_set_size(run->masters, 0);
}

void
domain_console_hang_up(Domain *domain, const void *client)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func((GDestroyNotify)domain_console_unref);
    GHashTableIter iter;
    gpointer console;

    g_mutex_lock(&domain->lock);
    g_hash_table_iter_init(&iter, domain->consoles);
    while (g_hash_table_iter_next(&iter, NULL, &console))
        if (((DomainConsole *)console)->client == client)
            g_ptr_array_add(all, domain_console_ref(console));
    g_mutex_unlock(&domain->lock);
    for (guint i = 0; i < all->len; i++)
        console_revoke(all->pdata[i]);
}

/* --- finding the device ----------------------------------------------------------------------- */

static const DomainChar *
by_alias(const GPtrArray *list, const char *alias)
{
    for (guint i = 0; i < list->len; i++) {
        const DomainChar *device = list->pdata[i];

        if (device->info.alias && strcmp(device->info.alias, alias) == 0)
            return device;
    }
    return NULL;
}

static const DomainChar *
find_console(const DomainDef *live, const char *alias)
{
    const GPtrArray *lists[] = { live->consoles, live->serials, live->parallels };
    const DomainChar *found = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(lists) && !found; i++) {
        if (alias)
            found = by_alias(lists[i], alias);
        else if (lists[i]->len > 0)
            found = lists[i]->pdata[0];
    }
    return found;
}

static const DomainChar *
find_channel(const DomainDef *live, const char *name)
{
    for (guint i = 0; i < live->channels->len; i++) {
        const DomainChar *channel = live->channels->pdata[i];

        if (!name || (channel->name && strcmp(channel->name, name) == 0))
            return channel;
    }
    return name ? by_alias(live->channels, name) : NULL;
}

typedef const DomainChar *(*FindDevice)(const DomainDef *live, const char *name);

/* The host's side of the device: type and path. */
static char *
device_path(Domain *domain, FindDevice find, const char *name, bool *ret_is_pty, GError **err)
{
    const DomainChar *device;
    char *path = NULL;

    g_mutex_lock(&domain->lock);
    if (!domain->live) {
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
    } else if (!(device = find(domain->live, name))) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "cannot find character device %s",
                       name ? name : "(the first)");
    } else if ((device->source.type != DOMAIN_CHAR_PTY &&
                device->source.type != DOMAIN_CHAR_UNIX) ||
               (device->source.type == DOMAIN_CHAR_UNIX &&
                device->source.mode != DOMAIN_CHAR_BIND) ||
               !device->source.path) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "character device %s is not using a PTY",
                       device->info.alias);
    } else {
        *ret_is_pty = device->source.type == DOMAIN_CHAR_PTY;
        path = g_strdup(device->source.path);
    }
    g_mutex_unlock(&domain->lock);
    return path;
}

/* --- opening ---------------------------------------------------------------------------------- */

/* Enters @console as the one holder of its path. */
static bool
console_enter(DomainConsole *console, bool force, GError **err)
{
    Domain *domain = console->domain;
    DomainConsole *holder;
    bool active;

    g_mutex_lock(&domain->lock);
    active = domain->live != NULL;
    holder = g_hash_table_lookup(domain->consoles, console->path);
    if (holder)
        domain_console_ref(holder);
    if (active && (!holder || force))
        g_hash_table_replace(domain->consoles, g_strdup(console->path), console);
    g_mutex_unlock(&domain->lock);
    if (!active)
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "domain is not running");
    else if (holder && !force)
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                       "Active console session exists for this domain");
    else if (holder)
        console_revoke(holder);
    if (holder)
        domain_console_unref(holder);
    return active && (!holder || force);
}

static DomainConsole *
console_open(Domain *domain, FindDevice find, const char *name, bool force, const void *client,
             GError **err)
{
    bool is_pty = true;
    g_autofree char *path = device_path(domain, find, name, &is_pty, err);
    DomainConsole *console;

    if (!path)
        return NULL;
    console = g_new0(DomainConsole, 1);
    console->refs = 1;
    console->domain = domain_ref(domain);
    console->path = g_strdup(path);
    console->client = client;
    console->fd = -1;
    g_mutex_init(&console->lock);
    if (!console_enter(console, force, err)) {
        domain_console_unref(console);
        return NULL;
    }
    if (is_pty) {
        console->fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
        if (console->fd < 0)
            kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open the console '%s'",
                                 path);
    } else {
        console->fd = domain_socket_connect_unix(path, err);
    }
    if (console->fd < 0) {
        domain_console_end(console);
        g_clear_pointer(&console, domain_console_unref);
    }
    return console;
}

DomainConsole *
domain_open_console(Domain *domain, const char *alias, unsigned flags, const void *client,
                    GError **err)
{
    return console_open(domain, find_console, alias, flags & VIR_DOMAIN_CONSOLE_FORCE, client, err);
}

DomainConsole *
domain_open_channel(Domain *domain, const char *name, unsigned flags, const void *client,
                    GError **err)
{
    return console_open(domain, find_channel, name, flags & VIR_DOMAIN_CHANNEL_FORCE, client, err);
}
