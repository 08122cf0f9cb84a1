/* fuzz_qcow2.c - hostile qcow2 images: opened, read, written and closed.
 *
 * The input is the file, with the header's first numbers put right half of the time so that the
 * tables are reached; what it names is never opened.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/image.h"
#include "util/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_MAX = 1 << 20, PIECE = 70000 };

static int
open_memory(void *opaque, const char *filename, int flags, GError **err)
{
    (void)flags;
    if (strcmp(filename, "/dev/fdset/1") == 0)
        return dup(*(int *)opaque);
    kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "'%s' is not for a fuzzer", filename);
    return -1;
}

static void
use_image(BlockNode *node, uint8_t *buf)
{
    uint64_t size = block_node_size(node), at = 0;
    BlockStatus status;

    for (unsigned i = 0; i < 64 && at < size; i++) {
        uint64_t n = MIN(size - at, PIECE);

        if (block_node_status(node, at, size - at, &status) < 0)
            status.length = PIECE;
        block_node_pread(node, at, buf, n);
        switch (i % 8) {
        case 1:
            block_node_pwrite(node, at + 1, buf, n - 1, 0);
            break;
        case 3:
            block_node_write_zeroes(node, at, n, i & 16 ? BLOCK_UNMAP : 0);
            break;
        case 5:
            block_node_discard(node, at, n);
            break;
        case 7:
            block_node_flush(node);
            break;
        default:
            break;
        }
        at += MAX(status.length, 4096);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = memfd_create("image", MFD_CLOEXEC);
    const BlockOpenOps ops = { .opaque = &fd, .open_file = open_memory };
    static const char text[] = "{\"driver\": \"qcow2\", \"backing\": null, \"discard\": \"unmap\","
                               " \"file\": {\"driver\": \"file\", \"discard\": \"unmap\","
                               " \"filename\": \"/dev/fdset/1\", \"locking\": \"off\"}}";
    g_autoptr(JsonNode) json = json_from_string(text, NULL);
    BlockNode *node = NULL;

    if (size >= 8 && size <= FILE_MAX && pwrite(fd, data, size, 0) == (ssize_t)size) {
        if (size & 1)
            (void)!pwrite(fd, "QFI\xfb\0\0\0\3", 8, 0);
        node = block_node_open(json_node_get_object(json), &ops, NULL);
    }
    if (node) {
        g_autofree uint8_t *buf = g_malloc0(PIECE);

        use_image(node, buf);
        block_node_unref(node);
    }
    close(fd);
    return 0;
}
