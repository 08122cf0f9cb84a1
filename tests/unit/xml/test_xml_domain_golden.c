/* test_xml_domain_golden.c - every file of tests/golden/domain in, NAME.out.xml out, byte for byte;
 * then what holds for each: it reads back the same, copies the same, and libvirt's own schema and
 * Kiln's accept it.
 *
 * live-*.xml are read and printed as running guests with aliases, and NAME.inactive.xml is what
 * is left of them. KILN_GOLDEN_WRITE=1 writes the expected files anew, to be looked through.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/golden.h"
#include "util/error.h"
#include "xml/domain.h"

#include <libxml/relaxng.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIBVIRT_SCHEMA "/usr/share/libvirt/schemas/domain.rng"

static const DomainDefaults defaults = { .emulator = "/usr/libexec/kiln-vmm" };

typedef struct {
    xmlRelaxNG *libvirt, *own;
    char *folder;
} Fixture;

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    g_autofree char *own = domain_def_schema();
    xmlRelaxNGParserCtxt *parser = xmlRelaxNGNewMemParserCtxt(own, (int)strlen(own));

    f->own = xmlRelaxNGParse(parser);
    xmlRelaxNGFreeParserCtxt(parser);
    f->folder = g_strdup_printf("%s/tests/golden/domain", getenv("KILN_SOURCE_ROOT"));
    /* libvirt0 is in packages/run.list: a missing schema is a failure, not a reason to skip. */
    parser = xmlRelaxNGNewParserCtxt(LIBVIRT_SCHEMA);
    f->libvirt = xmlRelaxNGParse(parser);
    xmlRelaxNGFreeParserCtxt(parser);
    if (!f->own) {
        fprintf(stderr, "the schema that the tables write is none\n");
        return -1;
    }
    if (!f->libvirt) {
        fprintf(stderr, "%s cannot be read; install libvirt0\n", LIBVIRT_SCHEMA);
        return -1;
    }
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    xmlRelaxNGFree(f->libvirt);
    xmlRelaxNGFree(f->own);
    g_free(f->folder);
    g_free(f);
    xmlRelaxNGCleanupTypes();
    xmlCleanupParser();
    return 0;
}

static void
take_error(void *opaque, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    g_string_append_vprintf(opaque, format, ap);
    va_end(ap);
}

static void
check_schema(xmlRelaxNG *schema, const char *whose, const char *name, xmlDoc *doc)
{
    g_autoptr(GString) errors = g_string_new(NULL);
    xmlRelaxNGValidCtxt *valid = xmlRelaxNGNewValidCtxt(schema);

    xmlRelaxNGSetValidErrors(valid, take_error, take_error, errors);
    if (xmlRelaxNGValidateDoc(valid, doc) != 0)
        fail_msg("%s: %s schema: %s", name, whose, errors->str);
    xmlRelaxNGFreeValidCtxt(valid);
}

static void
check_schemas(const Fixture *f, const char *name, const char *xml)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(xmlDoc) doc = xml_read(xml, strlen(xml), name, &err);

    assert_non_null(doc);
    if (!xml_type_validate(&domain_def_type, xmlDocGetRootElement(doc), &err))
        fail_msg("%s: %s", name, err->message);
    check_schema(f->libvirt, "libvirt's", name, doc);
    check_schema(f->own, "own", name, doc);
}

static void
compare(const Fixture *f, const char *name, const char *ending, const char *got)
{
    g_autofree char *path = g_strdup_printf("%s/%s%s", f->folder, name, ending);

    golden_check(path, got);
}

static void
check_file(const Fixture *f, const char *name)
{
    g_autofree char *path = g_strdup_printf("%s/%s.xml", f->folder, name);
    bool live = g_str_has_prefix(name, "live-");
    unsigned flags = live ? DOMAIN_PARSE_LIVE : 0;
    g_autofree char *in = NULL, *out = NULL, *again = NULL, *inactive = NULL;
    g_autoptr(GError) err = NULL;
    g_autoptr(DomainDef) def = NULL, copy = NULL, back = NULL;

    assert_true(g_file_get_contents(path, &in, NULL, NULL));
    def = domain_def_parse(in, flags, &defaults, &err);
    if (!def)
        fail_msg("%s: %s", name, err->message);
    /* Made up anew at each run. */
    if (strstr(in, "<genid/>")) {
        g_free(def->genid);
        def->genid = g_strdup("00000000-0000-4000-8000-000000000001");
    }
    if (live)
        domain_def_assign_aliases(def);
    out = domain_def_format(def, DOMAIN_FORMAT_SECURE);
    compare(f, name, ".out.xml", out);
    check_schemas(f, name, out);

    copy = domain_def_copy(def);
    assert_true(domain_def_equal(def, copy));
    back = domain_def_parse(out, flags, &defaults, &err);
    if (!back)
        fail_msg("%s: read back: %s", name, err->message);
    assert_true(domain_def_equal(def, back));
    assert_true(domain_def_abi_check(def, back, &err));
    again = domain_def_format(back, DOMAIN_FORMAT_SECURE);
    assert_string_equal(out, again);

    /* Completing what is complete changes nothing. */
    assert_true(domain_def_complete(copy, &defaults, &err));
    assert_true(domain_def_equal(def, copy));

    inactive = domain_def_format(def, DOMAIN_FORMAT_INACTIVE | DOMAIN_FORMAT_SECURE);
    if (live) {
        compare(f, name, ".inactive.xml", inactive);
        check_schemas(f, name, inactive);
    } else {
        assert_string_equal(inactive, out);
    }
}

static void
test_all(void **state)
{
    const Fixture *f = *state;
    g_autoptr(GDir) dir = g_dir_open(f->folder, 0, NULL);
    const char *file;
    unsigned count = 0;

    assert_non_null(dir);
    while ((file = g_dir_read_name(dir))) {
        g_autofree char *name = NULL;

        if (!g_str_has_suffix(file, ".xml") || g_str_has_suffix(file, ".out.xml") ||
            g_str_has_suffix(file, ".inactive.xml"))
            continue;
        name = g_strndup(file, strlen(file) - 4);
        check_file(f, name);
        count++;
    }
    assert_true(count >= 11);
}

static void
test_passwords(void **state)
{
    const Fixture *f = *state;
    g_autofree char *path = g_strdup_printf("%s/kept.xml", f->folder);
    g_autofree char *in = NULL, *open = NULL, *secure = NULL;
    g_autoptr(DomainDef) def = NULL;

    assert_true(g_file_get_contents(path, &in, NULL, NULL));
    def = domain_def_parse(in, 0, &defaults, NULL);
    assert_non_null(def);
    open = domain_def_format(def, 0);
    secure = domain_def_format(def, DOMAIN_FORMAT_SECURE);
    assert_null(strstr(open, "passwd"));
    assert_non_null(strstr(secure, "passwd='secret'"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_passwords),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
