/* argv_firmware.c - what a guest boots by, on the command line of kiln-vmm: kernel, SeaBIOS, or
 * UEFI in flash with the guest's own variable store; the boot menu; files for firmware.
 *
 * <os firmware='efi'> is answered from the host's firmware descriptors (driver/node/firmware.h), of
 * which the first that fits the board and needs no System Management Mode is taken.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>

#include "driver/domain/argv.h"
#include "driver/node/firmware.h"
#include "util/error.h"

static bool
fits(const HostFirmware *firmware, const DomainOs *os, bool pc)
{
    const char *board = pc ? "pc-i440fx-7.2" : "pc-q35-7.2";

    if (os->firmware == DOMAIN_FIRMWARE_BIOS)
        return firmware->bios && !firmware->uefi;
    return firmware->uefi && firmware->nvram_template && !firmware->secure_boot &&
           !firmware->enrolled_keys && host_firmware_fits(firmware, board) &&
           (!os->loader || strcmp(os->loader, firmware->code) == 0);
}

/* Writes the choice into the live definition, where clients read it. */
static bool
choose_firmware(Argv *argv, GError **err)
{
    DomainOs *os = &argv->def->os;
    bool pc = domain_def_is_pc(argv->def);
    bool flash = os->loader_type == DOMAIN_LOADER_PFLASH;
    bool wanted = (os->firmware && !os->loader) || (flash && !os->nvram_template && !os->nvram);

    for (guint i = 0; wanted && i < argv->config->firmwares->len; i++) {
        const HostFirmware *firmware = argv->config->firmwares->pdata[i];

        if (!fits(firmware, os, pc))
            continue;
        if (!os->loader) {
            os->loader = g_strdup(firmware->code);
            os->loader_type = firmware->uefi ? DOMAIN_LOADER_PFLASH : DOMAIN_LOADER_ROM;
            os->loader_readonly = firmware->uefi ? TRISTATE_ON : TRISTATE_ABSENT;
        }
        if (!os->nvram_template)
            os->nvram_template = g_strdup(firmware->nvram_template);
        break;
    }
    /* kiln-vmm finds SeaBIOS by itself */
    if (os->firmware == DOMAIN_FIRMWARE_EFI && !os->loader)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "Unable to find any firmware to satisfy 'efi'; install the package "
                              "ovmf");
    if (os->loader_type == DOMAIN_LOADER_PFLASH && !os->nvram && os->nvram_template)
        os->nvram = g_strdup_printf("%s/%s_VARS.fd", argv->config->nvram_dir, argv->def->name);
    return true;
}

static bool
add_flash(Argv *argv, unsigned unit, const char *path, bool read_only, GError **err)
{
    g_autofree char *name =
        argv_file(argv, path, read_only ? O_RDONLY : O_RDWR, unit ? "<nvram>" : "<loader>", err);
    JsonObject *storage, *format;

    if (!name)
        return false;
    storage = json_object_new();
    json_object_set_string_member(storage, "driver", "file");
    json_object_set_string_member(storage, "filename", name);
    json_object_set_string_member(storage, "node-name",
                                  unit ? "libvirt-pflash1-storage" : "libvirt-pflash0-storage");
    json_object_set_boolean_member(storage, "read-only", read_only);
    json_object_set_boolean_member(storage, "auto-read-only", FALSE);
    json_object_set_string_member(storage, "locking", read_only ? "off" : "on");
    argv_add_json(argv, "-blockdev", storage);
    format = json_object_new();
    json_object_set_string_member(format, "driver", "raw");
    json_object_set_string_member(format, "node-name",
                                  unit ? "libvirt-pflash1-format" : "libvirt-pflash0-format");
    json_object_set_boolean_member(format, "read-only", read_only);
    json_object_set_string_member(format, "file",
                                  unit ? "libvirt-pflash1-storage" : "libvirt-pflash0-storage");
    argv_add_json(argv, "-blockdev", format);
    return true;
}

bool
argv_firmware(Argv *argv, GString *machine, GError **err)
{
    DomainOs *os = &argv->def->os;
    g_autofree char *bios = NULL;

    if (os->kernel)
        return !os->loader || kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                             "<loader> together with <kernel> is not supported by "
                                             "Kiln: a kernel is booted without firmware");
    if (!choose_firmware(argv, err))
        return false;
    if (!os->loader)
        return true;
    if (os->loader_type != DOMAIN_LOADER_PFLASH) {
        if (!(bios = argv_file(argv, os->loader, O_RDONLY, "<loader>", err)))
            return false;
        argv_add(argv, "-bios", bios);
        return true;
    }
    if (!add_flash(argv, 0, os->loader, os->loader_readonly != TRISTATE_OFF, err))
        return false;
    g_string_append(machine, ",pflash0=libvirt-pflash0-format");
    if (!os->nvram || os->loader_stateless == TRISTATE_ON)
        return true;
    if (!argv->config->ops->nvram(argv->config->opaque, os->nvram, os->nvram_template, err) ||
        !add_flash(argv, 1, os->nvram, false, err))
        return false;
    g_string_append(machine, ",pflash1=libvirt-pflash1-format");
    return true;
}

static bool
add_kernel(Argv *argv, GError **err)
{
    const DomainOs *os = &argv->def->os;
    g_autofree char *kernel = NULL, *initrd = NULL;

    if (!os->kernel)
        return true;
    if (!(kernel = argv_file(argv, os->kernel, O_RDONLY, "kernel", err)))
        return false;
    argv_add(argv, "-kernel", kernel);
    if (os->initrd) {
        if (!(initrd = argv_file(argv, os->initrd, O_RDONLY, "initrd", err)))
            return false;
        argv_add(argv, "-initrd", initrd);
    }
    if (os->cmdline)
        argv_add(argv, "-append", os->cmdline);
    return true;
}

static bool
add_fw_cfg(Argv *argv, const DomainFwCfg *entry, GError **err)
{
    g_autofree char *name = argv_escape(entry->name);
    g_autofree char *value = entry->value ? argv_escape(entry->value) : NULL;
    g_autofree char *file = NULL;

    if (value) {
        argv_addf(argv, "-fw_cfg", "name=%s,string=%s", name, value);
        return true;
    }
    if (!(file = argv_file(argv, entry->file, O_RDONLY, "file of <sysinfo type='fwcfg'>", err)))
        return false;
    argv_addf(argv, "-fw_cfg", "name=%s,file=%s", name, file);
    return true;
}

/* @but: a name to leave out; may be NULL. */
static void
add_smbios(Argv *argv, unsigned type, const GPtrArray *entries, const char *but)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (!entries->len)
        return;
    g_string_printf(text, "type=%u", type);
    for (guint i = 0; i < entries->len; i++) {
        const DomainSysinfoEntry *entry = entries->pdata[i];

        if (g_strcmp0(entry->name, but) != 0)
            argv_text(text, entry->name, entry->value ? entry->value : "");
    }
    argv_add(argv, "-smbios", text->str);
}

/* The structures of the SMBIOS specification: 0 BIOS, 1 system, 2 base board, 3 chassis, 11
 * strings. The host's identity (@host) is not the guest's. */
static void
add_sysinfo(Argv *argv, const DomainSysinfo *info, bool host)
{
    add_smbios(argv, 0, info->bios, NULL);
    add_smbios(argv, 1, info->system, host ? "uuid" : NULL);
    for (guint i = 0; i < info->boards->len; i++)
        add_smbios(argv, 2, ((const DomainSysinfoBoard *)info->boards->pdata[i])->entries, NULL);
    add_smbios(argv, 3, info->chassis, NULL);
    if (info->oem_strings->len) {
        g_autoptr(GString) text = g_string_new("type=11");

        for (guint i = 0; i < info->oem_strings->len; i++)
            argv_text(text, "value", info->oem_strings->pdata[i]);
        argv_add(argv, "-smbios", text->str);
    }
}

static bool
add_host_sysinfo(Argv *argv, GError **err)
{
    g_autofree char *text = argv->config->ops->sysinfo(argv->config->opaque, err);
    DomainSysinfo *info =
        text ? xml_type_parse_text(&domain_sysinfo_type, text, strlen(text), "sysinfo", 0, err)
             : NULL;

    if (!info)
        return false;
    add_sysinfo(argv, info, true);
    xml_type_free(&domain_sysinfo_type, info);
    return true;
}

/* <pm>: the board's power management unit offers S3 and S4, or not. */
static void
add_sleep_states(Argv *argv)
{
    const char *unit = domain_def_is_pc(argv->def) ? "PIIX4_PM" : "ICH9-LPC";

    if (argv->def->pm_mem)
        argv_addf(argv, "-global", "%s.disable_s3=%d", unit, argv->def->pm_mem == TRISTATE_OFF);
    if (argv->def->pm_disk)
        argv_addf(argv, "-global", "%s.disable_s4=%d", unit, argv->def->pm_disk == TRISTATE_OFF);
}

bool
argv_boot(Argv *argv, GError **err)
{
    const DomainOs *os = &argv->def->os;
    g_autoptr(GString) text = g_string_new(NULL);

    if (os->bootmenu)
        g_string_append_printf(text, "menu=%s,", os->bootmenu == TRISTATE_ON ? "on" : "off");
    if (os->bootmenu == TRISTATE_ON && os->bootmenu_timeout != XML_UNSET)
        g_string_append_printf(text, "splash-time=%" G_GUINT64_FORMAT ",", os->bootmenu_timeout);
    if (os->bios_reboot_timeout != XML_UNSET_INT)
        g_string_append_printf(text, "reboot-timeout=%" G_GINT64_FORMAT ",",
                               os->bios_reboot_timeout);
    g_string_append(text, "strict=on");
    argv_add(argv, "-boot", text->str);
    add_sleep_states(argv);
    if (os->smbios == 2 && !add_host_sysinfo(argv, err))
        return false;
    for (guint i = 0; i < argv->def->sysinfos->len; i++) {
        const DomainSysinfo *info = argv->def->sysinfos->pdata[i];

        if (os->smbios == 3)
            add_sysinfo(argv, info, false);
        for (guint k = 0; k < info->fwcfgs->len; k++)
            if (!add_fw_cfg(argv, info->fwcfgs->pdata[k], err))
                return false;
    }
    return add_kernel(argv, err);
}

/* --- boot order ------------------------------------------------------------------------------- */

/* <boot dev='hd'/> means the first disk, and so on, as libvirt takes it. */
static uint64_t
order_of(const DomainOs *os, DomainBootDevice device)
{
    for (guint i = 0; i < os->boots->len; i++)
        if (((const DomainBoot *)os->boots->pdata[i])->dev == (int)device)
            return i + 1;
    return XML_UNSET;
}

static DomainBootDevice
boot_device(const DomainDisk *disk)
{
    return disk->device == DOMAIN_DISK_DEVICE_CDROM    ? DOMAIN_BOOT_CDROM
           : disk->device == DOMAIN_DISK_DEVICE_FLOPPY ? DOMAIN_BOOT_FD
                                                       : DOMAIN_BOOT_HD;
}

uint64_t
argv_disk_boot_order(const DomainDef *def, const DomainDisk *disk)
{
    if (disk->info.boot_order != XML_UNSET || !def->os.boots->len)
        return disk->info.boot_order;
    for (guint i = 0; def->disks->pdata[i] != disk; i++)
        if (boot_device(def->disks->pdata[i]) == boot_device(disk))
            return XML_UNSET;
    return order_of(&def->os, boot_device(disk));
}

uint64_t
argv_net_boot_order(const DomainDef *def, const DomainInterface *net)
{
    if (net->info.boot_order != XML_UNSET || !def->os.boots->len ||
        def->interfaces->pdata[0] != net)
        return net->info.boot_order;
    return order_of(&def->os, DOMAIN_BOOT_NETWORK);
}
