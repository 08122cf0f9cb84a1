/* hyperv.h - Hyper-V enlightenments of -cpu, against what this host's KVM can give.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_HYPERV_H
#define KILN_LAUNCHER_HYPERV_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "launcher/cpuid.h"
#include "util/hyperv.h"

enum { HYPERV_VENDOR_MAX = 12, HYPERV_PAGE_SIZE = 4096 };

/* hv-… of -cpu. All 0: none asked for. */
typedef struct {
    uint32_t set;       /* of HYPERV_BIT() */
    bool passthrough;   /* hv-passthrough: all that KVM offers, and nothing else that was said */
    uint64_t spinlocks; /* retries; 0: not given */
    bool vendor_given;
    char vendor[HYPERV_VENDOR_MAX + 1];
} HypervSpec;

/* Whether @key of -cpu is one of these: "hv-…" or, as in old books, "hv_…". */
bool hyperv_is_option(const char *key);

/* Takes that member of -cpu. */
bool hyperv_spec_item(HypervSpec *spec, JsonObject *obj, const char *key, GError **err);

/* Whether the guest is to see a Hyper-V at all. A vendor's name alone asks for none. */
bool hyperv_spec_asks(const HypervSpec *spec);

/* Puts the leaves 0x40000000 to 0x40000005 into @cpuid, and KVM's own, if there, behind them at
 * 0x40000100. Fails (VIR_ERR_CONFIG_UNSUPPORTED) by the name of what @host (NULL: a KVM without any
 * of this) lacks, or what another needs. @ret_set: the enlightenments that the guest has. */
bool hyperv_define(const HypervSpec *spec, const HypervHost *host, Cpuid *cpuid, uint32_t *ret_set,
                   GError **err);

/* A model-specific register that a reset of the guest sets back. */
typedef struct {
    uint32_t index, count;
    uint64_t value;
    uint32_t needs; /* the enlightenment that KVM refuses a write without, 0: none */
} HypervReset;

/* In the order to be written; ends with count 0. */
extern const HypervReset hyperv_resets[];

#endif
