/* qmp_stream.h - cuts a stream of bytes into JSON messages.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_QMP_STREAM_H
#define KILN_LAUNCHER_QMP_STREAM_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    QMP_MESSAGE_MAX = 1 << 20, /* bytes of one message */
    QMP_DEPTH_MAX = 64,        /* objects and arrays inside one another */
};

typedef struct {
    GByteArray *bytes; /* of the message begun */
    unsigned depth;
    bool in_string, escaped, garbage;
} QmpStream;

void qmp_stream_init(QmpStream *stream);
void qmp_stream_clear(QmpStream *stream);

/* Eats bytes from *data, *len up to the end of one message. True when there is one: *ret_message is
 * then the object (the caller's), or NULL with @err when what was sent is not one. False: all
 * eaten. */
bool qmp_stream_next(QmpStream *stream, const uint8_t **data, size_t *len, JsonObject **ret_message,
                     GError **err);

#endif
