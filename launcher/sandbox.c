/* sandbox.c - giving up rights before the guest runs.
 *
 * capabilities(7), credentials(7), close_range(2), getrlimit(2), prctl(2). The order matters: what
 * needs a right comes before the step that gives it up.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "block/block.h"
#include "block/pool.h"
#include "hw/core/device.h"
#include "launcher/keyval.h"
#include "launcher/sandbox_private.h"
#include "net/net.h"
#include "util/error.h"
#include "util/ioloop.h"

enum { DESCRIPTORS_MAX = 16384 };

struct Sandbox {
    bool on, demanded; /* demanded: -sandbox on was given */
    bool has_user;
    uid_t uid;
    gid_t gid;
    SandboxRoot root;
    SandboxFilter filters[SANDBOX_KINDS];
};

/* The vCPU threads find it here: their callback carries the guest only. Set once, before they
 * start. */
static Sandbox *sandbox_of_vcpus;

static bool
sandbox_parse(Sandbox *s, JsonObject *option, GError **err)
{
    const char *user = option ? keyval_text(option, "user") : NULL;
    guint64 uid, gid;
    char *end;

    s->on = true;
    s->demanded = option != NULL;
    if (option && !keyval_bool("-sandbox", option, "enable", &s->on, err))
        return false;
    if (!user)
        return true;
    s->has_user = true;
    uid = g_ascii_strtoull(user, &end, 10);
    if (end != user && *end == ':' && g_ascii_isdigit(end[1])) {
        gid = g_ascii_strtoull(end + 1, &end, 10);
        s->uid = (uid_t)uid;
        s->gid = (gid_t)gid;
        /* the largest number stands for nobody in the kernel's calls */
        if (!*end && uid > 0 && uid < UINT32_MAX && gid < UINT32_MAX)
            return true;
    }
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "-sandbox: user=%s is not UID:GID, both numbers, the first above 0",
                          user);
}

/* ---- descriptors nobody named ---- */

static void
sandbox_note_fds(GArray *fds, JsonObject *obj, const char *key)
{
    g_autoptr(GHashTable) table = keyval_table("", obj, NULL);
    const char *text = table ? g_hash_table_lookup(table, key) : NULL;
    g_auto(GStrv) parts = g_strsplit(text ? text : "", ":", -1);

    for (char **p = parts; *p; p++) {
        unsigned fd = g_ascii_strtoull(*p, NULL, 10);

        if (g_ascii_isdigit(**p))
            g_array_append_val(fds, fd);
    }
}

static int
sandbox_compare_fds(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return x < y ? -1 : x > y;
}

void
sandbox_close_stray(const Options *o)
{
    static const char *const keys[] = { "fd", "fds", "vhostfd", "vhostfds", "websocket-fd" };
    GPtrArray *const lists[] = {
        o->add_fds, o->chardevs, o->netdevs, o->nics, o->vncs, o->devices
    };
    g_autoptr(GArray) fds = g_array_new(FALSE, FALSE, sizeof(unsigned));
    unsigned next = STDERR_FILENO + 1;

    for (size_t l = 0; l < G_N_ELEMENTS(lists); l++)
        for (guint i = 0; i < lists[l]->len; i++)
            for (size_t k = 0; k < G_N_ELEMENTS(keys); k++)
                sandbox_note_fds(fds, g_ptr_array_index(lists[l], i), keys[k]);
    g_array_sort(fds, sandbox_compare_fds);
    for (guint i = 0; i < fds->len; i++) {
        unsigned fd = g_array_index(fds, unsigned, i);

        if (fd > next)
            syscall(SYS_close_range, next, fd - 1, 0);
        next = MAX(next, fd + 1);
    }
    syscall(SYS_close_range, next, ~0u, 0);
}

bool
sandbox_has_user_network(const Options *o)
{
    GPtrArray *const lists[] = { o->netdevs, o->nics };

    for (size_t l = 0; l < G_N_ELEMENTS(lists); l++)
        for (guint i = 0; i < lists[l]->len; i++)
            if (!g_strcmp0(keyval_text(g_ptr_array_index(lists[l], i), "type"), "user"))
                return true;
    return false;
}

Sandbox *
sandbox_new(const Options *options, GError **err)
{
    g_autoptr(Sandbox) s = g_new0(Sandbox, 1);
    bool user_network = sandbox_has_user_network(options);

    s->root.network = -1;
    if (!sandbox_parse(s, options->sandbox, err))
        return NULL;
    if (!s->on)
        return g_steal_pointer(&s);
    if (s->has_user && geteuid() != 0) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                       "-sandbox: only root can take another user's place (user=)");
        return NULL;
    }
    s->root.resolver = user_network;
    if (!sandbox_root_begin(&s->root, !user_network) && s->has_user) {
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "-sandbox: no mount namespace");
        return NULL;
    }
    return g_steal_pointer(&s);
}

void
sandbox_free(Sandbox *s)
{
    if (!s)
        return;
    if (sandbox_of_vcpus == s)
        sandbox_of_vcpus = NULL;
    for (int i = 0; i < SANDBOX_KINDS; i++)
        g_free(s->filters[i].code);
    if (s->root.network >= 0)
        close(s->root.network);
    g_free(s);
}

/* ---- lists ---- */

static void
sandbox_add_names(GPtrArray *list, const char *const *names)
{
    for (; names && *names; names++)
        g_ptr_array_add(list, (void *)*names);
}

static void
sandbox_add_network(const char *id, void *object, void *opaque)
{
    (void)id;
    sandbox_add_names(opaque, net_backend_syscalls(object));
}

static void
sandbox_add_class(GPtrArray *list, const DeviceClass *class)
{
    for (; class; class = class->base)
        sandbox_add_names(list, class->syscalls);
}

static void
sandbox_add_device(Device *dev, void *opaque)
{
    sandbox_add_class(opaque, dev->class);
}

/* A list cannot grow: what may be plugged in later is on it from the start. */
static void
sandbox_add_hotpluggable(GPtrArray *list)
{
    size_t n;
    const DeviceClass *const *classes = device_class_list(&n);

    for (size_t i = 0; i < n; i++)
        if (classes[i]->hotpluggable)
            sandbox_add_class(list, classes[i]);
}

/* What the devices of this guest call beyond the common. A device's registers are reached by vCPUs,
 * its queues by I/O threads and the main loop. */
static bool
sandbox_make_filters(Sandbox *s, Vm *vm, GError **err)
{
    g_autoptr(GPtrArray) extra = g_ptr_array_new();

    sandbox_add_names(extra, io_loop_syscalls);
    machine_device_visit(vm->machine, sandbox_add_device, extra);
    if (machine_can_hotplug(vm->machine))
        sandbox_add_hotpluggable(extra);
    if (!sandbox_filter_make(SANDBOX_VCPU, extra, false, &s->filters[SANDBOX_VCPU], err))
        return false;
    sandbox_add_names(extra, block_queue_syscalls);
    machine_object_visit(vm->machine, OBJECT_NETDEV, sandbox_add_network, extra);
    return sandbox_filter_make(SANDBOX_IO, extra, s->root.resolver, &s->filters[SANDBOX_IO], err) &&
           sandbox_filter_make(SANDBOX_MAIN, extra, s->root.resolver, &s->filters[SANDBOX_MAIN],
                               err);
}

/* ---- the steps ---- */

/* A step done in every thread that exists; the first failure counts. */
typedef struct {
    Sandbox *sandbox;
    int (*step)(Sandbox *sandbox);
    int ret;
} SandboxStep;

static void
sandbox_run_step(void *opaque)
{
    SandboxStep *step = opaque;
    int ret = step->step(step->sandbox);

    if (step->ret == 0)
        step->ret = ret;
}

static void
sandbox_visit_loop(const char *id, void *object, void *opaque)
{
    (void)id;
    io_loop_run_sync(object, sandbox_run_step, opaque);
}

static int
sandbox_in_io_threads(Sandbox *s, Vm *vm, int (*fn)(Sandbox *sandbox))
{
    SandboxStep step = { s, fn, 0 };

    machine_object_visit(vm->machine, OBJECT_IOTHREAD, sandbox_visit_loop, &step);
    return step.ret;
}

static int
sandbox_step_leave(Sandbox *s)
{
    /* Only who may can empty the bounding set; without new privileges it has no use anyhow. */
    for (int cap = 0; prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) == 0; cap++)
        ;
    return sandbox_root_thread(&s->root);
}

static int
sandbox_step_drop(Sandbox *s)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

    (void)s;
    /* The ambient set goes with the permitted one. */
    if (syscall(SYS_capset, &head, none) < 0)
        return -errno;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

static int
sandbox_step_filter_io(Sandbox *s)
{
    /* A loop in the main context is the main thread, which keeps the wider list. */
    return getpid() == (pid_t)syscall(SYS_gettid)
               ? 0
               : sandbox_filter_load(&s->filters[SANDBOX_IO], false);
}

static bool
sandbox_set_user(Sandbox *s, GError **err)
{
    if (!s->has_user)
        return true;
    if (setgroups(0, NULL) < 0 || setresgid(s->gid, s->gid, s->gid) < 0 ||
        setresuid(s->uid, s->uid, s->uid) < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno,
                                    "-sandbox: cannot become user %u:%u", s->uid, s->gid);
    return true;
}

static void
sandbox_set_limits(void)
{
    static const struct rlimit none = { 0, 0 };
    struct rlimit descriptors;

    setrlimit(RLIMIT_CORE, &none);
    if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
        descriptors.rlim_max = MIN(descriptors.rlim_max, (rlim_t)DESCRIPTORS_MAX);
        descriptors.rlim_cur = descriptors.rlim_max;
        setrlimit(RLIMIT_NOFILE, &descriptors);
    }
}

static bool
sandbox_confine_vcpu(void *opaque)
{
    (void)opaque;
    return sandbox_filter_load(&sandbox_of_vcpus->filters[SANDBOX_VCPU], false) == 0;
}

typedef struct {
    bool fine;
    GError **err;
} SandboxRenewal;

static void
sandbox_renew_node(const char *id, void *object, void *opaque)
{
    SandboxRenewal *renewal = opaque;

    (void)id;
    if (renewal->fine)
        renewal->fine = block_node_renew_threads(object, renewal->err);
}

static void
sandbox_renew_pool(const char *id, void *object, void *opaque)
{
    SandboxRenewal *renewal = opaque;

    (void)id;
    if (renewal->fine)
        renewal->fine = block_pool_renew(object, renewal->err);
}

static bool
sandbox_failed(Sandbox *s, int ret, const char *what, GError **err)
{
    if (ret == 0)
        return true;
    if (s->demanded)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, ret, "-sandbox: %s", what);
    vm_warn("warning: sandbox: %s: %s", what, g_strerror(-ret));
    return true;
}

bool
sandbox_enter(Sandbox *s, Vm *vm, GError **err)
{
    SandboxRenewal renewal = { true, err };
    int ret;

    if (!s->on)
        return true;
    if (!sandbox_make_filters(s, vm, err))
        return false;
    sandbox_set_limits();
    ret = sandbox_in_io_threads(s, vm, sandbox_step_leave);
    if (ret == 0)
        ret = sandbox_step_leave(s);
    if (s->root.network >= 0)
        close(s->root.network);
    s->root.network = -1;
    if (!sandbox_failed(s, ret, "cannot leave the host's files and network", err) ||
        !sandbox_root_empty(&s->root, err) || !sandbox_set_user(s, err))
        return false;
    ret = sandbox_in_io_threads(s, vm, sandbox_step_drop);
    if (ret == 0)
        ret = sandbox_step_drop(s);
    if (!sandbox_failed(s, ret, "cannot give up capabilities", err))
        return false;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    /* The widest list first and for all threads, those too that a library made: a thread with a
     * list of its own could not be given it any more. */
    ret = sandbox_filter_load(&s->filters[SANDBOX_MAIN], true);
    if (ret == 0)
        ret = sandbox_in_io_threads(s, vm, sandbox_step_filter_io);
    if (!sandbox_failed(s, ret, "cannot limit the system calls", err))
        return false;
    sandbox_of_vcpus = s;
    vm->confine = sandbox_confine_vcpu;
    fdset_confine(vm->fdsets);
    /* Threads of images were made while files could be opened, in the host's network and with its
     * bounding set: those that are made now have what this one has left. GLib would keep ended
     * threads for pools to come. */
    g_thread_pool_set_max_unused_threads(0);
    machine_object_visit(vm->machine, OBJECT_BLOCK_NODE, sandbox_renew_node, &renewal);
    machine_object_visit(vm->machine, OBJECT_IOTHREAD, sandbox_renew_pool, &renewal);
    return renewal.fine;
}
