/* domain_tune.h - where a guest's threads and memory are put on the host and how much they may:
 * <memtune>, <blkiotune>, memory backing, vCPU list, I/O threads, <cputune>, <numatune> (libvirt
 * formatdomain, schema of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_DOMAIN_TUNE_H
#define KILN_XML_DOMAIN_TUNE_H

#include "xml/xmltab.h"

/* Limits of memory from here on are none: libvirt's VIR_DOMAIN_MEMORY_PARAM_UNLIMITED. */
#define DOMAIN_MEMORY_UNLIMITED (UINT64_C(9007199254740991))

/* <memtune>, in KiB; absent: no limit. */
typedef struct {
    uint64_t hard_limit, soft_limit, min_guarantee;
    uint64_t swap_hard_limit; /* of memory and swap together */
} DomainMemtune;

/* Of one device of the host; absent: none. */
typedef struct {
    char *path;
    uint64_t weight, read_iops, write_iops, read_bytes, write_bytes; /* a second */
} DomainBlkioDevice;

typedef struct {
    uint64_t weight;
    GPtrArray *devices; /* DomainBlkioDevice; none that says nothing, after completion */
} DomainBlkiotune;

typedef struct {
    uint64_t size; /* KiB; absent: the host's default */
    char *nodeset; /* guest NUMA cells; NULL: all */
} DomainHugepage;

typedef enum {
    DOMAIN_MEMORY_SOURCE_ABSENT,
    DOMAIN_MEMORY_SOURCE_FILE,
    DOMAIN_MEMORY_SOURCE_ANONYMOUS,
    DOMAIN_MEMORY_SOURCE_MEMFD,
} DomainMemorySource;

typedef struct {
    int hugepages;                     /* 0 or 1: <hugepages> is there */
    GPtrArray *pages;                  /* DomainHugepage */
    int nosharepages, locked, discard; /* 0 or 1 */
    int source;                        /* DomainMemorySource */
    int access;                        /* 0, 1 shared, 2 private */
    int allocation;                    /* 0, 1 immediate, 2 ondemand */
    uint64_t allocation_threads;
} DomainMemoryBacking;

typedef struct {
    uint64_t id;
    int enabled, hotpluggable; /* yes/no */
    uint64_t order;
} DomainVcpu;

typedef struct {
    uint64_t id;
    uint64_t pool_min, pool_max;
} DomainIothread;

typedef struct {
    uint64_t id; /* vCPU or I/O thread */
    char *cpuset;
} DomainPin;

typedef struct {
    char *ids;         /* cpuset of vCPUs or I/O threads; NULL: all */
    int scheduler;     /* 1 batch, 2 idle, 3 fifo, 4 rr */
    uint64_t priority; /* fifo, rr */
} DomainSched;

typedef struct {
    uint64_t shares;
    uint64_t global_period, period, emulator_period, iothread_period; /* us */
    int64_t global_quota, quota, emulator_quota, iothread_quota;      /* us; negative: none */
    GPtrArray *vcpupins;                                              /* DomainPin */
    char *emulatorpin;                                                /* cpuset */
    GPtrArray *iothreadpins;                                          /* DomainPin */
    GPtrArray *vcpuscheds, *iothreadscheds;                           /* DomainSched */
    DomainSched *emulatorsched;
    GPtrArray *kept; /* XmlKept: cachetune, memorytune */
} DomainCputune;

typedef enum {
    DOMAIN_NUMA_MODE_ABSENT,
    DOMAIN_NUMA_STRICT,
    DOMAIN_NUMA_PREFERRED,
    DOMAIN_NUMA_INTERLEAVE,
    DOMAIN_NUMA_RESTRICTIVE,
} DomainNumaMode;

typedef struct {
    uint64_t cell;
    int mode;      /* DomainNumaMode */
    char *nodeset; /* host nodes */
} DomainMemnode;

typedef struct {
    int mode;            /* DomainNumaMode of <memory> */
    int placement;       /* 0, 1 static, 2 auto */
    char *nodeset;       /* host nodes */
    GPtrArray *memnodes; /* DomainMemnode */
} DomainNumatune;

/* Makes of what says nothing what is absent; an object that is empty then is freed and NULL. */
void domain_memtune_tidy(DomainMemtune **memtune);
void domain_blkiotune_tidy(DomainBlkiotune **tune);

extern const XmlType domain_memtune_type;
extern const XmlType domain_blkio_device_type;
extern const XmlType domain_blkiotune_type;
extern const XmlType domain_memory_backing_type;
extern const XmlType domain_vcpu_type;
extern const XmlType domain_iothread_type;
extern const XmlType domain_cputune_type;
extern const XmlType domain_numatune_type;

#endif
