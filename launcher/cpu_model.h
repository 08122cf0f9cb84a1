/* cpu_model.h - the processor that -cpu asks for, against what this host's KVM can give.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_CPU_MODEL_H
#define KILN_LAUNCHER_CPU_MODEL_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "launcher/cpuid.h"
#include "launcher/hyperv.h"

typedef struct {
    char *name;
    bool on;
} CpuSwitch;

/* -cpu, taken apart. */
typedef struct {
    char *model;      /* "host", or a name of the CPU map */
    GArray *switches; /* of CpuSwitch: features by name, in order */
    bool enforce, check, hide_kvm, migratable;
    bool pmu, pmu_given;
    uint64_t phys_bits;  /* 0: the host's */
    uint64_t phys_limit; /* at most so many of the host's; 0: all */
    uint64_t tsc_hz;     /* 0: the host's */
    bool hint_dedicated; /* vCPUs have host CPUs to themselves */
    HypervSpec hyperv;
} CpuSpec;

/* A MSR that tells features, with the value the guest is to see. */
typedef struct {
    uint32_t index;
    uint64_t value;
} CpuMsr;

typedef struct {
    Cpuid cpuid;         /* before cpuid_place() */
    GArray *msrs;        /* of CpuMsr */
    uint64_t tsc_khz;    /* 0: the host's */
    bool hyperv;         /* the guest sees a Hyper-V */
    uint32_t hyperv_set; /* of HYPERV_BIT() */
} CpuDefinition;

/* NULL @text means "host". */
CpuSpec *cpu_spec_parse(const char *text, GError **err);
void cpu_spec_free(CpuSpec *spec);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CpuSpec, cpu_spec_free)

/* Works out the guest's CPUID from @spec and @supported. Features that were asked for and are
 * missing on the host go by name into @ret_missing (char *, the caller's array); with spec->enforce
 * they are an error. @map_dir: CPUMAP_DEFAULT_DIR. @kvm_fd: for feature MSRs and
 * Hyper-V, -1 offers none. */
CpuDefinition *cpu_define(const CpuSpec *spec, const Cpuid *supported, const char *map_dir,
                          int kvm_fd, GPtrArray *ret_missing, GError **err);
void cpu_definition_free(CpuDefinition *definition);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CpuDefinition, cpu_definition_free)

/* Text of "-cpu help". The caller frees. */
char *cpu_help(const char *map_dir);

#endif
