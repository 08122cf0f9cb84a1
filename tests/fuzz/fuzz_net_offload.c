/* fuzz_net_offload.c - frames from a guest and from the stack, with headers that say anything.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "net/offload.h"

#include <string.h>

enum { CONTROL = OFFLOAD_HEADER + 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree uint8_t *frame = NULL, *out = NULL;
    size_t len;
    OffloadPlan plan;
    uint16_t mss;

    if (size < CONTROL)
        return 0;
    /* the last byte says how often the rest of the frame is repeated, so that large ones are found
     */
    mss = MAX((uint16_t)(data[OFFLOAD_HEADER] << 8 | data[OFFLOAD_HEADER + 1]), 1);
    len = MIN((size - CONTROL) * ((size_t)data[OFFLOAD_HEADER + 3] + 1), NET_MAX_PACKET);
    frame = g_malloc(MAX(len, 1));
    for (size_t i = 0; i < len; i++)
        frame[i] = data[CONTROL + i % (size - CONTROL)];
    (void)offload_take_mss(data, frame, len, data[OFFLOAD_HEADER + 2]);
    (void)offload_complete(data, frame, len);
    if (!offload_plan(frame, len, data[OFFLOAD_HEADER + 2], mss, &plan) || plan.pieces < 2)
        return 0;
    out = g_malloc(len);
    for (unsigned n = 0; n < plan.pieces; n++) {
        if (offload_piece(&plan, frame, len, n, out) > len)
            g_error("piece %u is larger than the frame of %zu bytes", n, len);
    }
    return 0;
}
