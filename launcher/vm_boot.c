/* vm_boot.c - the guest's memory map, its kernel, and the processors' first instruction.
 *
 * Runs at start and again at every reset: a kernel overwrites what it was booted from.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <unistd.h>

#include "hw/pci/board.h"
#include "launcher/boot.h"
#include "launcher/vm.h"
#include "launcher/vm_firmware.h"
#include "util/error.h"

#define ABOVE_4G UINT64_C(0x100000000)

/* Ranges that are somebody's though no e820 entry of type RAM covers them. */
static const BootE820 boot_reserved[] = {
    { BOOT_LOW_RAM_END, 0xa0000 - BOOT_LOW_RAM_END, BOOT_E820_RESERVED },
    { BOARD_ACPI_BASE, BOOT_HIGH_RAM - BOARD_ACPI_BASE, BOOT_E820_RESERVED },
    { BOARD_ECAM_BASE, BOARD_ECAM_SIZE, BOOT_E820_RESERVED },
    { KVM_RESERVED_BASE, KVM_RESERVED_SIZE, BOOT_E820_RESERVED },
};
enum { E820_MAX = G_N_ELEMENTS(boot_reserved) + 3 };

static unsigned
boot_memory_map(const Vm *vm, BootE820 *map)
{
    unsigned n = 0;
    uint64_t low = vm->ram->below_4g;

    map[n++] = (BootE820){ 0, BOOT_LOW_RAM_END, BOOT_E820_RAM };
    map[n++] = boot_reserved[0];
    map[n++] = boot_reserved[1];
    if (low > BOOT_HIGH_RAM)
        map[n++] = (BootE820){ BOOT_HIGH_RAM, low - BOOT_HIGH_RAM, BOOT_E820_RAM };
    map[n++] = boot_reserved[2];
    map[n++] = boot_reserved[3];
    if (vm->ram->above_4g > 0)
        map[n++] = (BootE820){ ABOVE_4G, vm->ram->above_4g, BOOT_E820_RAM };
    return n;
}

bool
vm_open_boot_files(Vm *vm, GError **err)
{
    const Options *o = vm->options;

    if (!vm_check_firmware(vm, err))
        return false;
    if (vm_boots_firmware(vm) && (o->initrd || o->append))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-initrd and -append go with -kernel FILE: a bzImage, or an ELF "
                              "kernel with a PVH entry");
    if (vm_boots_firmware(vm))
        return true;
    vm->kernel_fd = fdset_open(vm->fdsets, o->kernel, O_RDONLY, 0, err);
    if (vm->kernel_fd < 0)
        return false;
    if (o->initrd)
        vm->initrd_fd = fdset_open(vm->fdsets, o->initrd, O_RDONLY, 0, err);
    return !o->initrd || vm->initrd_fd >= 0;
}

static bool
boot_reset_vcpus(Vm *vm, const BootEntry *entry, GError **err)
{
    for (guint i = 0; i < vm->vcpus->len; i++)
        if (!vcpu_reset(g_ptr_array_index(vm->vcpus, i), entry, err))
            return false;
    return true;
}

bool
vm_boot_incoming(Vm *vm, GError **err)
{
    return (!vm_boots_firmware(vm) || vm_prepare_firmware(vm, err)) &&
           boot_reset_vcpus(vm, NULL, err);
}

bool
vm_boot(Vm *vm, GError **err)
{
    BootE820 map[E820_MAX];
    BootConfig config = {
        .kernel = { vm->kernel_fd, vm->options->kernel },
        .initrd = { vm->initrd_fd, vm->options->initrd },
        .cmdline = vm->options->append,
        .e820 = map,
    };
    BootEntry entry;

    if (vm_boots_firmware(vm))
        return vm_prepare_firmware(vm, err) && boot_reset_vcpus(vm, NULL, err);
    config.n_e820 = boot_memory_map(vm, map);
    if (!board_prepare_boot(vm->machine, &config.rsdp, err) ||
        !boot_load(&config, vm->machine->memory, &entry, err))
        return false;
    return boot_reset_vcpus(vm, &entry, err);
}

bool
vm_boot_awake(Vm *vm, GError **err)
{
    BootEntry entry = { .real_mode = true };

    if (vm_boots_firmware(vm))
        return vm_boot(vm, err);
    return board_resume(vm->machine, &entry.entry, err) && boot_reset_vcpus(vm, &entry, err);
}
