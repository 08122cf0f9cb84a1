/* client_negotiate.c - the client's side of the fixed newstyle negotiation.
 *
 * Whatever the server sends is bounded: the length and the number of its answers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>

#include "block/nbd/client.h"
#include "block/nbd/cursor.h"
#include "block/nbd/nbd.h"
#include "util/error.h"

enum {
    REPLY_MAX = 64 << 10,
    REPLIES_MAX = 100000, /* to one option */
    EXPORTS_MAX = 10000,
    CONTEXTS_MAX = 1000,
};

typedef struct {
    uint32_t type;
    NbdCursor data;
    uint8_t buffer[REPLY_MAX];
} Reply;

void
nbd_info_clear(NbdInfo *info)
{
    g_clear_pointer(&info->name, g_free);
    g_clear_pointer(&info->description, g_free);
    g_clear_pointer(&info->contexts, g_ptr_array_unref);
}

void
nbd_info_free(void *info)
{
    if (!info)
        return;
    nbd_info_clear(info);
    g_free(info);
}

static bool
failed_errno(GError **err, int r, const char *what)
{
    if (r == -ENOTCONN || r == -EPIPE)
        return kiln_error_set(err, VIR_ERR_RPC, "NBD server closed the connection %s", what);
    return kiln_error_set_errno(err, VIR_ERR_RPC, -r, "NBD connection failed %s", what);
}

static bool
option_send(NbdStream *stream, uint32_t option, const void *data, size_t length, GError **err)
{
    struct __attribute__((packed)) {
        uint64_t magic;
        uint32_t option, length;
    } head = {
        .magic = GUINT64_TO_BE(NBD_OPTION_MAGIC),
        .option = GUINT32_TO_BE(option),
        .length = GUINT32_TO_BE((uint32_t)length),
    };
    struct iovec iov[] = {
        { .iov_base = &head, .iov_len = sizeof(head) },
        { .iov_base = (void *)data, .iov_len = length },
    };
    int r = nbd_stream_write(stream, iov, length > 0 ? 2 : 1);

    return r == 0 || failed_errno(err, r, "in the negotiation");
}

static bool
reply_read(NbdStream *stream, uint32_t option, Reply *ret, GError **err)
{
    struct __attribute__((packed)) {
        uint64_t magic;
        uint32_t option, type, length;
    } head;
    uint32_t length;
    int r = nbd_stream_read(stream, &head, sizeof(head));

    if (r < 0)
        return failed_errno(err, r, "in the negotiation");
    length = GUINT32_FROM_BE(head.length);
    if (head.magic != GUINT64_TO_BE(NBD_OPTION_REPLY_MAGIC) ||
        head.option != GUINT32_TO_BE(option) || length > REPLY_MAX)
        return kiln_error_set(err, VIR_ERR_RPC,
                              "NBD server answers option %u with something that is no answer to it",
                              option);
    r = nbd_stream_read(stream, ret->buffer, length);
    if (r < 0)
        return failed_errno(err, r, "in the negotiation");
    ret->type = GUINT32_FROM_BE(head.type);
    ret->data = (NbdCursor){ .at = ret->buffer, .left = length };
    return true;
}

/* Sets @err from an error reply. */
static bool
reply_refused(const Reply *reply, const char *what, GError **err)
{
    g_autofree char *text =
        g_utf8_make_valid((const char *)reply->data.at, (gssize)reply->data.left);
    const char *why = reply->type == NBD_REP_ERR_UNSUP      ? "it does not know this option"
                      : reply->type == NBD_REP_ERR_POLICY   ? "its policy forbids it"
                      : reply->type == NBD_REP_ERR_TLS_REQD ? "it asks for TLS: give tls-creds"
                      : reply->type == NBD_REP_ERR_UNKNOWN  ? "there is no such export"
                                                            : "it finds fault with it";

    g_strdelimit(text, "\n\r", ' ');
    return kiln_error_set(err, VIR_ERR_RPC, "NBD server refuses %s: %s%s%s%s", what, why,
                          *text ? " (" : "", text, *text ? ")" : "");
}

static bool
hello_magic(NbdStream *stream, GError **err)
{
    struct __attribute__((packed)) {
        uint64_t magic, options;
        uint16_t flags;
    } hello;
    uint32_t flags = GUINT32_TO_BE(NBD_FLAG_FIXED_NEWSTYLE);
    struct iovec piece = { .iov_base = &flags, .iov_len = sizeof(flags) };
    int r = nbd_stream_read(stream, &hello, sizeof(hello));

    if (r < 0)
        return failed_errno(err, r, "before it said who it is");
    if (hello.magic != GUINT64_TO_BE(NBD_MAGIC))
        return kiln_error_set(err, VIR_ERR_RPC, "what answers there is no NBD server");
    if (hello.options != GUINT64_TO_BE(NBD_OPTION_MAGIC) ||
        !(hello.flags & GUINT16_TO_BE(NBD_FLAG_FIXED_NEWSTYLE)))
        return kiln_error_set(err, VIR_ERR_NO_SUPPORT,
                              "NBD server speaks only the old protocol, without options");
    if (hello.flags & GUINT16_TO_BE(NBD_FLAG_NO_ZEROES))
        flags |= GUINT32_TO_BE(NBD_FLAG_NO_ZEROES);
    r = nbd_stream_write(stream, &piece, 1);
    return r == 0 || failed_errno(err, r, "in the negotiation");
}

bool
nbd_negotiate_hello(NbdStream *stream, NbdTls *tls, bool structured, bool *ret_structured,
                    GError **err)
{
    g_autofree Reply *reply = g_new(Reply, 1);

    if (!hello_magic(stream, err))
        return false;
    if (tls) {
        if (!option_send(stream, NBD_OPT_STARTTLS, NULL, 0, err) ||
            !reply_read(stream, NBD_OPT_STARTTLS, reply, err))
            return false;
        if (reply->type != NBD_REP_ACK)
            return reply_refused(reply, "TLS", err);
        if (!tls->start(tls, stream, err))
            return false;
    }
    *ret_structured = false;
    if (!structured)
        return true;
    if (!option_send(stream, NBD_OPT_STRUCTURED_REPLY, NULL, 0, err) ||
        !reply_read(stream, NBD_OPT_STRUCTURED_REPLY, reply, err))
        return false;
    if (reply->type == NBD_REP_ERR_TLS_REQD)
        return reply_refused(reply, "the connection", err);
    *ret_structured = reply->type == NBD_REP_ACK;
    return true;
}

/* ---- an export ---- */

static GByteArray *
export_data(const char *name)
{
    GByteArray *data = g_byte_array_new();
    uint32_t length = GUINT32_TO_BE((uint32_t)strlen(name));

    g_byte_array_append(data, (const uint8_t *)&length, sizeof(length));
    g_byte_array_append(data, (const uint8_t *)name, (guint)strlen(name));
    return data;
}

static bool
info_take(NbdInfo *info, NbdCursor *data)
{
    uint16_t kind;

    if (!nbd_cursor_u16(data, &kind))
        return false;
    switch (kind) {
    case NBD_INFO_EXPORT:
        return nbd_cursor_u64(data, &info->size) && nbd_cursor_u16(data, &info->flags);
    case NBD_INFO_DESCRIPTION:
        g_clear_pointer(&info->description, g_free);
        return nbd_cursor_text(data, data->left, &info->description);
    case NBD_INFO_BLOCK_SIZE:
        return nbd_cursor_u32(data, &info->minimum) && nbd_cursor_u32(data, &info->preferred) &&
               nbd_cursor_u32(data, &info->maximum);
    default:
        return true;
    }
}

static bool
info_check(const NbdInfo *info, GError **err)
{
    if (!(info->flags & NBD_HAS_FLAGS) || info->size > G_MAXINT64)
        return kiln_error_set(err, VIR_ERR_RPC, "NBD export '%s': the server told no usable size",
                              info->name);
    if (info->minimum & (info->minimum - 1) || info->minimum > 65536 ||
        (info->minimum && info->maximum < info->minimum))
        return kiln_error_set(err, VIR_ERR_RPC,
                              "NBD export '%s': blocks of %u to %u bytes are no sizes that the "
                              "protocol allows",
                              info->name, info->minimum, info->maximum);
    return true;
}

/* INFO or GO. */
static bool
export_ask(NbdStream *stream, uint32_t option, const char *name, NbdInfo *ret, GError **err)
{
    g_autoptr(GByteArray) data = export_data(name);
    g_autofree Reply *reply = g_new(Reply, 1);
    const uint16_t wanted[] = { GUINT16_TO_BE(2), GUINT16_TO_BE(NBD_INFO_DESCRIPTION),
                                GUINT16_TO_BE(NBD_INFO_BLOCK_SIZE) };

    g_byte_array_append(data, (const uint8_t *)wanted, sizeof(wanted));
    if (!option_send(stream, option, data->data, data->len, err))
        return false;
    for (unsigned i = 0; i < REPLIES_MAX; i++) {
        if (!reply_read(stream, option, reply, err))
            return false;
        if (reply->type == NBD_REP_ACK)
            return info_check(ret, err);
        if (reply->type != NBD_REP_INFO) {
            g_autofree char *what = g_strdup_printf("the export '%s'", name);

            return reply_refused(reply, what, err);
        }
        if (!info_take(ret, &reply->data))
            break;
    }
    return kiln_error_set(err, VIR_ERR_RPC, "NBD export '%s': the server's answers make no sense",
                          name);
}

/* Asks for contexts; those that are there go to @ret. */
static bool
contexts_ask(NbdStream *stream, uint32_t option, const char *name, const char *query, NbdInfo *ret,
             GError **err)
{
    g_autoptr(GByteArray) data = export_data(name);
    g_autofree Reply *reply = g_new(Reply, 1);
    uint32_t words[2] = { GUINT32_TO_BE(query ? 1 : 0),
                          query ? GUINT32_TO_BE((uint32_t)strlen(query)) : 0 };

    g_byte_array_append(data, (const uint8_t *)words, query ? 8 : 4);
    if (query)
        g_byte_array_append(data, (const uint8_t *)query, (guint)strlen(query));
    if (!option_send(stream, option, data->data, data->len, err))
        return false;
    for (unsigned i = 0; i < REPLIES_MAX; i++) {
        g_autofree char *context = NULL;
        uint32_t id;

        if (!reply_read(stream, option, reply, err))
            return false;
        if (reply->type == NBD_REP_ACK || reply->type & NBD_REP_ERROR)
            return true; /* without them it works as well */
        if (reply->type != NBD_REP_META_CONTEXT || !nbd_cursor_u32(&reply->data, &id) ||
            !nbd_cursor_text(&reply->data, reply->data.left, &context))
            break;
        if (query && strcmp(context, NBD_CONTEXT_ALLOCATION) == 0) {
            ret->has_allocation = true;
            ret->allocation_id = id;
        } else if (!query && ret->contexts->len < CONTEXTS_MAX) {
            g_ptr_array_add(ret->contexts, g_steal_pointer(&context));
        }
    }
    return kiln_error_set(err, VIR_ERR_RPC, "NBD export '%s': the server's answers make no sense",
                          name);
}

bool
nbd_negotiate_go(NbdStream *stream, const char *name, bool structured, NbdInfo *ret, GError **err)
{
    if (strlen(name) > NBD_STRING_MAX)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "the name of an NBD export has %zu bytes, at most %d are allowed",
                              strlen(name), NBD_STRING_MAX);
    *ret = (NbdInfo){ .name = g_strdup(name), .structured = structured };
    if ((!structured ||
         contexts_ask(stream, NBD_OPT_SET_META_CONTEXT, name, NBD_CONTEXT_ALLOCATION, ret, err)) &&
        export_ask(stream, NBD_OPT_GO, name, ret, err))
        return true;
    nbd_info_clear(ret);
    return false;
}

/* ---- all exports ---- */

static GPtrArray *
names_ask(NbdStream *stream, GError **err)
{
    g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func(nbd_info_free);
    g_autofree Reply *reply = g_new(Reply, 1);

    if (!option_send(stream, NBD_OPT_LIST, NULL, 0, err))
        return NULL;
    while (list->len < EXPORTS_MAX) {
        NbdInfo *info;
        uint32_t length;

        if (!reply_read(stream, NBD_OPT_LIST, reply, err))
            return NULL;
        if (reply->type == NBD_REP_ACK)
            return g_steal_pointer(&list);
        if (reply->type != NBD_REP_SERVER) {
            reply_refused(reply, "to list its exports", err);
            return NULL;
        }
        info = g_new0(NbdInfo, 1);
        g_ptr_array_add(list, info);
        info->contexts = g_ptr_array_new_with_free_func(g_free);
        if (!nbd_cursor_u32(&reply->data, &length) || length > NBD_STRING_MAX ||
            !nbd_cursor_text(&reply->data, length, &info->name) ||
            !nbd_cursor_text(&reply->data, reply->data.left, &info->description))
            break;
        if (!*info->description)
            g_clear_pointer(&info->description, g_free);
    }
    kiln_error_set(err, VIR_ERR_RPC,
                   "NBD server: its list of exports makes no sense, or has over %d", EXPORTS_MAX);
    return NULL;
}

GPtrArray *
nbd_negotiate_list(NbdStream *stream, bool structured, GError **err)
{
    g_autoptr(GPtrArray) list = names_ask(stream, err);

    for (guint i = 0; list && i < list->len; i++) {
        NbdInfo *info = g_ptr_array_index(list, i);

        info->structured = structured;
        if (!export_ask(stream, NBD_OPT_INFO, info->name, info, err) ||
            (structured &&
             !contexts_ask(stream, NBD_OPT_LIST_META_CONTEXT, info->name, NULL, info, err)))
            return NULL;
    }
    if (list)
        (void)option_send(stream, NBD_OPT_ABORT, NULL, 0, NULL);
    return g_steal_pointer(&list);
}
