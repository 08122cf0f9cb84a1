/* firmware.c - what firmware is told about the machine (SeaBIOS docs/Runtime_config; OVMF reads the
 * same files).
 *
 * Firmware waits for nothing unless it is told to: no menu, no pause before the next attempt.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/firmware/firmware.h"

#include "hw/acpi/build.h"
#include "hw/acpi/pm.h"
#include "hw/core/device.h"
#include "hw/isa/fw_cfg.h"
#include "hw/isa/rtc.h"

#include <string.h>

enum {
    TABLES_ROOM = 128 << 10, /* sizes in the directory, which must not change */
    LOADER_ROOM = 4 << 10,
    RSDP_ROOM = 36,
    CMOS_BOOT_THIRD = 0x38, /* high half */
    CMOS_BOOT_FIRST = 0x3d, /* low half; the second in the high one */
    SLEEP_SUPPORTED = 0x80,
};

typedef struct {
    Device *dev;
    int32_t index;
} BootEntryIndex;

static bool
boot_index_of(Device *dev, int32_t *ret)
{
    for (const DeviceClass *class = dev->class; class; class = class->base) {
        for (size_t i = 0; i < class->n_props; i++) {
            if (class->props[i].kind != PROP_INT32 || strcmp(class->props[i].name, "bootindex"))
                continue;
            memcpy(ret, (const uint8_t *)dev + class->props[i].offset, sizeof(*ret));
            return *ret >= 0;
        }
    }
    return false;
}

static gint
boot_entry_compare(gconstpointer a, gconstpointer b)
{
    const BootEntryIndex *x = a, *y = b;

    return x->index < y->index ? -1 : x->index > y->index;
}

char *
firmware_boot_order(Machine *machine, bool strict)
{
    g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(BootEntryIndex));
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < machine->devices->len; i++) {
        BootEntryIndex entry = { .dev = g_ptr_array_index(machine->devices, i) };

        if (boot_index_of(entry.dev, &entry.index))
            g_array_append_val(entries, entry);
    }
    if (entries->len == 0)
        return NULL;
    g_array_sort(entries, boot_entry_compare);
    for (guint i = 0; i < entries->len; i++) {
        g_autofree char *path = device_firmware_path(g_array_index(entries, BootEntryIndex, i).dev);

        g_string_append_printf(text, "%s%s", i ? "\n" : "", path);
    }
    if (strict)
        g_string_append(text, "\nHALT");
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* The tables are made when firmware asks: by then it has placed BARs and PM registers. All three
 * blobs are of one making, which is kept until the next reset. */
static void
firmware_make_tables(void *opaque, FwCfg *cfg)
{
    g_autoptr(GByteArray) tables = g_byte_array_new();
    g_autoptr(GByteArray) rsdp = g_byte_array_new();
    g_autoptr(GByteArray) loader = g_byte_array_new();

    acpi_build_blobs(opaque, tables, rsdp, loader);
    fw_cfg_made(cfg, ACPI_TABLES_FILE, tables->data, tables->len);
    fw_cfg_made(cfg, ACPI_RSDP_FILE, rsdp->data, rsdp->len);
    fw_cfg_made(cfg, ACPI_LOADER_FILE, loader->data, loader->len);
}

bool
firmware_create(Machine *machine, GError **err)
{
    const MachineConfig *config = &machine->config;
    FwCfg *cfg = machine->fw_cfg;
    uint8_t states[6] = { SLEEP_SUPPORTED,
                          0,
                          0,
                          ACPI_SLEEP_TYPE_S3,
                          ACPI_SLEEP_TYPE_S4,
                          SLEEP_SUPPORTED | ACPI_SLEEP_TYPE_OFF };

    if (config->s3)
        states[3] |= SLEEP_SUPPORTED;
    if (config->s4)
        states[4] |= SLEEP_SUPPORTED;
    return fw_cfg_add_file(cfg, "etc/system-states", states, sizeof(states), err) &&
           fw_cfg_add_made(cfg, ACPI_TABLES_FILE, TABLES_ROOM, firmware_make_tables, machine,
                           err) &&
           fw_cfg_add_made(cfg, ACPI_RSDP_FILE, RSDP_ROOM, firmware_make_tables, machine, err) &&
           fw_cfg_add_made(cfg, ACPI_LOADER_FILE, LOADER_ROOM, firmware_make_tables, machine, err);
}

static uint8_t
firmware_boot_nibble(const char *order, size_t n)
{
    static const char letters[] = "acdn";
    const char *at = n < strlen(order) ? strchr(letters, order[n]) : NULL;

    return at ? (uint8_t)(at - letters + 1) : 0;
}

static bool
firmware_set_number(FwCfg *cfg, const char *name, uint64_t value, unsigned size, GError **err)
{
    uint64_t le = GUINT64_TO_LE(value);

    return fw_cfg_set_file(cfg, name, &le, size, err);
}

bool
firmware_prepare(Machine *machine, const FirmwareBoot *boot, GError **err)
{
    g_autofree char *order = firmware_boot_order(machine, boot->strict);
    const char *letters = boot->order ? boot->order : "cad";
    FwCfg *cfg = machine->fw_cfg;
    uint16_t menu = GUINT16_TO_LE(boot->menu);
    uint16_t serial = GUINT16_TO_LE(boot->serial_console);
    int32_t retry = boot->has_reboot_timeout ? boot->reboot_timeout : -1;

    rtc_cmos_set(
        machine, CMOS_BOOT_FIRST,
        (uint8_t)(firmware_boot_nibble(letters, 1) << 4 | firmware_boot_nibble(letters, 0)));
    rtc_cmos_set(machine, CMOS_BOOT_THIRD, (uint8_t)(firmware_boot_nibble(letters, 2) << 4));
    fw_cfg_add(cfg, FW_CFG_BOOT_MENU, &menu, sizeof(menu));
    /* SeaBIOS then uses the first serial port as its console, at etc/sercon-port. */
    fw_cfg_add(cfg, FW_CFG_NOGRAPHIC, &serial, sizeof(serial));
    /* Its end is a NUL, which the reader counts on. */
    return fw_cfg_set_file(cfg, "bootorder", order ? order : "", order ? strlen(order) + 1 : 0,
                           err) &&
           firmware_set_number(cfg, "etc/boot-fail-wait", (uint32_t)retry, 4, err) &&
           (!boot->has_splash_time ||
            firmware_set_number(cfg, "etc/boot-menu-wait", boot->splash_time, 2, err));
}
