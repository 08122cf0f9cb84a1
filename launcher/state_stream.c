/* state_stream.c - writing and reading the stream of a saved guest.
 *
 * Both sides keep a page-aligned buffer, which serves descriptors opened with O_DIRECT and spares
 * system calls for small pieces; large pieces of others bypass it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/state_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hw/core/bytes.h"
#include "launcher/state_zstd.h"
#include "util/error.h"

enum {
    STREAM_BUFFER = 1 << 20,
    STREAM_BLOCK = 4096,
    STREAM_WAIT_MS = 200, /* how long a cancellation may go unseen */
    HEAD_SIZE = 16,
    SECTION_HEAD = 16,
    END_SIZE = 12,
    GROW = 1 << 20,
};
static const char stream_magic[8] = { 'K', 'I', 'L', 'N', 'V', 'M', '\r', '\n' };

/* A descriptor, read or written without ever waiting where a cancellation is not seen. */
typedef struct {
    int fd;
    bool direct, regular;
    const gint *cancel;
} StreamFile;

struct StateWriter {
    StreamFile file;
    uint8_t *buffer;
    size_t used;
    int error;
    uint32_t crc, whole;
    uint64_t sections, bytes;
};

struct StateReader {
    StreamFile file;
    const uint8_t *memory; /* instead of the file */
    size_t memory_len;
    uint8_t *buffer;
    size_t start, used;  /* of what is in the buffer */
    StateUnzstd *unzstd; /* NULL: not packed */
    bool begun;
    uint32_t crc, whole;
    uint64_t sections, bytes, left;
};

static uint8_t *
stream_buffer_new(void)
{
    void *buffer =
        mmap(NULL, STREAM_BUFFER, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return buffer == MAP_FAILED ? NULL : buffer;
}

static void
stream_file_init(StreamFile *file, int fd, const gint *cancel)
{
    int flags = fcntl(fd, F_GETFL);
    struct stat st;

    file->fd = fd;
    file->cancel = cancel;
    file->direct = flags >= 0 && flags & O_DIRECT;
    file->regular = fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISBLK(st.st_mode));
    if (!file->regular && flags >= 0)
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* Moves up to @len bytes; 0 at the end of the file, or -errno. */
static ssize_t
stream_file_move(const StreamFile *file, uint8_t *data, size_t len, bool out)
{
    for (;;) {
        struct pollfd wait = { .fd = file->fd, .events = out ? POLLOUT : POLLIN };
        ssize_t n;

        if (file->cancel && g_atomic_int_get(file->cancel))
            return -ECANCELED;
        if (!file->regular && poll(&wait, 1, STREAM_WAIT_MS) <= 0)
            continue;
        n = out ? write(file->fd, data, len) : read(file->fd, data, len);
        if (n >= 0)
            return n;
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
}

/* ---- writing ---- */

StateWriter *
state_writer_new(int fd, const gint *cancel)
{
    StateWriter *w = g_new0(StateWriter, 1);
    uint8_t head[HEAD_SIZE];

    stream_file_init(&w->file, fd, cancel);
    w->buffer = stream_buffer_new();
    if (!w->buffer)
        w->error = -ENOMEM;
    memcpy(head, stream_magic, sizeof(stream_magic));
    bytes_store(head + 8, STATE_VERSION, 4);
    bytes_store(head + 12, state_checksum(0, head, 12), 4);
    state_writer_put(w, head, sizeof(head));
    return w;
}

void
state_writer_free(StateWriter *w)
{
    if (!w)
        return;
    if (w->buffer)
        munmap(w->buffer, STREAM_BUFFER);
    g_free(w);
}

static void
writer_out(StateWriter *w, const uint8_t *data, size_t len)
{
    while (len > 0 && w->error == 0) {
        ssize_t n = stream_file_move(&w->file, (uint8_t *)data, len, true);

        if (n <= 0) {
            w->error = n < 0 ? (int)n : -EIO;
            break;
        }
        data += n;
        len -= (size_t)n;
    }
}

static void
writer_flush(StateWriter *w)
{
    writer_out(w, w->buffer, w->used);
    w->used = 0;
}

void
state_writer_put(StateWriter *w, const void *data, size_t len)
{
    const uint8_t *p = data;

    w->bytes += len;
    w->crc = state_checksum(w->crc, data, len);
    if (w->error == 0 && !w->file.direct && len >= STREAM_BUFFER) {
        writer_flush(w);
        writer_out(w, p, len);
        return;
    }
    while (len > 0 && w->error == 0) {
        size_t n = MIN(len, STREAM_BUFFER - w->used);

        memcpy(w->buffer + w->used, p, n);
        w->used += n;
        p += n;
        len -= n;
        if (w->used == STREAM_BUFFER)
            writer_flush(w);
    }
}

void
state_writer_begin(StateWriter *w, StateKind kind, uint64_t length)
{
    uint8_t head[SECTION_HEAD];

    bytes_store(head, kind, 4);
    bytes_store(head + 4, 0, 4);
    bytes_store(head + 8, length, 8);
    w->crc = 0;
    state_writer_put(w, head, sizeof(head));
}

void
state_writer_end(StateWriter *w)
{
    uint8_t crc[4];

    bytes_store(crc, w->crc, 4);
    w->whole = state_checksum(w->whole, crc, sizeof(crc));
    w->sections++;
    state_writer_put(w, crc, sizeof(crc));
}

void
state_writer_section(StateWriter *w, StateKind kind, const void *data, size_t len)
{
    state_writer_begin(w, kind, len);
    state_writer_put(w, data, len);
    state_writer_end(w);
}

int
state_writer_error(const StateWriter *w)
{
    return w->error;
}

uint64_t
state_writer_bytes(const StateWriter *w)
{
    return w->bytes;
}

int
state_writer_finish(StateWriter *w)
{
    uint8_t end[END_SIZE];
    size_t whole;
    int flags;

    bytes_store(end, w->sections, 8);
    bytes_store(end + 8, w->whole, 4);
    state_writer_section(w, STATE_END, end, sizeof(end));
    whole = w->used - w->used % STREAM_BLOCK;
    writer_out(w, w->buffer, whole);
    if (w->error == 0 && w->file.direct && whole < w->used) {
        /* the last piece is no whole block */
        flags = fcntl(w->file.fd, F_GETFL);
        if (flags < 0 || fcntl(w->file.fd, F_SETFL, flags & ~O_DIRECT) < 0)
            w->error = -errno;
    }
    writer_out(w, w->buffer + whole, w->used - whole);
    w->used = 0;
    return w->error;
}

/* ---- reading ---- */

StateReader *
state_reader_new(int fd, const gint *cancel)
{
    StateReader *r = g_new0(StateReader, 1);

    stream_file_init(&r->file, fd, cancel);
    r->buffer = stream_buffer_new();
    return r;
}

StateReader *
state_reader_new_memory(const uint8_t *data, size_t len)
{
    StateReader *r = g_new0(StateReader, 1);

    r->file.fd = -1;
    r->memory = data;
    r->memory_len = len;
    r->buffer = stream_buffer_new();
    return r;
}

void
state_reader_free(StateReader *r)
{
    if (!r)
        return;
    state_unzstd_free(r->unzstd);
    if (r->buffer)
        munmap(r->buffer, STREAM_BUFFER);
    g_free(r);
}

uint64_t
state_reader_bytes(const StateReader *r)
{
    return r->bytes;
}

/* Bytes as they lie in the file. */
static ssize_t
reader_raw(void *opaque, uint8_t *data, size_t len)
{
    StateReader *r = opaque;
    size_t n;

    if (r->file.fd >= 0)
        return stream_file_move(&r->file, data, len, false);
    n = MIN(len, r->memory_len);
    if (n > 0)
        memcpy(data, r->memory, n);
    r->memory += n;
    r->memory_len -= n;
    return (ssize_t)n;
}

static ssize_t
reader_in(StateReader *r, uint8_t *data, size_t len)
{
    return r->unzstd ? state_unzstd_read(r->unzstd, data, len) : reader_raw(r, data, len);
}

static bool
reader_failed(ssize_t n, GError **err)
{
    if (n == 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved guest is damaged: it ends too early");
    if (n == -EBADMSG)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved guest is damaged: it cannot be unpacked");
    return kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, (int)n,
                                "the saved guest cannot be read");
}

static bool
reader_fill(StateReader *r, GError **err)
{
    ssize_t n = r->buffer ? reader_in(r, r->buffer, STREAM_BUFFER) : -ENOMEM;

    if (n <= 0)
        return reader_failed(n, err);
    r->start = 0;
    r->used = (size_t)n;
    return true;
}

static bool
reader_get(StateReader *r, void *data, size_t len, GError **err)
{
    uint8_t *to = data;

    r->bytes += len;
    while (len > 0) {
        size_t n = MIN(len, r->used);

        if (n > 0) {
            memcpy(to, r->buffer + r->start, n);
            r->start += n;
            r->used -= n;
        } else if (!r->file.direct && len >= STREAM_BUFFER) {
            ssize_t got = reader_in(r, to, len);

            if (got <= 0)
                return reader_failed(got, err);
            n = (size_t)got;
        } else if (!reader_fill(r, err)) {
            return false;
        }
        to += n;
        len -= n;
    }
    return true;
}

/* What is in the buffer is packed: hands it to the unpacker. */
static bool
reader_unpack(StateReader *r, GError **err)
{
    r->unzstd = state_unzstd_new(r->buffer + r->start, r->used, reader_raw, r, err);
    r->start = r->used = 0;
    return r->unzstd != NULL;
}

static bool
reader_begin(StateReader *r, GError **err)
{
    uint8_t head[HEAD_SIZE];
    uint32_t version;

    r->begun = true;
    if (!reader_fill(r, err))
        return false;
    if (r->used >= 4 && state_is_zstd(r->buffer) && !reader_unpack(r, err))
        return false;
    if (!reader_get(r, head, sizeof(head), err))
        return false;
    if (memcmp(head, stream_magic, sizeof(stream_magic)) != 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "this is not a guest saved by kiln-vmm");
    version = bytes_load32(head + 8);
    if (state_checksum(0, head, 12) != bytes_load32(head + 12))
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved guest is damaged: the checksum of its head is wrong");
    return version == STATE_VERSION ||
           kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                          "the guest was saved in format %u by another version of kiln-vmm; this "
                          "one reads format %d",
                          version, STATE_VERSION);
}

bool
state_reader_take(StateReader *r, void *data, size_t len, GError **err)
{
    if (len > r->left)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved guest is damaged: a section is shorter than it must be");
    if (!reader_get(r, data, len, err))
        return false;
    r->left -= len;
    r->crc = state_checksum(r->crc, data, len);
    return true;
}

bool
state_reader_end(StateReader *r, GError **err)
{
    uint8_t crc[4];

    if (r->left > 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved guest is damaged: a section is longer than it may be");
    if (!reader_get(r, crc, sizeof(crc), err))
        return false;
    if (bytes_load32(crc) != r->crc)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved guest is damaged: checksum 0x%08x, expected 0x%08x",
                              r->crc, bytes_load32(crc));
    r->whole = state_checksum(r->whole, crc, sizeof(crc));
    r->sections++;
    return true;
}

static bool
reader_finish(StateReader *r, GError **err)
{
    uint64_t sections = r->sections;
    uint32_t whole = r->whole;
    uint8_t end[END_SIZE];

    if (!state_reader_take(r, end, sizeof(end), err) || !state_reader_end(r, err))
        return false;
    return (bytes_load64(end) == sections && bytes_load32(end + 8) == whole) ||
           kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                          "the saved guest is damaged: parts of it are missing");
}

int
state_reader_next(StateReader *r, uint64_t *ret_length, GError **err)
{
    uint8_t head[SECTION_HEAD];
    uint32_t kind;

    if ((!r->begun && !reader_begin(r, err)) || !reader_get(r, head, sizeof(head), err))
        return -1;
    kind = bytes_load32(head);
    r->left = bytes_load64(head + 8);
    r->crc = state_checksum(0, head, sizeof(head));
    if (kind > STATE_DEVICES || bytes_load32(head + 4) != 0) {
        kiln_error_set(
            err, VIR_ERR_OPERATION_FAILED,
            "the saved guest has a section of an unknown kind %u: it is damaged, or of a "
            "newer kiln-vmm",
            kind);
        return -1;
    }
    if (kind == STATE_END && !reader_finish(r, err))
        return -1;
    *ret_length = r->left;
    return (int)kind;
}

GByteArray *
state_reader_section(StateReader *r, uint64_t length, uint64_t max, GError **err)
{
    g_autoptr(GByteArray) data = g_byte_array_new();

    if (length > max) {
        kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                       "the saved guest is damaged: a section claims %" G_GUINT64_FORMAT
                       " bytes, the limit is %" G_GUINT64_FORMAT,
                       length, max);
        return NULL;
    }
    while (data->len < length) {
        guint at = data->len, n = (guint)MIN(length - at, GROW);

        g_byte_array_set_size(data, at + n);
        if (!state_reader_take(r, data->data + at, n, err))
            return NULL;
    }
    return state_reader_end(r, err) ? g_steal_pointer(&data) : NULL;
}
