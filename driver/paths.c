/* paths.c - where the daemon keeps things. See paths.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/paths.h"

#include <errno.h>
#include <sys/stat.h>

#include "util/error.h"
#include "util/file.h"

#ifndef KILN_LIBEXECDIR
#error "KILN_LIBEXECDIR comes from meson"
#endif

/* The directory one of the XDG variables names, or @fallback below the home directory. */
static char *
paths_xdg(const char *variable, const char *fallback)
{
    const char *dir = g_getenv(variable);

    if (dir && g_path_is_absolute(dir))
        return g_strdup(dir);
    return fallback ? g_build_filename(g_get_home_dir(), fallback, NULL) : NULL;
}

static bool
paths_set_session(DaemonPaths *paths, GError **err)
{
    g_autofree char *config = paths_xdg("XDG_CONFIG_HOME", ".config");
    g_autofree char *data = paths_xdg("XDG_DATA_HOME", ".local/share");
    g_autofree char *cache = paths_xdg("XDG_CACHE_HOME", ".cache");
    g_autofree char *run = paths_xdg("XDG_RUNTIME_DIR", NULL);

    if (!run) {
        const char *root = paths->root;

        /* libvirt's clients look there when there is no runtime directory. */
        run = g_strdup(cache);
        if (!*root && !g_file_test(cache, G_FILE_TEST_IS_DIR) && g_mkdir_with_parents(cache, 0700))
            return kiln_error_set_errno(err, VIR_ERR_INTERNAL_ERROR, errno,
                                        "XDG_RUNTIME_DIR is not set and '%s' cannot be made",
                                        cache);
    }
    paths->etc_dir = g_build_filename(paths->root, config, "kiln", NULL);
    paths->lib_dir = g_build_filename(paths->root, data, "kiln", NULL);
    paths->log_dir = g_build_filename(paths->root, cache, "kiln", "log", NULL);
    paths->run_dir = g_build_filename(paths->root, run, "kiln", NULL);
    paths->socket_dir = g_build_filename(paths->root, run, "libvirt", NULL);
    paths->images_dir = g_build_filename(paths->root, data, "libvirt", "images", NULL);
    paths->dnsmasq_dir = g_build_filename(paths->lib_dir, "dnsmasq", NULL);
    paths->pki_dir = g_build_filename(paths->root, config, "libvirt", "pki", NULL);
    return true;
}

static void
paths_set_system(DaemonPaths *paths)
{
    paths->etc_dir = g_build_filename(paths->root, "/etc/kiln", NULL);
    paths->lib_dir = g_build_filename(paths->root, "/var/lib/kiln", NULL);
    paths->log_dir = g_build_filename(paths->root, "/var/log/kiln", NULL);
    paths->pki_dir = g_build_filename(paths->root, "/etc/pki", NULL);
    paths->run_dir = g_build_filename(paths->root, "/run/kiln", NULL);
    paths->socket_dir = g_build_filename(paths->root, "/run/libvirt", NULL);
    paths->images_dir = g_build_filename(paths->root, "/var/lib/libvirt/images", NULL);
    paths->dnsmasq_dir = g_build_filename(paths->root, "/var/lib/libvirt/dnsmasq", NULL);
}

/* A program of ours: from the environment (a build that is not installed), else installed. */
static char *
paths_program(const char *variable, const char *installed)
{
    const char *path = g_getenv(variable);

    return g_strdup(path && g_path_is_absolute(path) ? path : installed);
}

DaemonPaths *
daemon_paths_new(const char *root, bool session, GError **err)
{
    g_autoptr(DaemonPaths) paths = g_new0(DaemonPaths, 1);
    g_autofree char *vmm_dir = NULL, *beside_vmm = NULL;

    paths->session = session;
    paths->root = root ? g_canonicalize_filename(root, NULL) : g_strdup("");
    if (!session)
        paths_set_system(paths);
    else if (!paths_set_session(paths, err))
        return NULL;

    paths->config_file = g_build_filename(paths->etc_dir, "virtkilnd.conf", NULL);
    paths->domains_dir = g_build_filename(paths->etc_dir, "domains", NULL);
    paths->domains_autostart = g_build_filename(paths->domains_dir, "autostart", NULL);
    paths->networks_dir = g_build_filename(paths->etc_dir, "networks", NULL);
    paths->networks_autostart = g_build_filename(paths->networks_dir, "autostart", NULL);
    paths->secrets_dir = g_build_filename(paths->etc_dir, "secrets", NULL);
    paths->storage_dir = g_build_filename(paths->etc_dir, "storage", NULL);
    paths->hooks_dir = g_build_filename(paths->etc_dir, "hooks", NULL);
    paths->nvram_dir = g_build_filename(paths->lib_dir, "nvram", NULL);
    paths->save_dir = g_build_filename(paths->lib_dir, "save", NULL);
    paths->snapshot_dir = g_build_filename(paths->lib_dir, "snapshot", NULL);
    paths->dump_dir = g_build_filename(paths->lib_dir, "dump", NULL);
    paths->channel_dir = g_build_filename(paths->lib_dir, "channel", NULL);
    paths->domains_run = g_build_filename(paths->run_dir, "domain", NULL);
    paths->storage_run = g_build_filename(paths->run_dir, "storage", NULL);
    paths->networks_run = g_build_filename(paths->run_dir, "network", NULL);
    paths->vmm = paths_program("KILN_VMM", KILN_BINDIR "/kiln-vmm");
    vmm_dir = g_path_get_dirname(paths->vmm);
    beside_vmm = g_build_filename(vmm_dir, "kiln-img", NULL);
    paths->img = paths_program("KILN_IMG", beside_vmm);
    paths->leases_helper = paths_program("KILN_LEASES", KILN_LIBEXECDIR "/kiln-leases");
    return g_steal_pointer(&paths);
}

bool
daemon_paths_create(const DaemonPaths *paths, GError **err)
{
    const struct {
        const char *path;
        mode_t mode;
    } dirs[] = {
        { paths->etc_dir, 0755 },
        { paths->domains_dir, 0700 },
        { paths->networks_dir, 0700 },
        { paths->lib_dir, 0711 },
        { paths->nvram_dir, 0711 },
        { paths->save_dir, 0700 },
        { paths->snapshot_dir, 0700 },
        { paths->dump_dir, 0700 },
        { paths->channel_dir, 0711 },
        { paths->images_dir, 0711 },
        { paths->dnsmasq_dir, 0755 },
        { paths->log_dir, 0700 },
        { paths->secrets_dir, 0700 },
        { paths->storage_dir, 0700 },
        { paths->run_dir, 0755 },
        { paths->domains_run, 0711 },
        { paths->networks_run, 0755 },
        { paths->storage_run, 0700 },
        { paths->socket_dir, paths->session ? 0700 : 0755 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(dirs); i++)
        if (!file_make_dirs(dirs[i].path, dirs[i].mode, err))
            return false;
    return true;
}

void
daemon_paths_free(DaemonPaths *paths)
{
    char **strings[] = {
        &paths->root,
        &paths->etc_dir,
        &paths->config_file,
        &paths->domains_dir,
        &paths->domains_autostart,
        &paths->networks_dir,
        &paths->networks_autostart,
        &paths->secrets_dir,
        &paths->storage_dir,
        &paths->storage_run,
        &paths->hooks_dir,
        &paths->lib_dir,
        &paths->nvram_dir,
        &paths->save_dir,
        &paths->snapshot_dir,
        &paths->dump_dir,
        &paths->channel_dir,
        &paths->images_dir,
        &paths->pki_dir,
        &paths->dnsmasq_dir,
        &paths->log_dir,
        &paths->run_dir,
        &paths->domains_run,
        &paths->networks_run,
        &paths->socket_dir,
        &paths->vmm,
        &paths->img,
        &paths->leases_helper,
    };

    for (size_t i = 0; i < G_N_ELEMENTS(strings); i++)
        g_clear_pointer(strings[i], g_free);
    g_free(paths);
}
