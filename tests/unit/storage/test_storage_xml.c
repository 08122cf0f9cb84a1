/* test_storage_xml.c - XML of pools and volumes, compared with tests/golden/storage and checked
 * against libvirt's schemas; what is refused; <storagepoolCapabilities>.
 *
 * KILN_GOLDEN_WRITE=1 writes what is missing or different instead; look at the difference then.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "driver/storage/storage.h"
#include "tests/unit/golden.h"
#include "util/error.h"
#include "xml/storage_vol.h"

static const char *const names[] = {
    "pool-dir", "pool-fs",   "pool-netfs", "pool-logical", "pool-disk",
    "vol-raw",  "vol-qcow2", "vol-disk",   "vol-luks",
};

static bool
is_pool(const char *name)
{
    return g_str_has_prefix(name, "pool");
}

/* Parsed, copied, printed. */
static char *
pass(const char *name, const char *in, unsigned flags)
{
    g_autoptr(GError) err = NULL;
    char *out = NULL;

    if (is_pool(name)) {
        g_autoptr(StoragePoolDef) def = storage_pool_def_parse(in, flags, &err);
        g_autoptr(StoragePoolDef) copy = def ? storage_pool_def_copy(def) : NULL;

        out = copy ? storage_pool_def_format(copy) : NULL;
    } else {
        g_autoptr(StorageVolDef) def = storage_vol_def_parse(in, flags, &err);
        g_autoptr(StorageVolDef) copy = def ? storage_vol_def_copy(def) : NULL;

        out = copy ? storage_vol_def_format(copy) : NULL;
    }
    if (!out)
        fail_msg("%s: %s", name, err->message);
    return out;
}

static void
test_golden(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *stem =
            g_strdup_printf("%s/tests/golden/storage/%s", g_getenv("KILN_SOURCE_ROOT"), names[i]);
        g_autofree char *path = g_strconcat(stem, ".xml", NULL);
        g_autofree char *path_out = g_strconcat(stem, ".out.xml", NULL);
        g_autofree char *in = NULL, *out = NULL, *twice = NULL;

        assert_true(g_file_get_contents(path, &in, NULL, NULL));
        out = pass(names[i], in, STORAGE_DEF_VALIDATE);
        golden_check(path_out, out);
        golden_check_schema(is_pool(names[i]) ? "storagepool.rng" : "storagevol.rng", names[i],
                            out);
        twice = pass(names[i], out, STORAGE_DEF_VALIDATE);
        assert_string_equal(out, twice);
    }
}

static void
test_refused(void **state)
{
    static const char *const bad[] = {
        /* a name that the source gives */
        "<pool type='logical'><source><name>../x</name></source></pool>",
        "<pool type='logical'><source><name>a\nb</name></source></pool>",
        "<pool type='dir'><name>p</name></pool>",
        "<pool type='dir'><name>p</name><target><path>relative</path></target></pool>",
        "<pool type='dir'><name>p</name><target><path>/x</path><permissions><mode>rw</mode>"
        "</permissions></target></pool>",
        "<pool type='dir'><name>p</name><target><path>/x</path><permissions><owner>-2</owner>"
        "</permissions></target></pool>",
        "<pool type='fs'><name>p</name><target><path>/x</path></target></pool>",
        "<pool type='netfs'><name>p</name><source><dir path='/a'/></source><target><path>/x</path>"
        "</target></pool>",
        "<pool type='disk'><name>p</name><source><device path='/dev/a'/><format type='ext4'/>"
        "</source><target><path>/dev</path></target></pool>",
        "<pool type='netfs'><name>p</name><source><host name='h'/><dir path='/e'/>"
        "<auth type='chap' username='u'><secret/></auth></source><target><path>/x</path></target>"
        "</pool>",
        "<pool type='iscsi'><name>p</name></pool>",
        "<pool><name>p</name></pool>",
    };
    static const char *const bad_volumes[] = {
        "<volume><name>v</name></volume>",
        "<volume><name>.</name><capacity>1</capacity></volume>",
        "<volume><name>v</name><capacity unit='bushel'>1</capacity></volume>",
        "<volume><name>v</name><capacity>-1</capacity></volume>",
        "<volume><name>v</name><capacity>1</capacity><target><compat>new</compat></target>"
        "</volume>",
        "<volume><name>v</name><capacity>1</capacity><backingStore/></volume>",
        "<volume><name>v</name><capacity>1</capacity><target><features><speed/></features>"
        "</target></volume>",
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;

        if (storage_pool_def_parse(bad[i], 0, &err))
            fail_msg("not refused: %s", bad[i]);
        assert_true(err->domain == KILN_ERROR);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad_volumes); i++) {
        g_autoptr(GError) err = NULL;

        if (storage_vol_def_parse(bad_volumes[i], 0, &err))
            fail_msg("not refused: %s", bad_volumes[i]);
        assert_true(err->domain == KILN_ERROR);
    }
}

static void
test_capabilities(void **state)
{
    g_autofree char *xml = storage_capabilities();

    (void)state;
    golden_check_schema("storagepoolcaps.rng", "capabilities", xml);
    assert_non_null(strstr(xml, "<pool type='dir' supported='yes'>"));
    assert_non_null(strstr(xml, "<pool type='rbd' supported='no'>"));
}

static void
test_sources(void **state)
{
    g_autoptr(GPtrArray) list =
        g_ptr_array_new_with_free_func((GDestroyNotify)storage_pool_source_free);
    StoragePoolSource *source = storage_pool_source_new();
    g_autofree char *xml = NULL;

    (void)state;
    storage_pool_source_add_host(source, "host");
    storage_pool_source_add_device(source, "/dev/<a>");
    g_ptr_array_add(list, source);
    xml = storage_pool_sources_format(list);
    assert_string_equal(xml, "<sources>\n"
                             "  <source>\n"
                             "    <host name='host'/>\n"
                             "    <device path='/dev/&lt;a&gt;'/>\n"
                             "  </source>\n"
                             "</sources>\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_sources),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
