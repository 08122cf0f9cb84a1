/* test_block_qcow2_create.c - creation, measuring, information: judged by qemu-img.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/block/qcow2_fixture.h"

enum { RANDOM_IMAGES = 24 };

/* What qemu-img says of an image, but for its name and the space it takes. */
static JsonObject *
judge_info(Qcow2Fixture *f, const char *name)
{
    g_autofree char *text = NULL;
    g_autoptr(JsonNode) node = NULL;
    JsonObject *o;

    assert_int_equal(qcow2_fixture_try(f, &text, "qemu-img info --output=json %s", name), 0);
    node = json_from_string(text, NULL);
    assert_non_null(node);
    o = json_object_ref(json_node_get_object(node));
    json_object_remove_member(o, "filename");
    json_object_remove_member(o, "actual-size");
    return o;
}

static bool
objects_equal(JsonObject *a, JsonObject *b)
{
    g_autoptr(JsonNode) x = json_node_new(JSON_NODE_OBJECT), y = json_node_new(JSON_NODE_OBJECT);

    json_node_set_object(x, a);
    json_node_set_object(y, b);
    return json_node_equal(x, y);
}

/* Kiln's image and qemu-img's of the same options: the same to know of them, both sound, and
 * qemu-io can write and read Kiln's. */
static void
compare_with_judge(Qcow2Fixture *f, const char *options)
{
    g_autoptr(JsonObject) own = NULL, theirs = NULL, said = NULL;
    BlockNode *node;

    qcow2_fixture_run(f, "rm -f d own theirs");
    qcow2_fixture_run(f, "qemu-img create -q -f qcow2 -o %s theirs", options);
    theirs = judge_info(f, "theirs");
    qcow2_fixture_run(f, "rm -f d");
    qcow2_fixture_create(f, "own", options);
    qcow2_fixture_assert_clean(f, "own");
    own = judge_info(f, "own");
    node = qcow2_fixture_open(f, "own", false, false);
    said = block_image_specific(node);
    if (!objects_equal(said, json_object_get_object_member(own, "format-specific")))
        fail_msg("information differs for %s", options);
    block_node_unref(node);
    if (strstr(options, "data_file"))
        json_object_remove_member(
            json_object_get_object_member(json_object_get_object_member(own, "format-specific"),
                                          "data"),
            "data-file"),
            json_object_remove_member(
                json_object_get_object_member(
                    json_object_get_object_member(theirs, "format-specific"), "data"),
                "data-file");
    if (!objects_equal(own, theirs))
        fail_msg("qemu-img sees another image for %s", options);
    qcow2_fixture_run(f, "qemu-io -f qcow2 -c 'read -P 0 0 256k' -c 'write -P 7 60k 100k' "
                         "-c 'read -P 7 60k 100k' -c 'read -P 0 160k 96k' own > /dev/null");
    qcow2_fixture_assert_clean(f, "own");
}

static void
test_options_match_qemu_img(void **state)
{
    static const char *const rows[] = {
        "size=1M",
        "size=64G",
        "size=10M,compat=0.10",
        "size=10M,compat=0.10,preallocation=metadata",
        "size=10M,cluster_size=512",
        "size=10M,cluster_size=512,preallocation=metadata,refcount_bits=64",
        "size=10M,cluster_size=2M,preallocation=metadata",
        "size=10M,refcount_bits=1,preallocation=metadata",
        "size=10M,refcount_bits=2,cluster_size=4k,preallocation=falloc",
        "size=10M,refcount_bits=8,preallocation=full",
        "size=10M,lazy_refcounts=on,compression_type=zstd",
        "size=10M,extended_l2=on,preallocation=metadata",
        "size=10M,data_file=d",
        "size=10M,data_file=d,data_file_raw=on",
        "size=10M,data_file=d,preallocation=full",
    };
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        compare_with_judge(f, rows[i]);
}

static char *
random_options(GRand *rand)
{
    static const char *const prealloc[] = { "off", "metadata", "falloc", "full" };
    unsigned cluster_bits = g_rand_int_range(rand, 9, 22);
    bool v2 = g_rand_int_range(rand, 0, 5) == 0;
    GString *s = g_string_new(NULL);

    g_string_printf(s, "size=%d,cluster_size=%u,preallocation=%s",
                    g_rand_int_range(rand, 512, 6000) * 512, 1u << cluster_bits,
                    prealloc[g_rand_int_range(rand, 0, 4)]);
    if (v2) {
        g_string_append(s, ",compat=0.10");
    } else {
        g_string_append_printf(s, ",refcount_bits=%d,lazy_refcounts=%s",
                               1 << g_rand_int_range(rand, 0, 7),
                               g_rand_boolean(rand) ? "on" : "off");
        if (cluster_bits >= 14 && g_rand_boolean(rand))
            g_string_append(s, ",extended_l2=on");
        if (g_rand_boolean(rand))
            g_string_append(s, ",compression_type=zstd");
        if (g_rand_int_range(rand, 0, 4) == 0)
            g_string_append_printf(s, ",data_file=d,data_file_raw=%s",
                                   g_rand_boolean(rand) ? "on" : "off");
    }
    return g_string_free(s, FALSE);
}

static void
test_random_options(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();
    guint32 seed = g_random_int();
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

    (void)state;
    print_message("seed %u\n", seed);
    for (unsigned i = 0; i < RANDOM_IMAGES; i++) {
        g_autofree char *options = random_options(rand);

        compare_with_judge(f, options);
    }
}

static void
test_refusals(void **state)
{
    static const struct {
        const char *options, *word;
    } rows[] = {
        { "size=1M,cluster_size=3k", "cluster_size" },
        { "size=1M,cluster_size=4M", "cluster_size" },
        { "size=1M,refcount_bits=3", "refcount_bits" },
        { "size=1M,refcount_bits=8,compat=0.10", "refcount_bits" },
        { "size=1M,lazy_refcounts=on,compat=0.10", "lazy_refcounts" },
        { "size=1M,extended_l2=on,cluster_size=8k", "extended_l2" },
        { "size=1M,data_file_raw=on", "data_file" },
        { "size=1M,encrypt.format=luks", "encrypt.key-secret" },
        { "size=1M,encrypt.format=aes", "encrypt.format" },
        { "size=1M,encrypt.key-secret=s", "encrypt.format" },
        { "size=1M,encryption=on", "encryption" },
        { "size=1M,nonsense=on", "nonsense" },
        { "size=1M,compat=2", "compat" },
        { "size=-1", "size" },
        { "size=9E,cluster_size=512", "size" },
        { "size=1T,cluster_size=512", "cluster_size" },
        { "size=1M,backing_file=x,backing_fmt=raw,preallocation=metadata", "extended_l2" },
        { "size=1M,preallocation=some", "preallocation" },
        { "size=1M,compression_type=lz4", "compression_type" },
    };
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) err = NULL;

        if (qcow2_fixture_try_create(f, "x", rows[i].options, &err))
            fail_msg("%s was taken", rows[i].options);
        if (!strstr(err->message, rows[i].word))
            fail_msg("%s: '%s' does not name %s", rows[i].options, err->message, rows[i].word);
    }
}

static int64_t
judge_number(const char *json, const char *name)
{
    g_autoptr(JsonNode) node = json_from_string(json, NULL);

    assert_non_null(node);
    return json_object_get_int_member(json_node_get_object(node), name);
}

static void
test_measure(void **state)
{
    static const char *const rows[] = {
        "cluster_size=65536",
        "cluster_size=512",
        "cluster_size=2097152,refcount_bits=64",
        "refcount_bits=1,preallocation=full",
        "extended_l2=on,preallocation=metadata",
        "compat=0.10",
    };
    static const char *const sizes[] = { "0", "1", "10485760", "1099511627776" };
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        for (unsigned k = 0; k < G_N_ELEMENTS(sizes); k++) {
            g_autofree char *with_size = g_strdup_printf("%s,size=%s", rows[i], sizes[k]);
            g_autoptr(GHashTable) options = qcow2_fixture_options(with_size);
            g_autofree char *json = NULL;
            g_autoptr(GError) err = NULL;
            BlockMeasure m;
            bool ok = block_image_measure("qcow2", options, NULL, &m, &err);
            int status = qcow2_fixture_try(f, &json,
                                           "qemu-img measure --output=json -O qcow2 "
                                           "-o %s --size %s",
                                           rows[i], sizes[k]);

            if (ok != (status == 0))
                fail_msg("%s: qemu-img says %s", with_size, json);
            if (!ok)
                continue;
            assert_int_equal(m.required, judge_number(json, "required"));
            assert_int_equal(m.fully_allocated, judge_number(json, "fully-allocated"));
        }
}

static void
test_measure_source(void **state)
{
    g_autoptr(Qcow2Fixture) f = qcow2_fixture_new();
    g_autoptr(GHashTable) options = qcow2_fixture_options("cluster_size=65536");
    g_autofree char *json = NULL;
    g_autoptr(GError) err = NULL;
    BlockNode *node;
    BlockMeasure m;

    (void)state;
    qcow2_fixture_run(f, "qemu-img create -q -f qcow2 s 20M && qemu-img bitmap --add s b0 && "
                         "qemu-io -f qcow2 -c 'write 1M 3M' -c 'write 10000k 1k' "
                         "-c 'write -z 15M 1M' s > /dev/null");
    assert_int_equal(qcow2_fixture_try(f, &json,
                                       "qemu-img measure --output=json -O qcow2 -f qcow2 "
                                       "s"),
                     0);
    node = qcow2_fixture_open(f, "s", false, false);
    if (!block_image_measure("qcow2", options, node, &m, &err))
        fail_msg("%s", err->message);
    block_node_unref(node);
    assert_int_equal(m.required, judge_number(json, "required"));
    assert_int_equal(m.fully_allocated, judge_number(json, "fully-allocated"));
    assert_true(m.has_bitmaps);
    assert_int_equal(m.bitmaps, judge_number(json, "bitmaps"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_match_qemu_img),
        cmocka_unit_test(test_random_options),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_measure),
        cmocka_unit_test(test_measure_source),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
