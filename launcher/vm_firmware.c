/* vm_firmware.c - booting by firmware: which image, and what it is told (-bios, -pflash, -boot,
 * -fw_cfg, -smbios).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hw/core/device.h"
#include "hw/firmware/firmware.h"
#include "hw/firmware/smbios.h"
#include "hw/isa/fw_cfg.h"
#include "launcher/keyval.h"
#include "launcher/vm_firmware.h"
#include "util/error.h"

enum { FW_CFG_FILE_MAX = 64 << 20 };

/* Where a bare file name is looked for. */
static const char *const firmware_folders[] = { "/usr/share/seabios", "/usr/share/qemu",
                                                "/usr/share/OVMF" };
#define FIRMWARE_DEFAULT "bios-256k.bin"

bool
vm_boots_firmware(const Vm *vm)
{
    return vm->options->kernel == NULL;
}

static char *
firmware_find(const char *name)
{
    if (!strchr(name, '/') && access(name, R_OK) < 0) {
        for (size_t i = 0; i < G_N_ELEMENTS(firmware_folders); i++) {
            g_autofree char *path = g_strconcat(firmware_folders[i], "/", name, NULL);

            if (access(path, R_OK) == 0)
                return g_steal_pointer(&path);
        }
    }
    return g_strdup(name);
}

/* The node or file of flash unit @unit, or false. -machine pflash0= names a node, -drive if=pflash
 * and -pflash give files, in order of their units. */
static bool
firmware_flash(const Vm *vm, unsigned unit, const char **ret_node, JsonObject **ret_drive)
{
    const char *key = unit ? "pflash1" : "pflash0";
    unsigned next = 0;

    *ret_node = vm->options->machine ? keyval_text(vm->options->machine, key) : NULL;
    *ret_drive = NULL;
    if (*ret_node)
        return true;
    for (guint i = 0; i < vm->options->drives->len; i++) {
        JsonObject *drive = g_ptr_array_index(vm->options->drives, i);
        uint64_t at = next;

        if (g_strcmp0(keyval_text(drive, "if"), "pflash"))
            continue;
        (void)keyval_uint("-drive", drive, "unit", 0, 1, &at, NULL);
        next = (unsigned)at + 1;
        if (at == unit)
            *ret_drive = drive;
    }
    return *ret_drive != NULL;
}

static bool
firmware_has_flash(const Vm *vm)
{
    const char *node;
    JsonObject *drive;

    return firmware_flash(vm, 0, &node, &drive) || firmware_flash(vm, 1, &node, &drive);
}

bool
vm_check_firmware(Vm *vm, GError **err)
{
    bool flash = firmware_has_flash(vm);

    if (!vm_boots_firmware(vm) && (vm->options->bios || flash))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-kernel boots without firmware: leave out %s, or -kernel",
                              flash ? "the flash" : "-bios");
    if (vm->options->bios && flash)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-bios and flash cannot both hold the firmware");
    return true;
}

/* -drive if=pflash is a file node and a raw node over it. */
static bool
firmware_add_flash_drive(Vm *vm, JsonObject *drive, const char *name, GError **err)
{
    g_autoptr(JsonObject) file = json_object_new(), raw = json_object_new();
    g_autofree char *storage = g_strconcat(name, "-file", NULL);
    const char *filename = keyval_text(drive, "file"), *format = keyval_text(drive, "format");
    bool read_only = false;

    if (!filename)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-drive if=pflash: wants file=");
    if (format && strcmp(format, "raw"))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-drive if=pflash: format=%s; flash wants raw", format);
    if (!keyval_bool("-drive", drive, "readonly", &read_only, err) ||
        !keyval_bool("-drive", drive, "read-only", &read_only, err))
        return false;
    json_object_set_string_member(file, "driver", "file");
    json_object_set_string_member(file, "node-name", storage);
    json_object_set_string_member(file, "filename", filename);
    json_object_set_boolean_member(file, "read-only", read_only);
    json_object_set_string_member(raw, "driver", "raw");
    json_object_set_string_member(raw, "node-name", name);
    json_object_set_string_member(raw, "file", storage);
    json_object_set_boolean_member(raw, "read-only", read_only);
    return vm_add_blockdev(vm, file, err) && vm_add_blockdev(vm, raw, err);
}

bool
vm_add_flash(Vm *vm, GError **err)
{
    for (unsigned unit = 0; unit < 2; unit++) {
        g_autofree char *name = g_strdup_printf("pflash%u", unit);
        const char *node;
        JsonObject *drive;

        if (!firmware_flash(vm, unit, &node, &drive))
            continue;
        if (drive && !firmware_add_flash_drive(vm, drive, name, err))
            return false;
        if (!device_new_board(vm->machine, "cfi.pflash01", err, "drive", drive ? name : node,
                              "unit", unit ? "1" : "0", NULL))
            return false;
    }
    return true;
}

bool
vm_add_firmware(Vm *vm, GError **err)
{
    const char *name = vm->options->bios ? vm->options->bios : FIRMWARE_DEFAULT;
    g_autofree char *path = firmware_find(name);

    if (firmware_has_flash(vm))
        return true;
    if (!device_new_board(vm->machine, "system-rom", err, "file", path, NULL)) {
        if (!vm->options->bios)
            g_prefix_error(err, "no -kernel, so SeaBIOS is wanted (package seabios): ");
        return false;
    }
    return true;
}

/* The whole of a file, with a zero behind it. The caller frees; NULL with @err. */
static uint8_t *
firmware_read_file(Vm *vm, const char *filename, size_t *ret_len, GError **err)
{
    int fd = fdset_open(vm->fdsets, filename, O_RDONLY, 0, err);
    g_autofree uint8_t *data = NULL;
    struct stat st;
    ssize_t n;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) < 0 || st.st_size > FW_CFG_FILE_MAX) {
        close(fd);
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "'%s' is not a file of up to %d MiB",
                       filename, FW_CFG_FILE_MAX >> 20);
        return NULL;
    }
    data = g_malloc0((size_t)st.st_size + 1);
    n = pread(fd, data, (size_t)st.st_size, 0);
    close(fd);
    if (n != st.st_size) {
        kiln_error_set(err, VIR_ERR_SYSTEM_ERROR, "cannot read '%s'", filename);
        return NULL;
    }
    *ret_len = (size_t)n;
    return g_steal_pointer(&data);
}

static bool
firmware_add_file(Vm *vm, const char *name, const char *filename, GError **err)
{
    size_t len;
    g_autofree uint8_t *data = firmware_read_file(vm, filename, &len, err);

    if (!data)
        g_prefix_error(err, "fw_cfg file %s: ", name);
    return data && fw_cfg_add_file(vm->machine->fw_cfg, name, data, len, err);
}

static void
smbios_option_clear(void *opaque)
{
    SmbiosOption *o = opaque;

    if (o->props)
        g_hash_table_unref(o->props);
    if (o->values)
        g_ptr_array_unref(o->values);
    g_free((uint8_t *)o->file);
}

/* Texts of type 11: value= as often as wanted, and path= of a file that holds one. */
static bool
smbios_read_values(Vm *vm, SmbiosOption *o, GError **err)
{
    const char *values = g_hash_table_lookup(o->props, "value");
    const char *path = g_hash_table_lookup(o->props, "path");
    g_auto(GStrv) lines = values ? g_strsplit(values, "\n", -1) : NULL;
    size_t len;
    uint8_t *text;

    o->values = g_ptr_array_new_with_free_func(g_free);
    for (char **line = lines; line && *line; line++)
        g_ptr_array_add(o->values, g_strdup(*line));
    if (!path)
        return true;
    text = firmware_read_file(vm, path, &len, err);
    if (text)
        g_ptr_array_add(o->values, text);
    return text != NULL;
}

static bool
smbios_read_option(Vm *vm, JsonObject *option, SmbiosOption *o, GError **err)
{
    const char *file = keyval_text(option, "file");

    o->props = keyval_table("-smbios", option, err);
    if (!o->props)
        return false;
    if (file) {
        o->file = firmware_read_file(vm, file, &o->file_len, err);
        if (!o->file) {
            g_prefix_error(err, "-smbios: ");
            return false;
        }
    }
    return smbios_check(o, err) && (file || smbios_read_values(vm, o, err));
}

static bool
firmware_add_smbios(Vm *vm, GError **err)
{
    g_autoptr(GArray) options = g_array_new(FALSE, TRUE, sizeof(SmbiosOption));
    const SmbiosTopology topology = {
        .sockets = vm->topology.sockets,
        .cores = vm->topology.dies * vm->topology.cores,
        .threads = vm->topology.threads,
    };

    g_array_set_clear_func(options, smbios_option_clear);
    for (guint i = 0; i < vm->options->smbios->len; i++) {
        g_array_set_size(options, i + 1);
        if (!smbios_read_option(vm, g_ptr_array_index(vm->options->smbios, i),
                                &g_array_index(options, SmbiosOption, i), err))
            return false;
    }
    return smbios_create(vm->machine, &topology, (const SmbiosOption *)options->data, options->len,
                         err);
}

/* -fw_cfg [name=]NAME,file=F|string=S */
static bool
firmware_add_option(Vm *vm, JsonObject *option, GError **err)
{
    const char *name = keyval_text(option, "name");
    const char *file = keyval_text(option, "file"), *string = keyval_text(option, "string");

    if (!name || !file == !string)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-fw_cfg: wants name= and one of file= and string=");
    if (!g_str_has_prefix(name, "opt/"))
        vm_warn("warning: -fw_cfg name=%s: names for users begin with opt/", name);
    if (file)
        return firmware_add_file(vm, name, file, err);
    return fw_cfg_add_file(vm->machine->fw_cfg, name, string, strlen(string), err);
}

static bool
firmware_wants_serial(Vm *vm, bool *ret, GError **err)
{
    bool graphics = !vm->options->nographic;

    if (vm->options->machine &&
        !keyval_bool("-machine", vm->options->machine, "graphics", &graphics, err))
        return false;
    *ret = !graphics;
    return true;
}

static bool
firmware_read_boot(Vm *vm, FirmwareBoot *ret, GError **err)
{
    JsonObject *boot = vm->options->boot;
    uint64_t splash = UINT64_MAX;
    const char *retry, *once;
    char *end;

    if (!firmware_wants_serial(vm, &ret->serial_console, err))
        return false;
    if (!boot)
        return true;
    if (!keyval_bool("-boot", boot, "menu", &ret->menu, err) ||
        !keyval_bool("-boot", boot, "strict", &ret->strict, err) ||
        !keyval_uint("-boot", boot, "splash-time", 0, UINT16_MAX, &splash, err))
        return false;
    ret->has_splash_time = splash != UINT64_MAX;
    ret->splash_time = (uint16_t)splash;
    retry = keyval_text(boot, "reboot-timeout");
    if (retry) {
        gint64 value = g_ascii_strtoll(retry, &end, 10);

        if (end == retry || *end || value < -1 || value > UINT16_MAX)
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "-boot: reboot-timeout=%s is not -1 to 65535", retry);
        ret->has_reboot_timeout = true;
        ret->reboot_timeout = (int32_t)value;
    }
    ret->order = keyval_text(boot, "order");
    once = keyval_text(boot, "once");
    if (once && !vm->booted)
        ret->order = once;
    if (ret->order && strspn(ret->order, "abcdnop") != strlen(ret->order))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-boot: order=%s; letters are a (floppy), c (disk), d (CD), "
                              "n (network)",
                              ret->order);
    return true;
}

/* splash=FILE: a picture that SeaBIOS shows with its menu. */
static bool
firmware_add_splash(Vm *vm, GError **err)
{
    const char *file = vm->options->boot ? keyval_text(vm->options->boot, "splash") : NULL;

    if (!file)
        return true;
    return firmware_add_file(
        vm, g_str_has_suffix(file, ".bmp") ? "bootsplash.bmp" : "bootsplash.jpg", file, err);
}

bool
vm_describe_to_firmware(Vm *vm, GError **err)
{
    for (guint i = 0; i < vm->options->fw_cfgs->len; i++)
        if (!firmware_add_option(vm, g_ptr_array_index(vm->options->fw_cfgs, i), err))
            return false;
    if (!firmware_add_smbios(vm, err))
        return false;
    return !vm_boots_firmware(vm) ||
           (firmware_create(vm->machine, err) && firmware_add_splash(vm, err));
}

bool
vm_prepare_firmware(Vm *vm, GError **err)
{
    FirmwareBoot boot = { 0 };

    if (!firmware_read_boot(vm, &boot, err) || !firmware_prepare(vm->machine, &boot, err))
        return false;
    vm->booted = true;
    return true;
}
