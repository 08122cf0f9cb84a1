/* fuzz_domain_xml.c - any bytes as <domain>: what is accepted must print, read back alike, copy
 * alike and take aliases.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xml/domain.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const DomainDefaults defaults = { .emulator = "/usr/libexec/kiln-vmm" };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(GError) err = NULL;
    g_autoptr(DomainDef) def = domain_def_parse(text, DOMAIN_PARSE_LIVE, &defaults, &err);
    g_autoptr(DomainDef) back = NULL, copy = NULL;
    g_autofree char *out = NULL, *again = NULL, *inactive = NULL;

    if (!def)
        return err ? 0 : (abort(), 0);
    domain_def_unsupported(def, NULL);
    out = domain_def_format(def, DOMAIN_FORMAT_SECURE);
    back = domain_def_parse(out, DOMAIN_PARSE_LIVE, &defaults, NULL);
    if (!back)
        abort();
    again = domain_def_format(back, DOMAIN_FORMAT_SECURE);
    copy = domain_def_copy(def);
    if (strcmp(out, again) != 0 || !domain_def_equal(def, copy))
        abort();
    domain_def_assign_aliases(copy);
    inactive = domain_def_format(copy, DOMAIN_FORMAT_INACTIVE);
    return 0;
}
