/* driver.c - the block protocol "nbd": an export of an NBD server as a node.
 *
 * Options as QEMU's: server.type (inet, unix, fd), server.host, server.port, server.path,
 * server.str, export, tls-creds, tls-hostname; or filename, a URI nbd://, nbds://, nbd+unix://,
 * nbds+unix:// or the older nbd:HOST:PORT[:exportname=NAME], nbd:unix:PATH[:exportname=NAME].
 *
 * Leaves out: reconnecting; a lost connection is -EIO for everything that follows.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "block/driver.h"
#include "block/nbd/client.h"
#include "block/nbd/nbd.h"
#include "util/error.h"

typedef struct {
    char *host, *port, *path, *fd_name; /* one of host, path and fd_name */
    char *export_;
    char *tls_creds, *tls_hostname;
    bool secure; /* a URI that asks for TLS */
} NbdSource;

typedef struct {
    NbdClient *client;
    uint64_t size;   /* exact */
    uint32_t unit;   /* the server's minimum block size */
    GRWLock partial; /* held for writing by who reads, changes and writes back a part of a block */
} NbdNode;

static void
source_clear(NbdSource *source)
{
    g_free(source->host);
    g_free(source->port);
    g_free(source->path);
    g_free(source->fd_name);
    g_free(source->export_);
    g_free(source->tls_creds);
    g_free(source->tls_hostname);
}

static char *
default_port(void)
{
    return g_strdup_printf("%d", NBD_DEFAULT_PORT);
}

/* ---- names ---- */

static bool
source_from_uri(NbdSource *source, const char *filename, GError **err)
{
    g_autoptr(GUri) uri = g_uri_parse(filename, G_URI_FLAGS_NONE, err);
    g_autoptr(GHashTable) query = NULL;
    const char *scheme, *path;
    bool is_unix;

    if (!uri)
        return false;
    scheme = g_uri_get_scheme(uri);
    source->secure = g_str_has_prefix(scheme, "nbds");
    is_unix = g_str_has_suffix(scheme, "+unix");
    if (!is_unix && !g_str_has_suffix(scheme, "+tcp") && strchr(scheme, '+'))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "'%s': NBD goes over tcp or unix sockets, not '%s'", filename,
                              scheme);
    if (g_uri_get_query(uri)) {
        query = g_uri_parse_params(g_uri_get_query(uri), -1, "&;", G_URI_PARAMS_NONE, err);
        if (!query)
            return false;
    }
    path = g_uri_get_path(uri);
    source->export_ = g_strdup(*path == '/' ? path + 1 : path);
    if (is_unix) {
        source->path = query ? g_strdup(g_hash_table_lookup(query, "socket")) : NULL;
        if (!source->path)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "'%s' needs ?socket=PATH for its unix socket", filename);
        return true;
    }
    source->host = g_strdup(g_uri_get_host(uri));
    if (!source->host || !*source->host)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "'%s' names no host", filename);
    source->port =
        g_uri_get_port(uri) > 0 ? g_strdup_printf("%d", g_uri_get_port(uri)) : default_port();
    return true;
}

/* nbd:HOST:PORT and nbd:unix:PATH, each with an optional :exportname=NAME. */
static bool
source_from_text(NbdSource *source, const char *filename, GError **err)
{
    const char *rest = filename + strlen("nbd:");
    const char *name = strstr(rest, ":exportname=");
    g_autofree char *place = name ? g_strndup(rest, (gsize)(name - rest)) : g_strdup(rest);
    char *colon;

    source->export_ = g_strdup(name ? name + strlen(":exportname=") : "");
    if (g_str_has_prefix(place, "unix:")) {
        source->path = g_strdup(place + strlen("unix:"));
        return true;
    }
    colon = strrchr(place, ':');
    if (!colon || colon == place || !colon[1])
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "'%s' is not nbd:HOST:PORT or nbd:unix:PATH", filename);
    source->port = g_strdup(colon + 1);
    *colon = '\0';
    if (*place == '[' && colon > place + 1 && colon[-1] == ']') {
        colon[-1] = '\0';
        source->host = g_strdup(place + 1);
    } else {
        source->host = g_steal_pointer(&place);
    }
    return true;
}

static void
take_text(BlockOptions *opts, const char *key, char **ret)
{
    char *text = block_options_take(opts, key);

    if (text) {
        g_free(*ret);
        *ret = text;
    }
}

static bool
source_take(NbdSource *source, BlockOptions *opts, GError **err)
{
    static const char *const types[] = { "inet", "unix", "fd", NULL };
    g_autofree char *filename = block_options_take(opts, "filename");
    int type = 0;
    bool fine;

    if (filename && strstr(filename, "://"))
        fine = source_from_uri(source, filename, err);
    else
        fine = !filename || source_from_text(source, filename, err);
    if (!fine || !block_options_take_enum(opts, "server.type", types, &type, err))
        return false;
    take_text(opts, "server.host", &source->host);
    take_text(opts, "server.port", &source->port);
    take_text(opts, "server.path", &source->path);
    take_text(opts, "server.str", &source->fd_name);
    take_text(opts, "host", &source->host);
    take_text(opts, "port", &source->port);
    take_text(opts, "path", &source->path);
    take_text(opts, "export", &source->export_);
    take_text(opts, "tls-creds", &source->tls_creds);
    take_text(opts, "tls-hostname", &source->tls_hostname);
    if (!source->export_)
        source->export_ = g_strdup("");
    if (source->host && !source->port)
        source->port = default_port();
    if (!source->host + !source->path + !source->fd_name != 2)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "block driver 'nbd' needs one of 'server.host', 'server.path' and "
                              "'server.str' (a descriptor), or a URI as 'filename'");
    if (source->secure && !source->tls_creds)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "'%s' asks for TLS; give 'tls-creds' as well", filename);
    return true;
}

/* ---- opening ---- */

static int
source_connect(const NbdSource *source, const BlockImageOptions *image, GError **err)
{
    if (source->host)
        return nbd_connect_inet(source->host, source->port, err);
    if (source->path)
        return nbd_connect_unix(source->path, err);
    if (image->ops.open_file)
        return image->ops.open_file(image->ops.opaque, source->fd_name, O_RDWR | O_CLOEXEC, err);
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "'server.str' names no descriptor here");
    return -1;
}

static bool
source_tls(const NbdSource *source, const BlockImageOptions *image, NbdTls **ret, GError **err)
{
    *ret = NULL;
    if (!source->tls_creds)
        return true;
    if (!image->ops.tls)
        return kiln_error_set(err, VIR_ERR_NO_SUPPORT,
                              "'tls-creds=%s': NBD by TLS is not offered here", source->tls_creds);
    *ret = image->ops.tls(image->ops.opaque, source->tls_creds,
                      source->tls_hostname ? source->tls_hostname : source->host, err);
    return *ret != NULL;
}

static bool
nbd_open_source(BlockNode *node, const NbdSource *source, const BlockImageOptions *image,
                GError **err)
{
    NbdNode *state = node->state;
    g_autoptr(NbdStream) stream = NULL;
    NbdTls *tls;
    NbdInfo info;
    bool structured;
    int fd;

    if (!source_tls(source, image, &tls, err))
        return false;
    fd = source_connect(source, image, err);
    if (fd < 0)
        return false;
    stream = nbd_stream_new(fd);
    if (!nbd_negotiate_hello(stream, tls, true, &structured, err) ||
        !nbd_negotiate_go(stream, source->export_, structured, &info, err))
        return false;
    state->client = nbd_client_new(g_steal_pointer(&stream), &info, err);
    if (!state->client)
        return false;
    state->size = nbd_client_info(state->client)->size;
    state->unit = MAX(nbd_client_info(state->client)->minimum, 1u);
    node->size = state->size;
    if (nbd_client_info(state->client)->flags & NBD_READ_ONLY && !node->read_only)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "NBD export '%s' is read-only; open it for reading only",
                              source->export_);
    return true;
}

static bool
nbd_open(BlockNode *node, BlockOptions *opts, BlockOpening *opening, GError **err)
{
    NbdNode *state = node->state;
    NbdSource source = { 0 };
    bool fine;

    g_rw_lock_init(&state->partial);
    fine = source_take(&source, opts, err);
    if (fine) {
        node->fixed = true;
        node->filename =
            source.path   ? g_strdup_printf("nbd+unix:///%s?socket=%s", source.export_, source.path)
            : source.host ? g_strdup_printf("nbd://%s:%s%s%s", source.host, source.port,
                                            *source.export_ ? "/" : "", source.export_)
                          : g_strdup_printf("nbd:%s", source.fd_name);
        fine = nbd_open_source(node, &source, block_opening_image(opening), err);
    }
    source_clear(&source);
    return fine;
}

static void
nbd_close(BlockNode *node)
{
    NbdNode *state = node->state;

    if (!state)
        return;
    nbd_client_free(state->client);
    g_rw_lock_clear(&state->partial);
}

/* ---- I/O ---- */

/* [offset, offset + length) widened to the server's blocks, in a buffer of the caller's to free. */
static int
read_blocks(NbdNode *state, uint64_t offset, size_t length, uint8_t **ret, uint64_t *ret_low,
            size_t *ret_length)
{
    uint64_t low = offset / state->unit * state->unit;
    uint64_t high = (offset + length + state->unit - 1) / state->unit * state->unit;

    *ret_low = low;
    *ret_length = high - low;
    *ret = g_try_malloc(high - low);
    return *ret ? nbd_client_read(state->client, low, *ret, high - low) : -ENOMEM;
}

static bool
is_aligned(const NbdNode *state, uint64_t offset, uint64_t length)
{
    return offset % state->unit == 0 && length % state->unit == 0;
}

static int
nbd_pread(BlockNode *node, uint64_t offset, void *buf, size_t length)
{
    NbdNode *state = node->state;
    size_t inside = offset < state->size ? MIN(length, state->size - offset) : 0;
    g_autofree uint8_t *blocks = NULL;
    uint64_t low;
    size_t room;
    int r;

    memset((uint8_t *)buf + inside, 0, length - inside);
    if (inside == 0)
        return 0;
    if (is_aligned(state, offset, inside))
        return nbd_client_read(state->client, offset, buf, inside);
    r = read_blocks(state, offset, inside, &blocks, &low, &room);
    if (r == 0)
        memcpy(buf, blocks + (offset - low), inside);
    return r;
}

static int
nbd_pwrite(BlockNode *node, uint64_t offset, const void *buf, size_t length, BlockFlags flags)
{
    NbdNode *state = node->state;
    g_autofree uint8_t *blocks = NULL;
    uint64_t low;
    size_t room;
    int r;

    if (offset > state->size || length > state->size - offset)
        return -ENOSPC;
    if (is_aligned(state, offset, length)) {
        g_rw_lock_reader_lock(&state->partial);
        r = nbd_client_write(state->client, offset, buf, length, flags & BLOCK_FUA);
        g_rw_lock_reader_unlock(&state->partial);
        return r;
    }
    g_rw_lock_writer_lock(&state->partial);
    r = read_blocks(state, offset, length, &blocks, &low, &room);
    if (r == 0) {
        memcpy(blocks + (offset - low), buf, length);
        r = nbd_client_write(state->client, low, blocks, room, flags & BLOCK_FUA);
    }
    g_rw_lock_writer_unlock(&state->partial);
    return r;
}

/* Zeroes at the ends of a range that has no whole blocks there are written as data. */
static int
nbd_write_zeroes(BlockNode *node, uint64_t offset, uint64_t length, BlockFlags flags)
{
    NbdNode *state = node->state;
    uint64_t end = offset + length;
    uint64_t low = (offset + state->unit - 1) / state->unit * state->unit;
    uint64_t high = end / state->unit * state->unit;
    g_autofree uint8_t *zeroes = NULL;
    int r = 0;

    if (offset > state->size || length > state->size - offset)
        return -ENOSPC;
    if (low != offset || high != end)
        zeroes = g_malloc0(state->unit);
    if (low >= high && (low != offset || high != end)) {
        /* inside two blocks at most */
        size_t first = MIN(low, end) - offset;

        if (first > 0)
            r = nbd_pwrite(node, offset, zeroes, first, flags);
        if (r == 0 && offset + first < end)
            r = nbd_pwrite(node, offset + first, zeroes, end - offset - first, flags);
        return r;
    }
    if (low > offset)
        r = nbd_pwrite(node, offset, zeroes, low - offset, flags);
    if (r == 0 && end > high)
        r = nbd_pwrite(node, high, zeroes, end - high, flags);
    if (r == 0 && high > low) {
        g_rw_lock_reader_lock(&state->partial);
        r = nbd_client_write_zeroes(state->client, low, high - low, flags & BLOCK_UNMAP,
                                    flags & BLOCK_FUA);
        g_rw_lock_reader_unlock(&state->partial);
    }
    return r;
}

static int
nbd_discard(BlockNode *node, uint64_t offset, uint64_t length)
{
    NbdNode *state = node->state;
    uint64_t end = MIN(offset + length, state->size);
    uint64_t low = (offset + state->unit - 1) / state->unit * state->unit;
    uint64_t high = end / state->unit * state->unit;

    return high > low ? nbd_client_trim(state->client, low, high - low) : 0;
}

static int
nbd_flush(BlockNode *node)
{
    NbdNode *state = node->state;

    return node->read_only ? 0 : nbd_client_flush(state->client);
}

static int
nbd_status(BlockNode *node, uint64_t offset, uint64_t length, BlockStatus *ret)
{
    NbdNode *state = node->state;
    uint64_t low = offset / state->unit * state->unit, part;
    uint32_t flags = 0;
    int r;

    ret->flags = BLOCK_STATUS_ALLOCATED;
    ret->length = length;
    if (offset >= state->size) {
        ret->flags |= BLOCK_STATUS_ZERO | BLOCK_STATUS_EOF;
        return 0;
    }
    part = MIN(offset + length, state->size) - low;
    part = (part + state->unit - 1) / state->unit * state->unit;
    r = nbd_client_status(state->client, low, &part, &flags);
    if (r < 0)
        return r;
    if (part <= offset - low)
        return -EIO; /* less than a block: against the protocol */
    ret->length = MIN(length, part - (offset - low));
    if (!(flags & NBD_STATE_HOLE))
        ret->flags |= BLOCK_STATUS_DATA;
    if (flags & NBD_STATE_ZERO)
        ret->flags |= BLOCK_STATUS_ZERO;
    if (offset + ret->length >= state->size)
        ret->flags |= BLOCK_STATUS_EOF;
    return 0;
}

const BlockDriver block_nbd_driver = {
    .name = "nbd",
    .is_protocol = true,
    .state_size = sizeof(NbdNode),
    .open = nbd_open,
    .close = nbd_close,
    .pread = nbd_pread,
    .pwrite = nbd_pwrite,
    .write_zeroes = nbd_write_zeroes,
    .discard = nbd_discard,
    .flush = nbd_flush,
    .status = nbd_status,
};
