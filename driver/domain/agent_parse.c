/* agent_parse.c - the bytes of a guest agent cut into JSON objects.
 *
 * QEMU Guest Agent Protocol Reference, guest-sync-delimited: one JSON object per line, and a byte
 * 0xFF before the answer that begins a new conversation. Whatever the guest sends, no more than one
 * answer's worth of it is kept.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/domain/agent_parse.h"

#include "driver/domain/qmp_parse.h"

void
agent_parser_init(AgentParser *parser)
{
    *parser = (AgentParser){ .line = g_byte_array_new() };
}

void
agent_parser_clear(AgentParser *parser)
{
    g_clear_pointer(&parser->line, g_byte_array_unref);
}

/* Forgets what was kept, and its memory if that was much. */
static void
line_drop(AgentParser *parser)
{
    g_byte_array_unref(parser->line);
    parser->line = g_byte_array_new();
}

void
agent_parser_skip(AgentParser *parser)
{
    line_drop(parser);
    parser->skipping = parser->delimited = true;
}

static JsonObject *
line_take(AgentParser *parser)
{
    JsonObject *object = NULL;

    if (parser->line->len > 0)
        object = qmp_parse_object((const char *)parser->line->data, parser->line->len, NULL);
    line_drop(parser);
    return object;
}

void
agent_parser_feed(AgentParser *parser, const char *bytes, size_t len,
                  bool (*answer)(void *opaque, JsonObject *object), void *opaque)
{
    for (size_t i = 0; i < len; i++) {
        guint8 byte = (guint8)bytes[i];
        g_autoptr(JsonObject) object = NULL;

        if (byte == AGENT_DELIMITER) {
            line_drop(parser);
            parser->skipping = parser->delimited = false;
        } else if (byte != '\n') {
            if (!parser->skipping && parser->line->len == AGENT_ANSWER_MAX) {
                line_drop(parser);
                parser->skipping = true;
            }
            if (!parser->skipping)
                g_byte_array_append(parser->line, &byte, 1);
        } else if (parser->skipping) {
            parser->skipping = parser->delimited;
        } else if ((object = line_take(parser)) && answer(opaque, object)) {
            return;
        }
    }
}
