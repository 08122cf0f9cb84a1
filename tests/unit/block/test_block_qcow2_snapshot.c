/* test_block_qcow2_snapshot.c - internal snapshots and dirty bitmaps, with qemu-img on the other
 * side.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/block/qcow2_fixture.h"

enum { DISK = 3 << 20, STEPS = 25 };

typedef struct {
    char *name;
    uint8_t *bytes;
} Kept;

static void
kept_free(void *data)
{
    Kept *k = data;

    g_free(k->name);
    g_free(k->bytes);
    g_free(k);
}

static void
random_write(GRand *rand, BlockNode *node, uint8_t *model)
{
    uint64_t offset = g_rand_int_range(rand, 0, DISK / 512) * 512;
    /* MIN() would ask twice */
    uint64_t wanted = g_rand_int_range(rand, 1, 400) * 512, length = MIN(wanted, DISK - offset);
    g_autofree uint8_t *buf = g_malloc(length);

    switch (g_rand_int_range(rand, 0, 4)) {
    case 0:
        assert_int_equal(block_node_write_zeroes(node, offset, length, BLOCK_UNMAP), 0);
        memset(model + offset, 0, length);
        break;
    default:
        memset(buf, g_rand_int_range(rand, 1, 256), length);
        assert_int_equal(block_node_pwrite(node, offset, buf, length, 0), 0);
        memcpy(model + offset, buf, length);
    }
}

static void
assert_reads_as(BlockNode *node, const uint8_t *model, const char *what)
{
    g_autofree uint8_t *buf = g_malloc(DISK);

    assert_int_equal(block_node_size(node), DISK);
    assert_int_equal(block_node_pread(node, 0, buf, DISK), 0);
    if (memcmp(buf, model, DISK) != 0)
        fail_msg("%s reads as something else", what);
}

static void
assert_judge_reads(Qcow2Fixture *f, const char *name, const char *snapshot, const uint8_t *model)
{
    g_autofree char *path = qcow2_fixture_path(f, "raw"), *bytes = NULL;
    gsize length;

    qcow2_fixture_run(f, "qemu-img convert -f qcow2 -O raw %s%s %s raw", snapshot ? "-l " : "",
                      snapshot ? snapshot : "", name);
    assert_true(g_file_get_contents(path, &bytes, &length, NULL));
    assert_int_equal(length, DISK);
    if (memcmp(bytes, model, DISK) != 0)
        fail_msg("qemu-img reads something else from %s", snapshot ? snapshot : "the disk");
}

static void
take(BlockNode *node, GPtrArray *kept, const uint8_t *model, unsigned number)
{
    Kept *k = g_new0(Kept, 1);
    BlockSnapshot s = { .date_sec = 1700000000 + number };
    g_autoptr(GError) err = NULL;

    k->name = g_strdup_printf("snap-%u", number);
    k->bytes = g_memdup2(model, DISK);
    s.name = k->name;
    must(block_image_snapshot_create(node, &s, &err), err);
    g_ptr_array_add(kept, k);
}

static void
snapshots_at_random(Qcow2Fixture *f, GRand *rand, const char *options)
{
    g_autofree uint8_t *model = g_malloc0(DISK);
    g_autoptr(GPtrArray) kept = g_ptr_array_new_with_free_func(kept_free);
    BlockNode *node;

    qcow2_fixture_run(f, "rm -f a");
    qcow2_fixture_create(f, "a", options);
    node = qcow2_fixture_open(f, "a", true, false);
    for (unsigned i = 0; i < STEPS; i++) {
        g_autoptr(GError) err = NULL;
        unsigned what = g_rand_int_range(rand, 0, 10);
        guint pick = kept->len ? g_rand_int_range(rand, 0, kept->len) : 0;
        Kept *k = kept->len ? kept->pdata[pick] : NULL;

        if (what < 5) {
            random_write(rand, node, model);
        } else if (what < 7 || !k) {
            take(node, kept, model, i);
        } else if (what == 7) {
            must(block_image_snapshot_apply(node, k->name, &err), err);
            memcpy(model, k->bytes, DISK);
        } else if (what == 8) {
            must(block_image_snapshot_delete(node, k->name, &err), err);
            g_ptr_array_remove_index(kept, pick);
        } else {
            qcow2_fixture_close(node);
            qcow2_fixture_assert_clean(f, "a");
            node = qcow2_fixture_open(f, "a", true, false);
        }
        assert_reads_as(node, model, options);
    }
    qcow2_fixture_close(node);
    qcow2_fixture_assert_clean(f, "a");
    assert_judge_reads(f, "a", NULL, model);
    for (guint i = 0; i < kept->len; i++) {
        const Kept *k = kept->pdata[i];
        g_autoptr(GError) err = NULL;

        assert_judge_reads(f, "a", k->name, k->bytes);
        node = qcow2_fixture_open(f, "a", false, false);
        must(block_image_snapshot_show(node, k->name, &err), err);
        assert_reads_as(node, k->bytes, k->name);
        block_node_unref(node);
    }
    /* the judge can go on with them */
    if (kept->len > 0) {
        const Kept *k = kept->pdata[0];

        qcow2_fixture_run(f, "qemu-img snapshot -a %s a && qemu-img snapshot -d %s a", k->name,
                          k->name);
        qcow2_fixture_assert_clean(f, "a");
        assert_judge_reads(f, "a", NULL, k->bytes);
    }
}

static void
test_random(void **state)
{
    static const char *const rows[] = {
        "size=3M",
        "size=3M,cluster_size=512",
        "size=3M,cluster_size=4k,refcount_bits=64",
        "size=3M,cluster_size=4k,refcount_bits=8",
        "size=3M,extended_l2=on",
        "size=3M,cluster_size=2M",
        "size=3M,compat=0.10",
        "size=3M,preallocation=metadata",
    };
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();
    const char *given = g_getenv("KILN_TEST_SEED");
    guint32 seed = given ? strtoul(given, NULL, 10) : g_random_int();
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

    (void)state;
    print_message("seed %u\n", seed);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        snapshots_at_random(f, rand, rows[i]);
}

static void
test_too_narrow(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();
    g_autoptr(GError) err = NULL;
    BlockSnapshot s = { .name = (char *)"s" };
    BlockNode *node;

    (void)state;
    qcow2_fixture_create(f, "a", "size=1M,refcount_bits=1");
    node = qcow2_fixture_open(f, "a", true, false);
    assert_int_equal(block_node_pwrite(node, 0, "x", 1, 0), 0);
    assert_false(block_image_snapshot_create(node, &s, &err));
    assert_non_null(strstr(err->message, "refcount_bits"));
    assert_int_equal(block_node_pwrite(node, 70000, "y", 1, 0), 0);
    qcow2_fixture_close(node);
    qcow2_fixture_assert_clean(f, "a");
}

static void
test_judges_snapshots(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();
    g_autoptr(GPtrArray) list = NULL;
    g_autoptr(GError) err = NULL;
    const BlockSnapshot *s;
    BlockNode *node;
    uint8_t b;

    (void)state;
    qcow2_fixture_run(f, "qemu-img create -q -f qcow2 a 3M && "
                         "qemu-io -f qcow2 -c 'write -P 1 0 3M' a && qemu-img snapshot -c one a && "
                         "qemu-io -f qcow2 -c 'write -P 2 0 1M' a && qemu-img snapshot -c two a && "
                         "qemu-io -f qcow2 -c 'write -P 3 0 2M' a");
    node = qcow2_fixture_open(f, "a", true, false);
    list = block_image_snapshots(node, NULL);
    assert_int_equal(list->len, 2);
    s = list->pdata[1];
    assert_string_equal(s->name, "two");
    assert_string_equal(s->id, "2");
    assert_int_equal(s->disk_size, DISK);
    must(block_image_snapshot_apply(node, "one", &err), err);
    assert_int_equal(block_node_pread(node, 0, &b, 1), 0);
    assert_int_equal(b, 1);
    must(block_image_snapshot_delete(node, "1", &err), err);
    must(block_image_snapshot_apply(node, "two", &err), err);
    assert_int_equal(block_node_pread(node, 0, &b, 1), 0);
    assert_int_equal(b, 2);
    assert_false(block_image_snapshot_apply(node, "one", &err));
    qcow2_fixture_close(node);
    qcow2_fixture_assert_clean(f, "a");
}

static void
test_vm_state(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();
    g_autoptr(GError) err = NULL;
    g_autofree char *list = NULL, *text = g_malloc(200000), *back = g_malloc(200000);
    BlockSnapshot s = { .name = (char *)"with-state", .vm_state_size = 200000 };
    BlockNode *node;

    (void)state;
    memset(text, 0x5a, 200000);
    qcow2_fixture_create(f, "a", "size=3M");
    node = qcow2_fixture_open(f, "a", true, false);
    assert_int_equal(block_image_vmstate_write(node, 0, text, 200000), 0);
    must(block_image_snapshot_create(node, &s, &err), err);
    /* the state is the snapshot's now, not the disk's */
    assert_int_equal(block_image_vmstate_read(node, 0, back, 200000), 0);
    assert_int_equal(back[0], 0);
    must(block_image_snapshot_apply(node, "with-state", &err), err);
    assert_int_equal(block_image_vmstate_read(node, 0, back, 200000), 0);
    assert_memory_equal(back, text, 200000);
    must(block_image_resize(node, 6 << 20, BLOCK_PREALLOC_OFF, false, &err), err);
    assert_int_equal(block_node_pread(node, 3 << 20, back, 200000), 0);
    assert_int_equal(back[0], 0);
    qcow2_fixture_close(node);
    qcow2_fixture_assert_clean(f, "a");
    assert_int_equal(qcow2_fixture_try(f, &list, "qemu-img snapshot -l a"), 0);
    assert_non_null(strstr(list, "195 KiB"));
}

/* ---- bitmaps ---- */

static void
assert_dirty(BlockNode *node, const char *name, uint64_t offset, uint64_t length, bool dirty)
{
    uint64_t end = offset + length;

    while (offset < end) {
        uint64_t n = end - offset;
        bool is;

        assert_int_equal(block_image_bitmap_status(node, name, offset, &n, &is), 0);
        if (is != dirty)
            fail_msg("%s: offset %" G_GUINT64_FORMAT " is %s", name, offset,
                     is ? "dirty" : "clean");
        offset += n;
    }
}

typedef struct {
    BlockNode *node;
    gint ends;
} Busy;

static gpointer
busy_thread(gpointer opaque)
{
    Busy *b = opaque;
    char bytes[512] = { 1 };

    for (unsigned i = 0; !g_atomic_int_get(&b->ends); i++) {
        uint64_t at = i % 16 << 16;

        assert_int_equal(block_node_write_zeroes(b->node, at, 64 << 10, i & 1 ? BLOCK_UNMAP : 0),
                         0);
        assert_int_equal(block_node_pwrite(b->node, at, bytes, sizeof(bytes), 0), 0);
        assert_int_equal(block_node_discard(b->node, at, 64 << 10), 0);
    }
    return NULL;
}

/* Bitmaps come and go while the guest writes, zeroes and discards. */
static void
test_bitmaps_under_writes(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();
    g_autoptr(GError) err = NULL;
    Busy busy = { 0 };
    GThread *threads[2];

    (void)state;
    qcow2_fixture_create(f, "a", "size=1M");
    busy.node = qcow2_fixture_open(f, "a", true, false);
    for (unsigned i = 0; i < 2; i++)
        threads[i] = g_thread_new("busy", busy_thread, &busy);
    for (unsigned i = 0; i < 100; i++) {
        must(block_image_bitmap_add(busy.node, "b", 0, true, &err), err);
        must(block_image_bitmap_clear(busy.node, "b", &err), err);
        must(block_image_bitmap_remove(busy.node, "b", &err), err);
    }
    g_atomic_int_set(&busy.ends, 1);
    for (unsigned i = 0; i < 2; i++)
        g_thread_join(threads[i]);
    qcow2_fixture_close(busy.node);
    qcow2_fixture_assert_clean(f, "a");
}

static void
test_bitmaps_follow(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();
    g_autofree uint8_t *buf = g_malloc0(1 << 20);
    g_autofree char *info = NULL;
    g_autoptr(GError) err = NULL;
    g_autoptr(GPtrArray) list = NULL;
    BlockNode *node;

    (void)state;
    qcow2_fixture_create(f, "a", "size=3M");
    node = qcow2_fixture_open(f, "a", true, false);
    must(block_image_bitmap_add(node, "on", 4096, true, &err), err);
    must(block_image_bitmap_add(node, "off", 0, false, &err), err);
    assert_false(block_image_bitmap_add(node, "on", 0, true, &err));
    g_clear_error(&err);
    assert_false(block_image_bitmap_add(node, "odd", 5000, true, &err));
    g_clear_error(&err);
    assert_int_equal(block_node_pwrite(node, 1 << 20, buf, 8192, 0), 0);
    assert_int_equal(block_node_write_zeroes(node, 2 << 20, 65536, 0), 0);
    assert_dirty(node, "on", 0, 1 << 20, false);
    assert_dirty(node, "on", 1 << 20, 8192, true);
    assert_dirty(node, "on", (1 << 20) + 8192, (1 << 20) - 8192, false);
    assert_dirty(node, "on", 2 << 20, 65536, true);
    assert_dirty(node, "off", 0, 3 << 20, false);
    qcow2_fixture_close(node);
    qcow2_fixture_assert_clean(f, "a");
    assert_int_equal(qcow2_fixture_try(f, &info, "qemu-img info a"), 0);
    assert_null(strstr(info, "in-use"));

    /* through qemu-img and back: it reads what was written, and writes what is read */
    qcow2_fixture_run(f, "qemu-img bitmap --add --disable -g 8192 a copy && "
                         "qemu-img bitmap --merge on a copy && qemu-img bitmap --disable a on && "
                         "qemu-io -f qcow2 -c 'write 0 64k' a && qemu-img bitmap --enable a off && "
                         "qemu-io -f qcow2 -c 'write 64k 64k' a");
    node = qcow2_fixture_open(f, "a", false, false);
    assert_dirty(node, "copy", 1 << 20, 8192, true);
    assert_dirty(node, "copy", (1 << 20) + 8192, 500000, false);
    assert_dirty(node, "copy", 2 << 20, 65536, true);
    assert_dirty(node, "on", 0, 1 << 20, false);
    assert_dirty(node, "off", 0, 65536, false);
    assert_dirty(node, "off", 65536, 65536, true);
    block_node_unref(node);

    node = qcow2_fixture_open(f, "a", true, false);
    must(block_image_bitmap_merge(node, "on", node, "off", &err), err);
    must(block_image_bitmap_clear(node, "copy", &err), err);
    must(block_image_bitmap_remove(node, "off", &err), err);
    assert_dirty(node, "on", 65536, 65536, true);
    assert_dirty(node, "copy", 0, 3 << 20, false);
    must(block_image_bitmap_enable(node, "copy", true, &err), err);
    must(block_image_resize(node, 4 << 20, BLOCK_PREALLOC_OFF, false, &err), err);
    assert_int_equal(block_node_pwrite(node, (4 << 20) - 4096, buf, 4096, 0), 0);
    assert_dirty(node, "copy", (4 << 20) - 8192, 8192, true);
    qcow2_fixture_close(node);
    qcow2_fixture_assert_clean(f, "a");
    node = qcow2_fixture_open(f, "a", false, false);
    assert_dirty(node, "copy", (4 << 20) - 8192, 8192, true);
    list = block_image_bitmaps(node);
    assert_int_equal(list->len, 2);
    block_node_unref(node);
    qcow2_fixture_run(f, "qemu-img bitmap --remove a on && qemu-img bitmap --remove a copy");
    qcow2_fixture_assert_clean(f, "a");
}

static void
test_bitmap_of_the_dead(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();
    g_autoptr(GPtrArray) list = NULL;
    g_autoptr(GError) err = NULL;
    const BlockBitmap *b;
    BlockNode *node;

    (void)state;
    qcow2_fixture_create(f, "a", "size=3M");
    node = qcow2_fixture_open(f, "a", true, false);
    must(block_image_bitmap_add(node, "b", 0, true, &err), err);
    assert_int_equal(block_node_pwrite(node, 0, "x", 1, 0), 0);
    assert_int_equal(block_node_flush(node), 0);
    /* what the disk holds when the power goes now */
    qcow2_fixture_run(f, "cp a dead");
    qcow2_fixture_close(node);
    qcow2_fixture_run(f, "qemu-img check dead && qemu-img info dead | grep -q in-use");
    node = qcow2_fixture_open(f, "dead", true, false);
    list = block_image_bitmaps(node);
    b = list->pdata[0];
    assert_true(b->inconsistent);
    assert_false(block_image_bitmap_enable(node, "b", true, &err));
    g_clear_error(&err);
    must(block_image_bitmap_remove(node, "b", &err), err);
    qcow2_fixture_close(node);
    qcow2_fixture_assert_clean(f, "dead");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_too_narrow),
        cmocka_unit_test(test_judges_snapshots),
        cmocka_unit_test(test_vm_state),
        cmocka_unit_test(test_bitmaps_follow),
        cmocka_unit_test(test_bitmaps_under_writes),
        cmocka_unit_test(test_bitmap_of_the_dead),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
