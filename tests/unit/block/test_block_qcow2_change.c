/* test_block_qcow2_change.c - another size, another version, other refcounts: judged by qemu-img.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/block/qcow2_fixture.h"

static void
amend(Qcow2Fixture *f, const char *name, const char *options)
{
    BlockNode *node = qcow2_fixture_open(f, name, true, false);
    g_autoptr(GHashTable) table = qcow2_fixture_options(options);
    g_autoptr(GError) err = NULL;

    must(block_image_amend(node, table, NULL, NULL, &err), err);
    qcow2_fixture_close(node);
    qcow2_fixture_assert_clean(f, name);
}

static void
refuse_amend(Qcow2Fixture *f, const char *name, const char *options)
{
    BlockNode *node = qcow2_fixture_open(f, name, true, false);
    g_autoptr(GHashTable) table = qcow2_fixture_options(options);
    g_autoptr(GError) err = NULL;

    if (block_image_amend(node, table, NULL, NULL, &err))
        fail_msg("%s was taken", options);
    qcow2_fixture_close(node);
    qcow2_fixture_assert_clean(f, name);
}

static void
assert_info(Qcow2Fixture *f, const char *name, const char *word)
{
    g_autofree char *text = NULL;

    assert_int_equal(qcow2_fixture_try(f, &text, "qemu-img info %s", name), 0);
    if (!strstr(text, word))
        fail_msg("no '%s' in %s", word, text);
}

static void
test_amend(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();

    (void)state;
    qcow2_fixture_run(f, "qemu-img create -q -f qcow2 -o compat=0.10 a 4M && "
                         "qemu-io -f qcow2 -c 'write -P 1 0 2M' -c 'write -c -P 3 2M 64k' a && "
                         "qemu-img snapshot -c s a && qemu-io -f qcow2 -c 'write -P 2 1M 64k' a && "
                         "qemu-img convert -O raw a before");
    refuse_amend(f, "a", "lazy_refcounts=on");
    refuse_amend(f, "a", "cluster_size=4k");
    refuse_amend(f, "a", "data_file=x");
    amend(f, "a", "compat=1.1");
    assert_info(f, "a", "compat: 1.1");
    for (unsigned bits = 2; bits <= 64; bits *= 2) {
        g_autofree char *option = g_strdup_printf("refcount_bits=%u", bits);
        g_autofree char *word = g_strdup_printf("refcount bits: %u", bits);

        amend(f, "a", option);
        assert_info(f, "a", word);
        qcow2_fixture_run(f, "qemu-img compare a before");
    }
    refuse_amend(f, "a", "refcount_bits=1");
    amend(f, "a", "lazy_refcounts=on,cluster_size=64k");
    assert_info(f, "a", "lazy refcounts: true");
    refuse_amend(f, "a", "compat=0.10");
    qcow2_fixture_run(f, "qemu-img snapshot -a s a && qemu-img snapshot -d s a && "
                         "qemu-io -f qcow2 -c 'write -z 0 128k' -c 'discard 512k 64k' a && "
                         "qemu-img convert -O raw a before");
    amend(f, "a", "compat=0.10,refcount_bits=16,lazy_refcounts=off");
    assert_info(f, "a", "compat: 0.10");
    qcow2_fixture_run(f, "qemu-img compare a before");
}

/* Zero clusters of snapshots, with and without a place, and shared by several of them. */
static void
test_lower_with_snapshots(void **state)
{
    static const char *const kinds[] = { "cluster_size=64k", "cluster_size=512",
                                         "cluster_size=2M" };
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        qcow2_fixture_run(f,
                          "rm -f * && qemu-img create -q -f qcow2 -o %s a 8M && "
                          "qemu-io -f qcow2 -c 'write -P 1 0 6M' -c 'write -z 0 2M' a && "
                          "qemu-img snapshot -c one a && "
                          "qemu-io -f qcow2 -c 'write -P 2 0 64k' -c 'write -z 4M 2M' a && "
                          "qemu-img snapshot -c two a && qemu-img snapshot -c three a && "
                          "qemu-io -f qcow2 -c 'write -zu 2M 2M' -c 'write -P 3 7M 1k' a",
                          kinds[i]);
        for (unsigned round = 0; round < 2; round++) {
            qcow2_fixture_run(f,
                              "qemu-img convert a disk%u && for s in one two three; do "
                              "qemu-img convert -l $s a ${s}%u; done",
                              round, round);
            if (round == 0)
                amend(f, "a", "compat=0.10");
        }
        assert_info(f, "a", "compat: 0.10");
        qcow2_fixture_run(f, "for s in disk one two three; do cmp ${s}0 ${s}1 || exit; done && "
                             "for s in two one three; do qemu-img snapshot -d $s a || exit; done");
        qcow2_fixture_assert_clean(f, "a");
    }
    /* what version 2 cannot say */
    qcow2_fixture_run(f, "rm -f * && qemu-img create -q -f qcow2 b 4M && "
                         "qemu-img create -q -f qcow2 -b b -F qcow2 a && "
                         "qemu-io -f qcow2 -c 'write -z 0 1M' a && qemu-img snapshot -c s a");
    refuse_amend(f, "a", "compat=0.10");
    qcow2_fixture_run(f, "rm -f * && qemu-img create -q -f qcow2 a 4M && "
                         "qemu-img snapshot -c s a && qemu-img resize -q a 5M");
    refuse_amend(f, "a", "compat=0.10");
}

static void
test_backing(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();
    g_autoptr(GError) err = NULL;
    g_autofree char *longer = g_strnfill(1024, 'x');
    BlockNode *node;

    (void)state;
    qcow2_fixture_run(f, "qemu-img create -q -f qcow2 b 4M && "
                         "qemu-io -f qcow2 -c 'write -P 6 0 4M' b && cp b b2 && "
                         "qemu-img create -q -f qcow2 -b b -F qcow2 a");
    node = qcow2_fixture_open(f, "a", true, false);
    must(block_image_change_backing(node, "b2", "qcow2", &err), err);
    assert_string_equal(block_node_backing_filename(node), "b2");
    assert_false(block_image_change_backing(node, longer, "raw", &err));
    qcow2_fixture_close(node);
    assert_info(f, "a", "backing file: b2");
    qcow2_fixture_run(f, "rm b && qemu-io -f qcow2 -c 'read -P 6 0 4M' a | grep -qv failed");
    /* zero clusters over a backing file stay zeroes in version 2 */
    qcow2_fixture_run(f, "qemu-io -f qcow2 -c 'write -z 0 128k' a");
    amend(f, "a", "compat=0.10");
    qcow2_fixture_run(f, "qemu-io -f qcow2 -c 'read -P 0 0 128k' -c 'read -P 6 128k 1M' a "
                         "| (! grep -i fail)");
    node = qcow2_fixture_open(f, "a", true, false);
    must(block_image_change_backing(node, NULL, NULL, &err), err);
    qcow2_fixture_close(node);
    qcow2_fixture_assert_clean(f, "a");
}

static void
resize(Qcow2Fixture *f, const char *name, uint64_t size, BlockPrealloc prealloc)
{
    BlockNode *node = qcow2_fixture_open(f, name, true, false);
    g_autoptr(GError) err = NULL;

    must(block_image_resize(node, size, prealloc, true, &err), err);
    assert_int_equal(block_node_size(node), (size + 511) / 512 * 512);
    qcow2_fixture_close(node);
    qcow2_fixture_assert_clean(f, name);
}

static void
test_resize(void **state)
{
    static const char *const rows[] = {
        "compat=1.1",
        "compat=0.10",
        "cluster_size=512",
        "extended_l2=on",
        "refcount_bits=64,cluster_size=4k",
        "cluster_size=2M",
        "data_file=d",
        "data_file=d,data_file_raw=on",
    };
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        bool data_file = strstr(rows[i], "data_file"), v2 = strstr(rows[i], "0.10");

        qcow2_fixture_run(f,
                          "rm -f a d raw && qemu-img create -q -f qcow2 -o %s a 3M && "
                          "truncate -s 3M raw && "
                          "qemu-io -f qcow2 -c 'write -P 5 0 1000k' -c 'write -P 6 2M 1M' a && "
                          "qemu-io -f raw -c 'write -P 5 0 1000k' -c 'write -P 6 2M 1M' raw",
                          rows[i]);
        if (data_file) /* a name without a folder is looked for in the folder of the test */
            qcow2_fixture_run(f, "qemu-img amend -o data_file=$PWD/d a");
        for (unsigned p = 0; p < 4; p++) {
            resize(f, "a", (5 << 20) + 512, p);
            qcow2_fixture_run(f, "truncate -s %d raw && qemu-img compare -f qcow2 -F raw a raw",
                              (5 << 20) + 512);
            resize(f, "a", (2 << 20) + 1024, BLOCK_PREALLOC_OFF);
            qcow2_fixture_run(f, "truncate -s %d raw && qemu-img compare -f qcow2 -F raw a raw",
                              (2 << 20) + 1024);
        }
        if (data_file || v2)
            continue;
        qcow2_fixture_run(f, "qemu-img snapshot -c s a && qemu-img bitmap --add a b0");
        resize(f, "a", 9 << 20, BLOCK_PREALLOC_METADATA);
        resize(f, "a", 1 << 20, BLOCK_PREALLOC_OFF);
        qcow2_fixture_run(f, "qemu-img bitmap --remove a b0 && qemu-img snapshot -a s a && "
                             "qemu-img compare -f qcow2 -F raw a raw");
        qcow2_fixture_assert_clean(f, "a");
    }
}

/* What a longer backing file has behind the old end must not come up. */
static void
test_grow_over_backing(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();

    (void)state;
    for (unsigned p = 0; p < 4; p++) {
        qcow2_fixture_run(f, "rm -f a b && qemu-img create -q -f qcow2 b 4M && "
                             "qemu-io -f qcow2 -c 'write -P 6 0 4M' b && "
                             "qemu-img create -q -f qcow2 -b b -F qcow2 a 1000k");
        resize(f, "a", 6 << 20, p);
        qcow2_fixture_run(f, "qemu-io -f qcow2 -c 'read -P 6 0 1000k' -c 'read -P 0 1000k 5144k' a "
                             "| (! grep -i fail)");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_amend),
        cmocka_unit_test(test_lower_with_snapshots),
        cmocka_unit_test(test_backing),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_grow_over_backing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
