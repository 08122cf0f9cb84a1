/* domain_os.h - how a guest boots, what its board offers and how its clock runs: <os>, <features>,
 * <clock>, <pm> (libvirt formatdomain, schema of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_DOMAIN_OS_H
#define KILN_XML_DOMAIN_OS_H

#include "xml/xmltab.h"

typedef enum {
    DOMAIN_BOOT_ABSENT,
    DOMAIN_BOOT_FD,
    DOMAIN_BOOT_CDROM,
    DOMAIN_BOOT_HD,
    DOMAIN_BOOT_NETWORK,
} DomainBootDevice;

typedef struct {
    int dev; /* DomainBootDevice */
} DomainBoot;

typedef enum { DOMAIN_FIRMWARE_ABSENT, DOMAIN_FIRMWARE_BIOS, DOMAIN_FIRMWARE_EFI } DomainFirmware;
typedef enum { DOMAIN_LOADER_ABSENT, DOMAIN_LOADER_ROM, DOMAIN_LOADER_PFLASH } DomainLoaderType;

typedef struct {
    int enabled; /* yes/no */
    char *name;
} DomainFirmwareFeature;

typedef struct {
    int firmware;                 /* DomainFirmware */
    char *type;                   /* "hvm"; set after completion */
    char *arch;                   /* "x86_64"; set after completion */
    char *machine;                /* set after completion; q35 and pc-q35-* become the
                                   * canonical name of DomainDefaults */
    GPtrArray *firmware_features; /* DomainFirmwareFeature */
    char *loader;
    int loader_readonly, loader_secure, loader_stateless; /* yes/no */
    int loader_type;                                      /* DomainLoaderType */
    char *nvram, *nvram_template, *nvram_type;
    GPtrArray *kept; /* XmlKept: init*, acpi tables, nvram with a source */
    char *kernel, *initrd, *cmdline, *dtb;
    GPtrArray *boots;            /* DomainBoot */
    int bootmenu;                /* yes/no */
    uint64_t bootmenu_timeout;   /* ms */
    int smbios;                  /* 0, 1 emulate, 2 host, 3 sysinfo */
    int bios_useserial;          /* yes/no */
    int64_t bios_reboot_timeout; /* ms */
} DomainOs;

typedef enum {
    DOMAIN_HYPERV_ABSENT,
    DOMAIN_HYPERV_PASSTHROUGH,
    DOMAIN_HYPERV_CUSTOM,
} DomainHypervMode;

typedef struct {
    int mode; /* DomainHypervMode */
    int relaxed, vapic, spinlocks, vpindex, runtime, synic, stimer, stimer_direct, reset, vendor_id,
        frequencies, reenlightenment, tlbflush, ipi, evmcs, avic; /* on/off */
    uint64_t retries;                                             /* spinlocks */
    char *vendor;                                                 /* vendor_id value */
} DomainHyperv;

typedef struct {
    int hidden, hint_dedicated, poll_control, pv_ipi, dirty_ring; /* on/off */
    uint64_t dirty_ring_size;
} DomainKvmFeatures;

typedef struct {
    int acpi, apic, pae, viridian, privnet; /* 0 or 1 */
    int apic_eoi;                           /* on/off */
    int hap, hap_state;                     /* 0 or 1; on/off */
    DomainHyperv *hyperv;
    DomainKvmFeatures *kvm;
    int pvspinlock, pvspinlock_state; /* 0 or 1; on/off */
    int pmu, pmu_state;               /* 0 or 1; on/off */
    int vmport, vmport_state;         /* 0 or 1; on/off */
    int smm, smm_state;               /* 0 or 1; on/off */
    uint64_t tseg;                    /* bytes */
    int ioapic;                       /* 0, 1 qemu, 2 kvm */
    int vmcoreinfo, vmcoreinfo_state; /* 0 or 1; on/off */
    int msrs_unknown;                 /* 0, 1 ignore, 2 fault */
    GPtrArray *kept;                  /* XmlKept: features of other architectures, xen, tcg */
} DomainFeatures;

typedef enum {
    DOMAIN_CLOCK_ABSENT,
    DOMAIN_CLOCK_UTC,
    DOMAIN_CLOCK_LOCALTIME,
    DOMAIN_CLOCK_VARIABLE,
    DOMAIN_CLOCK_TIMEZONE,
    DOMAIN_CLOCK_ABSOLUTE,
} DomainClockOffset;
extern const char *const domain_clock_offsets[];

typedef enum {
    DOMAIN_TIMER_NONE,
    DOMAIN_TIMER_PLATFORM,
    DOMAIN_TIMER_PIT,
    DOMAIN_TIMER_RTC,
    DOMAIN_TIMER_HPET,
    DOMAIN_TIMER_TSC,
    DOMAIN_TIMER_KVMCLOCK,
    DOMAIN_TIMER_HYPERVCLOCK,
    DOMAIN_TIMER_ARMVTIMER,
} DomainTimerName;
extern const char *const domain_timer_names[];

typedef enum {
    DOMAIN_TICK_ABSENT,
    DOMAIN_TICK_DELAY,
    DOMAIN_TICK_CATCHUP,
    DOMAIN_TICK_MERGE,
    DOMAIN_TICK_DISCARD,
} DomainTickPolicy;

typedef struct {
    int name;                        /* DomainTimerName */
    int present;                     /* yes/no */
    int tickpolicy;                  /* DomainTickPolicy */
    int track;                       /* 0, 1 boot, 2 guest, 3 wall, 4 realtime */
    uint64_t threshold, slew, limit; /* catchup */
    uint64_t frequency;              /* TSC, Hz */
    int mode;                        /* TSC */
} DomainTimer;

typedef struct {
    int offset;        /* DomainClockOffset; set after completion */
    char *adjustment;  /* seconds with sign, or "reset" */
    int basis;         /* VARIABLE: 0, 1 utc, 2 localtime */
    char *timezone;    /* TIMEZONE */
    uint64_t start;    /* ABSOLUTE, seconds since 1970 */
    GPtrArray *timers; /* DomainTimer */
} DomainClock;

typedef enum {
    DOMAIN_ACTION_ABSENT,
    DOMAIN_ACTION_DESTROY,
    DOMAIN_ACTION_RESTART,
    DOMAIN_ACTION_RENAME_RESTART,
    DOMAIN_ACTION_PRESERVE,
    DOMAIN_ACTION_COREDUMP_DESTROY,
    DOMAIN_ACTION_COREDUMP_RESTART,
} DomainLifecycleAction;

extern const XmlType domain_os_boot_type;
extern const XmlType domain_os_type;
extern const XmlType domain_features_type;
extern const XmlType domain_clock_type;

#endif
