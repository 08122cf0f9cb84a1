/* websocket.c - RFB in a WebSocket (RFC 6455), for viewers in browsers.
 *
 * Takes the upgrade of any path; binary frames only. Leaves out extensions and the old base64 form.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <gnutls/crypto.h>
#include <string.h>

#include "hw/vnc/private.h"

enum {
    HEAD_MAX = 8192, /* bytes of the HTTP request */
    OP_CONTINUATION = 0,
    OP_BINARY = 2,
    OP_CLOSE = 8,
    OP_PING = 9,
    OP_PONG = 10,
    CONTROL_MAX = 125,
    FRAME_MAX = 1 << 24, /* of a frame, whose payload is taken as it comes */
};

/* Value of header @name in the NULL-terminated lines; borrowed. */
static const char *
web_header(char **lines, const char *name)
{
    size_t len = strlen(name);

    for (; *lines; lines++)
        if (g_ascii_strncasecmp(*lines, name, len) == 0 && (*lines)[len] == ':')
            return g_strstrip(*lines + len + 1);
    return NULL;
}

static bool
web_answer(VncClient *client, char **lines)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    const char *key = web_header(lines, "Sec-WebSocket-Key");
    const char *upgrade = web_header(lines, "Upgrade");
    const char *version = web_header(lines, "Sec-WebSocket-Version");
    const char *protocol = web_header(lines, "Sec-WebSocket-Protocol");
    g_autofree char *joined = NULL, *accept = NULL, *answer = NULL;
    uint8_t digest[20];

    if (!g_str_has_prefix(lines[0], "GET ") || !key || strlen(key) > 64 || !upgrade ||
        g_ascii_strcasecmp(upgrade, "websocket") != 0 || g_strcmp0(version, "13") != 0)
        return false;
    joined = g_strconcat(key, guid, NULL);
    if (gnutls_hash_fast(GNUTLS_DIG_SHA1, joined, strlen(joined), digest) < 0)
        return false;
    accept = g_base64_encode(digest, sizeof(digest));
    answer = g_strdup_printf(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n%s\r\n",
        accept, protocol && strstr(protocol, "binary") ? "Sec-WebSocket-Protocol: binary\r\n" : "");
    g_byte_array_append(client->wire, (const guint8 *)answer, (guint)strlen(answer));
    return true;
}

/* 1: the head was whole and is answered; 0: more is wanted; -1: nonsense. */
static int
web_head(VncClient *client)
{
    static const char bad[] = "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
    GByteArray *raw = client->web.raw;
    const char *end = g_strstr_len((const char *)raw->data, raw->len, "\r\n\r\n");
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;
    size_t len;

    if (!end)
        return raw->len > HEAD_MAX ? -1 : 0;
    len = (size_t)(end - (const char *)raw->data);
    if (len > HEAD_MAX || memchr(raw->data, 0, len))
        return -1;
    text = g_strndup((const char *)raw->data, len);
    lines = g_strsplit(text, "\r\n", -1);
    g_byte_array_remove_range(raw, 0, (guint)len + 4);
    client->web.ready = true;
    if (!web_answer(client, lines)) {
        g_byte_array_append(client->wire, (const guint8 *)bad, sizeof(bad) - 1);
        client->close_sent = true;
    }
    return 1;
}

size_t
vnc_web_head(uint8_t head[10], uint8_t opcode, size_t len)
{
    head[0] = 0x80 | opcode;
    if (len < 126) {
        head[1] = (uint8_t)len;
        return 2;
    }
    if (len < 65536) {
        head[1] = 126;
        head[2] = (uint8_t)(len >> 8);
        head[3] = (uint8_t)len;
        return 4;
    }
    head[1] = 127;
    for (unsigned i = 0; i < 8; i++)
        head[2 + i] = (uint8_t)((uint64_t)len >> (56 - 8 * i));
    return 10;
}

void
vnc_web_put_control(VncClient *client, uint8_t opcode, const void *data, size_t len)
{
    uint8_t head[10];

    g_byte_array_append(client->wire, head, (guint)vnc_web_head(head, opcode, len));
    g_byte_array_append(client->wire, data, (guint)len);
}

/* 1: a frame's head was taken; 0: more is wanted; -1: nonsense. */
static int
web_frame(VncClient *client)
{
    WebSocket *web = &client->web;
    const uint8_t *p = web->raw->data;
    size_t head = 6;
    uint64_t len;

    if (web->raw->len < 2)
        return 0;
    len = p[1] & 127;
    if (len == 126)
        head = 8;
    else if (len == 127)
        head = 14;
    if (web->raw->len < head)
        return 0;
    if (len == 126)
        len = vnc_get16(p + 2);
    else if (len == 127)
        len = (uint64_t)vnc_get32(p + 2) << 32 | vnc_get32(p + 6);
    web->opcode = p[0] & 15;
    /* Clients mask (5.1); no extension gives the reserved bits a meaning. */
    if (!(p[1] & 0x80) || (p[0] & 0x70) || len > FRAME_MAX)
        return -1;
    if (web->opcode >= OP_CLOSE && (len > CONTROL_MAX || !(p[0] & 0x80)))
        return -1;
    if (web->opcode > OP_PONG || (web->opcode < OP_CLOSE && web->opcode > OP_BINARY) ||
        web->opcode == 1)
        return -1;
    memcpy(web->mask, p + head - 4, 4);
    web->left = len;
    web->at = 0;
    g_byte_array_remove_range(web->raw, 0, (guint)head);
    g_byte_array_set_size(web->control, 0);
    return 1;
}

static void
web_control(VncClient *client)
{
    WebSocket *web = &client->web;

    if (web->opcode == OP_CLOSE) {
        vnc_web_put_control(client, OP_CLOSE, web->control->data, web->control->len);
        client->close_sent = true;
    } else if (web->opcode == OP_PING && vnc_client_pending(client) < VNC_OUT_FULL) {
        vnc_web_put_control(client, OP_PONG, web->control->data, web->control->len);
    }
}

bool
vnc_web_take(VncClient *client, const uint8_t *data, size_t len)
{
    WebSocket *web = &client->web;
    int ret = 1;

    g_byte_array_append(web->raw, data, (guint)len);
    if (!web->ready)
        ret = web_head(client);
    while (ret > 0 && web->ready && !client->close_sent) {
        GByteArray *to = web->opcode >= OP_CLOSE ? web->control : client->in;
        guint n = (guint)MIN(web->left, web->raw->len);

        for (guint i = 0; i < n; i++)
            web->raw->data[i] ^= web->mask[web->at++ & 3];
        if (n > 0)
            g_byte_array_append(to, web->raw->data, n);
        g_byte_array_remove_range(web->raw, 0, n);
        web->left -= n;
        if (web->left > 0)
            break;
        if (web->opcode >= OP_CLOSE)
            web_control(client);
        web->opcode = OP_CONTINUATION;
        ret = web_frame(client);
        if (ret > 0 && web->left == 0 && web->opcode >= OP_CLOSE) {
            web_control(client);
            web->opcode = OP_CONTINUATION;
        }
    }
    return ret >= 0;
}
