/* test_block_qcow2.c - the data path of qcow2 against qemu-img and qemu-io: random operations on
 * images of many shapes, compared with a flat model, then judged by qemu-img check and compare.
 *
 * Skips without qemu-img and qemu-io.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "block/image.h"
#include "util/error.h"

enum { OPERATIONS = 300, WORKERS = 4, REQUEST_MAX = 300 * 1024 };

typedef struct {
    const char *name, *options; /* of qemu-img create */
    uint64_t size;
    bool backing;
} Shape;

static const Shape shapes[] = {
    { "plain", "cluster_size=64k", 24 << 20, false },
    { "version 2", "compat=0.10,cluster_size=64k", 24 << 20, false },
    { "small clusters", "cluster_size=512", 3 << 20, false },
    { "large clusters", "cluster_size=2M", 40 << 20, false },
    { "odd size", "cluster_size=64k", (9 << 20) + 513 * 512, false },
    { "refcounts of one bit", "cluster_size=4k,refcount_bits=1", 16 << 20, false },
    { "refcounts of two bits", "cluster_size=1k,refcount_bits=2", 4 << 20, false },
    { "refcounts of 64 bits", "cluster_size=1k,refcount_bits=64", 8 << 20, false },
    { "subclusters", "extended_l2=on,cluster_size=128k", 24 << 20, false },
    { "subclusters of a sector", "extended_l2=on,cluster_size=16k", 9 << 20, false },
    { "lazy refcounts", "lazy_refcounts=on", 24 << 20, false },
    { "metadata preallocated", "preallocation=metadata", 16 << 20, false },
    { "zstd", "compression_type=zstd", 24 << 20, false },
    { "overlay", "cluster_size=64k", 24 << 20, true },
    { "overlay of version 2", "compat=0.10,cluster_size=4k", 12 << 20, true },
    { "overlay with subclusters", "extended_l2=on,cluster_size=64k", 24 << 20, true },
};

typedef struct {
    char *dir, *image, *base, *flat;
    uint64_t size, base_size;
    uint8_t *model;
    BlockNode *node;
    GRand *rand;
} Rig;

static bool
have_qemu(void)
{
    g_autofree char *img = g_find_program_in_path("qemu-img");
    g_autofree char *io = g_find_program_in_path("qemu-io");

    return img && io;
}

static char *
run(const char *format, ...)
{
    g_autofree char *command = NULL, *err = NULL;
    g_autoptr(GError) error = NULL;
    char *out = NULL;
    va_list args;
    int status;

    va_start(args, format);
    command = g_strdup_vprintf(format, args);
    va_end(args);
    if (!g_spawn_command_line_sync(command, &out, &err, &status, &error))
        fail_msg("%s: %s", command, error->message);
    if (status != 0)
        fail_msg("%s: status %d\n%s%s", command, status, out, err);
    return out;
}

static BlockNode *
open_image(const char *path, const char *format, bool read_only)
{
    BlockImageOptions options = { .read_only = read_only,
                                  .follow_backing = true,
                                  .no_flush = true };
    g_autoptr(GError) err = NULL;
    BlockNode *node = block_image_open(path, format, &options, &err);

    if (!node)
        fail_msg("%s", err->message);
    return node;
}

static void
rig_open(Rig *rig, const Shape *shape, uint32_t seed)
{
    const char *root = g_getenv("KILN_BUILD_ROOT");
    g_autofree char *backing = NULL;

    memset(rig, 0, sizeof(*rig));
    rig->dir = g_strdup_printf("%s/qcow2-test-XXXXXX", root ? root : "/var/tmp");
    assert_non_null(g_mkdtemp(rig->dir));
    rig->image = g_build_filename(rig->dir, "image.qcow2", NULL);
    rig->base = g_build_filename(rig->dir, "base.qcow2", NULL);
    rig->flat = g_build_filename(rig->dir, "flat.raw", NULL);
    rig->size = shape->size;
    rig->model = g_malloc0(rig->size);
    rig->rand = g_rand_new_with_seed(seed);
    if (shape->backing) {
        uint64_t size = shape->size / 3 * 2 / 512 * 512;

        g_free(run("qemu-img create -q -f qcow2 %s %" G_GUINT64_FORMAT, rig->base, size));
        g_free(run("qemu-io -f qcow2 -c 'write -P 0x77 0 3M' -c 'write -z 1M 1M' "
                   "-c 'write -P 0x78 5000k 777k' %s",
                   rig->base));
        memset(rig->model, 0x77, 3 << 20);
        memset(rig->model + (1 << 20), 0, 1 << 20);
        memset(rig->model + 5000 * 1024, 0x78, 777 * 1024);
        backing = g_strdup_printf("-b base.qcow2 -F qcow2");
    }
    g_free(run("qemu-img create -q -f qcow2 -o %s %s %s %" G_GUINT64_FORMAT, shape->options,
               backing ? backing : "", rig->image, rig->size));
    rig->node = open_image(rig->image, NULL, false);
    assert_int_equal(block_node_size(rig->node), rig->size);
}

static void
rig_close(Rig *rig)
{
    block_node_unref(rig->node);
    g_unlink(rig->image);
    g_unlink(rig->base);
    g_unlink(rig->flat);
    g_rmdir(rig->dir);
    g_rand_free(rig->rand);
    g_free(rig->dir);
    g_free(rig->image);
    g_free(rig->base);
    g_free(rig->flat);
    g_free(rig->model);
}

/* Both programs agree about the image, and it is whole. */
static void
rig_judge(Rig *rig)
{
    g_clear_pointer(&rig->node, block_node_unref);
    assert_true(g_file_set_contents(rig->flat, (char *)rig->model, rig->size, NULL));
    g_free(run("qemu-img check -q -f qcow2 %s", rig->image));
    g_free(run("qemu-img compare -q -f raw -F qcow2 %s %s", rig->flat, rig->image));
    rig->node = open_image(rig->image, "qcow2", false);
}

static void
rig_compare(Rig *rig)
{
    g_autofree uint8_t *all = g_malloc(rig->size);

    assert_int_equal(block_node_pread(rig->node, 0, all, rig->size), 0);
    for (uint64_t at = 0; at < rig->size; at += 512)
        if (memcmp(all + at, rig->model + at, 512) != 0)
            fail_msg("byte %" G_GUINT64_FORMAT ": 0x%02x, not 0x%02x", at, all[at], rig->model[at]);
}

static uint32_t
request_range(Rig *rig, uint64_t *ret_length, uint32_t unit)
{
    uint32_t offset = g_rand_int_range(rig->rand, 0, rig->size) / unit * unit;
    uint32_t length = g_rand_int_range(rig->rand, 1, REQUEST_MAX);

    if (g_rand_boolean(rig->rand))
        length = g_rand_int_range(rig->rand, 1, 9000);
    *ret_length = MIN((length + unit - 1) / unit * unit, rig->size - offset);
    return offset;
}

/* A discarded range may be what it was or zeroes; qcow2 of version 3 says zeroes for what it gave
 * up, so what is there now is taken over and has to stay. */
static void
take_discarded(Rig *rig, uint64_t offset, uint64_t length)
{
    g_autofree uint8_t *now = g_malloc(length);

    assert_int_equal(block_node_pread(rig->node, offset, now, length), 0);
    for (uint64_t i = 0; i < length; i++)
        assert_true(now[i] == 0 || now[i] == rig->model[offset + i]);
    memcpy(rig->model + offset, now, length);
}

static void
try_compressed(Rig *rig)
{
    uint32_t unit = block_node_cluster_size(rig->node);
    uint64_t at = g_rand_int_range(rig->rand, 0, rig->size) / unit * unit;
    uint64_t length = MIN(unit, rig->size - at);
    g_autofree uint8_t *data = g_malloc(length);
    int r;

    for (uint64_t i = 0; i < length; i++)
        data[i] = i / 16 * 7 + at;
    r = block_node_pwrite_compressed(rig->node, at, data, length);
    if (r == 0)
        memcpy(rig->model + at, data, length);
    else
        assert_int_equal(r, -EINVAL); /* the cluster is taken */
}

static void
operate(Rig *rig)
{
    uint64_t length;
    uint32_t unit = g_rand_boolean(rig->rand) ? 1 : 4096;
    uint64_t at = request_range(rig, &length, unit);
    g_autofree uint8_t *data = g_malloc(length);

    switch (g_rand_int_range(rig->rand, 0, 12)) {
    case 0:
    case 1:
        assert_int_equal(block_node_write_zeroes(rig->node, at, length,
                                                 g_rand_boolean(rig->rand) ? BLOCK_UNMAP : 0),
                         0);
        memset(rig->model + at, 0, length);
        break;
    case 2:
        assert_int_equal(block_node_discard(rig->node, at, length), 0);
        take_discarded(rig, at, length);
        break;
    case 3:
        assert_int_equal(block_node_flush(rig->node), 0);
        break;
    case 4:
    case 5:
        try_compressed(rig);
        break;
    case 6:
        assert_int_equal(block_node_pread(rig->node, at, data, length), 0);
        assert_memory_equal(data, rig->model + at, length);
        break;
    default:
        memset(data, g_rand_int_range(rig->rand, 1, 256), length);
        memcpy(data, &at, MIN(length, sizeof(at)));
        assert_int_equal(block_node_pwrite(rig->node, at, data, length, 0), 0);
        memcpy(rig->model + at, data, length);
        break;
    }
}

static void
test_random_operations(void **state)
{
    (void)state;
    if (!have_qemu()) {
        print_message("skipped: no qemu-img (Debian package qemu-utils)\n");
        skip();
    }
    for (unsigned s = 0; s < G_N_ELEMENTS(shapes); s++) {
        Rig rig;

        print_message("%s\n", shapes[s].name);
        rig_open(&rig, &shapes[s], 1000 + s);
        rig_compare(&rig);
        for (unsigned i = 0; i < OPERATIONS; i++) {
            operate(&rig);
            if (i % 100 == 99) {
                rig_compare(&rig);
                rig_judge(&rig);
                rig_compare(&rig);
            }
        }
        rig_close(&rig);
    }
}

/* ---- several threads ---- */

typedef struct {
    Rig *rig;
    unsigned number;
    int result;
} Worker;

/* Each thread has every fourth 20000 bytes to itself, so that clusters are shared by all. */
static gpointer
worker_run(gpointer opaque)
{
    Worker *w = opaque;
    Rig *rig = w->rig;
    uint8_t data[20000];
    g_autoptr(GRand) rand = g_rand_new_with_seed(77 + w->number);

    for (unsigned i = 0; i < 150 && w->result == 0; i++) {
        uint64_t stripes = rig->size / (sizeof(data) * WORKERS);
        uint64_t stripe = g_rand_int_range(rand, 0, stripes);
        uint64_t at = (stripe * WORKERS + w->number) * sizeof(data);
        uint32_t skip = g_rand_int_range(rand, 0, sizeof(data));
        uint32_t length = g_rand_int_range(rand, 1, sizeof(data) - skip + 1);

        switch (g_rand_int_range(rand, 0, 8)) {
        case 0:
            w->result = block_node_write_zeroes(rig->node, at + skip, length, BLOCK_UNMAP);
            memset(rig->model + at + skip, 0, length);
            break;
        case 1:
            w->result = block_node_flush(rig->node);
            break;
        case 2:
            w->result = block_node_pread(rig->node, at, data, sizeof(data));
            if (memcmp(data, rig->model + at, sizeof(data)) != 0)
                w->result = -EILSEQ;
            break;
        default:
            memset(data, 1 + i + w->number, length);
            w->result = block_node_pwrite(rig->node, at + skip, data, length, 0);
            memcpy(rig->model + at + skip, data, length);
            break;
        }
    }
    return NULL;
}

static void
test_threads_share_clusters(void **state)
{
    static const unsigned which[] = { 0, 2, 8, 13 };

    (void)state;
    if (!have_qemu())
        skip();
    for (unsigned s = 0; s < G_N_ELEMENTS(which); s++) {
        Worker workers[WORKERS];
        GThread *threads[WORKERS];
        Rig rig;

        rig_open(&rig, &shapes[which[s]], 5);
        for (unsigned i = 0; i < WORKERS; i++) {
            workers[i] = (Worker){ .rig = &rig, .number = i };
            threads[i] = g_thread_new("worker", worker_run, &workers[i]);
        }
        for (unsigned i = 0; i < WORKERS; i++) {
            g_thread_join(threads[i]);
            assert_int_equal(workers[i].result, 0);
        }
        rig_compare(&rig);
        rig_judge(&rig);
        rig_close(&rig);
    }
}

/* ---- what QEMU writes is read, at any place ---- */

static void
test_reads_what_qemu_writes(void **state)
{
    g_autofree char *all = NULL;
    Rig rig;

    (void)state;
    if (!have_qemu())
        skip();
    for (unsigned s = 0; s < G_N_ELEMENTS(shapes); s++) {
        g_autofree char *dump = NULL;
        gsize length;

        rig_open(&rig, &shapes[s], 9);
        g_clear_pointer(&rig.node, block_node_unref);
        g_free(run("qemu-io -f qcow2 -c 'write -P 1 0 100k' -c 'write -P 2 1111k 3k' "
                   "-c 'write -z 40k 10k' -c 'write -P 3 2M 512k' -c 'discard 2M 128k' %s",
                   rig.image));
        g_free(run("qemu-img convert -f qcow2 -O raw %s %s", rig.image, rig.flat));
        assert_true(g_file_get_contents(rig.flat, &dump, &length, NULL));
        assert_int_equal(length, rig.size);
        memcpy(rig.model, dump, length);
        rig.node = open_image(rig.image, NULL, true);
        rig_compare(&rig);
        assert_int_equal(block_node_pwrite(rig.node, 0, dump, 512, 0), -EROFS);
        rig_close(&rig);
    }
}

static void
test_snapshots_keep_their_data(void **state)
{
    static const unsigned which[] = { 0, 1, 8, 10 };

    (void)state;
    if (!have_qemu())
        skip();
    for (unsigned s = 0; s < G_N_ELEMENTS(which); s++) {
        g_autofree uint8_t *before = NULL;
        Rig rig;

        rig_open(&rig, &shapes[which[s]], 21);
        for (unsigned i = 0; i < 60; i++)
            operate(&rig);
        before = g_memdup2(rig.model, rig.size);
        g_clear_pointer(&rig.node, block_node_unref);
        g_free(run("qemu-img snapshot -c one %s", rig.image));
        rig.node = open_image(rig.image, NULL, false);
        for (unsigned i = 0; i < 120; i++)
            operate(&rig);
        rig_compare(&rig);
        rig_judge(&rig);
        g_clear_pointer(&rig.node, block_node_unref);
        g_free(run("qemu-img snapshot -a one %s", rig.image));
        memcpy(rig.model, before, rig.size);
        rig.node = open_image(rig.image, NULL, false);
        rig_compare(&rig);
        rig_judge(&rig);
        rig_close(&rig);
    }
}

static void
test_emptied_shows_what_lies_below(void **state)
{
    static const unsigned which[] = { 0, 13, 14, 15 };

    (void)state;
    if (!have_qemu())
        skip();
    for (unsigned s = 0; s < G_N_ELEMENTS(which); s++) {
        g_autofree uint8_t *before = NULL;
        g_autoptr(GError) err = NULL;
        Rig rig;

        rig_open(&rig, &shapes[which[s]], 33);
        before = g_memdup2(rig.model, rig.size);
        for (unsigned i = 0; i < 100; i++)
            operate(&rig);
        if (!block_image_make_empty(rig.node, &err))
            fail_msg("%s", err->message);
        memcpy(rig.model, before, rig.size);
        rig_compare(&rig);
        rig_judge(&rig);
        rig_close(&rig);
    }
}

/* ---- refusals ---- */

static void
patch(const char *path, uint64_t offset, const void *bytes, size_t length)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_int_equal(pwrite(fd, bytes, length, offset), length);
    close(fd);
}

static void
refuse(const char *path, bool read_only, const char *part)
{
    BlockImageOptions options = { .read_only = read_only, .follow_backing = true };
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockNode) node = block_image_open(path, NULL, &options, &err);

    assert_null(node);
    if (!strstr(err->message, part))
        fail_msg("'%s' does not say '%s'", err->message, part);
}

static void
test_refusals(void **state)
{
    static const uint8_t corrupt[8] = { [7] = 2 }, unknown[8] = { [6] = 1 }, many[4] = { 0xff };
    static const uint8_t none[8] = { 0 }, clear[8] = { [7] = 0xfc };
    Rig rig;

    (void)state;
    if (!have_qemu())
        skip();
    rig_open(&rig, &shapes[0], 1);
    g_clear_pointer(&rig.node, block_node_unref);
    patch(rig.image, 72, corrupt, 8);
    refuse(rig.image, false, "marked corrupt");
    rig.node = open_image(rig.image, NULL, true);
    g_clear_pointer(&rig.node, block_node_unref);
    patch(rig.image, 72, unknown, 8);
    refuse(rig.image, true, "bit 8");
    patch(rig.image, 72, none, 8);
    patch(rig.image, 88, clear, 8);
    rig.node = open_image(rig.image, NULL, false);
    g_clear_pointer(&rig.node, block_node_unref);
    g_free(run("qemu-img check -q %s", rig.image));
    patch(rig.image, 36, many, 4);
    refuse(rig.image, true, "entries of the L1 table");
    rig_close(&rig);
}

static void
test_chains(void **state)
{
    g_autoptr(GError) err = NULL;
    Rig rig;

    (void)state;
    if (!have_qemu())
        skip();
    rig_open(&rig, &shapes[13], 1);
    assert_non_null(block_node_backing(rig.node));
    assert_string_equal(block_node_backing_filename(rig.node), "base.qcow2");
    g_clear_pointer(&rig.node, block_node_unref);
    g_free(run("qemu-img rebase -u -f qcow2 -b image.qcow2 -F qcow2 %s", rig.image));
    refuse(rig.image, true, "in its own chain");
    g_free(run("qemu-img rebase -u -f qcow2 -b missing.qcow2 -F qcow2 %s", rig.image));
    refuse(rig.image, true, "missing.qcow2");
    rig_close(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_what_qemu_writes),
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_threads_share_clusters),
        cmocka_unit_test(test_snapshots_keep_their_data),
        cmocka_unit_test(test_emptied_shows_what_lies_below),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_chains),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
