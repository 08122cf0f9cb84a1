/* fuzz_images.c - libFuzzer targets: the image formats that others made, one for each FUZZ_FORMAT.
 *
 * The first byte says whether it is only read, the rest is the file. It is opened, looked at, read,
 * written where the format is, and checked. Nothing may crash, wait for ever, or take more memory
 * than is stated. What has a checksum gets a right one, and the parts of a vhdx follow each other
 * in the input. Seeds: tests/unit/block/made_images.py.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/image.h"
#include "block/numbers.h"
#include "block/vhdx.h"
#include "util/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { READ_AT_ONCE = 70000, STATUS_STEPS = 64, SIZE_CHECKED = 64 << 20 };

static int
open_file(void *opaque, const char *filename, int flags, GError **err)
{
    const int *fd = opaque;

    (void)flags;
    if (strcmp(filename, "image") == 0 || strcmp(filename, "./image") == 0)
        return dup(*fd);
    kiln_error_set(err, VIR_ERR_OPERATION_DENIED, "'%s' is not opened", filename);
    return -1;
}

/* Parts of a vhdx: bytes in the input, place in the file, bytes with a checksum and its place. */
static const struct {
    size_t length;
    uint64_t at;
    size_t summed, sum_at;
} vhdx_parts[] = {
    { 128, VHDX_HEADER1_AT, VHDX_HEADER_SIZE, VHDX_H_CHECKSUM },
    { 256, VHDX_REGIONS1_AT, VHDX_REGIONS_SIZE, 4 },
    { 256, 2 * VHDX_MIB, 0, 0 },             /* metadata */
    { 64, 2 * VHDX_MIB + (64 << 10), 0, 0 }, /* its items */
    { 256, 3 * VHDX_MIB, 0, 0 },             /* block table */
    { 8192, VHDX_MIB, 8192, 4 },             /* log */
};

static void
put(int fd, const void *data, size_t size, uint64_t at)
{
    if (pwrite(fd, data, size, (off_t)at) != (ssize_t)size)
        g_error("the image cannot be written");
}

static void
put_vhdx(int fd, const uint8_t *data, size_t size)
{
    g_autofree uint8_t *part = g_malloc(VHDX_REGIONS_SIZE);

    put(fd, "vhdxfile", 8, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(vhdx_parts); i++) {
        size_t length = MIN(size, vhdx_parts[i].length);

        memset(part, 0, VHDX_REGIONS_SIZE);
        if (length > 0)
            memcpy(part, data, length);
        if (vhdx_parts[i].summed)
            put_le32(part + vhdx_parts[i].sum_at,
                     vhdx_checksum(part, vhdx_parts[i].summed, vhdx_parts[i].sum_at));
        put(fd, part, MAX(vhdx_parts[i].summed, vhdx_parts[i].length), vhdx_parts[i].at);
        data += length;
        size -= length;
    }
    if (ftruncate(fd, 4 * VHDX_MIB) < 0)
        g_error("the image cannot grow");
}

static void
put_vpc_sum(uint8_t *data, size_t length, size_t sum_at)
{
    uint32_t sum = 0;

    put_be32(data + sum_at, 0);
    for (size_t i = 0; i < length; i++)
        sum += data[i];
    put_be32(data + sum_at, ~sum);
}

static void
put_image(int fd, const uint8_t *data, size_t size)
{
    g_autofree uint8_t *copy = g_memdup2(data, size);

    if (strcmp(FUZZ_FORMAT, "vhdx") == 0) {
        put_vhdx(fd, data, size);
        return;
    }
    if (strcmp(FUZZ_FORMAT, "vpc") == 0 && size >= 1536) {
        put_vpc_sum(copy, 512, 64);
        put_vpc_sum(copy + 512, 1024, 36);
    }
    if (size > 0)
        put(fd, copy, size, 0);
}

/* Reads and looks at the beginning, the middle and the end. */
static void
look(BlockNode *node)
{
    g_autofree char *buf = g_malloc(READ_AT_ONCE);
    uint64_t end = block_node_size(node), at = 0;
    BlockStatus status;

    for (unsigned i = 0; i < STATUS_STEPS && at < end; i++) {
        if (block_node_status(node, at, end - at, &status) < 0)
            break;
        g_assert(status.length >= 1 && status.length <= end - at);
        at += status.length;
    }
    for (unsigned i = 0; i < 3; i++) {
        uint64_t from = i == 0 ? 0 : i == 1 ? end / 2 : end - MIN(end, (uint64_t)READ_AT_ONCE);

        block_node_pread(node, from, buf, (size_t)MIN(end - from, (uint64_t)READ_AT_ONCE));
    }
}

static void
change(BlockNode *node)
{
    static const char text[1000] = "written";
    uint64_t end = block_node_size(node);

    if (end < sizeof(text))
        return;
    block_node_pwrite(node, 0, text, sizeof(text), 0);
    block_node_pwrite(node, end - sizeof(text), text, sizeof(text), 0);
    block_node_write_zeroes(node, end / 2, MIN(end / 4, (uint64_t)1 << 20), BLOCK_UNMAP);
    block_node_flush(node);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(JsonObject) object = json_object_new();
    g_autoptr(GError) err = NULL;
    BlockImageOptions options = { 0 };
    JsonObject *specific, *file = json_object_new();
    BlockCheck check = { 0 };
    BlockNode *node;
    int fd;

    if (size < 1) {
        json_object_unref(file);
        return 0;
    }
    fd = memfd_create("image", MFD_CLOEXEC);
    put_image(fd, data + 1, size - 1);
    options.ops = (BlockOpenOps){ .opaque = &fd, .open_file = open_file };
    options.force_share = true;
    options.read_only = data[0] & 0x80;
    json_object_set_string_member(file, "driver", "file");
    json_object_set_string_member(file, "filename", "image");
    json_object_set_string_member(object, "driver", FUZZ_FORMAT);
    json_object_set_object_member(object, "file", file);
    node = block_image_open_options(object, &options, &err);
    if (node) {
        g_assert(!err);
        look(node);
        if (!options.read_only && block_node_size(node) <= (uint64_t)1 << 40)
            change(node);
        look(node);
        if (block_node_size(node) <= SIZE_CHECKED && !block_image_check(node, 0, &check, &err))
            g_assert(err);
        specific = block_image_specific(node);
        if (specific)
            json_object_unref(specific);
    } else {
        g_assert(err && err->message[0]);
    }
    block_node_unref(node);
    close(fd);
    return 0;
}
