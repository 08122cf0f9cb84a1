/* cpuid.h - the table of CPUID answers that a vCPU is given.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_CPUID_H
#define KILN_LAUNCHER_CPUID_H

#include <glib.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "launcher/topology.h"

enum { CPUID_MAX_ENTRIES = 256 };

/* Entries as KVM_SET_CPUID2 takes them. */
typedef struct {
    struct kvm_cpuid_entry2 e[CPUID_MAX_ENTRIES];
    unsigned n;
} Cpuid;

enum { CPUID_ANY_SUBLEAF = -1 };

struct kvm_cpuid_entry2 *cpuid_find(Cpuid *cpuid, uint32_t leaf, int subleaf);
/* Finds or adds; NULL when the table is full. */
struct kvm_cpuid_entry2 *cpuid_add(Cpuid *cpuid, uint32_t leaf, uint32_t subleaf, bool has_subleaf);
void cpuid_remove(Cpuid *cpuid, uint32_t leaf);
/* Register @reg (CpuMapRegister) of an entry. */
uint32_t *cpuid_register(struct kvm_cpuid_entry2 *e, int reg);

/* Asks KVM what it can offer (KVM_GET_SUPPORTED_CPUID) and adds what KVM leaves to its user to
 * know: the TSC deadline timer when @tsc_deadline, x2APIC, the hypervisor bit. */
bool cpuid_supported(int kvm_fd, bool tsc_deadline, Cpuid *ret, GError **err);

/* Puts in what differs from processor to processor: APIC ids and the topology leaves (1, 4, 0xb,
 * 0x1f, 0x80000008, 0x8000001d, 0x8000001e). */
void cpuid_place(Cpuid *cpuid, const Topology *topology, unsigned index);

/* "GenuineIntel" … of leaf 0, into 13 bytes. */
void cpuid_vendor(Cpuid *cpuid, char ret[13]);
bool cpuid_is_amd(Cpuid *cpuid);

/* Physical address bits of leaf 0x80000008, 36 without it. */
unsigned cpuid_physical_bits(Cpuid *cpuid);

#endif
