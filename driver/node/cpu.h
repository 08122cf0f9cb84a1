/* cpu.h - what processor the host has, what KVM offers of it, and which named models that makes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_NODE_CPU_H
#define KILN_DRIVER_NODE_CPU_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "driver/node/node.h"
#include "util/cpumap.h"

typedef struct {
    uint32_t index;
    uint64_t value;
} CpuMsrValue;

/* One set of features: CPUID leaves, and the MSRs that tell of features. */
typedef struct {
    CpuMapLeaf *leaves;
    size_t n_leaves;
    GArray *msrs;       /* CpuMsrValue; NULL: not known, no MSR feature is there */
    unsigned max_vcpus; /* KVM's limit for one guest; 0 for the host itself */
    unsigned tsc_khz;   /* of a guest's time stamp counter by default; 0: KVM does not tell */
    bool tsc_scaling;   /* a guest may have another */
    uint32_t hyperv;    /* KVM's enlightenments, of HYPERV_BIT() (util/hyperv.h) */
} CpuFacts;

void cpu_facts_free(CpuFacts *facts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CpuFacts, cpu_facts_free)

/* The CPUID of the processor this thread runs on, those leaves that @map knows something of. */
CpuFacts *cpu_facts_read_host(const CpuMap *map);

/* What /dev/kvm offers a guest, with what kiln-vmm adds: x2apic, hypervisor, and tsc-deadline if
 * the kernel's local APIC has it. Fails with VIR_ERR_CONFIG_UNSUPPORTED naming the device and why.
 */
CpuFacts *cpu_facts_read_kvm(const CpuMap *map, GError **err);

bool cpu_facts_have(const CpuFacts *facts, const CpuMapFeature *feature);

/* Whether a guest with @model can run: each of its features is there. */
bool cpu_facts_have_model(const CpuFacts *facts, const CpuMapModel *model);

/* Vendor by the map's name, or NULL. */
const char *cpu_facts_vendor(const CpuFacts *facts, const CpuMap *map);

/* Family, model and stepping of leaf 1; false without it. */
bool cpu_facts_signature(const CpuFacts *facts, unsigned *ret_family, unsigned *ret_model,
                         unsigned *ret_stepping);

/* The model that describes @facts without taking a feature away, with the fewest to add, as libvirt
 * describes a host; NULL when the map has none. @ret_extra: the features beyond it (array of
 * const CpuMapFeature *, the map's own). */
const CpuMapModel *cpu_facts_describe(const CpuFacts *facts, const CpuMap *map,
                                      GPtrArray **ret_extra);

/* <cpu mode='host-model'>: the nearest model, migratable features beyond it, and those of it that
 * are not there. Strings belong to @map. NULL when no model is of this vendor. */
NodeHostModel *cpu_facts_host_model(const CpuFacts *facts, const CpuMap *map);
void cpu_host_model_free(NodeHostModel *model);

#endif
