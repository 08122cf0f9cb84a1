/* negotiate.c - the server's side of the fixed newstyle negotiation.
 *
 * What a client may ask before it has an export is bounded: the length of each option, their
 * number, and the time between its bytes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block/nbd/server_private.h"

#include <errno.h>
#include <string.h>

#include "block/nbd/cursor.h"
#include "util/error.h"

enum {
    TIMEOUT_SECONDS = 10,
    OPTIONS_MAX = 1000,
    QUERIES_MAX = 1000,
    CONTEXTS_MAX = 256,
    FIRST_BITMAP_ID = 3,
};

typedef struct {
    NbdConnection *c;
    uint32_t option;
    NbdCursor data;
    char *contexts_of; /* the export whose contexts were selected */
    bool no_zeroes;
} Negotiation;

static int
reply_pieces(const Negotiation *n, uint32_t type, const struct iovec *pieces, unsigned n_pieces)
{
    struct __attribute__((packed)) {
        uint64_t magic;
        uint32_t option, type, length;
    } head = {
        .magic = GUINT64_TO_BE(NBD_OPTION_REPLY_MAGIC),
        .option = GUINT32_TO_BE(n->option),
        .type = GUINT32_TO_BE(type),
    };
    struct iovec iov[6] = { { .iov_base = &head, .iov_len = sizeof(head) } };
    size_t length = 0;

    for (unsigned i = 0; i < n_pieces; i++) {
        iov[1 + i] = pieces[i];
        length += pieces[i].iov_len;
    }
    head.length = GUINT32_TO_BE((uint32_t)length);
    return nbd_stream_write(n->c->stream, iov, 1 + n_pieces);
}

static int
reply(const Negotiation *n, uint32_t type)
{
    return reply_pieces(n, type, NULL, 0);
}

static int
reply_error(const Negotiation *n, uint32_t type, const char *text)
{
    struct iovec piece = { .iov_base = (void *)text, .iov_len = strlen(text) };

    return reply_pieces(n, type, &piece, 1);
}

static NbdExport *
export_find(const NbdConnection *c, const char *name)
{
    for (guint i = 0; i < c->server->exports->len; i++) {
        NbdExport *export_ = g_ptr_array_index(c->server->exports, i);

        if (strcmp(export_->name, name) == 0)
            return export_;
    }
    return NULL;
}

/* ---- exports ---- */

static int
option_list(Negotiation *n)
{
    if (n->data.left > 0)
        return reply_error(n, NBD_REP_ERR_INVALID, "this option has no data");
    for (guint i = 0; i < n->c->server->exports->len; i++) {
        const NbdExport *export_ = g_ptr_array_index(n->c->server->exports, i);
        uint32_t length = GUINT32_TO_BE((uint32_t)strlen(export_->name));
        struct iovec pieces[] = {
            { .iov_base = &length, .iov_len = sizeof(length) },
            { .iov_base = export_->name, .iov_len = strlen(export_->name) },
            { .iov_base = export_->description,
              .iov_len = export_->description ? strlen(export_->description) : 0 },
        };
        int r = reply_pieces(n, NBD_REP_SERVER, pieces, G_N_ELEMENTS(pieces));

        if (r < 0)
            return r;
    }
    return reply(n, NBD_REP_ACK);
}

static int
info_text(const Negotiation *n, uint16_t kind, const char *text)
{
    uint16_t type = GUINT16_TO_BE(kind);
    struct iovec pieces[] = {
        { .iov_base = &type, .iov_len = sizeof(type) },
        { .iov_base = (void *)text, .iov_len = strlen(text) },
    };

    return reply_pieces(n, NBD_REP_INFO, pieces, G_N_ELEMENTS(pieces));
}

static int
info_block_size(const Negotiation *n, const NbdExport *export_)
{
    struct __attribute__((packed)) {
        uint16_t type;
        uint32_t minimum, preferred, maximum;
    } info = {
        .type = GUINT16_TO_BE(NBD_INFO_BLOCK_SIZE),
        .minimum = GUINT32_TO_BE(1),
        .preferred =
            GUINT32_TO_BE(MAX(4096u, MIN(block_node_cluster_size(export_->node), 1u << 20))),
        .maximum = GUINT32_TO_BE(NBD_BUFFER_MAX),
    };
    struct iovec piece = { .iov_base = &info, .iov_len = sizeof(info) };

    return reply_pieces(n, NBD_REP_INFO, &piece, 1);
}

static int
info_export(const Negotiation *n, const NbdExport *export_)
{
    struct __attribute__((packed)) {
        uint16_t type;
        uint64_t size;
        uint16_t flags;
    } info = {
        .type = GUINT16_TO_BE(NBD_INFO_EXPORT),
        .size = GUINT64_TO_BE(block_node_size(export_->node)),
        .flags = GUINT16_TO_BE(nbd_export_flags(export_, n->c->structured)),
    };
    struct iovec piece = { .iov_base = &info, .iov_len = sizeof(info) };

    return reply_pieces(n, NBD_REP_INFO, &piece, 1);
}

/* INFO and GO. */
static int
option_go(Negotiation *n)
{
    g_autofree char *name = NULL;
    bool name_wanted = false, description_wanted = false;
    uint32_t length;
    uint16_t count, kind;
    NbdExport *export_;
    int r = 0;

    if (!nbd_cursor_u32(&n->data, &length) || length > NBD_STRING_MAX ||
        !nbd_cursor_text(&n->data, length, &name) || !nbd_cursor_u16(&n->data, &count) ||
        n->data.left != count * sizeof(uint16_t))
        return reply_error(n, NBD_REP_ERR_INVALID, "the lengths in this option do not add up");
    while (nbd_cursor_u16(&n->data, &kind)) {
        name_wanted |= kind == NBD_INFO_NAME;
        description_wanted |= kind == NBD_INFO_DESCRIPTION;
    }
    export_ = export_find(n->c, name);
    if (!export_)
        return reply_error(n, NBD_REP_ERR_UNKNOWN, "there is no export with this name");
    if (name_wanted)
        r = info_text(n, NBD_INFO_NAME, export_->name);
    if (r == 0 && description_wanted && export_->description)
        r = info_text(n, NBD_INFO_DESCRIPTION, export_->description);
    if (r == 0)
        r = info_block_size(n, export_);
    if (r == 0)
        r = info_export(n, export_);
    if (r == 0)
        r = reply(n, NBD_REP_ACK);
    if (r < 0 || n->option != NBD_OPT_GO)
        return r;
    if (g_strcmp0(n->contexts_of, name) != 0)
        g_array_set_size(n->c->contexts, 0);
    n->c->export_ = export_;
    return 1;
}

/* The old way, which can only close the connection on a name that is not there. */
static int
option_export_name(Negotiation *n)
{
    g_autofree char *name = NULL;
    struct __attribute__((packed)) {
        uint64_t size;
        uint16_t flags;
        uint8_t zeroes[124];
    } answer = { 0 };
    struct iovec piece = { .iov_base = &answer,
                           .iov_len = sizeof(answer) - (n->no_zeroes ? sizeof(answer.zeroes) : 0) };
    NbdExport *export_;
    int r;

    if (!nbd_cursor_text(&n->data, n->data.left, &name) || !(export_ = export_find(n->c, name)))
        return -ENOENT;
    answer.size = GUINT64_TO_BE(block_node_size(export_->node));
    answer.flags = GUINT16_TO_BE(nbd_export_flags(export_, n->c->structured));
    r = nbd_stream_write(n->c->stream, &piece, 1);
    if (r < 0)
        return r;
    if (g_strcmp0(n->contexts_of, name) != 0)
        g_array_set_size(n->c->contexts, 0);
    n->c->export_ = export_;
    return 1;
}

/* ---- meta contexts ---- */

static int
context_offer(Negotiation *n, NbdContextKind kind, uint32_t id, const char *name, unsigned bitmap)
{
    uint32_t wire_id = GUINT32_TO_BE(n->option == NBD_OPT_SET_META_CONTEXT ? id : 0);
    struct iovec pieces[] = {
        { .iov_base = &wire_id, .iov_len = sizeof(wire_id) },
        { .iov_base = (void *)name, .iov_len = strlen(name) },
    };

    if (n->option == NBD_OPT_SET_META_CONTEXT) {
        NbdContext context = { .id = id, .kind = kind, .bitmap = bitmap };

        for (guint i = 0; i < n->c->contexts->len; i++) {
            if (g_array_index(n->c->contexts, NbdContext, i).id == id)
                return 0;
        }
        if (n->c->contexts->len >= CONTEXTS_MAX)
            return 0;
        g_array_append_val(n->c->contexts, context);
    }
    return reply_pieces(n, NBD_REP_META_CONTEXT, pieces, G_N_ELEMENTS(pieces));
}

/* Whether @query selects @name: exactly so, or when listing also by the namespace alone ("base:",
 * "qemu:dirty-bitmap:"), or by no query at all (NULL). */
static bool
query_selects(const Negotiation *n, const char *query, const char *name)
{
    if (!query)
        return true;
    if (strcmp(query, name) == 0)
        return true;
    return n->option == NBD_OPT_LIST_META_CONTEXT && g_str_has_suffix(query, ":") &&
           g_str_has_prefix(name, query);
}

static int
query_answer(Negotiation *n, const NbdExport *export_, const char *query)
{
    int r = 0;

    if (query_selects(n, query, NBD_CONTEXT_ALLOCATION))
        r = context_offer(n, NBD_CONTEXT_IS_ALLOCATION, 1, NBD_CONTEXT_ALLOCATION, 0);
    if (r == 0 && export_->allocation_depth && query_selects(n, query, NBD_CONTEXT_DEPTH))
        r = context_offer(n, NBD_CONTEXT_IS_DEPTH, 2, NBD_CONTEXT_DEPTH, 0);
    for (unsigned i = 0; r == 0 && export_->bitmaps && export_->bitmaps[i]; i++) {
        g_autofree char *name = g_strconcat(NBD_CONTEXT_BITMAP, export_->bitmaps[i], NULL);

        if (query_selects(n, query, name))
            r = context_offer(n, NBD_CONTEXT_IS_BITMAP, FIRST_BITMAP_ID + i, name, i);
    }
    return r;
}

static int
option_meta_context(Negotiation *n)
{
    g_autofree char *name = NULL;
    uint32_t length, queries;
    NbdExport *export_;
    int r = 0;

    if (!n->c->structured)
        return reply_error(n, NBD_REP_ERR_INVALID, "structured replies have to be agreed on first");
    if (n->option == NBD_OPT_SET_META_CONTEXT) {
        g_array_set_size(n->c->contexts, 0);
        g_clear_pointer(&n->contexts_of, g_free);
    }
    if (!nbd_cursor_u32(&n->data, &length) || length > NBD_STRING_MAX ||
        !nbd_cursor_text(&n->data, length, &name) || !nbd_cursor_u32(&n->data, &queries) ||
        queries > QUERIES_MAX)
        return reply_error(n, NBD_REP_ERR_INVALID, "the lengths in this option do not add up");
    export_ = export_find(n->c, name);
    if (!export_)
        return reply_error(n, NBD_REP_ERR_UNKNOWN, "there is no export with this name");
    if (queries == 0 && n->option == NBD_OPT_LIST_META_CONTEXT)
        r = query_answer(n, export_, NULL);
    for (uint32_t i = 0; r == 0 && i < queries; i++) {
        g_autofree char *query = NULL;

        if (!nbd_cursor_u32(&n->data, &length) || length > NBD_STRING_MAX ||
            !nbd_cursor_text(&n->data, length, &query)) {
            g_array_set_size(n->c->contexts, 0);
            return reply_error(n, NBD_REP_ERR_INVALID, "the lengths in this option do not add up");
        }
        r = query_answer(n, export_, query);
    }
    if (r < 0)
        return r;
    if (n->option == NBD_OPT_SET_META_CONTEXT)
        n->contexts_of = g_steal_pointer(&name);
    return reply(n, NBD_REP_ACK);
}

/* ---- the others ---- */

static int
option_starttls(Negotiation *n, GError **err)
{
    NbdTls *tls = n->c->server->tls;
    int r;

    if (n->data.left > 0)
        return reply_error(n, NBD_REP_ERR_INVALID, "this option has no data");
    if (!tls)
        return reply_error(n, NBD_REP_ERR_POLICY, "this server has no TLS");
    if (nbd_stream_has_tls(n->c->stream))
        return reply_error(n, NBD_REP_ERR_INVALID, "TLS is on already");
    r = reply(n, NBD_REP_ACK);
    if (r < 0)
        return r;
    /* what was said in the clear counts no more */
    n->c->structured = false;
    g_array_set_size(n->c->contexts, 0);
    g_clear_pointer(&n->contexts_of, g_free);
    return tls->start(tls, n->c->stream, err) ? 0 : -EPROTO;
}

static int
option_structured(Negotiation *n)
{
    if (n->data.left > 0)
        return reply_error(n, NBD_REP_ERR_INVALID, "this option has no data");
    if (n->c->structured)
        return reply_error(n, NBD_REP_ERR_INVALID, "structured replies are on already");
    n->c->structured = true;
    return reply(n, NBD_REP_ACK);
}

/* 1 when commands follow, 0 for the next option, -ESHUTDOWN when the client ended it in order. */
static int
option_run(Negotiation *n, GError **err)
{
    bool bare = n->c->server->tls && !nbd_stream_has_tls(n->c->stream);

    if (n->option == NBD_OPT_ABORT) {
        (void)reply(n, NBD_REP_ACK); /* the client may be gone already */
        return -ESHUTDOWN;
    }
    if (n->option == NBD_OPT_STARTTLS)
        return option_starttls(n, err);
    if (bare && n->option == NBD_OPT_EXPORT_NAME)
        return -EACCES;
    if (bare)
        return reply_error(n, NBD_REP_ERR_TLS_REQD,
                           "this server speaks TLS only: begin with STARTTLS");
    switch (n->option) {
    case NBD_OPT_EXPORT_NAME:
        return option_export_name(n);
    case NBD_OPT_LIST:
        return option_list(n);
    case NBD_OPT_INFO:
    case NBD_OPT_GO:
        return option_go(n);
    case NBD_OPT_STRUCTURED_REPLY:
        return option_structured(n);
    case NBD_OPT_LIST_META_CONTEXT:
    case NBD_OPT_SET_META_CONTEXT:
        return option_meta_context(n);
    default:
        return reply_error(n, NBD_REP_ERR_UNSUP, "this option is not known");
    }
}

static int
option_read(Negotiation *n, GError **err)
{
    struct __attribute__((packed)) {
        uint64_t magic;
        uint32_t option, length;
    } head;
    g_autofree uint8_t *data = NULL;
    uint32_t length;
    int r = nbd_stream_read(n->c->stream, &head, sizeof(head));

    if (r < 0)
        return r;
    if (head.magic != GUINT64_TO_BE(NBD_OPTION_MAGIC))
        return -EBADMSG;
    n->option = GUINT32_FROM_BE(head.option);
    length = GUINT32_FROM_BE(head.length);
    if (length > NBD_OPTION_MAX) {
        if (n->option == NBD_OPT_EXPORT_NAME || length > NBD_BUFFER_MAX)
            return -EMSGSIZE;
        r = nbd_stream_skip(n->c->stream, length);
        return r < 0 ? r : reply_error(n, NBD_REP_ERR_TOO_BIG, "this option is too long");
    }
    data = g_malloc(length + 1); /* not NULL, also for options without data */
    r = nbd_stream_read(n->c->stream, data, length);
    if (r < 0)
        return r;
    n->data = (NbdCursor){ .at = data, .left = length };
    return option_run(n, err);
}

static int
negotiate(Negotiation *n, GError **err)
{
    struct __attribute__((packed)) {
        uint64_t magic, options;
        uint16_t flags;
    } hello = {
        .magic = GUINT64_TO_BE(NBD_MAGIC),
        .options = GUINT64_TO_BE(NBD_OPTION_MAGIC),
        .flags = GUINT16_TO_BE(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES),
    };
    struct iovec piece = { .iov_base = &hello, .iov_len = sizeof(hello) };
    uint32_t flags;
    int r = nbd_stream_write(n->c->stream, &piece, 1);

    if (r == 0)
        r = nbd_stream_read(n->c->stream, &flags, sizeof(flags));
    if (r < 0)
        return r;
    flags = GUINT32_FROM_BE(flags);
    if (flags & ~(uint32_t)(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES) ||
        !(flags & NBD_FLAG_FIXED_NEWSTYLE))
        return -EPROTO;
    n->no_zeroes = flags & NBD_FLAG_NO_ZEROES;
    for (unsigned i = 0; i < OPTIONS_MAX; i++) {
        r = option_read(n, err);
        if (r != 0)
            return r;
    }
    return -E2BIG;
}

int
nbd_server_negotiate(NbdConnection *c, GError **err)
{
    Negotiation n = { .c = c };
    g_autoptr(GError) why = NULL;
    int r;

    nbd_stream_set_timeout(c->stream, TIMEOUT_SECONDS);
    r = negotiate(&n, &why);
    nbd_stream_set_timeout(c->stream, 0);
    g_free(n.contexts_of);
    if (r == -ESHUTDOWN || r == -ENOTCONN)
        return 0; /* clients that only list exports go like this */
    if (r < 0 && why)
        g_propagate_error(err, g_steal_pointer(&why));
    else if (r < 0)
        kiln_error_set_errno(err, VIR_ERR_RPC, -r, "a client did not come to an export");
    return r;
}
