/* hyperv.c - the Hyper-V that a guest sees: options, CPUID leaves, registers after a reset.
 *
 * Hypervisor Top Level Functional Specification (TLFS) 6.0b, 2.4 (CPUID leaves) and appendix
 * "Hypervisor Synthetic MSRs"; option names of qemu(1). The registers, hypercalls and timers are
 * KVM's. Left out: crash registers, the synthetic debugger, VMBus, direct flushes of nested guests.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/hyperv.h"

#include <string.h>

#include "launcher/keyval.h"
#include "util/error.h"

#define LEAF_VENDOR 0x40000000u
#define LEAF_INTERFACE 0x40000001u
#define LEAF_VERSION 0x40000002u
#define LEAF_FEATURES 0x40000003u
#define LEAF_ADVICE 0x40000004u
#define LEAF_LIMITS 0x40000005u
#define LEAF_NESTED 0x4000000au
#define LEAF_KVM_MOVED 0x100u /* from the first leaf of one hypervisor to that of the next */
#define LEAF_LAST 0x400000ffu
#define INTERFACE_HV1 0x31237648u /* "Hv#1" */
#define ACCESS_HYPERCALLS (1u << 5)
/* The version whose functions KVM has: Windows Server 2016. */
enum { VERSION_BUILD = 14393, VERSION_MAJOR = 10 };
enum { LIMIT_LOGICAL_PROCESSORS = 64, RETRIES_MIN = 0xfff };

bool
hyperv_is_option(const char *key)
{
    return g_str_has_prefix(key, "hv-") || g_str_has_prefix(key, "hv_");
}

static bool
hyperv_take_vendor(HypervSpec *spec, JsonObject *obj, const char *key, GError **err)
{
    const char *text = keyval_text(obj, key);

    if (!text || strlen(text) > HYPERV_VENDOR_MAX)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-cpu: %s=%s is not a text of at most %d bytes", key,
                              text ? text : "(not a text)", HYPERV_VENDOR_MAX);
    g_strlcpy(spec->vendor, text, sizeof(spec->vendor));
    spec->vendor_given = true;
    return true;
}

bool
hyperv_spec_item(HypervSpec *spec, JsonObject *obj, const char *key, GError **err)
{
    g_autofree char *name = g_strdelimit(g_strdup(key + strlen("hv-")), "_", '-');
    bool on = true;

    if (!strcmp(name, "spinlocks"))
        return keyval_uint("-cpu", obj, key, RETRIES_MIN, HYPERV_NEVER_NOTIFY, &spec->spinlocks,
                           err);
    if (!strcmp(name, "vendor-id"))
        return hyperv_take_vendor(spec, obj, key, err);
    if (!keyval_bool("-cpu", obj, key, &on, err))
        return false;
    if (!strcmp(name, "passthrough")) {
        spec->passthrough = on;
        return true;
    }
    for (int i = 0; i < HYPERV_FEATURES; i++)
        if (!strcmp(name, hyperv_facts[i].name) || (i == HYPERV_AVIC && !strcmp(name, "apicv"))) {
            spec->set = on ? spec->set | HYPERV_BIT(i) : spec->set & ~HYPERV_BIT(i);
            return true;
        }
    /* What is not there is off. */
    return !on || kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                 "-cpu: %s: this Hyper-V enlightenment is not offered", key);
}

bool
hyperv_spec_asks(const HypervSpec *spec)
{
    return spec->passthrough || spec->set ||
           (spec->spinlocks && spec->spinlocks != HYPERV_NEVER_NOTIFY);
}

static bool
hyperv_refuse_missing(uint32_t missing, GError **err)
{
    g_autoptr(GString) names = g_string_new(NULL);

    for (int i = 0; i < HYPERV_FEATURES; i++)
        if (missing & HYPERV_BIT(i))
            g_string_append_printf(names, "%shv-%s", names->len ? ", " : "", hyperv_facts[i].name);
    return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-cpu: this host's KVM has no %s",
                          names->str);
}

static bool
hyperv_add(Cpuid *cpuid, uint32_t leaf, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    struct kvm_cpuid_entry2 *e = cpuid_add(cpuid, leaf, 0, false);

    if (!e)
        return false;
    e->eax = eax;
    e->ebx = ebx;
    e->ecx = ecx;
    e->edx = edx;
    return true;
}

/* A guest looks for hypervisors from 0x40000000 in steps of 0x100; Windows only at the first. */
static void
hyperv_move_kvm(Cpuid *cpuid)
{
    for (unsigned i = 0; i < cpuid->n; i++) {
        struct kvm_cpuid_entry2 *e = &cpuid->e[i];

        if (e->function < LEAF_VENDOR || e->function > LEAF_LAST)
            continue;
        if (e->function == LEAF_VENDOR)
            e->eax += LEAF_KVM_MOVED; /* the last of its leaves */
        e->function += LEAF_KVM_MOVED;
    }
}

static bool
hyperv_add_leaves(Cpuid *cpuid, uint32_t set, const uint32_t vendor[3], uint32_t spinlocks,
                  uint32_t nested)
{
    uint32_t privileges = ACCESS_HYPERCALLS, features = 0, advice = 0;
    bool evmcs = set & HYPERV_BIT(HYPERV_EVMCS);

    for (int i = 0; i < HYPERV_FEATURES; i++)
        if (set & HYPERV_BIT(i)) {
            privileges |= hyperv_facts[i].privileges;
            features |= hyperv_facts[i].features;
            advice |= hyperv_facts[i].advice | hyperv_facts[i].hint;
        }
    return hyperv_add(cpuid, LEAF_VENDOR, evmcs ? LEAF_NESTED : LEAF_LIMITS, vendor[0], vendor[1],
                      vendor[2]) &&
           hyperv_add(cpuid, LEAF_INTERFACE, INTERFACE_HV1, 0, 0, 0) &&
           hyperv_add(cpuid, LEAF_VERSION, VERSION_BUILD, VERSION_MAJOR << 16, 0, 0) &&
           hyperv_add(cpuid, LEAF_FEATURES, privileges, 0, 0, features) &&
           hyperv_add(cpuid, LEAF_ADVICE, advice, spinlocks, 0, 0) &&
           hyperv_add(cpuid, LEAF_LIMITS, UINT32_MAX, LIMIT_LOGICAL_PROCESSORS, 0, 0) &&
           (!evmcs || hyperv_add(cpuid, LEAF_NESTED, nested, 0, 0, 0));
}

bool
hyperv_define(const HypervSpec *spec, const HypervHost *host, Cpuid *cpuid, uint32_t *ret_set,
              GError **err)
{
    uint32_t have = host ? hyperv_host_set(host) : 0;
    uint32_t set = spec->passthrough ? have : spec->set;
    uint32_t spinlocks = spec->spinlocks ? (uint32_t)spec->spinlocks : HYPERV_NEVER_NOTIFY;
    uint32_t vendor[3];

    G_STATIC_ASSERT(sizeof(vendor) == HYPERV_VENDOR_MAX);
    if (!host && !set)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-cpu: this host's KVM has no Hyper-V enlightenments, so no %s",
                              spec->passthrough ? "hv-passthrough" : "hv-spinlocks");
    if (set & ~have)
        return hyperv_refuse_missing(set & ~have, err);
    if (!hyperv_check_needs(set, err))
        return false;
    memcpy(vendor, spec->vendor_given ? spec->vendor : "Microsoft Hv", sizeof(vendor));
    if (spec->passthrough) {
        memcpy(vendor, host->vendor, sizeof(vendor));
        spinlocks = host->spinlocks;
    }
    hyperv_move_kvm(cpuid);
    if (!hyperv_add_leaves(cpuid, set, vendor, spinlocks, host ? host->nested : 0))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-cpu: more than %d CPUID leaves with those of Hyper-V",
                              CPUID_MAX_ENTRIES);
    *ret_set = set;
    return true;
}

/* After a reset nothing may be left that makes KVM write into the guest's memory: the pages of the
 * old system belong to another one now. KVM lets a guest use what it was not told of, so all is set
 * back whatever the set. The index of the virtual processor stays. */
const HypervReset hyperv_resets[] = {
    { 0x400000b0, 8, 0, HYPERV_BIT(HYPERV_SYNIC) },         /* four timers: CONFIG, COUNT */
    { 0x40000080, 1, 0, HYPERV_BIT(HYPERV_SYNIC) },         /* SCONTROL */
    { 0x40000082, 2, 0, HYPERV_BIT(HYPERV_SYNIC) },         /* SIEFP, SIMP */
    { 0x40000090, 16, 1u << 16, HYPERV_BIT(HYPERV_SYNIC) }, /* SINT0 to 15: masked */
    { 0x40000073, 1, 0, 0 },                                /* VP_ASSIST_PAGE */
    { 0x40000021, 1, 0, 0 },                                /* REFERENCE_TSC */
    { 0x40000106, 3, 0, 0 }, /* REENLIGHTENMENT_CONTROL, TSC_EMULATION_CONTROL and STATUS */
    { 0x40000001, 1, 0, 0 }, /* HYPERCALL, before the name that it hangs on */
    { 0x40000000, 1, 0, 0 }, /* GUEST_OS_ID */
    { 0 },
};
