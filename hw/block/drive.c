/* drive.c - a disk model's image: I/O, and what an error does to the guest.
 *
 * werror= and rerror= and the event BLOCK_IO_ERROR as qemu-system-x86_64(1) and QEMU's QMP have
 * them. A request that stops the guest is kept and begun again when the guest goes on.
 *
 * Leaves out: throttling; the action of a flush on its own.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/block/drive.h"

#include <errno.h>
#include <string.h>

#include "util/error.h"

enum { ERROR_AUTO, ERROR_REPORT, ERROR_IGNORE, ERROR_STOP, ERROR_ENOSPC };

static void drive_io_step(DriveIo *io);

static void
count_add(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* ---- requests ---- */

static void
drive_io_finish(DriveIo *io, int ret)
{
    Drive *drive = io->drive;

    if (ret < 0) {
        count_add(&drive->stats.kind[io->kind].failed, 1);
    } else {
        count_add(&drive->stats.kind[io->kind].operations, 1);
        count_add(&drive->stats.kind[io->kind].bytes, io->length);
        count_add(&drive->stats.kind[io->kind].time_ns, (uint64_t)(io_clock_ns() - io->start));
    }
    io->done(io, ret);
}

static void
drive_error_event(DriveIo *io, int ret, const char *action)
{
    Device *dev = io->drive->dev;
    JsonObject *data = json_object_new();
    g_autofree char *path =
        g_strdup_printf(dev->id ? "/machine/peripheral/%s" : "/machine/unattached/%s",
                        dev->id ? dev->id : dev->path);

    json_object_set_string_member(data, "device", "");
    json_object_set_string_member(data, "qom-path", path);
    json_object_set_string_member(data, "node-name", block_node_name(io->drive->node));
    json_object_set_string_member(data, "operation", io->kind == DRIVE_READ ? "read" : "write");
    json_object_set_string_member(data, "action", action);
    json_object_set_boolean_member(data, "nospace", ret == -ENOSPC);
    json_object_set_string_member(data, "reason", g_strerror(-ret));
    dev->machine->ops->event(dev->machine->host, "BLOCK_IO_ERROR", data);
}

/* What the policy says of @ret. */
static int
drive_error_action(const DriveIo *io, int ret)
{
    int policy = io->kind == DRIVE_READ ? io->drive->rerror : io->drive->werror;

    if (policy == ERROR_AUTO)
        policy = io->kind == DRIVE_READ ? ERROR_REPORT : ERROR_ENOSPC;
    if (policy == ERROR_ENOSPC)
        policy = ret == -ENOSPC ? ERROR_STOP : ERROR_REPORT;
    return policy;
}

static void
drive_io_failed(DriveIo *io, int ret)
{
    Drive *drive = io->drive;
    Machine *machine = drive->dev->machine;

    if (ret == -ENOTSUP || ret == -EOPNOTSUPP || !drive->node) {
        drive_io_finish(io, ret);
        return;
    }
    switch (drive_error_action(io, ret)) {
    case ERROR_IGNORE:
        drive_error_event(io, ret, "ignore");
        drive_io_finish(io, 0);
        break;
    case ERROR_STOP:
        g_atomic_int_set(&drive->status,
                         ret == -ENOSPC ? DRIVE_STATUS_NOSPACE : DRIVE_STATUS_FAILED);
        g_queue_push_tail_link(&drive->held, &io->link);
        drive_error_event(io, ret, "stop");
        machine->ops->request(machine->host, MACHINE_IO_ERROR, 0);
        break;
    default:
        drive_error_event(io, ret, "report");
        drive_io_finish(io, ret);
        break;
    }
}

static void
drive_io_stepped(void *opaque, int ret)
{
    DriveIo *io = opaque;

    if (ret < 0) {
        drive_io_failed(io, ret);
        return;
    }
    io->moved += io->step;
    if (io->moved < io->length)
        drive_io_step(io);
    else
        drive_io_finish(io, 0);
}

/* The pieces of a long list behind what has moved: as many whole sectors as fit into a request. */
static unsigned
drive_io_cut(DriveIo *io)
{
    uint64_t skip = io->moved, bytes = 0, excess;
    unsigned n = 0;

    if (!io->cut)
        io->cut = g_new(struct iovec, BLOCK_MAX_IOV);
    for (unsigned i = 0; i < io->n_iov && n < BLOCK_MAX_IOV; i++) {
        const struct iovec *piece = &io->iov[i];
        size_t off = MIN(skip, piece->iov_len);

        skip -= off;
        if (piece->iov_len > off)
            io->cut[n++] = (struct iovec){ (uint8_t *)piece->iov_base + off, piece->iov_len - off };
        bytes += piece->iov_len - off;
    }
    io->step = bytes - bytes % BLOCK_SECTOR;
    for (excess = bytes % BLOCK_SECTOR; excess > 0;) {
        struct iovec *last = &io->cut[n - 1];
        size_t off = MIN(excess, last->iov_len);

        last->iov_len -= off;
        excess -= off;
        n -= last->iov_len == 0;
    }
    return n;
}

static void
drive_io_transfer(DriveIo *io)
{
    Drive *drive = io->drive;
    const struct iovec *iov = io->iov;
    unsigned n = io->n_iov;
    BlockFlags flags =
        io->kind == DRIVE_WRITE && (io->fua || !drive_writeback(drive)) ? BLOCK_FUA : 0;

    io->step = io->length;
    if (n > BLOCK_MAX_IOV) {
        n = drive_io_cut(io);
        iov = io->cut;
    }
    if (io->kind == DRIVE_READ)
        block_queue_readv(drive->queue, io->offset + io->moved, iov, (int)n, drive_io_stepped, io);
    else
        block_queue_writev(drive->queue, io->offset + io->moved, iov, (int)n, flags,
                           drive_io_stepped, io);
}

static void
drive_run_failed(void *opaque)
{
    Drive *drive = opaque;
    GList *link;

    while ((link = g_queue_pop_head_link(&drive->failed)))
        drive_io_finish(link->data, -ENOMEDIUM);
}

static void
drive_io_step(DriveIo *io)
{
    Drive *drive = io->drive;
    BlockFlags flags =
        (io->fua || !drive_writeback(drive) ? BLOCK_FUA : 0) | (io->unmap ? BLOCK_UNMAP : 0);

    if (!drive->node) {
        if (g_queue_is_empty(&drive->failed))
            io_loop_defer(drive->loop, drive_run_failed, drive);
        g_queue_push_tail_link(&drive->failed, &io->link);
        return;
    }
    io->step = io->length;
    if (io->kind == DRIVE_FLUSH)
        block_queue_flush(drive->queue, drive_io_stepped, io);
    else if (io->kind == DRIVE_UNMAP)
        block_queue_discard(drive->queue, io->offset, io->length, drive_io_stepped, io);
    else if (io->zeroes)
        block_queue_write_zeroes(drive->queue, io->offset, io->length, flags, drive_io_stepped, io);
    else
        drive_io_transfer(io);
}

void
drive_io_start(DriveIo *io)
{
    io->link.data = io;
    io->moved = 0;
    io->start = io_clock_ns();
    if (io->drive->paused)
        g_queue_push_tail_link(&io->drive->held, &io->link);
    else
        drive_io_step(io);
}

void
drive_submit(Drive *drive)
{
    block_queue_submit(drive->queue);
}

void
drive_io_clear(DriveIo *io)
{
    g_clear_pointer(&io->cut, g_free);
}

/* Completes what is under way, and what that starts, but not what is held. */
static void
drive_finish_active(Drive *drive)
{
    while (block_queue_in_flight(drive->queue) > 0 || !g_queue_is_empty(&drive->failed)) {
        drive_run_failed(drive);
        block_queue_drain(drive->queue);
    }
}

void
drive_drain(Drive *drive)
{
    GList *link;

    drive_finish_active(drive);
    while ((link = g_queue_pop_head_link(&drive->held))) {
        drive_io_finish(link->data, -ECANCELED);
        drive_finish_active(drive);
    }
}

uint64_t
drive_size(const Drive *drive)
{
    return drive->node ? block_node_size(drive->node) : 0;
}

bool
drive_read_only(const Drive *drive)
{
    return drive->removable || (drive->node && block_node_read_only(drive->node));
}

bool
drive_ready(const Drive *drive)
{
    return drive->node != NULL;
}

/* ---- the guest stops, goes on, is reset ---- */

void
drive_pause(Drive *drive)
{
    drive_finish_active(drive);
    drive->paused = true;
}

void
drive_resume(Drive *drive)
{
    GQueue held = drive->held;
    GList *link;

    drive->paused = false;
    g_atomic_int_set(&drive->status, DRIVE_STATUS_OK);
    g_queue_init(&drive->held);
    while ((link = g_queue_pop_head_link(&held)))
        drive_io_step(link->data);
    drive_submit(drive);
}

void
drive_reset(Drive *drive)
{
    drive_drain(drive);
    g_atomic_int_set(&drive->status, DRIVE_STATUS_OK);
    drive_set_writeback(drive, drive->write_cache != ONOFFAUTO_OFF);
    drive_lock_tray(drive, false);
    drive_tray(drive, false);
}

/* ---- statistics ---- */

void
drive_stats(const Drive *drive, DriveStats *ret)
{
    for (unsigned i = 0; i < DRIVE_KINDS; i++) {
        ret->kind[i].operations =
            __atomic_load_n(&drive->stats.kind[i].operations, __ATOMIC_RELAXED);
        ret->kind[i].failed = __atomic_load_n(&drive->stats.kind[i].failed, __ATOMIC_RELAXED);
        ret->kind[i].bytes = __atomic_load_n(&drive->stats.kind[i].bytes, __ATOMIC_RELAXED);
        ret->kind[i].time_ns = __atomic_load_n(&drive->stats.kind[i].time_ns, __ATOMIC_RELAXED);
    }
}

void
drive_count_failed(Drive *drive, DriveKind kind)
{
    count_add(&drive->stats.kind[kind].failed, 1);
}

/* ---- making ---- */

static bool
drive_check_power(Drive *drive, const char *name, uint32_t value, GError **err)
{
    if (value && !(value & (value - 1)))
        return true;
    return device_error(drive->dev, err, VIR_ERR_CONFIG_UNSUPPORTED, "%s=%u is not a power of two",
                        name, value);
}

static bool
drive_check_multiple(Drive *drive, const char *name, uint32_t value, GError **err)
{
    if (value % drive->logical_block_size == 0)
        return true;
    return device_error(drive->dev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                        "%s=%u is not a multiple of the logical block size %u", name, value,
                        drive->logical_block_size);
}

static bool
drive_check_sizes(Drive *drive, GError **err)
{
    BlockNode *node = drive->image.object;

    if (!drive_check_power(drive, "logical_block_size", drive->logical_block_size, err))
        return false;
    drive->physical_block_size = MAX(drive->physical_block_size, drive->logical_block_size);
    if (!drive_check_power(drive, "physical_block_size", drive->physical_block_size, err) ||
        !drive_check_multiple(drive, "min_io_size", drive->min_io_size, err) ||
        !drive_check_multiple(drive, "opt_io_size", drive->opt_io_size, err) ||
        !drive_check_multiple(drive, "discard_granularity", drive->discard_granularity, err))
        return false;
    if (block_node_size(node) % drive->logical_block_size != 0)
        return device_error(drive->dev, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "the size of '%s', %" G_GUINT64_FORMAT
                            " bytes, is not a multiple of its logical block size %u",
                            block_node_name(node), block_node_size(node),
                            drive->logical_block_size);
    return true;
}

bool
drive_open(Drive *drive, Device *dev, IoLoop *loop, unsigned depth, bool removable,
           const DriveOps *ops, GError **err)
{
    BlockNode *node = drive->image.object;

    drive->dev = dev;
    drive->loop = loop;
    drive->removable = removable;
    drive->ops = ops;
    g_queue_init(&drive->held);
    g_queue_init(&drive->failed);
    drive_set_writeback(drive, drive->write_cache != ONOFFAUTO_OFF);
    if (removable)
        drive->logical_block_size = drive->physical_block_size = 2048;
    else if (!drive_check_sizes(drive, err))
        return false;
    if (node &&
        !block_node_claim(node, !removable && !block_node_read_only(node), drive->share_rw, err))
        return false;
    drive->claimed = node != NULL;
    drive->node = node;
    drive->queue = block_queue_new(node, loop, depth, err);
    return drive->queue != NULL;
}

static void
drive_run_resized(void *opaque)
{
    Drive *drive = opaque;

    if (drive->ops && drive->ops->resized)
        drive->ops->resized(drive);
}

void
drive_image_changed(Drive *drive, BlockNode *node, const char *id)
{
    Machine *machine = drive->dev->machine;

    if (g_strcmp0(id, drive->image.id) != 0) {
        machine_object_release(machine, OBJECT_BLOCK_NODE, drive->image.id, drive->dev);
        g_free(drive->image.id);
        drive->image.id = g_strdup(id);
        machine_object_claim(machine, OBJECT_BLOCK_NODE, id, drive->dev, NULL);
    }
    if (drive->node)
        drive->node = node;
    drive->image.object = node;
    io_loop_defer(drive->loop, drive_run_resized, drive);
}

static void
drive_close_call(void *opaque)
{
    Drive *drive = opaque;

    drive_drain(drive);
    io_loop_cancel(drive->loop, drive_run_failed, drive);
    io_loop_cancel(drive->loop, drive_run_resized, drive);
}

void
drive_close(Drive *drive)
{
    if (drive->queue)
        io_loop_run_sync(drive->loop, drive_close_call, drive);
    g_clear_pointer(&drive->queue, block_queue_free);
    if (drive->claimed)
        block_node_release(drive->image.object);
    drive->claimed = false;
    drive->node = NULL;
}

Drive *
drive_of(Device *dev)
{
    for (const DeviceClass *class = dev->class; class; class = class->base) {
        if (class->drive_offset)
            return (Drive *)((uint8_t *)dev + class->drive_offset);
    }
    return NULL;
}

static void
drive_before_save(void *state)
{
    Drive *drive = state;

    drive->saved_writeback = drive_writeback(drive);
    drive->saved_tray_open = (uint8_t)g_atomic_int_get(&drive->tray_open);
    drive->saved_locked = (uint8_t)g_atomic_int_get(&drive->locked);
}

static void
drive_load_call(void *opaque)
{
    Drive *drive = opaque;

    g_atomic_int_set(&drive->locked, drive->saved_locked);
    g_atomic_int_set(&drive->tray_open, drive->saved_tray_open);
    drive->node = drive->saved_tray_open ? NULL : drive->image.object;
}

static bool
drive_after_load(void *state, GError **err)
{
    Drive *drive = state;

    if (drive->saved_writeback > 1 || drive->saved_tray_open > 1 || drive->saved_locked > 1 ||
        (!drive->removable && (drive->saved_tray_open || drive->saved_locked)))
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the drive's saved cache mode and tray (%u, %u, %u) are impossible",
                              drive->saved_writeback, drive->saved_tray_open, drive->saved_locked);
    drive_set_writeback(drive, drive->saved_writeback);
    io_loop_run_sync(drive->loop, drive_load_call, drive);
    return true;
}

static const SavedField drive_fields[] = {
    SAVED(Drive, saved_writeback, 1),
    SAVED(Drive, saved_tray_open, 1),
    SAVED(Drive, saved_locked, 1),
};

const SavedTable drive_saved = {
    .name = "drive",
    .version = 1,
    .oldest = 1,
    .fields = drive_fields,
    .n_fields = G_N_ELEMENTS(drive_fields),
    .before_save = drive_before_save,
    .after_load = drive_after_load,
};

const char *const drive_werrors[] = { "auto", "report", "ignore", "stop", "enospc", NULL };
const char *const drive_rerrors[] = { "auto", "report", "ignore", "stop", NULL };
