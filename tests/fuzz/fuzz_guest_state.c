/* fuzz_guest_state.c - the stream of a saved guest, as it comes from a file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "hw/core/bytes.h"
#include "launcher/state_ram.h"

enum { RAM = 64 << 10, SECTION_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
read_stream(const uint8_t *data, size_t len, GuestMemory *memory)
{
    g_autoptr(StateReader) r = state_reader_new_memory(data, len);
    StateRamProgress progress = { 0 };
    uint64_t length;
    int kind;

    while ((kind = state_reader_next(r, &length, NULL)) > STATE_END) {
        g_autoptr(GByteArray) bytes = NULL;

        if (kind == STATE_RAM ? !state_ram_load(r, memory, &progress, NULL)
                              : !(bytes = state_reader_section(r, length, SECTION_MAX, NULL)))
            return;
    }
}

/* Sections of the input's choice, with checksums that are right. */
static GByteArray *
make_stream(const uint8_t *data, size_t size)
{
    int fd = memfd_create("stream", MFD_CLOEXEC);
    g_autoptr(StateWriter) w = state_writer_new(fd, NULL);
    GByteArray *stream = g_byte_array_new();
    off_t len;

    while (size >= 3) {
        size_t n = MIN((size_t)bytes_load16(data + 1), size - 3);

        state_writer_section(w, data[0] % 8, data + 3, n);
        data += 3 + n;
        size -= 3 + n;
    }
    state_writer_finish(w);
    len = lseek(fd, 0, SEEK_END);
    g_byte_array_set_size(stream, (guint)len);
    if (pread(fd, stream->data, (size_t)len, 0) != len)
        g_byte_array_set_size(stream, 0);
    close(fd);
    return stream;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GuestMemory) memory = guest_memory_new();
    g_autofree uint8_t *host = g_malloc0(RAM);
    GuestRam ram = { .size = RAM, .host = host, .fd = -1 };
    g_autoptr(GByteArray) stream = NULL;

    if (size == 0 || !guest_memory_add(memory, &ram, NULL))
        return 0;
    if (data[0] & 1) {
        stream = make_stream(data + 1, size - 1);
        read_stream(stream->data, stream->len, memory);
    } else {
        read_stream(data + 1, size - 1, memory);
    }
    return 0;
}
