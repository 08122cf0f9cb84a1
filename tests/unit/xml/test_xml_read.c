/* test_xml_read.c - reading hostile XML text: each refusal, its code, and that nothing is fetched
 * or expanded.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/error.h"
#include "xml/xmltab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void
refused(const char *xml, size_t length, int code, const char *part)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(xmlDoc) doc = xml_read(xml, length, "thing_definition", &err);

    assert_null(doc);
    assert_non_null(err);
    if (!strstr(err->message, part))
        fail_msg("'%s' lacks '%s'", err->message, part);
    assert_int_equal(err->domain, KILN_ERROR);
    assert_int_equal(err->code, code);
}

static void
test_not_well_formed(void **state)
{
    static const struct {
        const char *xml, *part;
    } cases[] = {
        { "", "(thing_definition):" },
        { "   \n", "(thing_definition):" },
        { "plain text", "(thing_definition):1: " },
        { "<a>\n<b>\n</a>", "(thing_definition):3: Opening and ending tag mismatch" },
        { "<a", "(thing_definition):1: " },
        { "<a x=1/>", "AttValue" },
        { "<a x='1' x='2'/>", "redefined" },
        { "<a/><b/>", "Extra content" },
        { "<a>&undefined;</a>", "undefined" },
        { "<a>\x01</a>", "(thing_definition):1: " },
        { "<a>\xff\xfe</a>", "(thing_definition):1: " },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        refused(cases[i].xml, strlen(cases[i].xml), VIR_ERR_XML_DETAIL, cases[i].part);
    refused("<a>\0</a>", 8, VIR_ERR_XML_DETAIL, "(thing_definition):1: ");
}

static void
test_caret(void **state)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(xmlDoc) doc = xml_read("<a>\n  <b></c>\n</a>", 18, "x", &err);

    (void)state;
    assert_null(doc);
    assert_non_null(strstr(err->message, "\n  <b></c>\n"));
    assert_int_equal(err->message[strlen(err->message) - 1], '^');
}

static void
test_entities(void **state)
{
    static const char bomb[] =
        "<?xml version='1.0'?>\n<!DOCTYPE lolz [<!ENTITY a 'lol'><!ENTITY b '&a;&a;&a;&a;&a;&a;'>"
        "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;'><!ENTITY d '&c;&c;&c;&c;&c;&c;&c;'>]>"
        "<domain type='&d;'>&d;</domain>";
    static const char outside[] =
        "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/hostname'>]><a>&x;</a>";
    static const char dtd[] = "<!DOCTYPE a SYSTEM 'http://127.0.0.1:1/a.dtd'><a/>";

    (void)state;
    refused(bomb, strlen(bomb), VIR_ERR_XML_ERROR, "document type");
    refused(outside, strlen(outside), VIR_ERR_XML_ERROR, "document type");
    refused(dtd, strlen(dtd), VIR_ERR_XML_ERROR, "document type");
}

static char *
nested(unsigned depth)
{
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < depth; i++)
        g_string_append(text, "<a>");
    for (unsigned i = 0; i < depth; i++)
        g_string_append(text, "</a>");
    return g_string_free(text, FALSE);
}

static void
test_limits(void **state)
{
    g_autofree char *deep = nested(XML_MAX_DEPTH + 1), *fits = nested(XML_MAX_DEPTH);
    g_autofree char *abyss = nested(100000);
    g_autofree char *big = g_malloc(XML_MAX_LENGTH + 2);
    g_autoptr(xmlDoc) doc = xml_read(fits, strlen(fits), "x", NULL);

    (void)state;
    assert_non_null(doc);
    refused(deep, strlen(deep), VIR_ERR_XML_ERROR, "deeper than the limit of 128");
    /* libxml2's own guard is before ours. */
    refused(abyss, strlen(abyss), VIR_ERR_XML_DETAIL, "depth");
    memset(big, ' ', XML_MAX_LENGTH + 1);
    memcpy(big, "<a>", 3);
    memcpy(big + XML_MAX_LENGTH - 3, "</a>", 5);
    refused(big, XML_MAX_LENGTH + 1, VIR_ERR_XML_ERROR, "limit of 4194304");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_well_formed),
        cmocka_unit_test(test_caret),
        cmocka_unit_test(test_entities),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
