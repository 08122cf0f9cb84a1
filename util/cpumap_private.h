/* cpumap_private.h - the map's inside, for the files of cpumap only.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_UTIL_CPUMAP_PRIVATE_H
#define KILN_UTIL_CPUMAP_PRIVATE_H

#include "util/cpumap.h"

struct CpuMap {
    GPtrArray *features, *models; /* owned; NULL-terminated once loaded */
    GHashTable *feature_by_name;  /* names and aliases; borrows from features */
    GHashTable *model_by_name;    /* borrows from models */
    GHashTable *vendors;          /* name → CPUID string */
};

static inline uint32_t
cpumap_signature(uint32_t family, uint32_t model)
{
    return family << 16 | model << 8;
}

#endif
