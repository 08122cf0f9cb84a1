/* golden.c - texts compared with files of tests/golden, and XML judged by libvirt's own schemas.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/golden.h"

#include <glib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <libxml/parser.h>
#include <libxml/relaxng.h>

void
golden_check(const char *path, const char *text)
{
    g_autofree char *want = NULL;

    if (g_getenv("KILN_GOLDEN_WRITE"))
        assert_true(g_file_set_contents(path, text, -1, NULL));
    if (!g_file_get_contents(path, &want, NULL, NULL))
        fail_msg("no file %s for:\n%s", path, text);
    if (strcmp(want, text) != 0)
        fail_msg("%s differs, got:\n%s", path, text);
}

/* The schemas of some versions warn about themselves. */
static void
ignore_words(void *opaque, const char *format, ...)
{
    (void)opaque;
    (void)format;
}

void
golden_check_schema(const char *schema, const char *name, const char *xml)
{
    g_autofree char *path = g_build_filename("/usr/share/libvirt/schemas", schema, NULL);
    xmlRelaxNGParserCtxt *parser = xmlRelaxNGNewParserCtxt(path);
    xmlRelaxNG *grammar = parser ? xmlRelaxNGParse(parser) : NULL;
    xmlRelaxNGValidCtxt *valid;
    xmlDoc *doc = xmlReadMemory(xml, (int)strlen(xml), name, NULL, XML_PARSE_NONET);

    if (!grammar)
        fail_msg("%s cannot be read; install package libvirt0", path);
    if (!doc)
        fail_msg("'%s' is not XML:\n%s", name, xml);
    valid = xmlRelaxNGNewValidCtxt(grammar);
    xmlRelaxNGSetValidErrors(valid, ignore_words, ignore_words, NULL);
    if (xmlRelaxNGValidateDoc(valid, doc) != 0)
        fail_msg("'%s' is not valid by %s:\n%s", name, path, xml);
    xmlFreeDoc(doc);
    xmlRelaxNGFreeValidCtxt(valid);
    xmlRelaxNGFree(grammar);
    xmlRelaxNGFreeParserCtxt(parser);
}
