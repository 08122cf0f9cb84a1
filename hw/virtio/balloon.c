/* balloon.c - virtio memory balloon (virtio 1.2, section 5.5): pages given back, statistics, free
 * page reporting.
 *
 * Pages are given back by punching holes into the shared memory behind guest RAM; they come again,
 * zeroed, when the guest touches them.
 *
 * Leaves out: free page hinting, page poison (a guest that poisons free pages then does not report
 * them).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/balloon.h"

#include <string.h>
#include <sys/mman.h>

#include "hw/core/bytes.h"
#include "hw/virtio/virtio.h"
#include "util/error.h"

enum {
    F_STATS_VQ = 1,
    F_DEFLATE_ON_OOM = 2,
    F_REPORTING = 5,
    CONFIG_SIZE = 8,
    CONFIG_ACTUAL = 4,
    QUEUE_SIZE = 128,
    PAGE_SHIFT = 12,
    BALLOON_PAGE = 1 << PAGE_SHIFT, /* 5.5.6: always 4096 bytes */
    STAT_SIZE = 10,
    STATS = 10,
    MAX_PAGES = 16384, /* page numbers taken from one buffer chain */
};

#define NS_PER_S INT64_C(1000000000)

typedef enum { ROLE_INFLATE, ROLE_DEFLATE, ROLE_STATS, ROLE_REPORTING, ROLE_NONE } Role;

typedef struct {
    VirtioDevice virtio; /* first */
    bool deflate_on_oom, reporting, hinting, poison;
    uint32_t interval; /* property guest-stats-polling-interval, then as set */

    IoLoop *loop;
    uint32_t target_pages; /* in the balloon, as the host wants; the device's lock */
    uint32_t actual_pages; /* as the driver says; atomic */
    /* the loop's thread */
    VirtChain chain, stats_chain;
    bool stats_held;        /* the driver's statistics buffer is here */
    VirtQueue *stats_queue; /* while it is running */
    IoTimer *timer;
    uint64_t stats[STATS];
    int64_t last_update; /* seconds since 1970 */
} VirtioBalloon;

/* Names of the statistics by tag (5.5.6.3), as QEMU gives them. */
static const char *const stat_names[STATS] = {
    "stat-swap-in",      "stat-swap-out",     "stat-major-faults",     "stat-minor-faults",
    "stat-free-memory",  "stat-total-memory", "stat-available-memory", "stat-disk-caches",
    "stat-htlb-pgalloc", "stat-htlb-pgfail",
};

/* What a queue is for: queues that were not negotiated leave no gap in the numbering (5.5.2). */
static Role
role_of(const VirtQueue *q)
{
    bool stats = virtio_has_feature(q->dev, F_STATS_VQ);
    const Role roles[] = { ROLE_INFLATE, ROLE_DEFLATE, stats ? ROLE_STATS : ROLE_REPORTING,
                           stats ? ROLE_REPORTING : ROLE_NONE };
    Role role = q->index < G_N_ELEMENTS(roles) ? roles[q->index] : ROLE_NONE;

    if (role == ROLE_REPORTING && !virtio_has_feature(q->dev, F_REPORTING))
        return ROLE_NONE;
    return role;
}

/* Gives [host, host + len) back to the host. Huge pages below are not cut up: that fails, and the
 * guest's page stays where it is. */
static void
ram_discard(const GuestMemory *memory, void *host, size_t len)
{
    size_t n;
    const GuestRam *ram = guest_memory_list(memory, &n);

    for (size_t i = 0; i < n; i++) {
        uint64_t offset = (uint64_t)((uint8_t *)host - ram[i].host);

        if ((uint8_t *)host >= ram[i].host && offset < ram[i].size) {
            madvise(host, MIN(len, ram[i].size - offset),
                    ram[i].fd >= 0 ? MADV_REMOVE : MADV_DONTNEED);
            return;
        }
    }
}

/* Pages mostly come as runs, upwards or downwards: one call for each run. */
static void
pages_discard(const GuestMemory *memory, const uint8_t *pfns, size_t n)
{
    uint8_t *start = NULL;
    size_t len = 0;

    for (size_t i = 0; i < n; i++) {
        uint64_t gpa = (uint64_t)bytes_load32(pfns + 4 * i) << PAGE_SHIFT;
        uint8_t *host = guest_memory_pointer(memory, gpa, BALLOON_PAGE);

        if (!host)
            continue;
        if (len > 0 && host == start + len) {
            len += BALLOON_PAGE;
        } else if (len > 0 && host + BALLOON_PAGE == start) {
            start = host;
            len += BALLOON_PAGE;
        } else {
            if (len > 0)
                ram_discard(memory, start, len);
            start = host;
            len = BALLOON_PAGE;
        }
    }
    if (len > 0)
        ram_discard(memory, start, len);
}

static void
inflate_handle(VirtQueue *q, bool inflate)
{
    VirtioBalloon *balloon = (VirtioBalloon *)q->dev;
    const GuestMemory *memory = virtio_base(q->dev)->machine->memory;
    uint8_t pfns[1024];
    unsigned turn = 0;

    while (virt_queue_next(q, &balloon->chain, &turn)) {
        size_t len = MIN(balloon->chain.out_len, (uint64_t)MAX_PAGES * 4), at = 0;

        while (inflate && at + 4 <= len) {
            size_t n = iov_read(virt_chain_out(&balloon->chain), balloon->chain.n_out, at, pfns,
                                MIN(len - at, sizeof(pfns)));

            pages_discard(memory, pfns, n / 4);
            at += n;
        }
        virt_queue_push(q, balloon->chain.head, 0);
    }
}

static void
reporting_handle(VirtQueue *q)
{
    VirtioBalloon *balloon = (VirtioBalloon *)q->dev;
    const GuestMemory *memory = virtio_base(q->dev)->machine->memory;
    unsigned turn = 0;

    while (virt_queue_next(q, &balloon->chain, &turn)) {
        const struct iovec *in = virt_chain_in(&balloon->chain);

        for (unsigned i = 0; i < balloon->chain.n_in; i++) {
            uintptr_t start = (uintptr_t)in[i].iov_base, end = start + in[i].iov_len;

            start = (start + BALLOON_PAGE - 1) & ~(uintptr_t)(BALLOON_PAGE - 1);
            end &= ~(uintptr_t)(BALLOON_PAGE - 1);
            if (end > start)
                ram_discard(memory, (void *)start, end - start);
        }
        virt_queue_push(q, balloon->chain.head, 0);
    }
}

/* ---- statistics (5.5.6.3): the driver's buffer stays here until the next ones are wanted ---- */

static void
stats_arm(VirtioBalloon *balloon)
{
    if (!balloon->timer)
        return;
    if (balloon->interval > 0)
        io_timer_set(balloon->timer, io_clock_ns() + balloon->interval * NS_PER_S);
    else
        io_timer_cancel(balloon->timer);
}

static void
stats_due(void *opaque)
{
    VirtioBalloon *balloon = opaque;

    if (balloon->stats_held && balloon->stats_queue) {
        balloon->stats_held = false;
        virt_queue_push(balloon->stats_queue, balloon->stats_chain.head, 0);
    }
    stats_arm(balloon);
}

static void
stats_take(VirtioBalloon *balloon)
{
    const VirtChain *chain = &balloon->stats_chain;
    uint8_t stat[STAT_SIZE];

    memset(balloon->stats, 0xff, sizeof(balloon->stats));
    for (size_t at = 0; at < 64 * STAT_SIZE; at += STAT_SIZE) {
        unsigned tag;

        if (iov_read(virt_chain_out(chain), chain->n_out, at, stat, STAT_SIZE) < STAT_SIZE)
            break;
        tag = bytes_load16(stat);
        if (tag < STATS)
            balloon->stats[tag] = bytes_load64(stat + 2);
    }
    balloon->last_update = machine_wall_ns(virtio_base(&balloon->virtio)->machine) / NS_PER_S;
}

static void
stats_handle(VirtQueue *q)
{
    VirtioBalloon *balloon = (VirtioBalloon *)q->dev;
    VirtChain next = { 0 };
    unsigned turn = 0;

    while (virt_queue_next(q, &next, &turn)) {
        /* one buffer goes back and forth; with more the older one goes back */
        if (balloon->stats_held)
            virt_queue_push(q, balloon->stats_chain.head, 0);
        virt_chain_clear(&balloon->stats_chain);
        balloon->stats_chain = next;
        next = (VirtChain){ 0 };
        balloon->stats_held = true;
        stats_take(balloon);
    }
    virt_chain_clear(&next);
}

static void
balloon_handle(VirtQueue *q)
{
    switch (role_of(q)) {
    case ROLE_INFLATE:
        inflate_handle(q, true);
        break;
    case ROLE_DEFLATE:
        inflate_handle(q, false);
        break;
    case ROLE_STATS:
        stats_handle(q);
        break;
    case ROLE_REPORTING:
        reporting_handle(q);
        break;
    case ROLE_NONE:
        break;
    }
}

static void
balloon_queue_start(VirtQueue *q)
{
    VirtioBalloon *balloon = (VirtioBalloon *)q->dev;

    if (role_of(q) != ROLE_STATS)
        return;
    balloon->stats_queue = q;
    balloon->timer = io_timer_new(balloon->loop, stats_due, balloon);
    stats_arm(balloon);
}

static void
balloon_queue_stop(VirtQueue *q)
{
    VirtioBalloon *balloon = (VirtioBalloon *)q->dev;

    if (balloon->stats_queue != q)
        return;
    g_clear_pointer(&balloon->timer, io_timer_free);
    if (balloon->stats_held)
        virt_queue_unpop(q);
    balloon->stats_held = false;
    balloon->stats_queue = NULL;
}

/* ---- configuration ---- */

static void
balloon_config_read(VirtioDevice *dev, uint8_t *config)
{
    VirtioBalloon *balloon = (VirtioBalloon *)dev;

    bytes_store(config, balloon->target_pages, 4);
    bytes_store(config + CONFIG_ACTUAL, __atomic_load_n(&balloon->actual_pages, __ATOMIC_RELAXED),
                4);
}

static void
balloon_config_write(VirtioDevice *dev, const uint8_t *config, unsigned offset, unsigned size)
{
    VirtioBalloon *balloon = (VirtioBalloon *)dev;
    Machine *machine = virtio_base(dev)->machine;
    uint32_t pages = bytes_load32(config + CONFIG_ACTUAL);
    JsonObject *data;

    if (offset + size <= CONFIG_ACTUAL ||
        pages == __atomic_load_n(&balloon->actual_pages, __ATOMIC_RELAXED))
        return;
    __atomic_store_n(&balloon->actual_pages, pages, __ATOMIC_RELAXED);
    data = json_object_new();
    json_object_set_int_member(data, "actual", (int64_t)virtio_balloon_actual(virtio_base(dev)));
    machine->ops->event(machine->host, "BALLOON_CHANGE", data);
}

static void
balloon_reset(VirtioDevice *dev)
{
    VirtioBalloon *balloon = (VirtioBalloon *)dev;

    __atomic_store_n(&balloon->actual_pages, 0, __ATOMIC_RELAXED);
    memset(balloon->stats, 0xff, sizeof(balloon->stats));
    balloon->last_update = 0;
}

/* ---- QMP ---- */

bool
virtio_balloon_is(Device *dev)
{
    return device_class_is(dev->class, &virtio_balloon_pci_class);
}

uint64_t
virtio_balloon_actual(Device *dev)
{
    VirtioBalloon *balloon = (VirtioBalloon *)dev;
    uint64_t ram = guest_memory_size(dev->machine->memory);
    uint64_t pages = __atomic_load_n(&balloon->actual_pages, __ATOMIC_RELAXED);

    return ram - MIN(pages << PAGE_SHIFT, ram);
}

void
virtio_balloon_set_target(Device *dev, uint64_t bytes)
{
    VirtioBalloon *balloon = (VirtioBalloon *)dev;
    uint64_t ram = guest_memory_size(dev->machine->memory);

    virtio_device_lock(&balloon->virtio);
    balloon->target_pages = (uint32_t)MIN((ram - MIN(bytes, ram)) >> PAGE_SHIFT, UINT32_MAX);
    virtio_config_changed(&balloon->virtio);
    virtio_device_unlock(&balloon->virtio);
}

typedef struct {
    VirtioBalloon *balloon;
    uint64_t stats[STATS];
    int64_t last_update;
    uint32_t interval;
} BalloonCall;

static void
stats_copy(void *opaque)
{
    BalloonCall *call = opaque;

    memcpy(call->stats, call->balloon->stats, sizeof(call->stats));
    call->last_update = call->balloon->last_update;
}

JsonObject *
virtio_balloon_stats(Device *dev)
{
    BalloonCall call = { .balloon = (VirtioBalloon *)dev };
    JsonObject *all = json_object_new(), *stats = json_object_new();

    io_loop_run_sync(call.balloon->loop, stats_copy, &call);
    for (unsigned i = 0; i < STATS; i++)
        json_object_set_int_member(stats, stat_names[i], (int64_t)call.stats[i]);
    json_object_set_object_member(all, "stats", stats);
    json_object_set_int_member(all, "last-update", call.last_update);
    return all;
}

uint32_t
virtio_balloon_polling_interval(Device *dev)
{
    return ((VirtioBalloon *)dev)->interval;
}

static void
interval_set(void *opaque)
{
    const BalloonCall *call = opaque;

    call->balloon->interval = call->interval;
    /* the first asking is not to wait for a whole interval */
    stats_due(call->balloon);
}

void
virtio_balloon_set_polling_interval(Device *dev, uint32_t seconds)
{
    BalloonCall call = { .balloon = (VirtioBalloon *)dev, .interval = seconds };

    io_loop_run_sync(call.balloon->loop, interval_set, &call);
}

/* ---- making ---- */

static bool
balloon_realize(VirtioDevice *dev, GError **err)
{
    VirtioBalloon *balloon = (VirtioBalloon *)dev;

    if (balloon->hinting || balloon->poison)
        return device_error(virtio_base(dev), err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "free-page-hint and page-poison are not supported and must be off");
    balloon->loop = machine_io_loop(virtio_base(dev)->machine, err);
    if (!balloon->loop)
        return false;
    dev->host_features |= VIRTIO_F(F_STATS_VQ);
    if (balloon->deflate_on_oom)
        dev->host_features |= VIRTIO_F(F_DEFLATE_ON_OOM);
    if (balloon->reporting)
        dev->host_features |= VIRTIO_F(F_REPORTING);
    balloon_reset(dev);
    dev->default_vectors = 2;
    virtio_queues_reserve(dev, 4);
    for (unsigned i = 0; i < 3u + balloon->reporting; i++)
        virtio_queue_add(dev, QUEUE_SIZE, balloon->loop, balloon_handle);
    return true;
}

static void
balloon_unrealize(VirtioDevice *dev)
{
    VirtioBalloon *balloon = (VirtioBalloon *)dev;

    virt_chain_clear(&balloon->chain);
    virt_chain_clear(&balloon->stats_chain);
}

static const SavedField balloon_fields[] = {
    SAVED(VirtioBalloon, target_pages, 1),
    SAVED(VirtioBalloon, actual_pages, 1),
};

static const SavedTable balloon_saved = {
    .name = "virtio-balloon",
    .version = 1,
    .oldest = 1,
    .fields = balloon_fields,
    .n_fields = G_N_ELEMENTS(balloon_fields),
};

static const DeviceProp balloon_props[] = {
    { "deflate-on-oom", PROP_BOOL, offsetof(VirtioBalloon, deflate_on_oom), "off",
      .help = "the guest may take pages back when it is out of memory" },
    { "free-page-reporting", PROP_BOOL, offsetof(VirtioBalloon, reporting), "off",
      .help = "the guest gives its free pages back by itself" },
    { "free-page-hint", PROP_BOOL, offsetof(VirtioBalloon, hinting), "off", .help = "must be off" },
    { "page-poison", PROP_BOOL, offsetof(VirtioBalloon, poison), "off", .help = "must be off" },
    { "guest-stats-polling-interval", PROP_UINT32, offsetof(VirtioBalloon, interval), "0",
      .help = "seconds, 0: never" },
};

static const VirtioClass balloon_virtio_class = {
    .name = "virtio-balloon",
    .id = VIRTIO_ID_BALLOON,
    .legacy_id = 0x1002,
    .class_code = 0x00ff00,
    .config_size = CONFIG_SIZE,
    .realize = balloon_realize,
    .unrealize = balloon_unrealize,
    .config_read = balloon_config_read,
    .config_write = balloon_config_write,
    .queue_start = balloon_queue_start,
    .queue_stop = balloon_queue_stop,
    .reset = balloon_reset,
};

static const char *const balloon_aliases[] = { "virtio-balloon", NULL };
static const DeviceVariant balloon_variants[] = VIRTIO_VARIANTS("virtio-balloon-pci");
static const char *const balloon_syscalls[] = { "madvise", NULL };

const DeviceClass virtio_balloon_pci_class = {
    .name = "virtio-balloon-pci",
    .aliases = balloon_aliases,
    .variants = balloon_variants,
    .description = "virtio memory balloon",
    .bus = BUS_PCI,
    .base = &virtio_device_class,
    .hotpluggable = true,
    .state_size = sizeof(VirtioBalloon),
    .props = balloon_props,
    .n_props = G_N_ELEMENTS(balloon_props),
    .saved = &balloon_saved,
    .details = &balloon_virtio_class,
    .syscalls = balloon_syscalls,
};
