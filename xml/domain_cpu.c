/* domain_cpu.c - the table of a guest's <cpu> (libvirt formatdomain "CPU model and topology",
 * schema cputypes.rng of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_cpu.h"

#include "util/error.h"

#include <inttypes.h>
#include <string.h>

const char *const domain_cpu_modes[] = {
    "", "custom", "host-model", "host-passthrough", "maximum", NULL,
};
static const char *const matches[] = { "", "minimum", "exact", "strict", NULL };
static const char *const checks[] = { "", "none", "partial", "full", NULL };
static const char *const fallbacks[] = { "", "allow", "forbid", NULL };
static const char *const policies[] = {
    "", "force", "require", "optional", "disable", "forbid", NULL,
};
static const char *const cache_modes[] = { "", "emulate", "passthrough", "disable", NULL };
static const char *const physaddr_modes[] = { "", "emulate", "passthrough", NULL };
static const char *const accesses[] = { "", "shared", "private", NULL };
static const char *const associativities[] = { "", "none", "direct", "full", NULL };
static const char *const cache_policies[] = { "", "none", "writeback", "writethrough", NULL };

static const XmlRow feature_rows[] = {
    { NULL, "policy", XML_ENUM, offsetof(DomainCpuFeature, policy), XML_ABI, .names = policies,
      .min = DOMAIN_FEATURE_REQUIRE },
    { NULL, "name", XML_STRING, offsetof(DomainCpuFeature, name), XML_REQUIRED | XML_ABI,
      .pattern = "[a-zA-Z0-9_.-]+", .legal = "a CPU feature's name" },
};
static const XmlType feature_type = XML_TYPE("cpu-feature", DomainCpuFeature, feature_rows);

#define T(field) offsetof(DomainTopology, field)
static const XmlRow topology_rows[] = {
    { NULL, "sockets", XML_UINT, T(sockets), XML_REQUIRED | XML_ABI, .min = 1, .max = UINT16_MAX },
    { NULL, "dies", XML_UINT, T(dies), XML_ABI, .min = 1, .max = UINT16_MAX },
    { NULL, "cores", XML_UINT, T(cores), XML_REQUIRED | XML_ABI, .min = 1, .max = UINT16_MAX },
    { NULL, "threads", XML_UINT, T(threads), XML_REQUIRED | XML_ABI, .min = 1, .max = UINT16_MAX },
};
static const XmlType topology_type = XML_TYPE("topology", DomainTopology, topology_rows);

static const XmlRow distance_rows[] = {
    { NULL, "id", XML_UINT, offsetof(DomainNumaDistance, id), XML_REQUIRED | XML_ABI, .max = 255 },
    { NULL, "value", XML_UINT, offsetof(DomainNumaDistance, value), XML_REQUIRED | XML_ABI,
      .min = 10, .max = 255 },
};
static const XmlType distance_type = XML_TYPE("numa-distance", DomainNumaDistance, distance_rows);

#define H(field) offsetof(DomainNumaCache, field)
static const XmlRow cache_rows[] = {
    { NULL, "level", XML_UINT, H(level), XML_REQUIRED | XML_ABI, .max = 255 },
    { NULL, "associativity", XML_ENUM, H(associativity), XML_REQUIRED | XML_ABI,
      .names = associativities },
    { NULL, "policy", XML_ENUM, H(policy), XML_REQUIRED | XML_ABI, .names = cache_policies },
    { "size", "value", XML_SIZE, H(size), XML_REQUIRED | XML_ABI, .scale = 1024 },
    { "line", "value", XML_SIZE, H(line), XML_REQUIRED | XML_ABI | XML_NAMED_UNIT, .scale = 1 },
};
static const XmlType cache_type = XML_TYPE("numa-cache", DomainNumaCache, cache_rows);

#define N(field) offsetof(DomainNumaCell, field)
static const XmlRow cell_rows[] = {
    { NULL, "id", XML_UINT, N(id), XML_ABI, .max = 127 },
    { NULL, "cpus", XML_CPUSET, N(cpus), XML_ABI },
    { NULL, "memory", XML_SIZE, N(memory), XML_REQUIRED | XML_ABI, .scale = 1024 },
    { NULL, "memAccess", XML_ENUM, N(mem_access), .names = accesses },
    { NULL, "discard", XML_YESNO, N(discard) },
    { "distances/sibling", NULL, XML_LIST, N(distances), XML_ABI, .max = 128,
      .type = &distance_type },
    { "cache", NULL, XML_LIST, N(caches), XML_ABI, .type = &cache_type },
};
static const XmlType cell_type = XML_TYPE("numa-cell", DomainNumaCell, cell_rows);

static const XmlRow numa_rows[] = {
    { "cell", NULL, XML_LIST, offsetof(DomainNuma, cells), XML_REQUIRED | XML_ABI, .max = 128,
      .type = &cell_type },
    { "interconnects", NULL, XML_VERBATIM, offsetof(DomainNuma, interconnects),
      XML_ABI | XML_OWN_LOOK },
};
static const XmlType numa_type = XML_TYPE("numa", DomainNuma, numa_rows);

#define C(field) offsetof(DomainCpu, field)
static const XmlRow cpu_rows[] = {
    { NULL, "mode", XML_ENUM, C(mode), XML_ABI, .names = domain_cpu_modes },
    { NULL, "match", XML_ENUM, C(match), XML_ABI, .names = matches },
    { NULL, "check", XML_ENUM, C(check), .names = checks },
    { NULL, "migratable", XML_ONOFF, C(migratable), XML_ABI },
    { "model", "fallback", XML_ENUM, C(fallback), .names = fallbacks },
    { "model", "vendor_id", XML_STRING, C(vendor_id), XML_ABI, .pattern = "[^,]{12}",
      .legal = "12 characters without commas" },
    { "model", NULL, XML_STRING, C(model), XML_ABI },
    { "vendor", NULL, XML_STRING, C(vendor), XML_ABI },
    { "topology", NULL, XML_STRUCT, C(topology), XML_ABI, .type = &topology_type },
    { "cache", "level", XML_UINT, C(cache_level), XML_ABI, .min = 1, .max = 3 },
    { "cache", "mode", XML_ENUM, C(cache_mode), XML_REQUIRED | XML_ABI, .names = cache_modes },
    { "maxphysaddr", "mode", XML_ENUM, C(maxphysaddr_mode), XML_REQUIRED | XML_ABI,
      .names = physaddr_modes },
    { "maxphysaddr", "bits", XML_UINT, C(maxphysaddr_bits), XML_ABI, .max = 64 },
    { "feature", NULL, XML_LIST, C(features), XML_ABI, .max = 1024, .type = &feature_type },
    { "numa", NULL, XML_STRUCT, C(numa), XML_ABI, .type = &numa_type },
};

static bool
features_check(const DomainCpu *cpu, GError **err)
{
    for (guint i = 0; i < cpu->features->len; i++) {
        const DomainCpuFeature *a = cpu->features->pdata[i];

        for (guint k = 0; k < i; k++) {
            const DomainCpuFeature *b = cpu->features->pdata[k];

            if (strcmp(a->name, b->name) == 0)
                return kiln_error_set(err, VIR_ERR_XML_ERROR,
                                      "CPU feature '%s' specified more than once", a->name);
        }
    }
    return true;
}

static bool
cpu_check(const void *obj, GError **err)
{
    const DomainCpu *cpu = obj;
    const DomainTopology *t = cpu->topology;

    if (cpu->mode == DOMAIN_CPU_CUSTOM && !cpu->model && cpu->features->len)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "CPU features need a <model> with mode 'custom'");
    if (cpu->match && cpu->mode > DOMAIN_CPU_CUSTOM && cpu->match != DOMAIN_CPU_EXACT)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "attribute 'match' is for mode 'custom', not '%s'",
                              domain_cpu_modes[cpu->mode]);
    if (cpu->migratable && cpu->mode != DOMAIN_CPU_HOST_PASSTHROUGH &&
        cpu->mode != DOMAIN_CPU_MAXIMUM)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "attribute 'migratable' is for modes "
                              "'host-passthrough' and 'maximum', not '%s'",
                              domain_cpu_modes[cpu->mode ? cpu->mode : DOMAIN_CPU_CUSTOM]);
    if (cpu->maxphysaddr_mode == 1 && cpu->maxphysaddr_bits == XML_UNSET)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "<maxphysaddr mode='emulate'> needs 'bits'");
    if (cpu->maxphysaddr_mode == 2 && cpu->maxphysaddr_bits != XML_UNSET)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "<maxphysaddr mode='passthrough'> takes no 'bits'");
    if (t && t->sockets * (t->dies == XML_UNSET ? 1 : t->dies) * t->cores * t->threads > UINT16_MAX)
        return kiln_error_set(err, VIR_ERR_XML_ERROR, "the topology has more than %d processors",
                              UINT16_MAX);
    return features_check(cpu, err);
}

const XmlType domain_cpu_type = XML_TYPE("cpu", DomainCpu, cpu_rows, .check = cpu_check);
