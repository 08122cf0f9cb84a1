/* fuzz_hw_state.c - the saved state of a machine, as it comes from a file or another host.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "hw/core/bytes.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Two ways in: the bytes as a stream, or as changes (position, value) to a good one. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FakeMachine *fake = fake_machine_new_q35(2 << 20);
    g_autoptr(GByteArray) stream = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    fake_device(fake, "pcie-root-port", "id", "a", "addr", "1", NULL);
    if (size > 0 && data[0] & 1) {
        machine_save(fake->machine, stream, NULL);
        for (size_t at = 1; at + 3 <= size; at += 3)
            stream->data[bytes_load16(data + at) % stream->len] = data[at + 2];
    } else if (size > 0) {
        g_byte_array_append(stream, data + 1, (guint)size - 1);
    }
    if (machine_load(fake->machine, stream->data, stream->len, &err)) {
        machine_set_running(fake->machine, true);
        fake_advance(fake, 1000000000);
    }
    fake_machine_free(fake);
    return 0;
}
