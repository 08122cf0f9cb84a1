/* domain_cpu.h - <cpu> of a guest: model, features, topology, NUMA cells (libvirt formatdomain "CPU
 * model and topology", schema cputypes.rng of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_DOMAIN_CPU_H
#define KILN_XML_DOMAIN_CPU_H

#include "xml/xmltab.h"

typedef enum {
    DOMAIN_CPU_MODE_ABSENT,
    DOMAIN_CPU_CUSTOM,
    DOMAIN_CPU_HOST_MODEL,
    DOMAIN_CPU_HOST_PASSTHROUGH,
    DOMAIN_CPU_MAXIMUM,
} DomainCpuMode;
extern const char *const domain_cpu_modes[];

typedef enum {
    DOMAIN_CPU_MATCH_ABSENT,
    DOMAIN_CPU_MINIMUM,
    DOMAIN_CPU_EXACT,
    DOMAIN_CPU_STRICT,
} DomainCpuMatch;

typedef enum {
    DOMAIN_CPU_CHECK_ABSENT,
    DOMAIN_CPU_CHECK_NONE,
    DOMAIN_CPU_CHECK_PARTIAL,
    DOMAIN_CPU_CHECK_FULL,
} DomainCpuCheck;

typedef enum {
    DOMAIN_CPU_FALLBACK_ABSENT,
    DOMAIN_CPU_FALLBACK_ALLOW,
    DOMAIN_CPU_FALLBACK_FORBID,
} DomainCpuFallback;

typedef enum {
    DOMAIN_FEATURE_POLICY_ABSENT,
    DOMAIN_FEATURE_FORCE,
    DOMAIN_FEATURE_REQUIRE,
    DOMAIN_FEATURE_OPTIONAL,
    DOMAIN_FEATURE_DISABLE,
    DOMAIN_FEATURE_FORBID,
} DomainFeaturePolicy;

typedef enum {
    DOMAIN_CPU_CACHE_ABSENT,
    DOMAIN_CPU_CACHE_EMULATE,
    DOMAIN_CPU_CACHE_PASSTHROUGH,
    DOMAIN_CPU_CACHE_DISABLE,
} DomainCpuCache;

typedef enum {
    DOMAIN_CPU_PHYSADDR_ABSENT,
    DOMAIN_CPU_PHYSADDR_EMULATE,
    DOMAIN_CPU_PHYSADDR_PASSTHROUGH,
} DomainCpuPhysaddr;

typedef struct {
    int policy; /* DomainFeaturePolicy; set after completion (require) */
    char *name;
} DomainCpuFeature;

typedef struct {
    uint64_t sockets, dies, cores, threads; /* dies absent counts as 1 */
} DomainTopology;

typedef struct {
    uint64_t id, value;
} DomainNumaDistance;

typedef struct {
    uint64_t level;
    int associativity, policy;
    uint64_t size, line; /* KiB, bytes */
} DomainNumaCache;

typedef struct {
    uint64_t id;          /* set after completion */
    char *cpus;           /* cpuset of vCPUs; NULL: none */
    uint64_t memory;      /* KiB */
    int mem_access;       /* 1 shared, 2 private */
    int discard;          /* yes/no */
    GPtrArray *distances; /* DomainNumaDistance */
    GPtrArray *caches;    /* DomainNumaCache */
} DomainNumaCell;

typedef struct {
    GPtrArray *cells;    /* DomainNumaCell */
    char *interconnects; /* the element as XML */
} DomainNuma;

typedef struct {
    int mode;       /* DomainCpuMode; absent with a model: custom */
    int match;      /* DomainCpuMatch */
    int check;      /* DomainCpuCheck */
    int migratable; /* on/off */
    char *model;
    int fallback;    /* DomainCpuFallback */
    char *vendor_id; /* 12 characters */
    char *vendor;
    DomainTopology *topology;
    uint64_t cache_level;
    int cache_mode;       /* DomainCpuCache */
    int maxphysaddr_mode; /* DomainCpuPhysaddr */
    uint64_t maxphysaddr_bits;
    GPtrArray *features; /* DomainCpuFeature */
    DomainNuma *numa;
} DomainCpu;

extern const XmlType domain_cpu_type;

#endif
