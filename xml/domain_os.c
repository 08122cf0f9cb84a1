/* domain_os.c - the tables of <os>, <features> and <clock> (libvirt formatdomain, schema of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_os.h"

#include "util/error.h"

#include <inttypes.h>

static const char *const firmwares[] = { "", "bios", "efi", NULL };
static const char *const loader_types[] = { "", "rom", "pflash", NULL };
static const char *const boot_devices[] = { "", "fd", "cdrom", "hd", "network", NULL };
static const char *const smbioses[] = { "", "emulate", "host", "sysinfo", NULL };
static const char *const hyperv_modes[] = { "", "passthrough", "custom", NULL };
static const char *const ioapics[] = { "", "qemu", "kvm", NULL };
static const char *const unknown_msrs[] = { "", "ignore", "fault", NULL };
const char *const domain_clock_offsets[] = {
    "", "utc", "localtime", "variable", "timezone", "absolute", NULL,
};
static const char *const bases[] = { "", "utc", "localtime", NULL };
const char *const domain_timer_names[] = {
    "", "platform", "pit", "rtc", "hpet", "tsc", "kvmclock", "hypervclock", "armvtimer", NULL,
};
static const char *const tickpolicies[] = { "", "delay", "catchup", "merge", "discard", NULL };
static const char *const tracks[] = { "", "boot", "guest", "wall", "realtime", NULL };
static const char *const tsc_modes[] = {
    "", "auto", "native", "emulate", "paravirt", "smpsafe", NULL,
};

/* --- os --------------------------------------------------------------------------------------- */

static const XmlRow firmware_feature_rows[] = {
    { NULL, "enabled", XML_YESNO, offsetof(DomainFirmwareFeature, enabled), XML_REQUIRED },
    { NULL, "name", XML_STRING, offsetof(DomainFirmwareFeature, name), XML_REQUIRED,
      .pattern = "enrolled-keys|secure-boot", .legal = "'enrolled-keys' or 'secure-boot'" },
};
static const XmlType firmware_feature_type =
    XML_TYPE("firmware-feature", DomainFirmwareFeature, firmware_feature_rows);

static const XmlRow boot_rows[] = {
    { NULL, "dev", XML_ENUM, offsetof(DomainBoot, dev), XML_REQUIRED, .names = boot_devices },
};
const XmlType domain_os_boot_type = XML_TYPE("os-boot", DomainBoot, boot_rows);

#define O(field) offsetof(DomainOs, field)
#define PATH .pattern = "/.+", .legal = "an absolute path"
static const XmlRow os_rows[] = {
    { NULL, "firmware", XML_ENUM, O(firmware), .names = firmwares },
    { "type", "arch", XML_STRING, O(arch), XML_ABI, .pattern = "[a-z0-9_]+",
      .legal = "an architecture such as 'x86_64'" },
    { "type", "machine", XML_STRING, O(machine), XML_ABI, .pattern = "[a-zA-Z0-9_.-]+",
      .legal = "a machine name such as 'q35'" },
    { "type", NULL, XML_STRING, O(type), XML_ABI },
    { "firmware/feature", NULL, XML_LIST, O(firmware_features), .type = &firmware_feature_type },
    { "init", NULL, XML_KEPT, O(kept) },
    { "initarg", NULL, XML_KEPT, O(kept) },
    { "initenv", NULL, XML_KEPT, O(kept) },
    { "initdir", NULL, XML_KEPT, O(kept) },
    { "inituser", NULL, XML_KEPT, O(kept) },
    { "initgroup", NULL, XML_KEPT, O(kept) },
    { "loader", "readonly", XML_YESNO, O(loader_readonly) },
    { "loader", "secure", XML_YESNO, O(loader_secure) },
    { "loader", "type", XML_ENUM, O(loader_type), .names = loader_types },
    { "loader", "stateless", XML_YESNO, O(loader_stateless) },
    { "loader", NULL, XML_STRING, O(loader), PATH },
    { "nvram", "type", XML_STRING, O(nvram_type) },
    { "nvram", "template", XML_STRING, O(nvram_template), PATH },
    { "nvram", NULL, XML_STRING, O(nvram) },
    { "nvram/source", NULL, XML_KEPT, O(kept) },
    { "kernel", NULL, XML_STRING, O(kernel), PATH },
    { "initrd", NULL, XML_STRING, O(initrd), PATH },
    { "cmdline", NULL, XML_STRING, O(cmdline) },
    { "dtb", NULL, XML_STRING, O(dtb), PATH },
    { "root", NULL, XML_KEPT, O(kept) },
    { "acpi", NULL, XML_KEPT, O(kept) },
    { "boot", NULL, XML_LIST, O(boots), .type = &domain_os_boot_type },
    { "bootmenu", "enable", XML_YESNO, O(bootmenu), XML_REQUIRED },
    { "bootmenu", "timeout", XML_UINT, O(bootmenu_timeout), .max = UINT16_MAX },
    { "bios", "useserial", XML_YESNO, O(bios_useserial) },
    { "bios", "rebootTimeout", XML_INT, O(bios_reboot_timeout), .min = (uint64_t)-1,
      .max = UINT16_MAX },
    { "smbios", "mode", XML_ENUM, O(smbios), XML_REQUIRED | XML_ABI, .names = smbioses },
};
const XmlType domain_os_type = XML_TYPE("os", DomainOs, os_rows);

/* --- features --------------------------------------------------------------------------------- */

#define H(field) offsetof(DomainHyperv, field)
#define STATE(name)                                                                                \
    {                                                                                              \
#name, "state", XML_ONOFF, H(name), XML_REQUIRED | XML_ABI                                 \
    }
static const XmlRow hyperv_rows[] = {
    { NULL, "mode", XML_ENUM, H(mode), XML_ABI, .names = hyperv_modes, .min = 2 },
    STATE(relaxed),
    STATE(vapic),
    STATE(spinlocks),
    { "spinlocks", "retries", XML_UINT, H(retries), XML_ABI, .min = 4095, .max = UINT32_MAX },
    STATE(vpindex),
    STATE(runtime),
    STATE(synic),
    STATE(stimer),
    { "stimer/direct", "state", XML_ONOFF, H(stimer_direct), XML_REQUIRED | XML_ABI },
    STATE(reset),
    STATE(vendor_id),
    { "vendor_id", "value", XML_STRING, H(vendor), XML_ABI, .pattern = "[^,]{0,12}",
      .legal = "at most 12 characters without commas" },
    STATE(frequencies),
    STATE(reenlightenment),
    STATE(tlbflush),
    STATE(ipi),
    STATE(evmcs),
    STATE(avic),
};
static const XmlType hyperv_type = XML_TYPE("hyperv", DomainHyperv, hyperv_rows);

#define K(field) offsetof(DomainKvmFeatures, field)
static const XmlRow kvm_rows[] = {
    { "hidden", "state", XML_ONOFF, K(hidden), XML_REQUIRED | XML_ABI },
    { "hint-dedicated", "state", XML_ONOFF, K(hint_dedicated), XML_REQUIRED | XML_ABI },
    { "poll-control", "state", XML_ONOFF, K(poll_control), XML_REQUIRED | XML_ABI },
    { "pv-ipi", "state", XML_ONOFF, K(pv_ipi), XML_REQUIRED | XML_ABI },
    { "dirty-ring", "state", XML_ONOFF, K(dirty_ring), XML_REQUIRED },
    { "dirty-ring", "size", XML_UINT, K(dirty_ring_size), .min = 1024, .max = 65536 },
};
static const XmlType kvm_type = XML_TYPE("kvm-features", DomainKvmFeatures, kvm_rows);

#define F(field) offsetof(DomainFeatures, field)
#define PRESENT(name)                                                                              \
    {                                                                                              \
#name, NULL, XML_PRESENT, F(name), XML_ABI                                                 \
    }
#define PRESENT_STATE(name)                                                                        \
    PRESENT(name),                                                                                 \
    {                                                                                              \
#name, "state", XML_ONOFF, F(name##_state), XML_ABI                                        \
    }
#define KEPT(name)                                                                                 \
    {                                                                                              \
        name, NULL, XML_KEPT, F(kept)                                                              \
    }
static const XmlRow features_rows[] = {
    PRESENT(acpi),
    PRESENT(apic),
    { "apic", "eoi", XML_ONOFF, F(apic_eoi), XML_ABI },
    PRESENT(pae),
    PRESENT(hap),
    { "hap", "state", XML_ONOFF, F(hap_state), XML_ABI },
    PRESENT(viridian),
    PRESENT(privnet),
    { "hyperv", NULL, XML_STRUCT, F(hyperv), XML_ABI, .type = &hyperv_type },
    { "kvm", NULL, XML_STRUCT, F(kvm), XML_ABI, .type = &kvm_type },
    PRESENT_STATE(pvspinlock),
    KEPT("capabilities"),
    PRESENT_STATE(pmu),
    PRESENT_STATE(vmport),
    KEPT("gic"),
    PRESENT_STATE(smm),
    { "smm/tseg", NULL, XML_SIZE, F(tseg), XML_ABI, .scale = 1048576 },
    { "ioapic", "driver", XML_ENUM, F(ioapic), XML_REQUIRED | XML_ABI, .names = ioapics },
    KEPT("hpt"),
    PRESENT_STATE(vmcoreinfo),
    KEPT("htm"),
    KEPT("nested-hv"),
    { "msrs", "unknown", XML_ENUM, F(msrs_unknown), XML_REQUIRED | XML_ABI, .names = unknown_msrs },
    KEPT("ccf-assist"),
    KEPT("xen"),
    KEPT("cfpc"),
    KEPT("sbbc"),
    KEPT("ibs"),
    KEPT("tcg"),
};
const XmlType domain_features_type = XML_TYPE("features", DomainFeatures, features_rows);

/* --- clock ------------------------------------------------------------------------------------ */

#define T(field) offsetof(DomainTimer, field)
#define TSC XML_WHEN(DOMAIN_TIMER_TSC)
#define TRACKED (XML_WHEN(DOMAIN_TIMER_PLATFORM) | XML_WHEN(DOMAIN_TIMER_RTC))
static const XmlRow timer_rows[] = {
    { NULL, "name", XML_ENUM, T(name), XML_REQUIRED | XML_ABI, .names = domain_timer_names },
    { NULL, "present", XML_YESNO, T(present), XML_ABI },
    { NULL, "tickpolicy", XML_ENUM, T(tickpolicy), XML_ABI, .names = tickpolicies,
      .when = ~(XML_WHEN(DOMAIN_TIMER_KVMCLOCK) | XML_WHEN(DOMAIN_TIMER_HYPERVCLOCK)) },
    { NULL, "track", XML_ENUM, T(track), XML_ABI, .names = tracks, .when = TRACKED },
    { NULL, "frequency", XML_UINT, T(frequency), XML_ABI, .min = 1, .max = INT64_MAX, .when = TSC },
    { NULL, "mode", XML_ENUM, T(mode), XML_ABI, .names = tsc_modes, .when = TSC },
    { "catchup", "threshold", XML_UINT, T(threshold), XML_NOT_ZERO, .max = UINT32_MAX },
    { "catchup", "slew", XML_UINT, T(slew), XML_NOT_ZERO, .max = UINT32_MAX },
    { "catchup", "limit", XML_UINT, T(limit), XML_NOT_ZERO, .max = UINT32_MAX },
};

static bool
timer_check(const void *obj, GError **err)
{
    const DomainTimer *timer = obj;

    if (timer->tickpolicy != DOMAIN_TICK_CATCHUP &&
        (timer->threshold != XML_UNSET || timer->slew != XML_UNSET || timer->limit != XML_UNSET))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "<catchup> of timer '%s' needs tickpolicy='catchup'",
                              domain_timer_names[timer->name]);
    return true;
}

static const XmlType timer_type =
    XML_TYPE("timer", DomainTimer, timer_rows, .selector = XML_SELECTOR(DomainTimer, name),
             .check = timer_check);

#define C(field) offsetof(DomainClock, field)
#define VARIABLE XML_WHEN(DOMAIN_CLOCK_VARIABLE)
#define UTC_LOCAL (XML_WHEN(DOMAIN_CLOCK_UTC) | XML_WHEN(DOMAIN_CLOCK_LOCALTIME))
static const XmlRow clock_rows[] = {
    { NULL, "offset", XML_ENUM, C(offset), XML_ABI, .names = domain_clock_offsets },
    { NULL, "adjustment", XML_STRING, C(adjustment), .when = UTC_LOCAL,
      .pattern = "[+-]?[0-9]{1,18}|reset", .legal = "seconds with an optional sign, or 'reset'" },
    { NULL, "adjustment", XML_STRING, C(adjustment), .when = VARIABLE,
      .pattern = "[+-]?[0-9]{1,18}", .legal = "seconds with an optional sign" },
    { NULL, "basis", XML_ENUM, C(basis), XML_ABI, .names = bases, .when = VARIABLE },
    { NULL, "timezone", XML_STRING, C(timezone), XML_ABI, .when = XML_WHEN(DOMAIN_CLOCK_TIMEZONE),
      .pattern = "[a-zA-Z0-9_.+/-]+", .legal = "a time zone such as 'Europe/Berlin'" },
    { NULL, "start", XML_UINT, C(start), XML_REQUIRED | XML_ABI, .max = INT64_MAX,
      .when = XML_WHEN(DOMAIN_CLOCK_ABSOLUTE) },
    { "timer", NULL, XML_LIST, C(timers), XML_ABI, .max = 32, .type = &timer_type },
};

static bool
clock_check(const void *obj, GError **err)
{
    const DomainClock *clock = obj;

    for (guint i = 0; i < clock->timers->len; i++)
        for (guint k = 0; k < i; k++)
            if (((const DomainTimer *)clock->timers->pdata[i])->name ==
                ((const DomainTimer *)clock->timers->pdata[k])->name)
                return kiln_error_set(
                    err, VIR_ERR_XML_ERROR, "timer '%s' is given more than once",
                    domain_timer_names[((const DomainTimer *)clock->timers->pdata[i])->name]);
    return true;
}

const XmlType domain_clock_type =
    XML_TYPE("clock", DomainClock, clock_rows, .selector = XML_SELECTOR(DomainClock, offset),
             .check = clock_check);
