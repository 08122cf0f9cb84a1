/* suspend.c - the host sleeps for a while and wakes by its clock: virNodeSuspendForDuration.
 *
 * Follows libvirt 9.0: a minute at least, and ten seconds between the answer and the sleep. The
 * kernel's side is Documentation/ABI/testing/sysfs-power and sysfs-class-rtc of Linux. Left out:
 * what programs of the host want to be told before it sleeps (pm-utils, logind).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <libvirt/libvirt.h>
#include <unistd.h>

#include "driver/node/suspend.h"
#include "driver/node/sysfs.h"
#include "util/error.h"
#include "util/file.h"

enum { SUSPEND_SECONDS_MIN = 60, SUSPEND_DELAY_SECONDS = 10 };

struct NodeSuspend {
    const char *root;
    unsigned delay; /* seconds */
    GMutex lock;    /* what follows */
    GCond ended;
    GThread *thread; /* NULL: none, or joined */
    bool about_to;   /* a thread waits for its time, or the host sleeps */
    bool ending;
    unsigned target;
};

NodeSuspend *
node_suspend_new(const char *root)
{
    NodeSuspend *suspend = g_new0(NodeSuspend, 1);

    suspend->root = root;
    suspend->delay = *root ? 0 : SUSPEND_DELAY_SECONDS;
    g_mutex_init(&suspend->lock);
    g_cond_init(&suspend->ended);
    return suspend;
}

void
node_suspend_free(NodeSuspend *suspend)
{
    g_mutex_lock(&suspend->lock);
    suspend->ending = true;
    g_cond_signal(&suspend->ended);
    g_mutex_unlock(&suspend->lock);
    if (suspend->thread)
        g_thread_join(suspend->thread);
    g_cond_clear(&suspend->ended);
    g_mutex_clear(&suspend->lock);
    g_free(suspend);
}

static bool
lists(const char *root, const char *path, const char *word)
{
    g_autofree char *text = sysfs_read(root, "%s", path);
    g_auto(GStrv) words = text ? g_strsplit_set(text, " []\n", -1) : NULL;

    return words && g_strv_contains((const char *const *)words, word);
}

unsigned
node_suspend_targets(const char *root)
{
    unsigned targets = 0;

    if (lists(root, "/sys/power/state", "mem"))
        targets |= 1U << VIR_NODE_SUSPEND_TARGET_MEM;
    if (lists(root, "/sys/power/state", "disk")) {
        targets |= 1U << VIR_NODE_SUSPEND_TARGET_DISK;
        if (lists(root, "/sys/power/disk", "suspend"))
            targets |= 1U << VIR_NODE_SUSPEND_TARGET_HYBRID;
    }
    return targets;
}

static int
tell(const char *root, const char *file, const char *text)
{
    g_autofree char *path = g_strconcat(root, file, NULL);

    return file_put_setting(path, text);
}

static void
fall_asleep(const char *root, unsigned target)
{
    bool hybrid = target == VIR_NODE_SUSPEND_TARGET_HYBRID;
    int ret = hybrid ? tell(root, "/sys/power/disk", "suspend") : 0;

    if (ret == 0)
        ret =
            tell(root, "/sys/power/state", target == VIR_NODE_SUSPEND_TARGET_MEM ? "mem" : "disk");
    if (ret < 0)
        g_warning("the host does not suspend: %s", g_strerror(-ret));
}

static gpointer
suspend_main(gpointer opaque)
{
    NodeSuspend *suspend = opaque;
    gint64 at = g_get_monotonic_time() + suspend->delay * (gint64)G_USEC_PER_SEC;
    unsigned target;
    bool sleep;

    g_mutex_lock(&suspend->lock);
    while (!suspend->ending && g_cond_wait_until(&suspend->ended, &suspend->lock, at))
        ;
    sleep = !suspend->ending;
    target = suspend->target;
    g_mutex_unlock(&suspend->lock);
    if (sleep)
        fall_asleep(suspend->root, target);
    g_mutex_lock(&suspend->lock);
    suspend->about_to = false;
    g_mutex_unlock(&suspend->lock);
    return NULL;
}

static bool
set_alarm(const char *root, uint64_t seconds, GError **err)
{
    static const char alarm[] = "/sys/class/rtc/rtc0/wakealarm";
    g_autofree char *text = g_strdup_printf("+%" G_GUINT64_FORMAT, seconds);
    int ret;

    if (seconds < SUSPEND_SECONDS_MIN)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "Suspend duration is too short: %" G_GUINT64_FORMAT
                              " seconds, the least is %d",
                              seconds, SUSPEND_SECONDS_MIN);
    /* an alarm that is set cannot be set anew */
    ret = tell(root, alarm, "0");
    if (ret == 0)
        ret = tell(root, alarm, text);
    return ret == 0 || kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, ret,
                                            "cannot set the clock's alarm '%s'", alarm);
}

static bool
check_target(const char *root, unsigned target, GError **err)
{
    static const char *const names[] = {
        [VIR_NODE_SUSPEND_TARGET_MEM] = "Suspend-to-RAM",
        [VIR_NODE_SUSPEND_TARGET_DISK] = "Suspend-to-Disk",
        [VIR_NODE_SUSPEND_TARGET_HYBRID] = "Hybrid-Suspend",
    };

    if (target >= G_N_ELEMENTS(names))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "Invalid suspend target: %u", target);
    return (node_suspend_targets(root) & 1U << target) ||
           kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED, "%s", names[target]);
}

bool
node_suspend_begin(NodeSuspend *suspend, unsigned target, uint64_t seconds, GError **err)
{
    bool ok;

    g_mutex_lock(&suspend->lock);
    ok = !suspend->about_to ||
         kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "Suspend operation already in progress");
    ok = ok && check_target(suspend->root, target, err) && set_alarm(suspend->root, seconds, err);
    if (ok) {
        /* the last one is at its very end */
        if (suspend->thread)
            g_thread_join(suspend->thread);
        suspend->target = target;
        suspend->about_to = true;
        suspend->thread = g_thread_new("suspend", suspend_main, suspend);
    }
    g_mutex_unlock(&suspend->lock);
    return ok;
}
