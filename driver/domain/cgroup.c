/* cgroup.c - control groups of guests.
 *
 * Linux Documentation/admin-guide/cgroup-v2.rst (cpu.weight, cpu.max, cpuset, threaded groups) and
 * cgroup-v1/cpusets.rst, scheduler/sched-bwc.rst. Memory and block I/O are in cgroup_limits.c; the
 * devices controller is left out.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/cgroup_private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

#define CGROUP_PARENT "kiln"
enum { CGROUP_WEIGHT_MAX = 10000, CGROUP_REMOVE_TRIES = 100, CGROUP_REMOVE_WAIT_US = 10000 };

static const char *const controller_names[] = { "cpu", "cpuacct", "cpuset", "memory", "blkio" };

bool
cgroup_put(const char *dir, const char *file, const char *text, GError **err)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);
    int ret = file_put_setting(path, text);

    return ret == 0 || kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, ret,
                                            "cannot write '%s' to '%s'", text, path);
}

char *
cgroup_get(const char *dir, const char *file)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);
    char *text = NULL;

    return g_file_get_contents(path, &text, NULL, NULL) ? g_strstrip(text) : NULL;
}

/* A v1 cpuset takes no process before it has CPUs and nodes: both start as the parent's. */
static void
cpuset_inherit(const char *dir)
{
    g_autofree char *parent = g_path_get_dirname(dir);

    for (int i = 0; i < 2; i++) {
        const char *file = i == 0 ? "cpuset.cpus" : "cpuset.mems";
        g_autofree char *own = cgroup_get(dir, file);
        g_autofree char *theirs = cgroup_get(parent, file);

        if (own && !*own && theirs)
            cgroup_put(dir, file, theirs, NULL);
    }
}

static bool
has_controller(const char *list, const char *name)
{
    g_auto(GStrv) words = g_strsplit_set(list ? list : "", " ,", -1);

    return g_strv_contains((const char *const *)words, name);
}

/* Each alone: the kernel refuses a line of which it lacks one. */
static const struct {
    CgroupController controller;
    const char *give;
} v2_controllers[] = {
    { CGROUP_CPU, "+cpu" },
    { CGROUP_CPUSET, "+cpuset" },
    { CGROUP_MEMORY, "+memory" },
    { CGROUP_BLKIO, "+io" },
};

/* Makes Kiln's own group at the top and hands it the controllers that the kernel has. */
static void
host_find_v2(CgroupHost *host, const char *root)
{
    g_autofree char *parent = g_build_filename(root, CGROUP_PARENT, NULL);
    g_autofree char *given = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(v2_controllers); i++)
        cgroup_put(root, "cgroup.subtree_control", v2_controllers[i].give, NULL);
    if (g_mkdir(parent, 0755) < 0 && errno != EEXIST)
        return;
    host->v2 = true;
    for (size_t i = 0; i < G_N_ELEMENTS(v2_controllers); i++)
        cgroup_put(parent, "cgroup.subtree_control", v2_controllers[i].give, NULL);
    given = cgroup_get(parent, "cgroup.subtree_control");
    for (size_t i = 0; i < G_N_ELEMENTS(v2_controllers); i++)
        if (has_controller(given, v2_controllers[i].give + 1))
            host->parent[v2_controllers[i].controller] = g_strdup(parent);
    host->parent[CGROUP_CPUACCT] = g_strdup(parent); /* v2 always counts */
}

/* The controller's mount: its own directory, or the usual pair "cpu,cpuacct". */
static void
host_find_v1(CgroupHost *host, const char *root, CgroupController controller)
{
    const char *const dirs[] = { controller_names[controller], "cpu,cpuacct", NULL };

    for (int i = 0; dirs[i]; i++) {
        g_autofree char *mount = g_build_filename(root, dirs[i], NULL);
        g_autofree char *parent = g_build_filename(mount, CGROUP_PARENT, NULL);
        struct statfs fs;

        if (!has_controller(dirs[i], controller_names[controller]) || statfs(mount, &fs) < 0 ||
            fs.f_type != CGROUP_SUPER_MAGIC || (g_mkdir(parent, 0755) < 0 && errno != EEXIST))
            continue;
        if (controller == CGROUP_CPUSET)
            cpuset_inherit(parent);
        host->parent[controller] = g_steal_pointer(&parent);
        return;
    }
}

CgroupHost *
cgroup_host_new(const char *root, bool privileged)
{
    CgroupHost *host = g_new0(CgroupHost, 1);
    struct statfs fs;

    if (!privileged || statfs(root, &fs) < 0)
        return host;
    if (fs.f_type == CGROUP2_SUPER_MAGIC)
        host_find_v2(host, root);
    else
        for (int i = 0; i < CGROUP_CONTROLLERS; i++)
            host_find_v1(host, root, i);
    return host;
}

void
cgroup_host_free(CgroupHost *host)
{
    if (!host)
        return;
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        g_free(host->parent[i]);
    g_free(host);
}

bool
cgroup_host_has(const CgroupHost *host, CgroupController controller)
{
    return host->parent[controller] != NULL;
}

uint64_t
cgroup_host_default_shares(const CgroupHost *host)
{
    return host->v2 ? 100 : 1024;
}

Cgroup *
cgroup_find(const CgroupHost *host, const char *name)
{
    Cgroup *group = g_new0(Cgroup, 1);
    bool any = false;

    group->v2 = host->v2;
    for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
        if (host->parent[i])
            group->dir[i] = g_build_filename(host->parent[i], name, NULL);
        any |= group->dir[i] != NULL;
    }
    if (!any)
        g_clear_pointer(&group, cgroup_free);
    return group;
}

Cgroup *
cgroup_create(const CgroupHost *host, const char *name, GError **err)
{
    g_autoptr(Cgroup) group = cgroup_find(host, name);

    for (int i = 0; group && i < CGROUP_CONTROLLERS; i++) {
        if (!group->dir[i])
            continue;
        if (g_mkdir(group->dir[i], 0755) < 0 && errno != EEXIST) {
            kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                 "cannot create control group '%s'", group->dir[i]);
            cgroup_remove(group);
            return NULL;
        }
        if (i == CGROUP_CPUSET && !group->v2)
            cpuset_inherit(group->dir[i]);
    }
    return g_steal_pointer(&group);
}

/* Whether hierarchy @i of @group is one that an earlier controller stands for already. */
static bool
is_repeated(const Cgroup *group, int i)
{
    for (int k = 0; k < i; k++)
        if (group->dir[k] && strcmp(group->dir[k], group->dir[i]) == 0)
            return true;
    return false;
}

static int
open_group_file(const char *dir, const char *file, int flags, GError **err)
{
    g_autofree char *path = g_build_filename(dir, file, NULL);
    int fd = open(path, flags | O_CLOEXEC);

    if (fd < 0)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open '%s'", path);
    return fd;
}

bool
cgroup_open_join(const Cgroup *group, CgroupJoin *ret_join, GError **err)
{
    CgroupJoin join = { .dir = -1 };

    for (int i = 0; group && i < CGROUP_CONTROLLERS; i++) {
        int fd;

        if (!group->dir[i] || is_repeated(group, i))
            continue;
        fd = group->v2 ? open_group_file(group->dir[i], ".", O_RDONLY | O_DIRECTORY, err)
                       : open_group_file(group->dir[i], "cgroup.procs", O_WRONLY, err);
        if (fd < 0) {
            cgroup_close_join(&join);
            return false;
        }
        if (group->v2)
            join.dir = fd;
        else
            join.files[join.n_files++] = fd;
    }
    *ret_join = join;
    return true;
}

void
cgroup_close_join(CgroupJoin *join)
{
    while (join->n_files > 0)
        close(join->files[--join->n_files]);
    if (join->dir >= 0)
        close(join->dir);
    join->dir = -1;
}

bool
cgroup_need(Cgroup *group, CgroupController controller, const char *what, GError **err)
{
    return (group && group->dir[controller]) ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "%s needs the '%s' control group controller, which this host or session "
                          "does not offer; remove the setting or make the controller available",
                          what, controller_names[controller]);
}

/* The directory of @sub in one hierarchy, made when missing; v2 turns it into a group of threads.
 */
static char *
sub_dir(Cgroup *group, CgroupController controller, const char *sub, GError **err)
{
    g_autofree char *dir = g_build_filename(group->dir[controller], sub, NULL);

    if (!sub)
        return g_steal_pointer(&dir);
    if (g_mkdir(dir, 0755) == 0) {
        if (group->v2 &&
            (!cgroup_put(dir, "cgroup.type", "threaded", err) ||
             !cgroup_put(group->dir[controller], "cgroup.subtree_control", "+cpu", err)))
            return NULL;
        if (!group->v2 && controller == CGROUP_CPUSET)
            cpuset_inherit(dir);
    } else if (errno != EEXIST) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot create control group '%s'",
                             dir);
        return NULL;
    }
    return g_steal_pointer(&dir);
}

bool
cgroup_set_shares(Cgroup *group, uint64_t shares, GError **err)
{
    g_autofree char *text = g_strdup_printf("%" G_GUINT64_FORMAT, shares);

    if (!cgroup_need(group, CGROUP_CPU, "<cputune><shares>", err))
        return false;
    if (group->v2 && (shares < 1 || shares > CGROUP_WEIGHT_MAX))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "shares '%" G_GUINT64_FORMAT
                              "' must be in range [1, %d] on a host with "
                              "cgroup v2",
                              shares, CGROUP_WEIGHT_MAX);
    return cgroup_put(group->dir[CGROUP_CPU], group->v2 ? "cpu.weight" : "cpu.shares", text, err);
}

bool
cgroup_set_quota(Cgroup *group, const char *sub, uint64_t period, int64_t quota, GError **err)
{
    g_autofree char *dir = NULL, *text = NULL, *period_text = NULL;

    if (!cgroup_need(group, CGROUP_CPU, "<cputune> with period or quota", err) ||
        !(dir = sub_dir(group, CGROUP_CPU, sub, err)))
        return false;
    if (group->v2) {
        text = quota > 0 ? g_strdup_printf("%" G_GINT64_FORMAT " %" G_GUINT64_FORMAT, quota, period)
                         : g_strdup_printf("max %" G_GUINT64_FORMAT, period);
        return cgroup_put(dir, "cpu.max", text, err);
    }
    text = g_strdup_printf("%" G_GINT64_FORMAT, quota > 0 ? quota : -1);
    period_text = g_strdup_printf("%" G_GUINT64_FORMAT, period);
    return cgroup_put(dir, "cpu.cfs_period_us", period_text, err) &&
           cgroup_put(dir, "cpu.cfs_quota_us", text, err);
}

bool
cgroup_set_mems(Cgroup *group, const char *nodes, GError **err)
{
    return cgroup_need(group, CGROUP_CPUSET, "binding a guest to NUMA nodes", err) &&
           cgroup_put(group->dir[CGROUP_CPUSET], "cpuset.mems", nodes, err);
}

bool
cgroup_add_thread(Cgroup *group, const char *sub, pid_t tid, GError **err)
{
    g_autofree char *dir = NULL;
    g_autofree char *text = g_strdup_printf("%d", (int)tid);

    return cgroup_need(group, CGROUP_CPU, "limiting a thread", err) &&
           (dir = sub_dir(group, CGROUP_CPU, sub, err)) &&
           cgroup_put(dir, group->v2 ? "cgroup.threads" : "tasks", text, err);
}

/* Groups of threads first; a group can be busy for a moment after its last process was reaped. */
static void
dir_remove(const char *dir, int tries)
{
    g_autoptr(GDir) list = g_dir_open(dir, 0, NULL);
    const char *name;

    while (list && (name = g_dir_read_name(list))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);

        if (g_file_test(path, G_FILE_TEST_IS_DIR))
            rmdir(path);
    }
    while (rmdir(dir) < 0 && errno == EBUSY && --tries > 0)
        g_usleep(CGROUP_REMOVE_WAIT_US);
}

void
cgroup_remove(Cgroup *group)
{
    for (int i = 0; group && i < CGROUP_CONTROLLERS; i++)
        if (group->dir[i] && !is_repeated(group, i))
            dir_remove(group->dir[i], CGROUP_REMOVE_TRIES);
}

void
cgroup_host_sweep(const CgroupHost *host)
{
    for (int i = 0; i < CGROUP_CONTROLLERS; i++) {
        g_autoptr(GDir) list = host->parent[i] ? g_dir_open(host->parent[i], 0, NULL) : NULL;
        const char *name;

        while (list && (name = g_dir_read_name(list))) {
            g_autofree char *path = g_build_filename(host->parent[i], name, NULL);

            if (g_file_test(path, G_FILE_TEST_IS_DIR))
                dir_remove(path, 1); /* one with processes stays: rmdir refuses */
        }
    }
}

void
cgroup_free(Cgroup *group)
{
    if (!group)
        return;
    for (int i = 0; i < CGROUP_CONTROLLERS; i++)
        g_free(group->dir[i]);
    g_free(group);
}
