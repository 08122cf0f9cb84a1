/* qmp_parse.c - QMP's bytes cut into JSON objects.
 *
 * QEMU Machine Protocol specification 1.0, section 2.1: one JSON object per line. Kiln's VMM and
 * QEMU never break an object over lines, so a line is the unit here. The bytes come from a process
 * that a guest may have taken over: length and depth are bounded before json-glib sees them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/qmp_parse.h"

#include <string.h>

#include "util/error.h"

void
qmp_parser_init(QmpParser *parser)
{
    parser->line = g_byte_array_new();
}

void
qmp_parser_clear(QmpParser *parser)
{
    g_clear_pointer(&parser->line, g_byte_array_unref);
}

static bool
depth_is_sane(const char *text, size_t len)
{
    bool in_string = false;
    unsigned depth = 0;

    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '[') && ++depth > QMP_DEPTH_MAX)
            return false;
        else if (!in_string && (c == '}' || c == ']') && depth > 0)
            depth--;
    }
    return true;
}

JsonObject *
qmp_parse_object(const char *text, size_t len, GError **err)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(GError) reason = NULL;
    JsonNode *root;

    if (!depth_is_sane(text, len)) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "JSON nested deeper than %d levels",
                       QMP_DEPTH_MAX);
        return NULL;
    }
    if (!g_utf8_validate(text, len, NULL) ||
        !json_parser_load_from_data(parser, text, len, &reason)) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "cannot parse JSON: %s",
                       reason ? reason->message : "it is not UTF-8");
        return NULL;
    }
    root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
        kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "a QMP message must be a JSON object");
        return NULL;
    }
    return json_object_ref(json_node_get_object(root));
}

static bool
line_done(QmpParser *parser, void (*message)(void *opaque, JsonObject *object), void *opaque,
          GError **err)
{
    const char *text = (const char *)parser->line->data;
    size_t len = parser->line->len;
    g_autoptr(JsonObject) object = NULL;

    while (len > 0 && g_ascii_isspace(text[len - 1]))
        len--;
    if (len > 0 && !(object = qmp_parse_object(text, len, err)))
        return false;
    g_byte_array_set_size(parser->line, 0);
    if (object)
        message(opaque, object);
    return true;
}

bool
qmp_parser_feed(QmpParser *parser, const char *bytes, size_t len,
                void (*message)(void *opaque, JsonObject *object), void *opaque, GError **err)
{
    while (len > 0) {
        const char *end = memchr(bytes, '\n', len);
        size_t part = end ? (size_t)(end - bytes) + 1 : len;

        if (parser->line->len + part > QMP_MESSAGE_MAX)
            return kiln_error_set(err, VIR_ERR_INTERNAL_ERROR,
                                  "a QMP message is longer than the limit of %d bytes",
                                  QMP_MESSAGE_MAX);
        g_byte_array_append(parser->line, (const guint8 *)bytes, part);
        bytes += part;
        len -= part;
        if (end && !line_done(parser, message, opaque, err))
            return false;
    }
    return true;
}
