/* test_xml_value.c - sizes with units, cpusets, UUIDs, MAC addresses, escaping, suggestions.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/uuid.h"
#include "xml/xmltab.h"
#include "xml/xmltab_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void
test_scale(void **state)
{
    static const struct {
        uint64_t value;
        const char *unit;
        uint64_t scale, want;
    } good[] = {
        { 7, NULL, 1024, 7 },
        { 0, "KiB", 1024, 0 },
        { 1, "b", 1024, 1 },
        { 1024, "bytes", 1024, 1 },
        { 1025, "Byte", 1024, 2 },
        { 1, "KB", 1024, 1 },
        { 1000, "KB", 1024, 977 },
        { 4, "k", 1024, 4 },
        { 4, "MiB", 1024, 4096 },
        { 1, "MB", 1024, 977 },
        { 2, "g", 1024, 2097152 },
        { 1, "TiB", 1, 1099511627776 },
        { 1, "P", 1048576, 1073741824 },
        { 1, "E", 1024, 1125899906842624 },
        { 1, "eb", 1024, 976562500000000 },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        uint64_t n = 12345;

        assert_true(xml_scale(good[i].value, good[i].unit, good[i].scale, &n));
        assert_int_equal(n, good[i].want);
    }
    {
        uint64_t n = 5;

        assert_false(xml_scale(1, "", 1024, &n));
        assert_false(xml_scale(1, "KiBs", 1024, &n));
        assert_false(xml_scale(1, "x", 1024, &n));
        assert_false(xml_scale(8, "EiB", 1024, &n));
        assert_false(xml_scale(UINT64_MAX, NULL, 1024, &n));
        assert_int_equal(n, 5);
    }
}

static void
test_cpuset(void **state)
{
    static const struct {
        const char *text, *want;
    } sets[] = {
        { "0-3,^2,8", "0-1,3,8" },
        { "8,0", "0,8" },
        { " 1 , 2-3 ", "1-3" },
        { "5", "5" },
        { "0-3,^1-2", NULL },
        { "^2,2", "2" },
        { "", NULL },
        { "1,", NULL },
        { ",1", NULL },
        { "3-1", NULL },
        { "1-", NULL },
        { "^0", NULL },
        { "1 2", NULL },
        { "100", NULL },
        { "99999999999999999999", NULL },
        { "-1", NULL },
        { "0-3,^0,^1,^2,^3", NULL },
        { "a", NULL },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(sets); i++) {
        g_autoptr(GError) err = NULL;
        g_autofree char *got = xml_cpuset_canonical(sets[i].text, 99, &err);

        if (sets[i].want) {
            assert_non_null(got);
            assert_string_equal(got, sets[i].want);
        } else {
            assert_null(got);
            assert_non_null(err);
        }
    }
    {
        g_autoptr(GArray) numbers = xml_cpuset_numbers("0-1,3,8");
        g_autoptr(GArray) none = xml_cpuset_numbers(NULL);
        g_autofree char *again = xml_cpuset_format(numbers);

        assert_int_equal(numbers->len, 4);
        assert_int_equal(g_array_index(numbers, unsigned, 3), 8);
        assert_int_equal(none->len, 0);
        assert_string_equal(again, "0-1,3,8");
        assert_true(xml_cpuset_has("0-1,3,8", 3));
        assert_false(xml_cpuset_has("0-1,3,8", 2));
    }
}

static void
test_uuid_mac(void **state)
{
    uint8_t uuid[16], mac[6] = { 0 };
    g_autofree char *text = NULL, *made = xml_uuid_random();

    (void)state;
    assert_true(kiln_uuid_parse("3F1E0A521C114D1B9D4A0A0A0A0A0A01", uuid));
    text = kiln_uuid_format(uuid);
    assert_string_equal(text, "3f1e0a52-1c11-4d1b-9d4a-0a0a0a0a0a01");
    assert_true(kiln_uuid_parse(made, uuid));
    assert_false(kiln_uuid_parse("3f1e0a52-1c11-4d1b-9d4a-0a0a0a0a0a0", uuid));
    assert_false(kiln_uuid_parse("3f1e0a52-1c11-4d1b-9d4a-0a0a0a0a0a011", uuid));
    assert_false(kiln_uuid_parse("xf1e0a52-1c11-4d1b-9d4a-0a0a0a0a0a01", uuid));
    assert_true(xml_mac_parse("52:54:00:AB:cd:ef", mac));
    assert_int_equal(mac[3], 0xab);
    assert_false(xml_mac_parse("52:54:00:ab:cd", mac));
    assert_false(xml_mac_parse("52:54:00:ab:cd:ef:00", mac));
    assert_false(xml_mac_parse("52-54-00-ab-cd-ef", mac));
    assert_false(xml_mac_parse("", mac));
}

static void
test_words(void **state)
{
    static const char *const names[] = {
        "", "none", "writeback", "writethrough", "directsync", NULL
    };
    g_autofree char *escaped = xml_escape("<a href='x' b=\"y\">&\x01\x1f</a>\n");

    (void)state;
    assert_int_equal(xml_enum_find(names, "none"), 1);
    assert_int_equal(xml_enum_find(names, ""), 0);
    assert_int_equal(xml_enum_find(names, "None"), 0);
    assert_string_equal(xml_nearest("writebcak", names), "writeback");
    assert_string_equal(xml_nearest("WriteThru", names), "writethrough");
    assert_string_equal(xml_nearest("Noen", names), "none");
    assert_null(xml_nearest("zzzzzz", names));
    assert_null(xml_nearest("", names));
    assert_string_equal(escaped, "&lt;a href=&apos;x&apos; b=&quot;y&quot;&gt;&amp;&lt;/a&gt;\n");
}

/* GLib's matcher (PCRE) is the judge of each pair. */
static void
test_pattern(void **state)
{
    static const char *const patterns[] = {
        "[a-zA-Z0-9_.-]+",
        "/.+",
        "[^/\\n]+",
        "[ -~]{0,8}",
        "[+-]?[0-9]{1,18}|reset",
        "(ioemu:)?(fd|hd|sd|vd|xvd|ubd)[a-zA-Z0-9_]+",
        "(0x)?[0-9a-fA-F]{16}",
        "802\\.1Qbg|802\\.1Qbh|midonet",
        "[0-9]{1,3}(\\.[0-9]{1,3}){0,3}",
        "[^,]{12}",
        ".{0,3}",
        "[a-zA-Z0-9_.:/\\\\ -]+",
        "a*b",
        "a{2,}",
        "(ab|a)(bc|c)?",
        "(a|b)*c",
        "",
    };
    static const char *const texts[] = {
        "",
        "a",
        "ab",
        "abc",
        "aab",
        "aaaa",
        "vda",
        "ioemu:hdc",
        "ioemu:",
        "0x5000c50015ea71ac",
        "5000c50015ea71ac",
        "5000c50015ea71acf",
        "802.1Qbg",
        "802x1Qbg",
        "1",
        "1.2.4",
        "1.2.3.4.5",
        "1234",
        "-7",
        "+",
        "reset",
        "resets",
        "/",
        "/x",
        "//x/",
        "a\nb",
        "a/b",
        "\303\244\303\266",
        "\303\244\303\266\303\274\303\237",
        "GenuineIntel",
        "br 0",
        "a\\b",
        "ababac",
        "123456789",
    };

    (void)state;
    for (size_t p = 0; p < G_N_ELEMENTS(patterns); p++)
        for (size_t t = 0; t < G_N_ELEMENTS(texts); t++) {
            g_autofree char *whole = g_strdup_printf("^(?:%s)\\z", patterns[p]);
            bool want = g_regex_match_simple(whole, texts[t], 0, 0);

            if (xml_pattern_matches(patterns[p], texts[t]) != want)
                fail_msg("'%s' %s '%s'", patterns[p], want ? "lacks" : "takes", texts[t]);
        }
    assert_false(xml_pattern_matches("[^,]+", "\377\376"));
}

/* A long text does not take long. */
static void
test_long_text(void **state)
{
    g_autofree char *text = g_strnfill(4 * 1024 * 1024, 'a');

    (void)state;
    assert_true(xml_pattern_matches("[a-z]+", text));
    assert_false(xml_pattern_matches("[a-z]*[a-z]*b", text));
    assert_false(xml_pattern_matches("[ -~]{1,128}", text));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scale),    cmocka_unit_test(test_cpuset),
        cmocka_unit_test(test_uuid_mac), cmocka_unit_test(test_words),
        cmocka_unit_test(test_pattern),  cmocka_unit_test(test_long_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
