/* blk.c - virtio block device (virtio 1.2, section 5.2).
 *
 * All queues are served by one I/O loop with one block queue. A turn of the loop submits what it
 * took off the rings in one go, and interrupts once for all that completed. Requests and their
 * buffer lists are kept for the next one, so a busy disk allocates nothing.
 *
 * Leaves out: secure erase, lifetime, zoned devices, legacy SCSI commands.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/block/drive.h"

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
    DriveIo io;
    uint64_t written; /* into the writable part without status */
    BlkRequest *next; /* in the free list */
};

struct VirtioBlk {
    VirtioDevice virtio; /* first */
    /* properties */
    Drive drive;
    PropObject iothread;
    uint16_t num_queues, queue_size;
    bool config_wce, discard, write_zeroes, scsi;

    IoLoop *loop;
    BlkRequest *free; /* loop's thread */
};

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
    if (req->queue->running) { /* else it was cancelled by a reset */
        *req->status = status;
        virt_queue_push(req->queue, req->chain.head, req->written + 1);
    }
    request_put(req);
}

static void
request_done(DriveIo *io, int ret)
{
    BlkRequest *req = (BlkRequest *)((uint8_t *)io - offsetof(BlkRequest, io));

    if (ret < 0) {
        req->written = 0;
        request_finish(req, ret == -ENOTSUP || ret == -EOPNOTSUPP ? S_UNSUPP : S_IOERR);
    } else {
        request_finish(req, S_OK);
    }
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
    uint64_t block = blk->drive.logical_block_size, size = drive_size(&blk->drive);

    return sector <= size / BLOCK_SECTOR && bytes <= size - sector * BLOCK_SECTOR && bytes > 0 &&
           bytes % block == 0 && sector * BLOCK_SECTOR % block == 0;
}

static bool
writes_through(VirtioBlk *blk)
{
    return !virtio_has_feature(&blk->virtio, F_FLUSH);
}

static void
request_io(BlkRequest *req, DriveKind kind, uint64_t offset, uint64_t length)
{
    req->io.kind = kind;
    req->io.offset = offset;
    req->io.length = length;
    drive_io_start(&req->io);
}

/* Reads and writes; @iov are the @n pieces of data. */
static void
request_transfer(BlkRequest *req, DriveKind kind, uint64_t sector, const struct iovec *iov,
                 unsigned n, uint64_t bytes)
{
    VirtioBlk *blk = req->blk;

    if (!range_ok(blk, sector, bytes) || (kind == DRIVE_WRITE && drive_read_only(&blk->drive))) {
        drive_count_failed(&blk->drive, kind);
        request_finish(req, S_IOERR);
        return;
    }
    if (kind == DRIVE_READ)
        req->written = bytes;
    req->io.iov = iov;
    req->io.n_iov = n;
    request_io(req, kind, sector * BLOCK_SECTOR, bytes);
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

    if (!virtio_has_feature(&blk->virtio, zeroes ? F_WRITE_ZEROES : F_DISCARD)) {
        request_finish(req, S_UNSUPP);
        return;
    }
    if (bytes != SEGMENT_SIZE || iov_read(iov, n, 0, segment, bytes) != bytes) {
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
        drive_read_only(&blk->drive)) {
        request_finish(req, S_IOERR);
        return;
    }
    req->io.zeroes = zeroes;
    req->io.unmap = flags & ZEROES_UNMAP;
    request_io(req, zeroes ? DRIVE_WRITE : DRIVE_UNMAP, sector * BLOCK_SECTOR, length);
}

static void
request_id(BlkRequest *req, const struct iovec *iov, unsigned n, uint64_t bytes)
{
    char id[ID_SIZE] = { 0 };

    const char *serial = req->blk->drive.serial;

    if (serial)
        memcpy(id, serial, MIN(strlen(serial), sizeof(id)));
    req->written = iov_write(iov, n, 0, id, MIN(bytes, sizeof(id)));
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
    iov_read(chain->iov, chain->n_out, 0, header, HEADER_SIZE);
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
    req->io.drive = &blk->drive;
    req->io.done = request_done;
    req->io.zeroes = req->io.unmap = false;
    req->io.fua = writes_through(blk);

    switch (type) {
    case T_IN:
        request_transfer(req, DRIVE_READ, sector, in, chain->n_in, in_bytes);
        break;
    case T_OUT:
        request_transfer(req, DRIVE_WRITE, sector, out, chain->n_out, out_bytes);
        break;
    case T_FLUSH:
        request_io(req, DRIVE_FLUSH, 0, 0);
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
    unsigned turn = 0;

    while (virt_queue_next(q, &req->chain, &turn)) {
        req->queue = q;
        if (!request_start(req)) {
            virtio_device_break(q->dev);
            break;
        }
        req = request_get(blk);
    }
    request_put(req);
    drive_submit(&blk->drive);
}

static void
blk_queue_start(VirtQueue *q)
{
    VirtioBlk *blk = (VirtioBlk *)q->dev;

    if (blk->drive.paused)
        drive_resume(&blk->drive);
}

/* The driver resets, or the guest is paused: then what stopped it is kept. */
static void
blk_queue_stop(VirtQueue *q)
{
    VirtioBlk *blk = (VirtioBlk *)q->dev;

    if (virtio_base(q->dev)->machine->running)
        drive_drain(&blk->drive);
    else
        drive_pause(&blk->drive);
}

/* ---- configuration ---- */

static void
blk_config_read(VirtioDevice *dev, uint8_t *config)
{
    VirtioBlk *blk = (VirtioBlk *)dev;
    Drive *drive = &blk->drive;
    uint64_t sectors = drive_size(drive) / BLOCK_SECTOR;
    uint32_t granularity = MAX(drive->discard_granularity, drive->logical_block_size);

    bytes_store(config, sectors, 8);
    bytes_store(config + 12, MIN(blk->queue_size - 2, MAX_SEGMENTS), 4);
    bytes_store(config + 20, drive->logical_block_size, 4);
    config[24] = (uint8_t)(g_bit_nth_lsf(drive->physical_block_size, -1) -
                           g_bit_nth_lsf(drive->logical_block_size, -1));
    bytes_store(config + 26, drive->min_io_size / drive->logical_block_size, 2);
    bytes_store(config + 28, drive->opt_io_size / drive->logical_block_size, 4);
    config[32] = drive_writeback(drive);
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
        drive_set_writeback(&blk->drive, config[32] & 1);
}

static void
blk_reset_call(void *opaque)
{
    drive_reset(opaque);
}

static void
blk_reset(VirtioDevice *dev)
{
    VirtioBlk *blk = (VirtioBlk *)dev;

    io_loop_run_sync(blk->loop, blk_reset_call, &blk->drive);
}

static void
blk_resized(Drive *drive)
{
    VirtioDevice *dev = (VirtioDevice *)drive->dev;

    virtio_device_lock(dev);
    virtio_config_changed(dev);
    virtio_device_unlock(dev);
}

static const DriveOps blk_drive_ops = { .resized = blk_resized };

/* ---- making ---- */

static bool
blk_check(VirtioBlk *blk, GError **err)
{
    Device *device = virtio_base(&blk->virtio);

    if (blk->num_queues == 0)
        blk->num_queues = (uint16_t)CLAMP(device->machine->config.n_cpus, 1u, 256u);
    if (blk->queue_size & (blk->queue_size - 1))
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "queue-size=%u is not a power of two", blk->queue_size);
    if (blk->scsi)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "SCSI passthrough over virtio-blk does not exist in virtio 1: set "
                            "scsi=off");
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
    if (drive_read_only(&blk->drive)) {
        dev->host_features |= VIRTIO_F(F_RO);
        return;
    }
    if (blk->discard && block_node_can_discard(blk->drive.node))
        dev->host_features |= VIRTIO_F(F_DISCARD);
    if (blk->write_zeroes)
        dev->host_features |= VIRTIO_F(F_WRITE_ZEROES);
}

static bool
blk_realize(VirtioDevice *dev, GError **err)
{
    VirtioBlk *blk = (VirtioBlk *)dev;
    Device *device = virtio_base(dev);

    if (!blk_check(blk, err))
        return false;
    blk->loop = blk->iothread.object ? blk->iothread.object : machine_io_loop(device->machine, err);
    if (!blk->loop)
        return false;
    if (!drive_open(&blk->drive, device, blk->loop,
                    MIN(blk->queue_size * (unsigned)blk->num_queues, BLOCK_DEPTH), false,
                    &blk_drive_ops, err))
        return false;
    blk_features(blk);
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

    drive_close(&blk->drive);
    while ((req = blk->free)) {
        blk->free = req->next;
        virt_chain_clear(&req->chain);
        drive_io_clear(&req->io);
        g_free(req);
    }
}

static const SavedField blk_fields[] = {
    SAVED_STRUCT(VirtioBlk, drive, drive_saved, 1),
};

static const SavedTable blk_saved = {
    .name = "virtio-blk",
    .version = 1,
    .oldest = 1,
    .fields = blk_fields,
    .n_fields = G_N_ELEMENTS(blk_fields),
};

static const DeviceProp blk_props[] = {
    DRIVE_IMAGE_PROP(VirtioBlk, drive, true),
    DRIVE_PROPS(VirtioBlk, drive),
    DRIVE_SIZE_PROPS(VirtioBlk, drive),
    { "iothread", PROP_IOTHREAD, offsetof(VirtioBlk, iothread),
      .help = "id of an -object iothread" },
    { "num-queues", PROP_UINT16, offsetof(VirtioBlk, num_queues), "0", .max = 1023,
      .help = "0: one per CPU" },
    { "queue-size", PROP_UINT16, offsetof(VirtioBlk, queue_size), "256", .min = 4,
      .max = VIRTIO_QUEUE_MAX },
    { "config-wce", PROP_BOOL, offsetof(VirtioBlk, config_wce), "on",
      .help = "the guest may change write-cache" },
    { "discard", PROP_BOOL, offsetof(VirtioBlk, discard), "on", .help = "offer discard" },
    { "write-zeroes", PROP_BOOL, offsetof(VirtioBlk, write_zeroes), "on",
      .help = "offer write zeroes" },
    { "scsi", PROP_BOOL, offsetof(VirtioBlk, scsi), "off", .help = "must be off" },
};

static const VirtioClass blk_virtio_class = {
    .name = "virtio-blk",
    .id = VIRTIO_ID_BLOCK,
    .legacy_id = 0x1001,
    .class_code = 0x010000,
    .config_size = CONFIG_SIZE,
    .realize = blk_realize,
    .unrealize = blk_unrealize,
    .config_read = blk_config_read,
    .config_write = blk_config_write,
    .queue_start = blk_queue_start,
    .queue_stop = blk_queue_stop,
    .reset = blk_reset,
};

static const char *const blk_aliases[] = { "virtio-blk", NULL };
static const DeviceVariant blk_variants[] = VIRTIO_VARIANTS("virtio-blk-pci");

static char *
blk_firmware_node(Device *dev)
{
    (void)dev;
    return g_strdup("disk@0,0");
}

const DeviceClass virtio_blk_pci_class = {
    .name = "virtio-blk-pci",
    .aliases = blk_aliases,
    .variants = blk_variants,
    .description = "virtio disk",
    .bus = BUS_PCI,
    .base = &virtio_device_class,
    .hotpluggable = true,
    .state_size = sizeof(VirtioBlk),
    .drive_offset = offsetof(VirtioBlk, drive),
    .props = blk_props,
    .n_props = G_N_ELEMENTS(blk_props),
    .saved = &blk_saved,
    .firmware_node = blk_firmware_node,
    .details = &blk_virtio_class,
    .syscalls = block_queue_syscalls,
};
