/* write_schema.c - prints the RELAX NG grammar of one kind of document, written from xml's tables,
 * for the files that installation puts beside virtkilnd: write_schema KIND.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "xml/domain.h"
#include "xml/network_private.h"
#include "xml/secret.h"
#include "xml/snapshot.h"
#include "xml/storage_vol.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    const XmlType *type;
} documents[] = {
    { "domain", &domain_def_type },          { "network", &network_def_type },
    { "secret", &secret_def_type },          { "storagepool", &storage_pool_def_type },
    { "storagevol", &storage_vol_def_type }, { "domainsnapshot", &snapshot_def_type },
};

int
main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < G_N_ELEMENTS(documents); i++) {
        g_autofree char *schema = NULL;

        if (strcmp(argv[1], documents[i].name) != 0)
            continue;
        schema = xml_type_schema(documents[i].type);
        return fputs(schema, stdout) == EOF || fflush(stdout) == EOF;
    }
    fprintf(stderr,
            "usage: write_schema domain|network|secret|storagepool|storagevol|domainsnapshot\n");
    return 2;
}
