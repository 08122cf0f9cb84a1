/* fuzz_luks.c - libFuzzer target: LUKS volumes.
 *
 * The input is the first bytes of a volume: its header, and what follows of key material. It is
 * parsed, written again, opened with a passphrase, looked at, read and written. So that one input
 * takes no minutes, iterations that the header asks for are cut to a few.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/luks/luks.h"
#include "block/numbers.h"
#include "util/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_SIZE = 3 << 20, AT_ITERATIONS = 164, AT_SLOTS = 208, SLOT_BYTES = 48, FEW = 7 };

static int
open_file(void *opaque, const char *filename, int flags, GError **err)
{
    const int *fd = opaque;

    (void)flags;
    if (strcmp(filename, "image") == 0)
        return dup(*fd);
    kiln_error_set(err, VIR_ERR_OPERATION_DENIED, "'%s' is not opened", filename);
    return -1;
}

static uint8_t *
secret_get(void *opaque, const char *id, size_t *ret_len, GError **err)
{
    (void)opaque;
    (void)err;
    *ret_len = strlen(id);
    return (uint8_t *)g_strdup(id);
}

static void
iterations_cut(uint8_t *at)
{
    if (be32(at) > FEW && be32(at) <= LUKS_ITERATIONS_MAX)
        put_be32(at, be32(at) % FEW + 1);
}

/* What is parsed and written is parsed again, to the same. */
static void
header_try(const uint8_t *bytes)
{
    uint8_t again[LUKS_HEADER_BYTES], twice[LUKS_HEADER_BYTES];
    g_autoptr(GError) err = NULL;
    LuksHeader h;

    if (!luks_header_parse(bytes, FILE_SIZE, "image", &h, &err)) {
        g_assert(err && err->message[0]);
        return;
    }
    luks_header_format(&h, again);
    g_assert(luks_header_parse(again, FILE_SIZE, "image", &h, NULL));
    luks_header_format(&h, twice);
    g_assert(memcmp(again, twice, sizeof(again)) == 0);
}

static void
image_use(BlockNode *node)
{
    uint8_t buf[1500];
    JsonObject *specific = block_image_specific(node);
    uint64_t end = block_node_size(node);

    json_object_unref(specific);
    if (end > sizeof(buf)) {
        block_node_pread(node, end - sizeof(buf), buf, sizeof(buf));
        block_node_pwrite(node, 1, buf, sizeof(buf) - 1, 0);
        block_node_pread(node, 0, buf, sizeof(buf));
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t head[LUKS_HEADER_BYTES] = { 0 };
    g_autoptr(JsonObject) object = json_object_new();
    g_autoptr(GError) err = NULL;
    BlockImageOptions options = { .force_share = true };
    BlockNode *node;
    int fd;

    if (size < 1)
        return 0;
    options.no_io = data[0] & 1;
    data++;
    size--;
    memcpy(head, data, MIN(size, sizeof(head)));
    header_try(head);
    iterations_cut(head + AT_ITERATIONS);
    for (unsigned i = 0; i < LUKS_SLOTS; i++)
        iterations_cut(head + AT_SLOTS + i * SLOT_BYTES + 4);
    fd = memfd_create("image", MFD_CLOEXEC);
    if (ftruncate(fd, FILE_SIZE) < 0 || pwrite(fd, data, MIN(size, FILE_SIZE), 0) < 0 ||
        pwrite(fd, head, sizeof(head), 0) < 0)
        g_error("the image cannot be written");
    options.ops = (BlockOpenOps){ .opaque = &fd, .open_file = open_file, .secret = secret_get };
    json_object_set_string_member(object, "driver", "luks");
    json_object_set_string_member(object, "file.driver", "file");
    json_object_set_string_member(object, "file.filename", "image");
    json_object_set_string_member(object, "key-secret", "pass");
    node = block_image_open_options(object, &options, &err);
    if (node)
        image_use(node);
    else
        g_assert(err && err->message[0]);
    block_node_unref(node);
    close(fd);
    return 0;
}
