/* manager.c - making and ending the domain manager, and its threads.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <glib/gstdio.h>
#include <pwd.h>
#include <string.h>

#include "driver/domain/graphics.h"
#include "driver/domain/snapshot.h"
#include "driver/domain/save_file.h"
#include "util/error.h"
#include "util/file.h"

enum { DOMAIN_WORKERS = 8 };

/* Something that follows from an event of a guest, to be done where waiting is allowed. */
typedef struct {
    DomainRun *run;
    void (*handler)(DomainRun *run);
} DomainWork;

static void
work_run(gpointer data, gpointer opaque)
{
    DomainWork *work = data;

    (void)opaque;
    work->handler(work->run);
    domain_run_unref(work->run);
    g_free(work);
}

void
domain_run_post(DomainRun *run, void (*handler)(DomainRun *run))
{
    DomainManager *manager = run->domain->manager;
    DomainWork *work;

    g_mutex_lock(&manager->workers_lock);
    if (manager->workers) {
        work = g_new(DomainWork, 1);
        *work = (DomainWork){ domain_run_ref(run), handler };
        g_thread_pool_push(manager->workers, work, NULL);
    }
    g_mutex_unlock(&manager->workers_lock);
}

static void
find_user(DomainManager *manager, const char *name)
{
    struct passwd entry, *found = NULL;
    char buffer[16384];

    if (!manager->privileged || !name ||
        getpwnam_r(name, &entry, buffer, sizeof(buffer), &found) != 0 || !found)
        return;
    manager->drops = true;
    manager->vmm_uid = found->pw_uid;
    manager->vmm_gid = found->pw_gid;
}

DomainManager *
domain_manager_new(const DomainConfig *config, NetworkManager *networks, const DomainOps *ops,
                   void *opaque)
{
    DomainManager *manager = g_new0(DomainManager, 1);

    manager->config_dir = g_strdup(config->config_dir);
    manager->autostart_dir = g_build_filename(config->config_dir, "autostart", NULL);
    manager->run_dir = g_strdup(config->run_dir);
    manager->lib_dir = g_strdup(config->lib_dir);
    manager->log_dir = g_strdup(config->log_dir);
    manager->pki_dir = g_strdup(config->pki_dir);
    manager->hook_program = g_strdup(config->hook_program);
    manager->vmm = g_strdup(config->vmm);
    manager->kvm_device = g_strdup(config->kvm_device ? config->kvm_device : "/dev/kvm");
    manager->save_format = config->save_packed ? SAVE_FORMAT_ZSTD : SAVE_FORMAT_RAW;
    manager->privileged = config->privileged;
    domain_graphics_configure(manager, &config->vnc);
    manager->defaults = (DomainDefaults){ .emulator = manager->vmm,
                                          .machine = DOMAIN_DEFAULT_MACHINE,
                                          .session = !config->privileged };
    manager->cgroups = cgroup_host_new(config->cgroup_root ? config->cgroup_root : "/sys/fs/cgroup",
                                       config->privileged);
    manager->networks = networks;
    manager->ops = ops;
    manager->opaque = opaque;
    find_user(manager, config->vmm_user);
    domain_registry_init(manager);
    g_mutex_init(&manager->workers_lock);
    manager->workers = g_thread_pool_new(work_run, NULL, DOMAIN_WORKERS, FALSE, NULL);
    return manager;
}

/* Lets go of a guest that runs on: nothing here holds it any more. */
static void
domain_let_go(Domain *domain)
{
    DomainRun *run;

    g_mutex_lock(&domain->lock);
    run = domain->run;
    domain->run = NULL;
    g_mutex_unlock(&domain->lock);
    if (!run)
        return;
    domain_run_unwatch(run);
    if (run->qmp)
        qmp_close(run->qmp);
    domain_run_unref(run);
}

void
domain_manager_free(DomainManager *manager)
{
    g_autoptr(GPtrArray) all = NULL;
    GThreadPool *workers;

    if (!manager)
        return;
    g_atomic_int_set(&manager->ending, 1);
    if (manager->autostart_thread)
        g_thread_join(manager->autostart_thread);
    /* what happens from here on is the next daemon's to find */
    g_mutex_lock(&manager->workers_lock);
    workers = g_steal_pointer(&manager->workers);
    g_mutex_unlock(&manager->workers_lock);
    g_thread_pool_free(workers, FALSE, TRUE);
    if (manager->loop)
        io_loop_stop(manager->loop);
    all = domain_manager_list(manager, 0);
    for (guint i = 0; i < all->len; i++)
        domain_let_go(all->pdata[i]);
    g_clear_pointer(&all, g_ptr_array_unref);
    domain_registry_clear(manager);
    io_loop_free(manager->loop);
    g_mutex_clear(&manager->workers_lock);
    cgroup_host_free(manager->cgroups);
    g_free(manager->config_dir);
    g_free(manager->autostart_dir);
    g_free(manager->run_dir);
    g_free(manager->lib_dir);
    g_free(manager->log_dir);
    g_free(manager->pki_dir);
    g_free(manager->hook_program);
    g_free(manager->vmm);
    g_free(manager->kvm_device);
    g_free(manager->vnc_listen);
    g_free(manager->vnc_password);
    g_free(manager->vnc_tls_dir);
    g_free(manager);
}

bool
domain_manager_load(DomainManager *manager, GError **err)
{
    if (!(manager->loop = io_loop_new("domains", err)) ||
        !file_make_dirs(manager->config_dir, 0700, err) ||
        !file_make_dirs(manager->autostart_dir, 0700, err) ||
        !file_make_dirs(manager->run_dir, 0700, err) ||
        !file_make_dirs(manager->log_dir, 0700, err) || !domain_config_load_all(manager, err))
        return false;
    file_sweep_temporaries(manager->config_dir, ".xml");
    file_sweep_temporaries(manager->run_dir, ".status");
    domain_managed_save_find(manager);
    domain_snapshots_load(manager);
    domain_reconnect_all(manager);
    cgroup_host_sweep(manager->cgroups);
    domain_autostart_all(manager);
    return true;
}
