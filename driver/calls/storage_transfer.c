/* storage_transfer.c - the calls that carry the bytes of a volume over a stream.
 *
 * Files and devices may keep a reader or writer waiting, which the main loop may not: each transfer
 * has a thread of its own, which hands over one packet at a time. A packet from a client counts as
 * taken when it is written, so that the client's finish comes after the last of it, and an error
 * fails the stream.
 *
 * Holes (sparse streams): sent where the file has them, if the client asked for a sparse stream;
 * those that come are punched into what is there, and make the file longer.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/calls/handlers.h"
#include "driver/storage/storage.h"

typedef enum { STATE_IDLE, STATE_WANTED, STATE_DONE } TransferState;

/* @lock guards what follows it; the rest belongs to the thread, or to the main loop's thread while
 * the state is not WANTED. */
typedef struct {
    gatomicrefcount refs; /* the stream's and the thread's */
    StorageVol *vol;
    RpcStream *stream;
    int fd;
    bool upload, sparse, regular;
    uint64_t position; /* in the file */
    uint64_t end;      /* of the window */

    uint8_t *data; /* the packet that is moved */
    size_t length;
    int64_t hole;   /* bytes of it that come before the data, or instead */
    ssize_t result; /* bytes moved, or -errno */

    GMutex lock;
    GCond changed;
    TransferState state;
    bool closed;
} Transfer;

static void
transfer_unref(Transfer *t)
{
    if (!g_atomic_ref_count_dec(&t->refs))
        return;
    rpc_stream_unref(t->stream);
    storage_vol_unref(t->vol);
    g_mutex_clear(&t->lock);
    g_cond_clear(&t->changed);
    g_free(t->data);
    g_free(t);
}

/* --- in the thread ---------------------------------------------------------------------------- */

/* Makes the next @t->hole bytes read as zeroes. */
static int
punch(Transfer *t)
{
    uint64_t end = t->position + (uint64_t)t->hole;
    struct stat st;

    if (fstat(t->fd, &st) < 0)
        return -errno;
    if (t->regular && (uint64_t)st.st_size < end && ftruncate(t->fd, (off_t)end) < 0)
        return -errno;
    if (fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)t->position,
                  (off_t)t->hole) < 0 &&
        errno != EOPNOTSUPP)
        return -errno;
    t->position = end;
    t->hole = 0;
    return 0;
}

static void
write_packet(Transfer *t)
{
    size_t done = 0;
    int r = t->hole ? punch(t) : 0;

    while (r == 0 && done < t->length) {
        ssize_t n = pwrite(t->fd, t->data + done, t->length - done, (off_t)t->position);

        if (n < 0 && errno != EINTR)
            r = -errno;
        else if (n > 0) {
            done += (size_t)n;
            t->position += (uint64_t)n;
        }
    }
    t->result = r ? r : (ssize_t)done;
}

/* Where the data ends or begins that is at the position now; sets @t->hole inside one. */
static uint64_t
find_border(Transfer *t)
{
    off_t data = lseek(t->fd, (off_t)t->position, SEEK_DATA);
    off_t hole;

    if (data < 0)
        data = errno == ENXIO ? lseek(t->fd, 0, SEEK_END) : (off_t)t->position;
    if ((uint64_t)data > t->position) {
        t->hole = (int64_t)(MIN((uint64_t)data, t->end) - t->position);
        return t->position;
    }
    hole = lseek(t->fd, (off_t)t->position, SEEK_HOLE);
    return hole > data ? MIN((uint64_t)hole, t->end) : t->end;
}

static void
read_packet(Transfer *t)
{
    uint64_t end = t->end;
    ssize_t n;

    t->hole = 0;
    if (t->sparse && t->position < t->end)
        end = find_border(t);
    if (t->hole) {
        t->position += (uint64_t)t->hole;
        t->result = 0;
        return;
    }
    do
        n = pread(t->fd, t->data, MIN(RPC_STREAM_CHUNK, end - t->position), (off_t)t->position);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        t->position += (uint64_t)n;
    t->result = n < 0 ? -errno : n;
}

static void *
transfer_thread(void *opaque)
{
    Transfer *t = opaque;

    g_mutex_lock(&t->lock);
    for (;;) {
        while (t->state != STATE_WANTED && !t->closed)
            g_cond_wait(&t->changed, &t->lock);
        if (t->closed)
            break;
        g_mutex_unlock(&t->lock);
        if (t->upload)
            write_packet(t);
        else
            read_packet(t);
        g_mutex_lock(&t->lock);
        t->state = STATE_DONE;
        rpc_stream_wake(t->stream);
    }
    g_mutex_unlock(&t->lock);
    close(t->fd);
    storage_vol_close(t->vol, t->upload);
    transfer_unref(t);
    return NULL;
}

/* --- in the main loop's thread ---------------------------------------------------------------- */

/* True when what was wanted is done; else it is wanted from now on. */
static bool
transfer_is_done(Transfer *t)
{
    bool done;

    g_mutex_lock(&t->lock);
    done = t->state == STATE_DONE;
    if (done)
        t->state = STATE_IDLE;
    g_mutex_unlock(&t->lock);
    return done;
}

static void
transfer_want(Transfer *t)
{
    g_mutex_lock(&t->lock);
    t->state = STATE_WANTED;
    g_cond_signal(&t->changed);
    g_mutex_unlock(&t->lock);
}

static bool
transfer_is_idle(Transfer *t)
{
    bool idle;

    g_mutex_lock(&t->lock);
    idle = t->state == STATE_IDLE;
    g_mutex_unlock(&t->lock);
    return idle;
}

static ssize_t
transfer_read(void *opaque, uint8_t *data, size_t len, int64_t *ret_hole)
{
    Transfer *t = opaque;

    (void)len; /* a stream asks for RPC_STREAM_CHUNK bytes */
    if (!transfer_is_done(t)) {
        if (transfer_is_idle(t))
            transfer_want(t);
        return -EAGAIN;
    }
    if (t->result > 0)
        memcpy(data, t->data, (size_t)t->result);
    *ret_hole = t->hole;
    return t->result;
}

static bool
fits(const Transfer *t, uint64_t length)
{
    return length <= t->end && t->position + (uint64_t)t->hole <= t->end - length;
}

static ssize_t
transfer_write(void *opaque, const uint8_t *data, size_t len)
{
    Transfer *t = opaque;

    if (transfer_is_done(t))
        return t->result;
    if (!transfer_is_idle(t))
        return -EAGAIN;
    t->length = MIN(len, RPC_STREAM_CHUNK);
    if (!fits(t, t->length))
        return -ENOSPC;
    memcpy(t->data, data, t->length);
    transfer_want(t);
    return -EAGAIN;
}

static int
transfer_write_hole(void *opaque, int64_t length)
{
    Transfer *t = opaque;

    if (!fits(t, (uint64_t)length))
        return -ENOSPC;
    t->hole += length;
    return 0;
}

static bool
transfer_finish(void *opaque, GError **err)
{
    Transfer *t = opaque;
    int r = t->upload && t->hole ? punch(t) : 0;

    return r == 0 ||
           kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, r,
                                "cannot make a hole at the end of '%s'", storage_vol_path(t->vol));
}

static void
transfer_close(void *opaque)
{
    Transfer *t = opaque;

    g_mutex_lock(&t->lock);
    t->closed = true;
    g_cond_signal(&t->changed);
    g_mutex_unlock(&t->lock);
    transfer_unref(t);
}

static const RpcStreamOps download_ops = {
    .read = transfer_read,
    .close = transfer_close,
};

static const RpcStreamOps upload_ops = {
    .write = transfer_write,
    .write_hole = transfer_write_hole,
    .finish = transfer_finish,
    .close = transfer_close,
};

/* --- the calls -------------------------------------------------------------------------------- */

static bool
transfer_start(Call *call, const VolumeTransferArgs *args, bool upload, bool sparse, GError **err)
{
    int fd = storage_vol_open(call->volume, upload, args->offset, err);
    struct stat st = { 0 };
    GThread *thread;
    Transfer *t;

    if (fd < 0)
        return false;
    fstat(fd, &st);
    t = g_new0(Transfer, 1);
    g_atomic_ref_count_init(&t->refs);
    g_atomic_ref_count_inc(&t->refs);
    g_mutex_init(&t->lock);
    g_cond_init(&t->changed);
    t->vol = storage_vol_ref(call->volume);
    t->fd = fd;
    t->upload = upload;
    t->sparse = sparse;
    t->regular = S_ISREG(st.st_mode);
    t->position = args->offset;
    t->end = args->length && args->length <= INT64_MAX - args->offset ? args->offset + args->length
                                                                      : INT64_MAX;
    t->data = g_malloc(RPC_STREAM_CHUNK);
    t->stream = call_open_stream(call, upload ? &upload_ops : &download_ops, t);
    thread = g_thread_new("volume", transfer_thread, t);
    g_thread_unref(thread);
    return true;
}

bool
call_storage_vol_upload(Call *call, const VolumeTransferArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return transfer_start(call, args, true, args->flags & VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM,
                          err);
}

bool
call_storage_vol_download(Call *call, const VolumeTransferArgs *args, WireVoid *ret, GError **err)
{
    (void)ret;
    return transfer_start(call, args, false, args->flags & VIR_STORAGE_VOL_DOWNLOAD_SPARSE_STREAM,
                          err);
}
