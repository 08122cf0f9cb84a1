/* fuzz_hw_access.c - a guest's accesses to every port and register of the board.
 *
 * The input is a row of records of 8 bytes: what to touch, width, offset (16 bits), value (32
 * bits).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "block/block.h"
#include "hw/acpi/cpu_hotplug.h"
#include "hw/char/chardev.h"
#include "hw/core/bytes.h"
#include "hw/firmware/firmware.h"
#include "hw/pci/board.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RECORD = 8, RAM = 2 << 20, FLASH = 64 << 10 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
add_chardev(FakeMachine *fake, const char *id)
{
    g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) err = NULL;

    g_hash_table_insert(props, (char *)"id", (char *)id);
    g_hash_table_insert(props, (char *)"backend", (char *)"null");
    machine_object_add(fake->machine, OBJECT_CHARDEV, id, chardev_new(fake->machine, props, &err),
                       (GDestroyNotify)chardev_free, &err);
}

static int
open_flash(void *opaque, const char *filename, int flags, GError **err)
{
    (void)opaque;
    (void)err;
    return open(filename, flags | O_CLOEXEC);
}

/* A flash chip or a ROM below 4 GiB; returns the descriptor of its image. */
static int
add_firmware(FakeMachine *fake, bool rom)
{
    const BlockOpenOps ops = { .open_file = open_flash };
    g_autoptr(JsonNode) options =
        json_from_string("{\"driver\":\"file\",\"node-name\":\"f\"}", NULL);
    g_autoptr(GError) err = NULL;
    g_autofree char *path = NULL;
    int fd = memfd_create("firmware", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, FLASH) < 0)
        g_error("no memory for a firmware image");
    path = g_strdup_printf("/proc/self/fd/%d", fd);
    json_object_set_string_member(json_node_get_object(options), "filename", path);
    machine_object_add(fake->machine, OBJECT_BLOCK_NODE, "f",
                       block_node_open(json_node_get_object(options), &ops, NULL),
                       (GDestroyNotify)block_node_unref, NULL);
    if (rom ? !device_new_board(fake->machine, "system-rom", &err, "file", path, NULL)
            : !device_new_board(fake->machine, "cfi.pflash01", &err, "drive", "f", NULL))
        g_error("%s", err->message);
    return fd;
}

static void
touch_port(FakeMachine *fake, uint16_t port, unsigned size, bool write, uint32_t value)
{
    if (write)
        fake_out(fake, port, size, value);
    else
        fake_in(fake, port, size);
}

static void
touch_memory(FakeMachine *fake, uint64_t addr, unsigned size, bool write, uint32_t value)
{
    if (write)
        fake_write(fake, addr, size, value);
    else
        fake_read(fake, addr, size);
}

/* The first registers of a function of the first bus, wherever they lie now. */
static void
touch_bar(FakeMachine *fake, unsigned slot, unsigned offset, unsigned size, bool write,
          uint32_t value)
{
    const PciDevice *dev = fake->machine->pci->bus.devices[PCI_DEVFN(slot, 0)];
    const PciBar *bar;

    if (!dev)
        return;
    bar = &dev->bars[dev->bars[0].kind == PCI_BAR_NONE || offset & 0x8000 ? 2 : 0];
    if (bar->mapped && bar->kind == PCI_BAR_IO)
        touch_port(fake, (uint16_t)(bar->address + offset % bar->size), size, write, value);
    else if (bar->mapped)
        touch_memory(fake, bar->address + offset % bar->size, size, write, value);
}

static void
run_record(FakeMachine *fake, const uint8_t *r)
{
    unsigned size = 1u << (r[1] & 3), offset = bytes_load16(r + 2);
    bool write = r[1] & 4;
    uint32_t value = bytes_load32(r + 4);

    switch (r[0] % 16) {
    case 0:
        touch_port(fake, (uint16_t)offset, size, write, value);
        break;
    case 1:
        touch_port(fake, (uint16_t)((r[1] & 8 ? 0x378 : 0x3f8) + offset % 8), size, write, value);
        break;
    case 2:
        touch_port(fake, (uint16_t)(0x70 + offset % 2), size, write, value);
        break;
    case 3:
        touch_port(fake, (uint16_t)(0x510 + offset % 12), size, write, value);
        break;
    case 4:
        touch_port(fake, (uint16_t)(0x600 + offset % 128), size, write, value);
        break;
    case 5:
        touch_port(fake, (uint16_t)(0xcf8 + offset % 8), size, write, value);
        break;
    case 6: /* ECAM of the first buses */
        touch_memory(fake, BOARD_ECAM_BASE + ((uint64_t)(r[1] >> 3) << 16) + offset, size, write,
                     value);
        break;
    case 7:
        touch_memory(fake, value, size, write, offset);
        break;
    case 8: /* RAM, where requests to fw_cfg lie */
        bytes_store(fake->ram + offset, value, 4);
        break;
    case 9:
        fake_advance(fake, value);
        break;
    case 11: /* HPET */
        touch_memory(fake, 0xfed00000 + offset % 0x400, size, write, value);
        break;
    case 12: /* shadow RAM */
        touch_memory(fake, 0xa0000 + (offset << 3) % 0x60000, size, write, value);
        break;
    case 13: /* the host bridge's registers, PAM and SMRAM among them */
        if (write)
            pci_config_write(fake->machine->pci, 0, offset & 0xff, 1, value);
        else
            pci_config_read(fake->machine->pci, 0, offset & 0xff, 1);
        break;
    case 14:
        touch_bar(fake, r[1] >> 3, offset, size, write, value);
        break;
    case 15:
        touch_memory(fake, (UINT64_C(4) << 30) - FLASH + offset, size, write, value);
        break;
    case 10:
        if (value == 0)
            machine_reset(fake->machine);
        else if (value == 1)
            cpu_hotplug_plug(fake->machine, 2, true);
        else if (value == 2)
            cpu_hotplug_unplug(fake->machine, 2);
        else if (value == 3)
            cpu_hotplug_gone(fake->machine, 2);
        else
            board_power_button(fake->machine);
        break;
    }
}

/* Either board, with everything that it can have. */
static FakeMachine *
new_machine(bool pc, int *ret_firmware)
{
    MachineCpu cpus[3] = { { .present = true } };
    MachineConfig config = { .ram_below_4g = RAM,
                             .cpus = cpus,
                             .n_cpus = 1,
                             .max_cpus = G_N_ELEMENTS(cpus),
                             .physical_bits = 40,
                             .firmware = true,
                             .hpet = true,
                             .s3 = true,
                             .s4 = true };
    FakeMachine *fake = fake_machine_new(RAM, &config);
    g_autoptr(GError) err = NULL;

    if (!board_create(fake->machine, pc ? &board_pc : &board_q35, &err) ||
        !firmware_create(fake->machine, &err))
        g_error("%s", err->message);
    *ret_firmware = add_firmware(fake, pc);
    add_chardev(fake, "c");
    add_chardev(fake, "d");
    add_chardev(fake, "e");
    fake_device(fake, "isa-serial", "chardev", "c", NULL);
    fake_device(fake, "isa-debug-exit", NULL);
    fake_device(fake, "pvpanic", NULL);
    fake_device(fake, "isa-debugcon", "chardev", "d", NULL);
    fake_device(fake, "isa-parallel", "chardev", "e", NULL);
    fake_device(fake, "vmgenid", "guid", "auto", NULL);
    if (pc) {
        fake_device(fake, "pci-bridge", "id", "a", "addr", "4", NULL);
    } else {
        fake_device(fake, "pcie-root-port", "id", "a", "addr", "1.0", "multifunction", "on", NULL);
        fake_device(fake, "pcie-root-port", "id", "b", "addr", "1.1", NULL);
        fake_device(fake, "pcie-pci-bridge", "id", "c", "addr", "4", NULL);
    }
    fake_device(fake, "i6300esb", "addr", "5", NULL);
    fake_device(fake, "pvpanic-pci", "addr", "6", NULL);
    fake_device(fake, "bochs-display", "addr", "7", NULL);
    fake_device(fake, "secondary-vga", "addr", "8", "vgamem_mb", "1", NULL);
    return fake;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int firmware;
    FakeMachine *fake = new_machine(size > 0 && (data[0] & 0x80), &firmware);
    g_autoptr(GError) err = NULL;
    uint64_t rsdp;

    if (!board_prepare_boot(fake->machine, &rsdp, &err))
        g_error("%s", err->message);
    machine_set_running(fake->machine, true);
    for (size_t at = 0; at + RECORD <= size; at += RECORD)
        run_record(fake, data + at);
    machine_set_running(fake->machine, false);
    fake_machine_free(fake);
    close(firmware);
    return 0;
}
