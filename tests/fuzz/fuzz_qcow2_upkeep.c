/* fuzz_qcow2_upkeep.c - damaged qcow2 images: check and repair, then snapshots and bitmaps.
 *
 * Input: which image to start from, then records (offset, length, bytes) that are written over it.
 * What a repair calls mended a second check must find sound.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/driver.h"
#include "util/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BASES = 3, IMAGE_MAX = 1 << 20, BOTH = BLOCK_CHECK_LEAKS | BLOCK_CHECK_ERRORS };

static struct {
    uint8_t *bytes;
    size_t length;
} bases[BASES];

static int
open_memory(void *opaque, const char *filename, int flags, GError **err)
{
    int fd = fcntl(*(int *)opaque, F_DUPFD_CLOEXEC, 0);

    (void)flags;
    if (fd < 0)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open '%s'", filename);
    return fd;
}

static BlockNode *
image_open(int *fd, const char *format, bool check)
{
    BlockImageOptions options = { .ops = { .opaque = fd, .open_file = open_memory },
                                  .force_share = true,
                                  .no_flush = true,
                                  .check = check };

    return block_image_open("image", format, &options, NULL);
}

static bool
check(int *fd, unsigned fix, BlockCheck *ret)
{
    BlockNode *node = image_open(fd, "qcow2", true);
    bool ok;

    memset(ret, 0, sizeof(*ret));
    ok = node && block_image_check(node, fix, ret, NULL);
    block_node_unref(node);
    return ok;
}

static void
use_snapshots(BlockNode *node)
{
    BlockSnapshot s = { .name = (char *)"fuzz" };
    g_autoptr(GPtrArray) list = block_image_snapshots(node, NULL);
    uint8_t buf[512] = { 1 };

    block_node_pwrite(node, 4096, buf, sizeof(buf), 0);
    block_image_snapshot_create(node, &s, NULL);
    block_image_vmstate_write(node, 100, buf, sizeof(buf));
    for (guint i = 0; list && i < list->len && i < 4; i++) {
        const BlockSnapshot *old = list->pdata[i];

        block_image_snapshot_apply(node, old->id, NULL);
        block_node_pread(node, 0, buf, sizeof(buf));
        block_image_snapshot_delete(node, old->id, NULL);
    }
    block_image_snapshot_delete(node, "fuzz", NULL);
}

static void
use_bitmaps(BlockNode *node)
{
    g_autoptr(GPtrArray) list = block_image_bitmaps(node);
    uint64_t length = block_node_size(node);
    bool dirty;

    block_image_bitmap_add(node, "fuzz", 512, true, NULL);
    for (guint i = 0; i < list->len && i < 4; i++) {
        const BlockBitmap *old = list->pdata[i];

        block_image_bitmap_status(node, old->name, 0, &length, &dirty);
        block_image_bitmap_merge(node, "fuzz", node, old->name, NULL);
        block_image_bitmap_enable(node, old->name, i % 2, NULL);
        block_image_bitmap_clear(node, old->name, NULL);
        if (i > 0)
            block_image_bitmap_remove(node, old->name, NULL);
    }
    if (block_node_size(node) < 1 << 24)
        block_image_resize(node, block_node_size(node) + 65536, BLOCK_PREALLOC_METADATA, false,
                           NULL);
}

/* An image with two snapshots and a bitmap where its version has them. */
static void
base_make(unsigned index, const char *const *options)
{
    g_autoptr(GHashTable) table = g_hash_table_new(g_str_hash, g_str_equal);
    int fd = memfd_create("base", MFD_CLOEXEC);
    BlockSnapshot s = { .name = (char *)"one" };
    BlockImageOptions into = { .ops = { .opaque = &fd, .open_file = open_memory } };
    g_autoptr(GError) err = NULL;
    BlockNode *node;
    uint8_t buf[16384];

    memset(buf, 7, sizeof(buf));
    for (; options[0]; options += 2)
        g_hash_table_insert(table, (char *)options[0], (char *)options[1]);
    if (!block_image_create("image", "qcow2", table, &into, &err))
        g_error("no image to start from: %s", err->message);
    node = image_open(&fd, "qcow2", false);
    if (!node || block_node_pwrite(node, 0, buf, 8192, 0) != 0 ||
        !block_image_snapshot_create(node, &s, &err))
        g_error("no image to start from: %s", err ? err->message : "");
    block_image_bitmap_add(node, "b", 512, true, NULL);
    block_image_bitmap_add(node, "c", 4096, false, NULL);
    block_node_pwrite(node, 1000, buf, 3000, 0);
    block_node_pwrite_compressed(node, 32768, buf, block_node_cluster_size(node));
    block_node_flush(node);
    block_node_unref(node);
    bases[index].length = MIN(lseek(fd, 0, SEEK_END), IMAGE_MAX);
    bases[index].bytes = g_malloc(bases[index].length);
    if (pread(fd, bases[index].bytes, bases[index].length, 0) != (ssize_t)bases[index].length)
        g_error("the image to start from cannot be read");
    close(fd);
}

static void
bases_make(void)
{
    static const char *const first[] = { "size", "65536", "cluster_size", "512", NULL };
    static const char *const second[] = { "size", "131072", "cluster_size", "16k", "extended_l2",
                                          "on",   NULL };
    static const char *const third[] = { "size", "65536", "cluster_size", "1k", "compat",
                                         "0.10", NULL };

    base_make(0, first);
    base_make(1, second);
    base_make(2, third);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    BlockCheck found, again;
    BlockNode *node;
    unsigned which;
    int fd;

    if (!bases[0].bytes)
        bases_make();
    if (size < 2)
        return 0;
    which = data[0] % BASES;
    fd = memfd_create("image", MFD_CLOEXEC);
    if (fd < 0 || pwrite(fd, bases[which].bytes, bases[which].length, 0) < 0)
        abort();
    for (size_t i = 1; i + 3 < size;) {
        size_t n = MIN((size_t)data[i + 2] % 16 + 1, size - i - 3);
        /* most of what counts are words of tables near the start */
        off_t at = (data[i] | data[i + 1] << 8) * (data[0] & 0x80 ? 8 : 1);

        if (pwrite(fd, data + i + 3, n, at % bases[which].length) < 0)
            abort();
        i += 3 + n;
    }
    if (data[0] & 0x40 && check(&fd, BOTH, &found) && found.corruptions == 0 && found.leaks == 0 &&
        (!check(&fd, 0, &again) || again.corruptions || again.leaks))
        abort();
    node = image_open(&fd, "qcow2", false);
    if (node) {
        use_snapshots(node);
        use_bitmaps(node);
        json_object_unref(block_image_specific(node));
        block_node_unref(node);
    }
    close(fd);
    return 0;
}
