/* hyperv.h - the Hyper-V enlightenments that a guest can be given, and those that KVM offers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_UTIL_HYPERV_H
#define KILN_UTIL_HYPERV_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    HYPERV_RELAXED,
    HYPERV_VAPIC,
    HYPERV_TIME,
    HYPERV_VPINDEX,
    HYPERV_RUNTIME,
    HYPERV_SYNIC,
    HYPERV_STIMER,
    HYPERV_STIMER_DIRECT,
    HYPERV_RESET,
    HYPERV_FREQUENCIES,
    HYPERV_REENLIGHTENMENT,
    HYPERV_TLBFLUSH,
    HYPERV_IPI,
    HYPERV_AVIC,
    HYPERV_EVMCS,
    HYPERV_FEATURES
} HypervFeature;

/* Sets of enlightenments hold 1 << HypervFeature for each. */
#define HYPERV_BIT(feature) (UINT32_C(1) << (feature))

/* Retries after which a guest that waits for a lock tells the hypervisor: this many means never. */
#define HYPERV_NEVER_NOTIFY UINT32_MAX

/* The bits that tell a guest of an enlightenment: TLFS 6.0b, 2.4.4 and 2.4.5. */
typedef struct {
    const char *name;    /* "relaxed": hv-relaxed of -cpu, <relaxed> of a domain */
    uint32_t privileges; /* leaf 0x40000003 EAX */
    uint32_t features;   /* leaf 0x40000003 EDX */
    uint32_t advice;     /* leaf 0x40000004 EAX */
    uint32_t hint;       /* likewise, ours to give: KVM need not have it */
    uint32_t needs;      /* set of others that it cannot work without */
} HypervFacts;

extern const HypervFacts hyperv_facts[HYPERV_FEATURES];

/* What a KVM offers. */
typedef struct {
    uint32_t privileges, features, advice, spinlocks;
    uint32_t nested;    /* leaf 0x4000000a EAX: versions of the enlightened VMCS */
    uint32_t vendor[3]; /* leaf 0x40000000 EBX, ECX, EDX */
} HypervHost;

/* Asks /dev/kvm's descriptor (KVM_GET_SUPPORTED_HV_CPUID). False: it has none of this. */
bool hyperv_host_read(int kvm_fd, HypervHost *ret);

/* The enlightenments that @host has all bits for. */
uint32_t hyperv_host_set(const HypervHost *host);

/* Refuses (VIR_ERR_CONFIG_UNSUPPORTED) a set in which one lacks another that it needs. */
bool hyperv_check_needs(uint32_t set, GError **err);

#endif
