/* agent_parse.h - the bytes of a guest agent cut into JSON objects.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_AGENT_PARSE_H
#define KILN_DRIVER_DOMAIN_AGENT_PARSE_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

enum {
    AGENT_ANSWER_MAX = 10 << 20, /* bytes of one answer, as libvirt takes them */
    AGENT_DELIMITER = 0xff, /* stands before the answer to guest-sync-delimited; never in UTF-8 */
};

typedef struct {
    GByteArray *line; /* bytes of the answer that is not yet complete */
    bool skipping;    /* up to the next delimiter, or the end of a line that is too long */
    bool delimited;   /* only a delimiter ends the skipping */
} AgentParser;

void agent_parser_init(AgentParser *parser);
void agent_parser_clear(AgentParser *parser);

/* Throws away what comes until a delimiter does. */
void agent_parser_skip(AgentParser *parser);

/* Takes @len bytes and calls @answer for each object that they complete; true from it ends the
 * feeding, and the rest of the bytes is dropped. What is not a JSON object, or too long or too deep
 * (qmp_parse.h), is passed over: the agent is the guest's, and the next line may be right again. */
void agent_parser_feed(AgentParser *parser, const char *bytes, size_t len,
                       bool (*answer)(void *opaque, JsonObject *object), void *opaque);

#endif
