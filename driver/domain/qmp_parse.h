/* qmp_parse.h - QMP's bytes cut into JSON objects.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_DOMAIN_QMP_PARSE_H
#define KILN_DRIVER_DOMAIN_QMP_PARSE_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>

enum {
    QMP_MESSAGE_MAX = 16 << 20, /* bytes of one message; a VMM that sends more is broken */
    QMP_DEPTH_MAX = 128,        /* brackets open at once; the JSON parser recurses per bracket */
};

typedef struct {
    GByteArray *line; /* bytes of the message that is not yet complete */
} QmpParser;

void qmp_parser_init(QmpParser *parser);
void qmp_parser_clear(QmpParser *parser);

/* Takes @len bytes and calls @message for each object that they complete. False with @err
 * (VIR_ERR_INTERNAL_ERROR) on what is not a JSON object, too long or too deep; the stream cannot be
 * used any more. Never recurses deeper than QMP_DEPTH_MAX, whatever the bytes are. */
bool qmp_parser_feed(QmpParser *parser, const char *bytes, size_t len,
                     void (*message)(void *opaque, JsonObject *object), void *opaque, GError **err);

/* The object in @text, or NULL with @err; the same limits. The caller unrefs. */
JsonObject *qmp_parse_object(const char *text, size_t len, GError **err);

#endif
