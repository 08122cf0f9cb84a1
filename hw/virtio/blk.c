/* blk.c - virtio block device (virtio 1.2, section 5.2).
 *
 * All queues are served by one I/O loop with one block queue. A turn of the loop submits what it
 * took off the rings in one go, and interrupts once for all that completed. Requests and their
 * buffer lists are kept for the next one, so a busy disk allocates nothing.
 *
 * Leaves out: secure erase, lifetime, zoned devices, legacy SCSI commands; werror and rerror other
 * than "report".
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/virtio/blk.h"

#include <errno.h>
#include <string.h>

#include "hw/core/bytes.h"
#include "hw/virtio/virtio.h"
#include "util/error.h"

enum {
    F_SEG_MAX = 2,
    F_RO = 5,
    F_BLK_SIZE = 6,
    F_FLUSH = 9,
    F_TOPOLOGY = 10,
    F_CONFIG_WCE = 11,
    F_MQ = 12,
    F_DISCARD = 13,
    F_WRITE_ZEROES = 14,

    T_IN = 0,
    T_OUT = 1,
    T_FLUSH = 4,
    T_GET_ID = 8,
    T_DISCARD = 11,
    T_WRITE_ZEROES = 13,
    S_OK = 0,
    S_IOERR = 1,
    S_UNSUPP = 2,

    HEADER_SIZE = 16,
    SEGMENT_SIZE = 16,
    ID_SIZE = 20,
    CONFIG_SIZE = 60,
    ZEROES_UNMAP = 1,
    MAX_UNMAP_SECTORS = 0x3fffff, /* just under 2 GiB at once */
    MAX_SEGMENTS = 254,
    BLOCK_DEPTH = 256, /* most requests in flight in the block engine */
};

typedef struct VirtioBlk VirtioBlk;
typedef struct BlkRequest BlkRequest;

struct BlkRequest {
    VirtioBlk *blk;
    VirtQueue *queue;
    VirtChain chain;
    uint8_t *status; /* last byte of the writable part */
    VirtioBlkKind kind;
    uint64_t bytes, written; /* of the request; into the writable part without status */
    int64_t start;
    BlkRequest *next; /* in the free list */
};

struct VirtioBlk {
    VirtioDevice virtio; /* first */
    /* properties */
    PropObject drive, iothread;
    char *serial;
    uint16_t num_queues, queue_size;
    int write_cache; /* OnOffAuto */
    bool config_wce, share_rw, discard, write_zeroes, scsi;
    int werror, rerror;
    int32_t bootindex;
    uint32_t logical_block_size, physical_block_size, min_io_size, opt_io_size, discard_granularity;

    BlockNode *node;
    bool claimed;
    IoLoop *loop;
    BlockQueue *block;
    BlkRequest *free; /* loop's thread */
    int writeback;    /* atomic: the driver's choice of cache mode */
    uint8_t saved_writeback;
    VirtioBlkStats stats; /* written by the loop alone, read by anybody */
};

static void
count_add(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* ---- requests ---- */

static BlkRequest *
request_get(VirtioBlk *blk)
{
    BlkRequest *req = blk->free;

    if (req)
        blk->free = req->next;
    else
        req = g_new0(BlkRequest, 1);
    req->blk = blk;
    return req;
}

static void
request_put(BlkRequest *req)
{
    req->next = req->blk->free;
    req->blk->free = req;
}

static void
request_finish(BlkRequest *req, uint8_t status)
{
    *req->status = status;
    virt_queue_push(req->queue, req->chain.head, req->written + 1);
    request_put(req);
}

static void
error_event(BlkRequest *req, int ret)
{
    Device *dev = virtio_base(&req->blk->virtio);
    JsonObject *data = json_object_new();
    g_autofree char *path =
        g_strdup_printf("/machine/peripheral/%s/virtio-backend", dev->id ? dev->id : dev->path);

    json_object_set_string_member(data, "device", "");
    json_object_set_string_member(data, "qom-path", path);
    json_object_set_string_member(data, "node-name", block_node_name(req->blk->node));
    json_object_set_string_member(data, "operation",
                                  req->kind == VIRTIO_BLK_READ ? "read" : "write");
    json_object_set_string_member(data, "action", "report");
    json_object_set_boolean_member(data, "nospace", ret == -ENOSPC);
    json_object_set_string_member(data, "reason", g_strerror(-ret));
    dev->machine->ops->event(dev->machine->host, "BLOCK_IO_ERROR", data);
}

static void
request_done(void *opaque, int ret)
{
    BlkRequest *req = opaque;
    VirtioBlk *blk = req->blk;

    if (ret < 0) {
        count_add(&blk->stats.kind[req->kind].failed, 1);
        error_event(req, ret);
        req->written = 0;
        request_finish(req, ret == -ENOTSUP || ret == -EOPNOTSUPP ? S_UNSUPP : S_IOERR);
        return;
    }
    count_add(&blk->stats.kind[req->kind].operations, 1);
    count_add(&blk->stats.kind[req->kind].bytes, req->bytes);
    count_add(&blk->stats.kind[req->kind].time_ns, (uint64_t)(io_clock_ns() - req->start));
    request_finish(req, S_OK);
}

/* Drops the first @len bytes of the readable part; it has as many. */
static const struct iovec *
chain_skip(VirtChain *chain, uint64_t len)
{
    unsigned i = 0;

    while (len > 0) {
        struct iovec *piece = &chain->iov[i];

        if (piece->iov_len > len) {
            piece->iov_base = (uint8_t *)piece->iov_base + len;
            piece->iov_len -= len;
            break;
        }
        len -= piece->iov_len;
        i++;
    }
    chain->n_out -= i;
    return chain->iov + i;
}

static bool
range_ok(const VirtioBlk *blk, uint64_t sector, uint64_t bytes)
{
    uint64_t block = blk->logical_block_size, size = block_node_size(blk->node);

    return sector <= size / BLOCK_SECTOR && bytes <= size - sector * BLOCK_SECTOR && bytes > 0 &&
           bytes % block == 0 && sector * BLOCK_SECTOR % block == 0;
}

static bool
writes_through(VirtioBlk *blk)
{
    return !g_atomic_int_get(&blk->writeback) || !virtio_has_feature(&blk->virtio, F_FLUSH);
}

/* Reads and writes; @iov are the @n pieces of data. */
static void
request_transfer(BlkRequest *req, uint64_t sector, const struct iovec *iov, unsigned n,
                 uint64_t bytes)
{
    VirtioBlk *blk = req->blk;

    req->bytes = bytes;
    if (!range_ok(blk, sector, bytes) || n > BLOCK_MAX_IOV ||
        (req->kind == VIRTIO_BLK_WRITE && block_node_read_only(blk->node))) {
        count_add(&blk->stats.kind[req->kind].failed, 1);
        request_finish(req, S_IOERR);
    } else if (req->kind == VIRTIO_BLK_READ) {
        req->written = bytes;
        block_queue_readv(blk->block, sector * BLOCK_SECTOR, iov, (int)n, request_done, req);
    } else {
        block_queue_writev(blk->block, sector * BLOCK_SECTOR, iov, (int)n,
                           writes_through(blk) ? BLOCK_FUA : 0, request_done, req);
    }
}

/* Discard and write zeroes (5.2.6.1): one segment at once, as the configuration says. */
static void
request_unmap(BlkRequest *req, uint32_t type, const struct iovec *iov, unsigned n, uint64_t bytes)
{
    VirtioBlk *blk = req->blk;
    bool zeroes = type == T_WRITE_ZEROES;
    uint8_t segment[SEGMENT_SIZE];
    uint64_t sector, length;
    uint32_t flags;
    BlockFlags how = writes_through(blk) ? BLOCK_FUA : 0;

    req->kind = zeroes ? VIRTIO_BLK_WRITE : VIRTIO_BLK_UNMAP;
    if (!virtio_has_feature(&blk->virtio, zeroes ? F_WRITE_ZEROES : F_DISCARD)) {
        request_finish(req, S_UNSUPP);
        return;
    }
    if (bytes != SEGMENT_SIZE || virt_iov_read(iov, n, 0, segment, bytes) != bytes) {
        request_finish(req, S_IOERR);
        return;
    }
    sector = bytes_load64(segment);
    length = bytes_load32(segment + 8) * (uint64_t)BLOCK_SECTOR;
    flags = bytes_load32(segment + 12);
    if (flags & ~(zeroes ? (uint32_t)ZEROES_UNMAP : 0)) {
        request_finish(req, S_UNSUPP);
        return;
    }
    if (!range_ok(blk, sector, length) || length / BLOCK_SECTOR > MAX_UNMAP_SECTORS ||
        block_node_read_only(blk->node)) {
        request_finish(req, S_IOERR);
        return;
    }
    req->bytes = length;
    if (zeroes)
        block_queue_write_zeroes(blk->block, sector * BLOCK_SECTOR, length,
                                 how | (flags & ZEROES_UNMAP ? BLOCK_UNMAP : 0), request_done, req);
    else
        block_queue_discard(blk->block, sector * BLOCK_SECTOR, length, request_done, req);
}

static void
request_id(BlkRequest *req, const struct iovec *iov, unsigned n, uint64_t bytes)
{
    char id[ID_SIZE] = { 0 };

    if (req->blk->serial)
        memcpy(id, req->blk->serial, MIN(strlen(req->blk->serial), sizeof(id)));
    req->written = virt_iov_write(iov, n, 0, id, MIN(bytes, sizeof(id)));
    request_finish(req, S_OK);
}

/* False when the chain is no request at all. */
static bool
request_start(BlkRequest *req)
{
    VirtioBlk *blk = req->blk;
    VirtChain *chain = &req->chain;
    const struct iovec *out, *in;
    struct iovec *last;
    uint8_t header[HEADER_SIZE];
    uint64_t out_bytes, in_bytes, sector;
    uint32_t type;

    if (chain->out_len < HEADER_SIZE || chain->in_len < 1)
        return false;
    virt_iov_read(chain->iov, chain->n_out, 0, header, HEADER_SIZE);
    type = bytes_load32(header);
    sector = bytes_load64(header + 8);
    last = &chain->iov[chain->n_out + chain->n_in - 1];
    req->status = (uint8_t *)last->iov_base + --last->iov_len;
    if (last->iov_len == 0)
        chain->n_in--;
    in = virt_chain_in(chain);
    out = chain_skip(chain, HEADER_SIZE);
    out_bytes = chain->out_len - HEADER_SIZE;
    in_bytes = chain->in_len - 1;
    req->written = 0;
    req->bytes = 0;

    switch (type) {
    case T_IN:
        req->kind = VIRTIO_BLK_READ;
        request_transfer(req, sector, in, chain->n_in, in_bytes);
        break;
    case T_OUT:
        req->kind = VIRTIO_BLK_WRITE;
        request_transfer(req, sector, out, chain->n_out, out_bytes);
        break;
    case T_FLUSH:
        req->kind = VIRTIO_BLK_FLUSH;
        block_queue_flush(blk->block, request_done, req);
        break;
    case T_GET_ID:
        request_id(req, in, chain->n_in, in_bytes);
        break;
    case T_DISCARD:
    case T_WRITE_ZEROES:
        request_unmap(req, type, out, chain->n_out, out_bytes);
        break;
    default:
        request_finish(req, S_UNSUPP);
        break;
    }
    return true;
}

static void
blk_handle(VirtQueue *q)
{
    VirtioBlk *blk = (VirtioBlk *)q->dev;
    BlkRequest *req = request_get(blk);
    int64_t now = io_clock_ns();
    unsigned turn = 0;

    while (virt_queue_next(q, &req->chain, &turn)) {
        req->queue = q;
        req->start = now;
        if (!request_start(req)) {
            virtio_device_break(q->dev);
            break;
        }
        req = request_get(blk);
    }
    request_put(req);
    block_queue_submit(blk->block);
}

static void
blk_queue_stop(VirtQueue *q)
{
    block_queue_drain(((VirtioBlk *)q->dev)->block);
}

/* ---- configuration ---- */

static void
blk_config_read(VirtioDevice *dev, uint8_t *config)
{
    VirtioBlk *blk = (VirtioBlk *)dev;
    uint64_t sectors = block_node_size(blk->node) / BLOCK_SECTOR;
    uint32_t granularity = MAX(blk->discard_granularity, blk->logical_block_size);

    bytes_store(config, sectors, 8);
    bytes_store(config + 12, MIN(blk->queue_size - 2, MAX_SEGMENTS), 4);
    bytes_store(config + 20, blk->logical_block_size, 4);
    config[24] = (uint8_t)(g_bit_nth_lsf(blk->physical_block_size, -1) -
                           g_bit_nth_lsf(blk->logical_block_size, -1));
    bytes_store(config + 26, blk->min_io_size / blk->logical_block_size, 2);
    bytes_store(config + 28, blk->opt_io_size / blk->logical_block_size, 4);
    config[32] = (uint8_t)g_atomic_int_get(&blk->writeback);
    bytes_store(config + 34, blk->num_queues, 2);
    bytes_store(config + 36, MAX_UNMAP_SECTORS, 4);
    bytes_store(config + 40, 1, 4);
    bytes_store(config + 44, granularity / BLOCK_SECTOR, 4);
    bytes_store(config + 48, MAX_UNMAP_SECTORS, 4);
    bytes_store(config + 52, 1, 4);
    config[56] = 1;
}

static void
blk_config_write(VirtioDevice *dev, const uint8_t *config, unsigned offset, unsigned size)
{
    VirtioBlk *blk = (VirtioBlk *)dev;

    if (offset <= 32 && offset + size > 32 && virtio_has_feature(dev, F_CONFIG_WCE))
        g_atomic_int_set(&blk->writeback, config[32] & 1);
}

static void
blk_reset(VirtioDevice *dev)
{
    VirtioBlk *blk = (VirtioBlk *)dev;

    g_atomic_int_set(&blk->writeback, blk->write_cache != ONOFFAUTO_OFF);
}

/* ---- making ---- */

static bool
size_check(VirtioBlk *blk, const char *name, uint32_t value, uint32_t multiple_of, GError **err)
{
    if (value % multiple_of == 0)
        return true;
    return device_error(virtio_base(&blk->virtio), err, VIR_ERR_CONFIG_UNSUPPORTED,
                        "%s=%u is not a multiple of the logical block size %u", name, value,
                        multiple_of);
}

static bool
power_of_two(VirtioBlk *blk, const char *name, uint32_t value, GError **err)
{
    if (value && !(value & (value - 1)))
        return true;
    return device_error(virtio_base(&blk->virtio), err, VIR_ERR_CONFIG_UNSUPPORTED,
                        "%s=%u is not a power of two", name, value);
}

static bool
blk_check(VirtioBlk *blk, GError **err)
{
    Device *device = virtio_base(&blk->virtio);
    uint32_t block = blk->logical_block_size;

    if (blk->num_queues == 0)
        blk->num_queues = (uint16_t)CLAMP(device->machine->config.n_cpus, 1u, 256u);
    blk->physical_block_size = MAX(blk->physical_block_size, block);
    if (!power_of_two(blk, "queue-size", blk->queue_size, err) ||
        !power_of_two(blk, "logical_block_size", block, err) ||
        !power_of_two(blk, "physical_block_size", blk->physical_block_size, err) ||
        !size_check(blk, "min_io_size", blk->min_io_size, block, err) ||
        !size_check(blk, "opt_io_size", blk->opt_io_size, block, err) ||
        !size_check(blk, "discard_granularity", blk->discard_granularity, block, err))
        return false;
    if (blk->scsi)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "SCSI passthrough over virtio-blk does not exist in virtio 1: set "
                            "scsi=off");
    if (block_node_size(blk->node) % block != 0)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "the size of '%s', %" G_GUINT64_FORMAT
                            " bytes, is not a multiple of its logical block size %u",
                            block_node_name(blk->node), block_node_size(blk->node), block);
    return true;
}

static void
blk_features(VirtioBlk *blk)
{
    VirtioDevice *dev = &blk->virtio;

    dev->host_features |=
        VIRTIO_F(F_SEG_MAX) | VIRTIO_F(F_BLK_SIZE) | VIRTIO_F(F_FLUSH) | VIRTIO_F(F_TOPOLOGY);
    if (blk->config_wce)
        dev->host_features |= VIRTIO_F(F_CONFIG_WCE);
    if (blk->num_queues > 1)
        dev->host_features |= VIRTIO_F(F_MQ);
    if (block_node_read_only(blk->node)) {
        dev->host_features |= VIRTIO_F(F_RO);
        return;
    }
    if (blk->discard && block_node_can_discard(blk->node))
        dev->host_features |= VIRTIO_F(F_DISCARD);
    if (blk->write_zeroes)
        dev->host_features |= VIRTIO_F(F_WRITE_ZEROES);
}

static bool
blk_realize(VirtioDevice *dev, GError **err)
{
    VirtioBlk *blk = (VirtioBlk *)dev;
    Device *device = virtio_base(dev);

    blk->node = blk->drive.object;
    if (!blk_check(blk, err) ||
        !block_node_claim(blk->node, !block_node_read_only(blk->node), blk->share_rw, err))
        return false;
    blk->claimed = true;
    blk->loop =
        blk->iothread.object ? blk->iothread.object : virtio_default_loop(device->machine, err);
    if (!blk->loop)
        return false;
    blk->block = block_queue_new(
        blk->node, blk->loop, MIN(blk->queue_size * (unsigned)blk->num_queues, BLOCK_DEPTH), err);
    if (!blk->block)
        return false;
    blk_features(blk);
    blk_reset(dev);
    virtio_queues_reserve(dev, blk->num_queues);
    for (unsigned i = 0; i < blk->num_queues; i++)
        virtio_queue_add(dev, blk->queue_size, blk->loop, blk_handle);
    return true;
}

static void
blk_unrealize(VirtioDevice *dev)
{
    VirtioBlk *blk = (VirtioBlk *)dev;
    BlkRequest *req;

    g_clear_pointer(&blk->block, block_queue_free);
    while ((req = blk->free)) {
        blk->free = req->next;
        virt_chain_clear(&req->chain);
        g_free(req);
    }
    if (blk->claimed)
        block_node_release(blk->node);
    blk->claimed = false;
}

static VirtioBlk *
blk_of(Device *dev)
{
    if (!device_class_is(dev->class, &virtio_blk_pci_class))
        return NULL;
    return (VirtioBlk *)dev;
}

bool
virtio_blk_stats(Device *dev, VirtioBlkStats *ret)
{
    VirtioBlk *blk = blk_of(dev);

    if (!blk)
        return false;
    for (unsigned i = 0; i < VIRTIO_BLK_KINDS; i++) {
        ret->kind[i].operations = __atomic_load_n(&blk->stats.kind[i].operations, __ATOMIC_RELAXED);
        ret->kind[i].failed = __atomic_load_n(&blk->stats.kind[i].failed, __ATOMIC_RELAXED);
        ret->kind[i].bytes = __atomic_load_n(&blk->stats.kind[i].bytes, __ATOMIC_RELAXED);
        ret->kind[i].time_ns = __atomic_load_n(&blk->stats.kind[i].time_ns, __ATOMIC_RELAXED);
    }
    return true;
}

BlockNode *
virtio_blk_node(Device *dev)
{
    VirtioBlk *blk = blk_of(dev);

    return blk ? blk->node : NULL;
}

bool
virtio_blk_write_cache(Device *dev)
{
    VirtioBlk *blk = blk_of(dev);

    return blk && g_atomic_int_get(&blk->writeback);
}

static void
blk_before_save(void *state)
{
    VirtioBlk *blk = state;

    blk->saved_writeback = (uint8_t)g_atomic_int_get(&blk->writeback);
}

static bool
blk_after_load(void *state, GError **err)
{
    VirtioBlk *blk = state;

    if (blk->saved_writeback > 1)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "cache mode %u is neither 0 nor 1",
                              blk->saved_writeback);
    g_atomic_int_set(&blk->writeback, blk->saved_writeback);
    return true;
}

static const SavedField blk_fields[] = {
    SAVED(VirtioBlk, saved_writeback, 1),
};

static const SavedTable blk_saved = {
    .name = "virtio-blk",
    .version = 1,
    .oldest = 1,
    .fields = blk_fields,
    .n_fields = G_N_ELEMENTS(blk_fields),
    .before_save = blk_before_save,
    .after_load = blk_after_load,
};

static const char *const error_policies[] = { "auto", "report", NULL };

static const DeviceProp blk_props[] = {
    { "drive", PROP_BLOCK_NODE, offsetof(VirtioBlk, drive), .required = true,
      .help = "node-name of a -blockdev" },
    { "iothread", PROP_IOTHREAD, offsetof(VirtioBlk, iothread),
      .help = "id of an -object iothread" },
    { "serial", PROP_STRING, offsetof(VirtioBlk, serial),
      .help = "the guest reads 20 bytes of it" },
    { "num-queues", PROP_UINT16, offsetof(VirtioBlk, num_queues), "0", .max = 1023,
      .help = "0: one per CPU" },
    { "queue-size", PROP_UINT16, offsetof(VirtioBlk, queue_size), "256", .min = 4,
      .max = VIRTIO_QUEUE_MAX },
    { "write-cache", PROP_ONOFFAUTO, offsetof(VirtioBlk, write_cache), "auto",
      .help = "off: every write is on stable storage when it is done" },
    { "config-wce", PROP_BOOL, offsetof(VirtioBlk, config_wce), "on",
      .help = "the guest may change write-cache" },
    { "share-rw", PROP_BOOL, offsetof(VirtioBlk, share_rw), "off",
      .help = "others may write to the image as well" },
    { "discard", PROP_BOOL, offsetof(VirtioBlk, discard), "on", .help = "offer discard" },
    { "write-zeroes", PROP_BOOL, offsetof(VirtioBlk, write_zeroes), "on",
      .help = "offer write zeroes" },
    { "scsi", PROP_BOOL, offsetof(VirtioBlk, scsi), "off", .help = "must be off" },
    { "werror", PROP_ENUM, offsetof(VirtioBlk, werror), "auto", .names = error_policies },
    { "rerror", PROP_ENUM, offsetof(VirtioBlk, rerror), "auto", .names = error_policies },
    { "bootindex", PROP_INT32, offsetof(VirtioBlk, bootindex), "-1",
      .help = "place in boot order" },
    { "logical_block_size", PROP_UINT32, offsetof(VirtioBlk, logical_block_size), "512", .min = 512,
      .max = 32768 },
    { "physical_block_size", PROP_UINT32, offsetof(VirtioBlk, physical_block_size), "512",
      .min = 512, .max = 1 << 21 },
    { "min_io_size", PROP_UINT32, offsetof(VirtioBlk, min_io_size), "0", .max = 1 << 25 },
    { "opt_io_size", PROP_UINT32, offsetof(VirtioBlk, opt_io_size), "0" },
    { "discard_granularity", PROP_UINT32, offsetof(VirtioBlk, discard_granularity), "0" },
};

static const VirtioClass blk_virtio_class = {
    .name = "virtio-blk",
    .id = VIRTIO_ID_BLOCK,
    .class_code = 0x010000,
    .config_size = CONFIG_SIZE,
    .realize = blk_realize,
    .unrealize = blk_unrealize,
    .config_read = blk_config_read,
    .config_write = blk_config_write,
    .queue_stop = blk_queue_stop,
    .reset = blk_reset,
};

static const char *const blk_aliases[] = { "virtio-blk-pci-non-transitional", "virtio-blk", NULL };

const DeviceClass virtio_blk_pci_class = {
    .name = "virtio-blk-pci",
    .aliases = blk_aliases,
    .description = "virtio disk",
    .bus = BUS_PCI,
    .base = &virtio_device_class,
    .hotpluggable = true,
    .state_size = sizeof(VirtioBlk),
    .props = blk_props,
    .n_props = G_N_ELEMENTS(blk_props),
    .saved = &blk_saved,
    .details = &blk_virtio_class,
    .syscalls = block_queue_syscalls,
};
