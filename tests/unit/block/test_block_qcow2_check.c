/* test_block_qcow2_check.c - damaged images: what Kiln finds beside what qemu-img finds, and
 * whether qemu-img is content with what Kiln made of them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/block/qcow2_fixture.h"

#define HOST UINT64_C(0x00fffffffffffe00)

enum { RANDOM_ROUNDS = 36, ZEROES_AT = 2560 << 10, BOTH = BLOCK_CHECK_LEAKS | BLOCK_CHECK_ERRORS };

/* Offsets of an image's tables, as its header and tables say. */
typedef struct {
    uint64_t cluster, l1, l1_entries, refcount_table, refcount_block, l2, snapshots, bitmaps;
    uint64_t zeroes; /* a cluster of data that is written with zeroes */
} Places;

static Places
places_of(Qcow2Fixture *f, const char *name)
{
    Places p = {
        .cluster = UINT64_C(1) << qcow2_fixture_peek(f, name, 20, 4),
        .l1_entries = qcow2_fixture_peek(f, name, 36, 4),
        .l1 = qcow2_fixture_peek(f, name, 40, 8),
        .refcount_table = qcow2_fixture_peek(f, name, 48, 8),
        .snapshots = qcow2_fixture_peek(f, name, 64, 8),
    };

    bool wide = qcow2_fixture_peek(f, name, 7, 1) == 3 && qcow2_fixture_peek(f, name, 79, 1) & 16;
    uint64_t entries = p.cluster / (wide ? 16 : 8);

    p.refcount_block = qcow2_fixture_peek(f, name, p.refcount_table, 8);
    p.l2 = qcow2_fixture_peek(f, name, p.l1, 8) & HOST;
    p.zeroes = qcow2_fixture_peek(f, name, p.l1 + ZEROES_AT / (p.cluster * entries) * 8, 8) & HOST;
    p.zeroes = qcow2_fixture_peek(
                   f, name, p.zeroes + ZEROES_AT / p.cluster % entries * (p.cluster / entries), 8) &
               HOST;
    /* extensions begin behind the header; qemu-img writes that of bitmaps among the first */
    for (uint64_t at = qcow2_fixture_peek(f, name, 100, 4); at && at < 1000;) {
        uint64_t type = qcow2_fixture_peek(f, name, at, 4);

        if (type == 0)
            break;
        if (type == 0x23852875)
            p.bitmaps = qcow2_fixture_peek(f, name, at + 24, 8);
        at += 8 + (qcow2_fixture_peek(f, name, at + 4, 4) + 7) / 8 * 8;
    }
    return p;
}

/* An image with all that can be damaged: data, compressed data, snapshots, bitmaps. */
static Places
image_make(Qcow2Fixture *f, const char *name, const char *options)
{
    bool v2 = strstr(options, "compat=0.10");
    bool narrow = strstr(options, "refcount_bits=1,") || strstr(options, "refcount_bits=4");

    qcow2_fixture_run(f, "qemu-img create -q -f qcow2 -o %s %s 3M", options, name);
    qcow2_fixture_run(f,
                      "qemu-io -f qcow2 -c 'write -P 1 0 1M' -c 'write -P 9 1200k 100k' "
                      "-c 'write -z 1500k 200k' %s",
                      name);
    qcow2_fixture_run(f,
                      "dd if=/dev/zero bs=64k count=48 of=plain status=none && "
                      "qemu-io -f qcow2 -c 'write -c -P 3 2M 64k' %s || true",
                      name);
    qcow2_fixture_run(f, "qemu-io -f qcow2 -c 'write -P 0 %d 20k' %s", ZEROES_AT, name);
    if (!narrow)
        qcow2_fixture_run(f,
                          "qemu-img snapshot -c one %s && "
                          "qemu-io -f qcow2 -c 'write -P 2 512k 512k' %s && "
                          "qemu-img snapshot -c two %s && "
                          "qemu-io -f qcow2 -c 'write -P 4 256k 128k' %s",
                          name, name, name, name);
    if (!v2)
        qcow2_fixture_run(f,
                          "qemu-img bitmap --add %s b0 && "
                          "qemu-io -f qcow2 -c 'write -P 5 100k 10k' %s",
                          name, name);
    qcow2_fixture_assert_clean(f, name);
    return places_of(f, name);
}

static int64_t
judge(Qcow2Fixture *f, const char *name, const char *what)
{
    g_autofree char *text = NULL;
    g_autoptr(JsonNode) node = NULL;
    const char *start;

    qcow2_fixture_try(f, &text, "qemu-img check -f qcow2 --output=json %s 2>/dev/null", name);
    start = strchr(text, '{');
    node = start ? json_from_string(start, NULL) : NULL;
    if (!node)
        return -1;
    return json_object_get_int_member_with_default(json_node_get_object(node), what, 0);
}

static void
assert_mends(Qcow2Fixture *f, const char *name, const char *what)
{
    BlockCheck c = qcow2_fixture_check(f, name, BOTH);
    g_autofree char *text = NULL;

    if (c.corruptions + c.leaks > 0)
        fail_msg("%s: %d corruptions and %d leaks are left", what, (int)c.corruptions,
                 (int)c.leaks);
    if (qcow2_fixture_try(f, &text, "qemu-img check -f qcow2 %s", name) != 0)
        fail_msg("%s: qemu-img says %s", what, text);
    c = qcow2_fixture_check(f, name, 0);
    if (c.corruptions + c.leaks > 0)
        fail_msg("%s: a second check finds %d corruptions and %d leaks", what, (int)c.corruptions,
                 (int)c.leaks);
}

static const char *const kinds[] = {
    "compat=1.1",
    "compat=0.10",
    "cluster_size=512",
    "cluster_size=4k,refcount_bits=64",
    "cluster_size=4k,refcount_bits=4",
    "refcount_bits=1,cluster_size=4k",
    "extended_l2=on",
    "compression_type=zstd,cluster_size=16k",
    "cluster_size=2M",
};

/* The disk's first cluster of data. */
static uint64_t
data_of(Qcow2Fixture *f, const char *name, const Places *p)
{
    return qcow2_fixture_peek(f, name, p->l2, 8) & HOST;
}

/* Table and bits of the image's one bitmap, as they are in the file. */
static char *
bitmap_bytes(Qcow2Fixture *f, const char *name)
{
    Places p = places_of(f, name);
    uint64_t table = p.bitmaps ? qcow2_fixture_peek(f, name, p.bitmaps, 8) : 0;
    uint64_t bits = table ? qcow2_fixture_peek(f, name, table, 8) & HOST : 0;
    char *text = NULL;

    if (bits == 0)
        return g_strdup("none");
    qcow2_fixture_try(f, &text,
                      "for at in %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT
                      "; do tail -c +$((at + 1)) %s"
                      " | head -c %" G_GUINT64_FORMAT " | sha256sum; done",
                      table, bits, name, p.cluster);
    return text;
}

/* A table is said to be where a bitmap or the snapshot table is. */
static void
damage_misled(Qcow2Fixture *f, const char *name, const Places *p, unsigned which)
{
    uint64_t table = p->bitmaps ? qcow2_fixture_peek(f, name, p->bitmaps, 8) : 0;
    uint64_t bits = table ? qcow2_fixture_peek(f, name, table, 8) & HOST : 0;
    uint64_t snapshot_l1 = p->snapshots ? qcow2_fixture_peek(f, name, p->snapshots, 8) : 0;
    uint64_t end = p->l1 + p->l1_entries * 8 - 8, copied = UINT64_C(1) << 63;

    switch (which) {
    case 20:
    case 21: /* a snapshot's L1 table */
        if (p->snapshots && bits)
            qcow2_fixture_poke(f, name, p->snapshots, which == 20 ? table : bits, 8);
        break;
    case 22:
    case 23: /* an L2 table of a snapshot */
        if (p->snapshots && bits)
            qcow2_fixture_poke(f, name, snapshot_l1, which == 22 ? table : bits, 8);
        break;
    case 24: /* an L2 table of the disk, which is lost, but not more than that */
        if (bits)
            qcow2_fixture_poke(f, name, end, copied | bits, 8);
        break;
    case 25:
        if (p->snapshots)
            qcow2_fixture_poke(f, name, end, copied | p->snapshots, 8);
        break;
    case 26: /* the bits, where the disk's L2 table is: they are given up */
        if (bits)
            qcow2_fixture_poke(f, name, table, p->l2, 8);
        break;
    case 27: /* the snapshot table itself is somewhere on the disk, where zeroes are */
        if (p->snapshots)
            qcow2_fixture_poke(f, name, 64, p->zeroes, 8);
        break;
    }
}

/* Places of an image that something is written to, in words of the table @base. */
static void
damage_known(Qcow2Fixture *f, const char *name, const Places *p, unsigned which)
{
    switch (which) {
    case 0: /* a refcount of nothing: leak or loss */
        qcow2_fixture_poke(f, name, p->refcount_block + 6, 0xffff, 2);
        break;
    case 1: /* all refcounts of the first clusters lost */
        qcow2_fixture_poke(f, name, p->refcount_block, 0, 8);
        break;
    case 2: /* the block is nowhere */
        qcow2_fixture_poke(f, name, p->refcount_table, 0, 8);
        break;
    case 3: /* … or outside */
        qcow2_fixture_poke(f, name, p->refcount_table, UINT64_C(1) << 40, 8);
        break;
    case 4: /* … or not on a cluster */
        qcow2_fixture_poke(f, name, p->refcount_table, p->refcount_block | 512 | 8, 8);
        break;
    case 5: /* data outside the file */
        qcow2_fixture_poke(f, name, p->l2, (UINT64_C(1) << 63) | (UINT64_C(1) << 40), 8);
        break;
    case 6: /* data in the L1 table */
        qcow2_fixture_poke(f, name, p->l2, (UINT64_C(1) << 63) | p->l1, 8);
        break;
    case 7: /* COPIED gone */
        qcow2_fixture_poke(f, name, p->l1, p->l2, 8);
        break;
    case 8: /* an L2 table that is not there */
        qcow2_fixture_poke(f, name, p->l1, (UINT64_C(1) << 63) | (UINT64_C(1) << 41), 8);
        break;
    case 9: /* reserved bits */
        qcow2_fixture_poke(f, name, p->l2,
                           qcow2_fixture_peek(f, name, p->l2, 8) | UINT64_C(1) << 57, 8);
        break;
    case 10: /* compressed data outside the file */
        qcow2_fixture_poke(f, name, p->l2, (UINT64_C(1) << 62) | (UINT64_C(1) << 39), 8);
        break;
    case 11: /* the refcount table itself is an L2 table */
        qcow2_fixture_poke(f, name, p->l1, (UINT64_C(1) << 63) | p->refcount_table, 8);
        break;
    case 12: /* a snapshot's L1 table outside */
        if (p->snapshots)
            qcow2_fixture_poke(f, name, p->snapshots, UINT64_C(1) << 42, 8);
        break;
    case 13: /* a snapshot's name of any length */
        if (p->snapshots)
            qcow2_fixture_poke(f, name, p->snapshots + 36, 0xffffffff, 4);
        break;
    case 14: /* a bitmap's table outside */
        if (p->bitmaps)
            qcow2_fixture_poke(f, name, p->bitmaps, UINT64_C(1) << 42, 8);
        break;
    case 15: /* a bitmap without a name */
        if (p->bitmaps)
            qcow2_fixture_poke(f, name, p->bitmaps + 16, 0, 4);
        break;
    case 16: /* from here on a snapshot's tables are where the disk has something else */
        if (p->snapshots)
            qcow2_fixture_poke(f, name, p->snapshots, p->snapshots, 8);
        break;
    case 17:
        if (p->snapshots)
            qcow2_fixture_poke(f, name, p->snapshots, p->l2, 8);
        break;
    case 18:
        if (p->snapshots)
            qcow2_fixture_poke(f, name, p->snapshots, data_of(f, name, p), 8);
        break;
    case 19:
        if (p->snapshots)
            qcow2_fixture_poke(f, name, qcow2_fixture_peek(f, name, p->snapshots, 8),
                               data_of(f, name, p), 8);
        break;
    default:
        damage_misled(f, name, p, which);
    }
}

enum {
    KNOWN_DAMAGES = 28,
    DISK_STAYS = 12, /* what was poked is no part of the disk */
    DISK_GOES = 24,  /* … but for these */
    DISK_GOES_END = 25,
    BITMAP_STAYS = 16,
    BITMAP_STAYS_END = 25,
};

static void
test_known_damage(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();

    (void)state;
    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
        g_autofree char *bits = NULL;
        Places p;

        qcow2_fixture_run(f, "rm -f good");
        p = image_make(f, "good", kinds[k]);
        bits = bitmap_bytes(f, "good");
        for (unsigned d = 0; d < KNOWN_DAMAGES; d++) {
            g_autofree char *what = g_strdup_printf("%s, damage %u", kinds[k], d);
            g_autofree char *bits_now = NULL;
            BlockCheck c;
            bool same;

            qcow2_fixture_run(f, "cp --sparse=always good bad");
            damage_known(f, "bad", &p, d);
            same = qcow2_fixture_try(f, NULL, "cmp -s good bad") == 0;
            c = qcow2_fixture_check(f, "bad", 0);
            if (!same && c.corruptions + c.leaks == 0)
                fail_msg("%s is not seen", what);
            /* qemu-img stops at what it cannot read; where it counts, it counts the same */
            if (d == 0 || d == 7) {
                assert_int_equal(c.corruptions, judge(f, "bad", "corruptions"));
                assert_int_equal(c.leaks, judge(f, "bad", "leaks"));
            }
            assert_mends(f, "bad", what);
            if (d >= DISK_STAYS && (d < DISK_GOES || d > DISK_GOES_END))
                qcow2_fixture_run(f, "qemu-img compare -f qcow2 -F qcow2 good bad");
            bits_now = bitmap_bytes(f, "bad");
            if (d >= BITMAP_STAYS && d <= BITMAP_STAYS_END && strcmp(bits, bits_now) != 0)
                fail_msg("%s: the bitmap was\n%sand is\n%s", what, bits, bits_now);
            if (d == DISK_GOES || d == DISK_GOES_END)
                qcow2_fixture_run(f, "qemu-img snapshot -l good > good.list && "
                                     "qemu-img snapshot -l bad | cmp - good.list");
        }
    }
}

static void
test_random_damage(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();
    guint32 seed =
        g_getenv("KILN_SEED") ? (guint32)strtoul(g_getenv("KILN_SEED"), NULL, 0) : g_random_int();
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

    (void)state;
    print_message("seed %u\n", seed);
    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
        uint64_t bases[6];
        Places p;

        qcow2_fixture_run(f, "rm -f good");
        p = image_make(f, "good", kinds[k]);
        bases[0] = p.l1;
        bases[1] = p.l2;
        bases[2] = p.refcount_table;
        bases[3] = p.refcount_block;
        bases[4] = p.snapshots ? p.snapshots : p.l2;
        bases[5] = p.bitmaps ? p.bitmaps : p.l2;
        for (unsigned i = 0; i < RANDOM_ROUNDS / G_N_ELEMENTS(kinds); i++) {
            g_autofree char *what = g_strdup_printf("%s, round %u of seed %u", kinds[k], i, seed);

            qcow2_fixture_run(f, "cp --sparse=always good bad");
            for (int n = g_rand_int_range(rand, 1, 6); n > 0; n--) {
                uint64_t at = bases[g_rand_int_range(rand, 0, 6)];
                uint64_t value = (uint64_t)g_rand_int_range(rand, 0, 64) << 9;

                at += g_rand_int_range(rand, 0, 40) * 8;
                value |= (uint64_t)g_rand_int(rand) << g_rand_int_range(rand, 0, 40);
                if (g_rand_boolean(rand))
                    value = (value & 0xfffff) * p.cluster | UINT64_C(1) << 63;
                qcow2_fixture_poke(f, "bad", at, value, 8);
            }
            assert_mends(f, "bad", what);
        }
    }
}

/* Leaks alone: data stay, and nothing else is touched. */
static void
test_leaks_only(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();
    BlockCheck c;
    Places p;

    (void)state;
    p = image_make(f, "a", "compat=1.1");
    /* behind the end of the file, where qemu-img does not look */
    qcow2_fixture_poke(f, "a", p.refcount_block + 2 * 100, 0x00020001, 4);
    c = qcow2_fixture_check(f, "a", 0);
    assert_int_equal(c.leaks, 2);
    c = qcow2_fixture_check(f, "a", BLOCK_CHECK_LEAKS);
    assert_int_equal(c.leaks, 0);
    assert_int_equal(c.leaks_fixed, 2);
    qcow2_fixture_assert_clean(f, "a");
}

static void
test_numbers_match(void **state)
{
    static const char *const names[] = { "image-end-offset", "total-clusters", "allocated-clusters",
                                         "fragmented-clusters", "compressed-clusters" };
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();

    (void)state;
    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
        BlockCheck c;
        uint64_t own[5];

        qcow2_fixture_run(f, "rm -f a");
        image_make(f, "a", kinds[k]);
        c = qcow2_fixture_check(f, "a", 0);
        own[0] = c.image_end_offset;
        own[1] = c.total_clusters;
        own[2] = c.allocated_clusters;
        own[3] = c.fragmented_clusters;
        own[4] = c.compressed_clusters;
        for (unsigned i = 0; i < 5; i++)
            if ((int64_t)own[i] != judge(f, "a", names[i]))
                fail_msg("%s: %s is %d, qemu-img says %d", kinds[k], names[i], (int)own[i],
                         (int)judge(f, "a", names[i]));
    }
}

/* The dirty and corrupt marks go when all is well. */
static void
test_marks(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();

    (void)state;
    image_make(f, "a", "compat=1.1");
    qcow2_fixture_poke(f, "a", 79, 3, 1);
    qcow2_fixture_check(f, "a", 0);
    assert_int_equal(qcow2_fixture_peek(f, "a", 79, 1), 3);
    qcow2_fixture_check(f, "a", BOTH);
    assert_int_equal(qcow2_fixture_peek(f, "a", 79, 1), 0);
    qcow2_fixture_assert_clean(f, "a");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_damage), cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_leaks_only),   cmocka_unit_test(test_numbers_match),
        cmocka_unit_test(test_marks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
