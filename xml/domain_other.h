/* domain_other.h - the smaller devices of a guest: <hub>, <watchdog>, <panic>, <tpm>, <vsock>,
 * <redirdev>, and the tables of <sysinfo> (libvirt formatdomain, schema of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_XML_DOMAIN_OTHER_H
#define KILN_XML_DOMAIN_OTHER_H

#include "xml/domain_char.h"
#include "xml/domain_device.h"

typedef struct {
    int type; /* 1 usb */
    DomainDeviceInfo info;
} DomainHub;

typedef enum {
    DOMAIN_WATCHDOG_ABSENT,
    DOMAIN_WATCHDOG_I6300ESB,
    DOMAIN_WATCHDOG_IB700,
    DOMAIN_WATCHDOG_DIAG288,
    DOMAIN_WATCHDOG_ITCO,
} DomainWatchdogModel;
extern const char *const domain_watchdog_models[];

typedef enum {
    DOMAIN_WATCHDOG_ACTION_ABSENT,
    DOMAIN_WATCHDOG_RESET,
    DOMAIN_WATCHDOG_SHUTDOWN,
    DOMAIN_WATCHDOG_POWEROFF,
    DOMAIN_WATCHDOG_PAUSE,
    DOMAIN_WATCHDOG_DUMP,
    DOMAIN_WATCHDOG_NONE,
    DOMAIN_WATCHDOG_INJECT_NMI,
} DomainWatchdogAction;
extern const char *const domain_watchdog_actions[];

typedef struct {
    int model;  /* DomainWatchdogModel */
    int action; /* DomainWatchdogAction; set after completion */
    DomainDeviceInfo info;
} DomainWatchdog;

typedef enum {
    DOMAIN_PANIC_ABSENT,
    DOMAIN_PANIC_ISA,
    DOMAIN_PANIC_PSERIES,
    DOMAIN_PANIC_HYPERV,
    DOMAIN_PANIC_S390,
} DomainPanicModel;
extern const char *const domain_panic_models[];

typedef struct {
    int model; /* DomainPanicModel; set after completion */
    DomainDeviceInfo info;
} DomainPanic;

typedef enum {
    DOMAIN_TPM_ABSENT,
    DOMAIN_TPM_TIS,
    DOMAIN_TPM_CRB,
    DOMAIN_TPM_SPAPR,
    DOMAIN_TPM_SPAPR_PROXY,
} DomainTpmModel;
typedef enum {
    DOMAIN_TPM_BACKEND_ABSENT,
    DOMAIN_TPM_PASSTHROUGH,
    DOMAIN_TPM_EMULATOR,
    DOMAIN_TPM_EXTERNAL,
} DomainTpmBackend;
typedef enum { DOMAIN_TPM_VERSION_ABSENT, DOMAIN_TPM_1_2, DOMAIN_TPM_2_0 } DomainTpmVersion;

typedef struct {
    int model;       /* DomainTpmModel; set after completion */
    int backend;     /* DomainTpmBackend */
    int version;     /* DomainTpmVersion */
    int persistent;  /* yes/no */
    char *device;    /* PASSTHROUGH */
    GPtrArray *kept; /* XmlKept */
    DomainDeviceInfo info;
} DomainTpm;

typedef struct {
    int model;    /* DomainVirtioModel; set after completion */
    int auto_cid; /* yes/no */
    uint64_t cid; /* from 3 */
    DomainVirtioOptions virtio;
    DomainDeviceInfo info;
} DomainVsock;

typedef struct {
    int bus; /* 1 usb */
    DomainCharSource source;
    DomainDeviceInfo info;
} DomainRedirdev;

/* --- sysinfo ---------------------------------------------------------------------------------- */

typedef struct {
    char *name, *value;
} DomainSysinfoEntry;

typedef struct {
    GPtrArray *entries; /* DomainSysinfoEntry */
} DomainSysinfoBoard;

typedef struct {
    char *name, *file, *value; /* "opt/com.example/x"; either @file or @value */
} DomainFwCfg;

typedef struct {
    int type; /* 1 smbios, 2 fwcfg */
    /* DomainSysinfoEntry of SMBIOS structures 0, 1 and 3; one list for each base board */
    GPtrArray *bios, *system, *chassis;
    GPtrArray *boards;      /* DomainSysinfoBoard */
    GPtrArray *oem_strings; /* char * */
    GPtrArray *fwcfgs;      /* DomainFwCfg */
} DomainSysinfo;

extern const XmlType domain_hub_type;
extern const XmlType domain_watchdog_type;
extern const XmlType domain_panic_type;
extern const XmlType domain_tpm_type;
extern const XmlType domain_vsock_type;
extern const XmlType domain_redirdev_type;
extern const XmlType domain_sysinfo_type;

#endif
