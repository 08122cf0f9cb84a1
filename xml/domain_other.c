/* domain_other.c - the tables of the smaller devices and of <sysinfo> (libvirt formatdomain, schema
 * of 9.0).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain_other.h"

#include "util/error.h"

#include <inttypes.h>
#include <string.h>

static const char *const usb_only[] = { "", "usb", NULL };
const char *const domain_watchdog_models[] = { "", "i6300esb", "ib700", "diag288", "itco", NULL };
const char *const domain_watchdog_actions[] = {
    "", "reset", "shutdown", "poweroff", "pause", "dump", "none", "inject-nmi", NULL,
};
const char *const domain_panic_models[] = { "", "isa", "pseries", "hyperv", "s390", NULL };
static const char *const tpm_models[] = {
    "", "tpm-tis", "tpm-crb", "tpm-spapr", "spapr-tpm-proxy", NULL,
};
static const char *const tpm_backends[] = { "", "passthrough", "emulator", "external", NULL };
static const char *const tpm_versions[] = { "", "1.2", "2.0", NULL };
static const char *const sysinfo_types[] = { "", "smbios", "fwcfg", NULL };

#define INFO(T)                                                                                    \
    {                                                                                              \
        NULL, NULL, XML_INLINE, offsetof(T, info), XML_ABI, .type = &domain_device_info_type       \
    }

static const XmlRow hub_rows[] = {
    { NULL, "type", XML_ENUM, offsetof(DomainHub, type), XML_REQUIRED | XML_ABI,
      .names = usb_only },
    INFO(DomainHub),
};
const XmlType domain_hub_type = XML_TYPE("hub", DomainHub, hub_rows);

static const XmlRow watchdog_rows[] = {
    { NULL, "model", XML_ENUM, offsetof(DomainWatchdog, model), XML_REQUIRED | XML_ABI,
      .names = domain_watchdog_models },
    { NULL, "action", XML_ENUM, offsetof(DomainWatchdog, action),
      .names = domain_watchdog_actions },
    INFO(DomainWatchdog),
};
const XmlType domain_watchdog_type = XML_TYPE("watchdog", DomainWatchdog, watchdog_rows);

static const XmlRow panic_rows[] = {
    { NULL, "model", XML_ENUM, offsetof(DomainPanic, model), XML_ABI,
      .names = domain_panic_models },
    INFO(DomainPanic),
};
const XmlType domain_panic_type = XML_TYPE("panic", DomainPanic, panic_rows);

#define T(field) offsetof(DomainTpm, field)
static const XmlRow tpm_rows[] = {
    { NULL, "model", XML_ENUM, T(model), XML_ABI, .names = tpm_models },
    { "backend", "type", XML_ENUM, T(backend), XML_REQUIRED, .names = tpm_backends },
    { "backend", "version", XML_ENUM, T(version), XML_ABI, .names = tpm_versions },
    { "backend", "persistent_state", XML_YESNO, T(persistent) },
    { "backend/device", "path", XML_STRING, T(device), XML_REQUIRED },
    { "backend/encryption", NULL, XML_KEPT, T(kept) },
    { "backend/active_pcr_banks", NULL, XML_KEPT, T(kept) },
    { "backend/source", NULL, XML_KEPT, T(kept) },
    INFO(DomainTpm),
};
const XmlType domain_tpm_type = XML_TYPE("tpm", DomainTpm, tpm_rows);

#define V(field) offsetof(DomainVsock, field)
static const XmlRow vsock_rows[] = {
    { NULL, "model", XML_ENUM, V(model), XML_ABI, .names = domain_virtio_models },
    { "cid", "auto", XML_YESNO, V(auto_cid) },
    { "cid", "address", XML_UINT, V(cid), XML_ABI, .min = 3, .max = UINT32_MAX },
    { "driver", NULL, XML_INLINE, V(virtio), XML_ABI, .type = &domain_virtio_options_type },
    INFO(DomainVsock),
};
const XmlType domain_vsock_type = XML_TYPE("vsock", DomainVsock, vsock_rows);

static const XmlRow redirdev_rows[] = {
    { NULL, "bus", XML_ENUM, offsetof(DomainRedirdev, bus), XML_ABI, .names = usb_only, .min = 1 },
    { NULL, NULL, XML_INLINE, offsetof(DomainRedirdev, source), .type = &domain_char_source_type },
    INFO(DomainRedirdev),
};
const XmlType domain_redirdev_type = XML_TYPE("redirdev", DomainRedirdev, redirdev_rows);

/* --- sysinfo ---------------------------------------------------------------------------------- */

#define E(field) offsetof(DomainSysinfoEntry, field)
#define ENTRY(kind, words)                                                                         \
    static const XmlRow kind##_rows[] = {                                                          \
        { NULL, "name", XML_STRING, E(name), XML_REQUIRED | XML_ABI, .pattern = words,             \
          .legal = "one of " words },                                                              \
        { NULL, NULL, XML_STRING, E(value), XML_ABI },                                             \
    };                                                                                             \
    static const XmlType kind##_type = XML_TYPE("sysinfo-" #kind, DomainSysinfoEntry, kind##_rows);
ENTRY(bios, "vendor|version|date|release")
ENTRY(system, "manufacturer|product|version|serial|uuid|sku|family")
ENTRY(board, "manufacturer|product|version|serial|asset|location")
ENTRY(chassis, "manufacturer|version|serial|asset|sku")

static const XmlRow boards_rows[] = {
    { "entry", NULL, XML_LIST, offsetof(DomainSysinfoBoard, entries), XML_ABI, .max = 64,
      .type = &board_type },
};
static const XmlType boards_type = XML_TYPE("sysinfo-boards", DomainSysinfoBoard, boards_rows);

static const XmlRow fwcfg_rows[] = {
    { NULL, "name", XML_STRING, offsetof(DomainFwCfg, name), XML_REQUIRED | XML_ABI },
    { NULL, "file", XML_STRING, offsetof(DomainFwCfg, file), .pattern = "/.+",
      .legal = "an absolute path" },
    { NULL, NULL, XML_STRING, offsetof(DomainFwCfg, value), XML_ABI },
};

static bool
fwcfg_check(const void *obj, GError **err)
{
    const DomainFwCfg *entry = obj;

    if (!g_str_has_prefix(entry->name, "opt/"))
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "Invalid firmware name '%s': the entry's name must begin with 'opt/'",
                              entry->name);
    if (!entry->file == !entry->value)
        return kiln_error_set(err, VIR_ERR_XML_ERROR,
                              "firmware configuration entry '%s' needs either a value or 'file'",
                              entry->name);
    return true;
}

static const XmlType fwcfg_type =
    XML_TYPE("sysinfo-fwcfg", DomainFwCfg, fwcfg_rows, .check = fwcfg_check);

#define S(field) offsetof(DomainSysinfo, field)
#define SMBIOS XML_WHEN(1)
#define MOST XML_ABI, .max = 64
static const XmlRow sysinfo_rows[] = {
    { NULL, "type", XML_ENUM, S(type), XML_REQUIRED | XML_ABI, .names = sysinfo_types },
    { "bios/entry", NULL, XML_LIST, S(bios), MOST, .type = &bios_type, .when = SMBIOS },
    { "system/entry", NULL, XML_LIST, S(system), MOST, .type = &system_type, .when = SMBIOS },
    { "baseBoard", NULL, XML_LIST, S(boards), MOST, .type = &boards_type, .when = SMBIOS },
    { "chassis/entry", NULL, XML_LIST, S(chassis), MOST, .type = &chassis_type, .when = SMBIOS },
    { "oemStrings/entry", NULL, XML_STRINGS, S(oem_strings), XML_ABI, .when = SMBIOS },
    { "entry", NULL, XML_LIST, S(fwcfgs), XML_ABI, .max = 1024, .type = &fwcfg_type,
      .when = XML_WHEN(2) },
};
const XmlType domain_sysinfo_type =
    XML_TYPE("sysinfo", DomainSysinfo, sysinfo_rows, .selector = XML_SELECTOR(DomainSysinfo, type));
