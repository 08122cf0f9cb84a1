/* rng.c - virtio entropy device (virtio 1.2, section 5.4) and the sources it draws on.
 *
 * The driver posts writable buffers and the device fills them; a used buffer holds at least one
 * byte. max-bytes in each period bounds what a guest can draw from the host.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/rng.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "hw/virtio/virtio.h"
#include "util/error.h"

enum {
    QUEUE_SIZE = 8,
    BURST = 4096, /* most bytes for one request: none holds the loop up */
};

#define NS_PER_MS INT64_C(1000000)

typedef struct {
    int fd; /* -1: getrandom(2) */
} RngSource;

typedef struct {
    VirtioDevice virtio; /* first */
    PropObject rng;
    uint64_t max_bytes;
    uint32_t period_ms;

    IoLoop *loop;
    /* the loop's thread */
    VirtChain chain;
    IoTimer *timer;
    uint64_t left; /* bytes of this period */
    int64_t period_end;
    bool waiting; /* for the source to have some */
} VirtioRng;

/* What a device draws on that names none, as QEMU's does. */
static const RngSource kernel_source = { .fd = -1 };

static const RngSource *
rng_source(const VirtioRng *rng)
{
    return rng->rng.object ? rng->rng.object : &kernel_source;
}

static void
source_free(gpointer opaque)
{
    RngSource *source = opaque;

    if (source->fd >= 0)
        close(source->fd);
    g_free(source);
}

bool
rng_object_add(Machine *machine, GHashTable *props, GError **err)
{
    const char *type = g_hash_table_lookup(props, "qom-type");
    const char *id = g_hash_table_lookup(props, "id");
    const char *filename = g_hash_table_lookup(props, "filename");
    bool builtin = type && strcmp(type, "rng-builtin") == 0;
    GHashTableIter iter;
    gpointer key;
    RngSource *source;
    int fd = -1;

    if (!id || !type || (!builtin && strcmp(type, "rng-random") != 0))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "entropy source '%s' is of type '%s': rng-random and rng-builtin can "
                              "be had",
                              id ? id : "", type ? type : "");
    g_hash_table_iter_init(&iter, props);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        if (strcmp(key, "qom-type") != 0 && strcmp(key, "id") != 0 &&
            (builtin || strcmp(key, "filename") != 0))
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "entropy source '%s': type %s has no option '%s'", id, type,
                                  (const char *)key);
    }
    if (!builtin) {
        fd = machine_open_file(machine, filename ? filename : "/dev/urandom",
                               O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0, err);
        if (fd < 0) {
            g_prefix_error(err, "entropy source '%s': ", id);
            return false;
        }
    }
    source = g_new0(RngSource, 1);
    source->fd = fd;
    if (machine_object_add(machine, OBJECT_RNG, id, source, source_free, err))
        return true;
    source_free(source);
    return false;
}

/* Returns bytes read, or -errno. */
static ssize_t
source_read(const RngSource *source, void *buf, size_t len)
{
    ssize_t n;

    do
        n = source->fd < 0 ? getrandom(buf, len, 0) : read(source->fd, buf, len);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static void
rng_source_ready(void *opaque, uint32_t events)
{
    VirtioRng *rng = opaque;

    (void)events;
    rng->waiting = false;
    io_loop_modify_fd(rng->loop, rng_source(rng)->fd, 0);
    virt_queue_schedule(&rng->virtio.queues[0]);
}

static void
rng_period_over(void *opaque)
{
    VirtioRng *rng = opaque;

    virt_queue_schedule(&rng->virtio.queues[0]);
}

static void
rng_refill(VirtioRng *rng)
{
    int64_t now = io_clock_ns();

    if (now >= rng->period_end) {
        rng->left = rng->max_bytes;
        rng->period_end = now + rng->period_ms * NS_PER_MS;
    }
}

/* Fills the chain; bytes, 0 when it must wait, -errno when the source is no good. */
static ssize_t
rng_fill(VirtioRng *rng)
{
    const RngSource *source = rng_source(rng);
    const struct iovec *in = virt_chain_in(&rng->chain);
    size_t want = MIN(MIN(rng->chain.in_len, BURST), rng->left), done = 0;
    ssize_t n = 0;

    for (unsigned i = 0; i < rng->chain.n_in && done < want; i++) {
        size_t piece = MIN(in[i].iov_len, want - done);

        n = source_read(source, in[i].iov_base, piece);
        if (n <= 0)
            break;
        done += (size_t)n;
        if ((size_t)n < piece)
            break;
    }
    if (done > 0 || n == -EAGAIN || want == 0)
        return (ssize_t)done;
    return n < 0 ? n : -EIO;
}

static void
rng_handle(VirtQueue *q)
{
    VirtioRng *rng = (VirtioRng *)q->dev;
    const RngSource *source = rng_source(rng);
    unsigned turn = 0;

    while (!rng->waiting && virt_queue_next(q, &rng->chain, &turn)) {
        ssize_t n;

        if (rng->chain.in_len == 0 || rng->chain.out_len > 0) {
            virtio_device_break(q->dev);
            return;
        }
        rng_refill(rng);
        n = rng_fill(rng);
        if (n > 0) {
            rng->left -= (uint64_t)n;
            virt_queue_push(q, rng->chain.head, (uint64_t)n);
            continue;
        }
        virt_queue_unpop(q);
        if (n < 0) {
            virtio_device_break(q->dev);
        } else if (rng->left == 0) {
            io_timer_set(rng->timer, rng->period_end);
        } else {
            rng->waiting = true;
            io_loop_modify_fd(rng->loop, source->fd, EPOLLIN);
        }
        return;
    }
}

static void
rng_queue_start(VirtQueue *q)
{
    VirtioRng *rng = (VirtioRng *)q->dev;
    const RngSource *source = rng_source(rng);

    rng->timer = io_timer_new(rng->loop, rng_period_over, rng);
    rng->period_end = 0;
    rng->waiting = false;
    if (source->fd >= 0 && io_loop_add_fd(rng->loop, source->fd, 0, rng_source_ready, rng) < 0)
        virtio_device_break(q->dev);
}

static void
rng_queue_stop(VirtQueue *q)
{
    VirtioRng *rng = (VirtioRng *)q->dev;
    const RngSource *source = rng_source(rng);

    g_clear_pointer(&rng->timer, io_timer_free);
    if (source->fd >= 0)
        io_loop_remove_fd(rng->loop, source->fd);
}

static bool
rng_realize(VirtioDevice *dev, GError **err)
{
    VirtioRng *rng = (VirtioRng *)dev;

    rng->loop = machine_io_loop(virtio_base(dev)->machine, err);
    if (!rng->loop)
        return false;
    virtio_queues_reserve(dev, 1);
    virtio_queue_add(dev, QUEUE_SIZE, rng->loop, rng_handle);
    return true;
}

static void
rng_unrealize(VirtioDevice *dev)
{
    virt_chain_clear(&((VirtioRng *)dev)->chain);
}

static const DeviceProp rng_props[] = {
    { "rng", PROP_RNG, offsetof(VirtioRng, rng),
      .help = "id of an -object rng-random or rng-builtin (a builtin one of its own)" },
    { "max-bytes", PROP_UINT64, offsetof(VirtioRng, max_bytes), "9223372036854775807", .min = 1,
      .max = INT64_MAX, .help = "most bytes in a period" },
    { "period", PROP_UINT32, offsetof(VirtioRng, period_ms), "65536", .min = 1, .max = G_MAXINT32,
      .help = "milliseconds" },
};

static const VirtioClass rng_virtio_class = {
    .name = "virtio-rng",
    .id = VIRTIO_ID_ENTROPY,
    .legacy_id = 0x1005,
    .class_code = 0x00ff00,
    .realize = rng_realize,
    .unrealize = rng_unrealize,
    .queue_start = rng_queue_start,
    .queue_stop = rng_queue_stop,
};

static const char *const rng_aliases[] = { "virtio-rng", NULL };
static const DeviceVariant rng_variants[] = VIRTIO_VARIANTS("virtio-rng-pci");
static const char *const rng_syscalls[] = { "getrandom", "read", NULL };

const DeviceClass virtio_rng_pci_class = {
    .name = "virtio-rng-pci",
    .aliases = rng_aliases,
    .variants = rng_variants,
    .description = "virtio entropy device",
    .bus = BUS_PCI,
    .base = &virtio_device_class,
    .hotpluggable = true,
    .state_size = sizeof(VirtioRng),
    .props = rng_props,
    .n_props = G_N_ELEMENTS(rng_props),
    .details = &rng_virtio_class,
    .syscalls = rng_syscalls,
};
