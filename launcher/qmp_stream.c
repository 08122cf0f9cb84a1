/* qmp_stream.c - cuts a stream of bytes into JSON messages.
 *
 * QEMU docs/interop/qmp-spec.rst: messages follow one another without a frame. Length and depth are
 * bounded before the JSON parser sees anything, for that one recurses.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/qmp_stream.h"

#include <string.h>

#include "util/error.h"

void
qmp_stream_init(QmpStream *stream)
{
    *stream = (QmpStream){ .bytes = g_byte_array_new() };
}

static void
stream_restart(QmpStream *s)
{
    g_byte_array_set_size(s->bytes, 0);
    s->depth = 0;
    s->in_string = s->escaped = s->garbage = false;
}

void
qmp_stream_clear(QmpStream *stream)
{
    g_clear_pointer(&stream->bytes, g_byte_array_unref);
}

typedef enum { STREAM_MORE, STREAM_MESSAGE, STREAM_GARBAGE, STREAM_TOO_DEEP } StreamStep;

static StreamStep
stream_step_outside(QmpStream *s, uint8_t c)
{
    if (s->garbage)
        return c == '\n' ? STREAM_GARBAGE : STREAM_MORE;
    if (c == '{') {
        s->depth = 1;
    } else if (!g_ascii_isspace(c) && c != 0xff) {
        s->garbage = true; /* up to the end of the line, as one mistake */
    } else {
        g_byte_array_set_size(s->bytes, 0);
    }
    return STREAM_MORE;
}

static StreamStep
stream_step(QmpStream *s, uint8_t c)
{
    if (s->depth == 0)
        return stream_step_outside(s, c);
    if (s->in_string) {
        if (s->escaped)
            s->escaped = false;
        else if (c == '\\')
            s->escaped = true;
        else if (c == '"')
            s->in_string = false;
        return STREAM_MORE;
    }
    if (c == '"')
        s->in_string = true;
    else if (c == '{' || c == '[')
        s->depth++;
    else if (c == '}' || c == ']')
        s->depth--;
    if (s->depth > QMP_DEPTH_MAX)
        return STREAM_TOO_DEEP;
    return s->depth == 0 ? STREAM_MESSAGE : STREAM_MORE;
}

static JsonObject *
stream_parse(QmpStream *s, GError **err)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) why = NULL;
    JsonNode *root;

    if (!g_utf8_validate_len((const char *)s->bytes->data, s->bytes->len, NULL)) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "JSON parse error, not UTF-8");
        return NULL;
    }
    if (!json_parser_load_from_data(parser, (const char *)s->bytes->data, s->bytes->len, &why)) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "JSON parse error, %s", why->message);
        return NULL;
    }
    root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "JSON parse error, expecting an object");
        return NULL;
    }
    return json_node_dup_object(root);
}

bool
qmp_stream_next(QmpStream *s, const uint8_t **data, size_t *len, JsonObject **ret_message,
                GError **err)
{
    while (*len > 0) {
        uint8_t c = *(*data)++;
        StreamStep step;

        (*len)--;
        if (!s->garbage)
            g_byte_array_append(s->bytes, &c, 1);
        step = stream_step(s, c);
        *ret_message = NULL;
        if (step == STREAM_MORE && s->bytes->len <= QMP_MESSAGE_MAX)
            continue;
        if (step == STREAM_MESSAGE)
            *ret_message = stream_parse(s, err);
        else if (step == STREAM_GARBAGE)
            kiln_error_set(err, VIR_ERR_INVALID_ARG, "JSON parse error, expecting an object");
        else if (step == STREAM_TOO_DEEP)
            kiln_error_set(err, VIR_ERR_INVALID_ARG, "JSON nesting deeper than %d", QMP_DEPTH_MAX);
        else
            kiln_error_set(err, VIR_ERR_INVALID_ARG, "JSON message longer than %d bytes",
                           QMP_MESSAGE_MAX);
        stream_restart(s);
        /* What is left of a message given up on goes with its line. */
        s->garbage = step == STREAM_TOO_DEEP || step == STREAM_MORE;
        return true;
    }
    return false;
}
