/* fuzz_qmp.c - what a guest's VMM may send the daemon: bytes cut into messages, in two pieces.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>
#include <stdint.h>

#include "driver/domain/qmp_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
on_message(void *opaque, JsonObject *object)
{
    (void)opaque;
    json_object_get_string_member_with_default(object, "event", NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t cut = size > 0 ? data[0] % size : 0;
    QmpParser parser;

    qmp_parser_init(&parser);
    if (qmp_parser_feed(&parser, (const char *)data, cut, on_message, NULL, NULL))
        qmp_parser_feed(&parser, (const char *)data + cut, size - cut, on_message, NULL, NULL);
    qmp_parser_clear(&parser);
    return 0;
}
