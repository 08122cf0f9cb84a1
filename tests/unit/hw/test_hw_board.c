/* test_hw_board.c - both boards: shadow RAM, SMRAM, routing, hot plugging, boot order, flash.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "block/block.h"
#include "hw/core/bytes.h"
#include "hw/firmware/firmware.h"
#include "hw/firmware/smbios.h"
#include "hw/isa/fw_cfg.h"
#include "hw/pci/board.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/lpc.h"
#include "hw/pci/mch.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { RAM = 64 << 20, ROM_SIZE = 256 << 10 };

static FakeMachine *
fake_board(const Board *board, uint8_t *rom)
{
    FakeMachine *fake = fake_machine_new(RAM, NULL);
    g_autoptr(GError) err = NULL;

    fake->machine->rom = rom;
    fake->machine->rom_size = rom ? ROM_SIZE : 0;
    if (!board_create(fake->machine, board, &err))
        fail_msg("board_create: %s", err->message);
    machine_reset(fake->machine);
    return fake;
}

typedef struct {
    uint64_t gpa;
    const uint8_t *host;
    bool read_only;
} Seen;

static void
seen_visit(uint64_t gpa, uint64_t size, const uint8_t *host, bool read_only, void *opaque)
{
    Seen *seen = opaque;

    if (seen->gpa - gpa < size) {
        seen->host = host + (seen->gpa - gpa);
        seen->read_only = read_only;
    }
}

/* What lies at @gpa for direct access; NULL for nothing. */
static Seen
seen_at(FakeMachine *fake, uint64_t gpa)
{
    Seen seen = { .gpa = gpa };

    memory_layout_visit(fake->machine->layout, seen_visit, &seen);
    return seen;
}

static void
check_shadow(const Board *board, unsigned pam0, unsigned smram)
{
    g_autofree uint8_t *rom = g_malloc(ROM_SIZE);
    FakeMachine *fake = fake_board(board, rom);
    PciRoot *root = fake->machine->pci;
    Seen seen;

    /* At reset the end of the firmware is seen up to 1 MiB, and nothing below it. */
    seen = seen_at(fake, 0xffff0);
    assert_ptr_equal(seen.host, rom + ROM_SIZE - 16);
    assert_true(seen.read_only);
    assert_ptr_equal(seen_at(fake, 0xe0000).host, rom + ROM_SIZE - 0x20000);
    assert_null(seen_at(fake, 0xc0000).host);
    assert_null(seen_at(fake, 0xa0000).host);
    assert_ptr_equal(seen_at(fake, 0x9ffff).host, fake->ram + 0x9ffff);
    assert_ptr_equal(seen_at(fake, 0x100000).host, fake->ram + 0x100000);

    /* RAM for reads and writes, in 16 KiB steps. */
    pci_config_write(root, 0, pam0 + 1, 1, 0x03);
    seen = seen_at(fake, 0xc0000);
    assert_ptr_equal(seen.host, fake->ram + 0xc0000);
    assert_false(seen.read_only);
    assert_null(seen_at(fake, 0xc4000).host);

    /* RAM that can only be read: a write goes nowhere. */
    pci_config_write(root, 0, pam0, 1, 0x10);
    seen = seen_at(fake, 0xf0000);
    assert_ptr_equal(seen.host, fake->ram + 0xf0000);
    assert_true(seen.read_only);
    fake->ram[0xf0000] = 0x11;
    fake_write(fake, 0xf0000, 1, 0x22);
    assert_int_equal(fake->ram[0xf0000], 0x11);

    /* Reads from the firmware, writes to RAM. */
    pci_config_write(root, 0, pam0, 1, 0x20);
    assert_ptr_equal(seen_at(fake, 0xf0000).host, rom + ROM_SIZE - 0x10000);
    fake_write(fake, 0xf0000, 4, 0x44332211);
    assert_int_equal(bytes_load32(fake->ram + 0xf0000), 0x44332211);

    /* SMRAM opens, and a lock closes it for good. */
    pci_config_write(root, 0, smram, 1, 0x4a);
    assert_ptr_equal(seen_at(fake, 0xa0000).host, fake->ram + 0xa0000);
    pci_config_write(root, 0, smram, 1, 0x1a);
    assert_null(seen_at(fake, 0xa0000).host);
    pci_config_write(root, 0, smram, 1, 0x4a);
    assert_null(seen_at(fake, 0xa0000).host);
    assert_int_equal(pci_config_read(root, 0, smram, 1), 0x1a);

    machine_reset(fake->machine);
    assert_null(seen_at(fake, 0xc0000).host);
    pci_config_write(root, 0, smram, 1, 0x4a);
    assert_non_null(seen_at(fake, 0xa0000).host);
    fake_machine_free(fake);
}

static void
test_shadow(void **state)
{
    (void)state;
    check_shadow(&board_q35, MCH_PAM0, MCH_SMRAM);
    check_shadow(&board_pc, I440FX_PAM0, I440FX_SMRAM);
}

static void
test_direct_boot_sees_ram(void **state)
{
    FakeMachine *fake = fake_board(&board_pc, NULL);
    g_autoptr(GError) err = NULL;
    uint64_t rsdp;

    (void)state;
    assert_true(board_prepare_boot(fake->machine, &rsdp, &err));
    for (uint64_t at = 0xc0000; at < 0x100000; at += 0x4000)
        assert_ptr_equal(seen_at(fake, at).host, fake->ram + at);
    assert_memory_equal(fake->ram + rsdp, "RSD PTR ", 8);
    fake_machine_free(fake);
}

static void
test_names(void **state)
{
    (void)state;
    assert_ptr_equal(board_find("q35"), &board_q35);
    assert_ptr_equal(board_find("pc"), &board_pc);
    assert_ptr_equal(board_find("kiln-pc-1.0"), &board_pc);
    assert_ptr_equal(board_find("pc-q35-7.2"), &board_q35);
    assert_ptr_equal(board_find("pc-i440fx-2.11"), &board_pc);
    assert_null(board_find("pc-q35-"));
    assert_null(board_find("isapc"));
}

/* On pc an INTx line is the ISA interrupt that its PIRQ is routed to. */
static void
test_pc_routing(void **state)
{
    FakeMachine *fake = fake_board(&board_pc, NULL);
    PciRoot *root = fake->machine->pci;
    PciDevice *dev;

    (void)state;
    dev = pci_device(fake_device(fake, "virtio-serial-pci", "addr", "3", NULL));
    assert_int_equal(board_pc.pirq(3, 0), 2);
    pci_config_write(root, PIIX_ISA_DEVFN, PIIX_PIRQ_A + 2, 1, 11);
    g_mutex_lock(&dev->device.lock);
    pci_intx_set(dev, true);
    g_mutex_unlock(&dev->device.lock);
    assert_true(fake->gsi[11]);
    pci_config_write(root, PIIX_ISA_DEVFN, PIIX_PIRQ_A + 2, 1, 10);
    assert_false(fake->gsi[11]);
    assert_true(fake->gsi[10]);
    pci_config_write(root, PIIX_ISA_DEVFN, PIIX_PIRQ_A + 2, 1, 0x80);
    assert_false(fake->gsi[10]);
    fake_machine_free(fake);
}

/* ---- hot plugging ---- */

static unsigned
express_cap(PciRoot *root, uint16_t bdf)
{
    unsigned at = pci_config_read(root, bdf, PCI_CAPABILITY_LIST, 1);

    while (at && pci_config_read(root, bdf, at, 1) != PCI_CAP_ID_EXPRESS)
        at = pci_config_read(root, bdf, at + 1, 1);
    assert_int_not_equal(at, 0);
    return at;
}

static Device *
plug(FakeMachine *fake, const char *id, GError **err)
{
    g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);

    g_hash_table_insert(props, (char *)"id", (char *)id);
    g_hash_table_insert(props, (char *)"bus", (char *)"port1");
    return device_plug(fake->machine, "virtio-serial-pci", props, err);
}

static bool
had_event(FakeMachine *fake, const char *name)
{
    return g_ptr_array_find_with_equal_func(fake->qmp, name, g_str_equal, NULL);
}

static void
test_hotplug(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(RAM);
    PciRoot *root = fake->machine->pci;
    uint16_t port = PCI_DEVFN(2, 0);
    unsigned slot, status, control;
    g_autoptr(GError) err = NULL;
    Device *dev;

    (void)state;
    fake_device(fake, "pcie-root-port", "id", "port1", "addr", "2", NULL);
    machine_reset(fake->machine);
    machine_set_running(fake->machine, true);
    pci_config_write(root, port, PCI_PRIMARY_BUS, 4, 0x00010100);
    slot = express_cap(root, port);
    control = slot + PCI_EXP_SLTCTL;
    status = slot + PCI_EXP_SLTSTA;
    /* empty: no power, indicator off, nothing present */
    assert_int_equal(pci_config_read(root, port, control, 2) & 0x700, 0x700);
    assert_int_equal(pci_config_read(root, port, status, 2), 0);
    assert_int_equal(pci_config_read(root, 0x0100, 0, 4), UINT32_MAX);

    dev = plug(fake, "rng1", &err);
    assert_non_null(dev);
    assert_int_equal(pci_config_read(root, 0x0100, 0, 4), 0x10431af4);
    assert_int_equal(pci_config_read(root, port, status, 2), 0x148);
    pci_config_write(root, port, status, 2, 0x108);
    assert_int_equal(pci_config_read(root, port, status, 2), 0x40);
    assert_null(plug(fake, "rng2", &err));
    assert_non_null(strstr(err->message, "already occupied"));
    g_clear_error(&err);

    /* The guest switches the slot on; then the button asks it to let go. */
    pci_config_write(root, port, control, 2, 0x11f9);
    assert_true(device_unplug(dev, &err));
    fake_iterate(fake);
    assert_ptr_equal(machine_device_find(fake->machine, "rng1"), dev);
    assert_int_equal(pci_config_read(root, port, status, 2), 0x41);
    /* Power off alone is not enough, the indicator follows. */
    pci_config_write(root, port, control, 2, 0x15f9);
    fake_iterate(fake);
    assert_ptr_equal(machine_device_find(fake->machine, "rng1"), dev);
    pci_config_write(root, port, control, 2, 0x17f9);
    assert_int_equal(pci_config_read(root, port, status, 2) & 0x40, 0);
    fake_iterate(fake);
    assert_null(machine_device_find(fake->machine, "rng1"));
    assert_true(had_event(fake, "DEVICE_DELETED"));
    assert_int_equal(pci_config_read(root, 0x0100, 0, 4), UINT32_MAX);

    /* Many rounds leave nothing behind; an unpowered slot lets go at once. */
    for (int i = 0; i < 100; i++) {
        dev = plug(fake, "rng1", &err);
        assert_non_null(dev);
        assert_true(device_unplug(dev, &err));
        fake_iterate(fake);
        assert_null(machine_device_find(fake->machine, "rng1"));
    }
    fake_machine_free(fake);
}

static void
test_hotplug_interrupt(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(RAM);
    PciRoot *root = fake->machine->pci;
    uint16_t port = PCI_DEVFN(2, 0);
    g_autoptr(GError) err = NULL;
    unsigned slot, gsi;

    (void)state;
    fake_device(fake, "pcie-root-port", "id", "port1", "addr", "2", NULL);
    machine_reset(fake->machine);
    slot = express_cap(root, port);
    gsi = (unsigned)board_q35.pirq_gsi + board_q35.pirq(2, 0);
    pci_config_write(root, port, slot + PCI_EXP_SLTCTL, 2, 0x1039);
    assert_false(fake->gsi[gsi]);
    assert_non_null(plug(fake, "rng1", &err));
    assert_true(fake->gsi[gsi]);
    pci_config_write(root, port, slot + PCI_EXP_SLTSTA, 2, 0x108);
    assert_false(fake->gsi[gsi]);
    fake_machine_free(fake);
}

/* A reset completes what the guest did not. */
static void
test_unplug_by_reset(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(RAM);
    g_autoptr(GError) err = NULL;
    Device *dev;

    (void)state;
    fake_device(fake, "pcie-root-port", "id", "port1", "addr", "2", NULL);
    dev = fake_device(fake, "virtio-serial-pci", "id", "rng1", "bus", "port1", NULL);
    machine_reset(fake->machine);
    assert_true(device_unplug(dev, &err));
    fake_iterate(fake);
    assert_non_null(machine_device_find(fake->machine, "rng1"));
    machine_reset(fake->machine);
    fake_iterate(fake);
    assert_null(machine_device_find(fake->machine, "rng1"));
    assert_true(had_event(fake, "DEVICE_DELETED"));
    fake_machine_free(fake);
}

static void
test_hotplug_refusals(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(RAM);
    g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) err = NULL;

    (void)state;
    assert_null(device_plug(fake->machine, "virtio-serial-pci", props, &err));
    assert_non_null(strstr(err->message, "does not support hotplugging"));
    g_clear_error(&err);
    assert_null(device_plug(fake->machine, "pcie-root-port", props, &err));
    assert_non_null(strstr(err->message, "does not support hotplugging"));
    g_clear_error(&err);
    assert_null(device_plug(fake->machine, "no-such", props, &err));
    fake_machine_free(fake);
}

/* ---- boot order ---- */

static void
test_boot_order(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(RAM);
    g_autofree char *order = NULL;
    Device *dev;

    (void)state;
    assert_null(firmware_boot_order(fake->machine, true));
    fake_device(fake, "pcie-root-port", "id", "port1", "addr", "2.1", NULL);
    dev = fake_device(fake, "virtio-serial-pci", "id", "rng1", "bus", "port1", NULL);
    order = device_firmware_path(dev);
    assert_string_equal(order, "/pci@i0cf8/pci-bridge@2,1/pci1af4,1043@0");
    fake_machine_free(fake);
}

/* ---- SMBIOS ---- */

static uint8_t
sum(const uint8_t *p, size_t n)
{
    uint8_t s = 0;

    while (n--)
        s = (uint8_t)(s + *p++);
    return s;
}

/* The structure behind @p, and string @n of it. */
static const uint8_t *
smbios_next(const uint8_t *p)
{
    for (p += p[1]; p[0] || p[1]; p++)
        ;
    return p + 2;
}

static const char *
smbios_string_of(const uint8_t *p, unsigned n)
{
    const char *text = (const char *)p + p[1];

    while (--n)
        text += strlen(text) + 1;
    return text;
}

static void
test_smbios(void **state)
{
    FakeMachine *fake = fake_board(&board_q35, NULL);
    g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);
    SmbiosOption option = { .props = props };
    SmbiosTopology topology = { 2, 3, 2 };
    g_autoptr(GError) err = NULL;
    const uint8_t *anchor, *p, *end;
    unsigned n = 0, cpus = 0;
    uint64_t rsdp;
    size_t len;

    (void)state;
    g_hash_table_insert(props, (char *)"type", (char *)"1");
    g_hash_table_insert(props, (char *)"serial", (char *)"S-1");
    assert_true(smbios_check(&option, &err));
    assert_true(smbios_create(fake->machine, &topology, &option, 1, &err));
    anchor = fw_cfg_file(fake->machine->fw_cfg, "etc/smbios/smbios-anchor", &len);
    assert_int_equal(len, 31);
    assert_int_equal(sum(anchor, 31), 0);
    assert_int_equal(sum(anchor + 16, 15), 0);
    p = fw_cfg_file(fake->machine->fw_cfg, "etc/smbios/smbios-tables", &len);
    assert_int_equal(bytes_load16(anchor + 22), len);
    for (end = p + len; p < end; p = smbios_next(p), n++) {
        if (p[0] == 1) {
            assert_string_equal(smbios_string_of(p, p[4]), "Kiln");
            assert_string_equal(smbios_string_of(p, p[7]), "S-1");
        } else if (p[0] == 4) {
            cpus++;
            assert_int_equal(p[0x23], 3);
            assert_int_equal(p[0x25], 6);
        } else if (p[0] == 17) {
            assert_int_equal(bytes_load16(p + 12), RAM >> 20);
        } else if (p[0] == 19) {
            assert_int_equal(bytes_load32(p + 8), (RAM >> 10) - 1);
            assert_int_equal(bytes_load32(p + 23), 0);
        }
    }
    assert_ptr_equal(p, end);
    assert_int_equal(n, bytes_load16(anchor + 28));
    assert_int_equal(cpus, 2);

    /* Without firmware they lie where a kernel looks for them. */
    assert_true(board_prepare_boot(fake->machine, &rsdp, &err));
    anchor = fake->ram + BOARD_SMBIOS_BASE;
    assert_memory_equal(anchor, "_SM_", 4);
    assert_int_equal(sum(anchor, 31), 0);
    p = fake->ram + bytes_load32(anchor + 24);
    assert_int_equal(p[0], 0);
    assert_string_equal(smbios_string_of(p, p[8]), "04/01/2014");
    assert_int_equal(smbios_next(p)[0], 1);
    assert_int_equal(bytes_load16(anchor + 22), len + (size_t)(smbios_next(p) - p));
    assert_int_equal(bytes_load16(anchor + 28), n + 1);

    g_hash_table_insert(props, (char *)"colour", (char *)"red");
    assert_false(smbios_check(&option, &err));
    assert_non_null(strstr(err->message, "colour"));
    fake_machine_free(fake);
}

/* ---- flash ---- */

enum { FLASH_SIZE = 64 << 10 };

static int
open_file(void *opaque, const char *filename, int flags, GError **err)
{
    (void)opaque;
    (void)err;
    return open(filename, flags | O_CLOEXEC);
}

/* Flash unit 0 over the file @path. */
static FakeMachine *
fake_with_flash(const char *path, bool read_only)
{
    FakeMachine *fake = fake_board(&board_q35, NULL);
    g_autoptr(JsonObject) options = json_object_new();
    const BlockOpenOps ops = { .open_file = open_file };
    g_autoptr(GError) err = NULL;
    BlockNode *node;

    json_object_set_string_member(options, "driver", "file");
    json_object_set_string_member(options, "node-name", "vars");
    json_object_set_string_member(options, "filename", path);
    json_object_set_boolean_member(options, "read-only", read_only);
    node = block_node_open(options, &ops, &err);
    if (!node)
        fail_msg("%s", err->message);
    assert_true(machine_object_add(fake->machine, OBJECT_BLOCK_NODE, "vars", node,
                                   (GDestroyNotify)block_node_unref, &err));
    if (!device_new_board(fake->machine, "cfi.pflash01", &err, "drive", "vars", NULL))
        fail_msg("%s", err->message);
    machine_reset(fake->machine);
    return fake;
}

static char *
flash_file(void)
{
    g_autofree uint8_t *bytes = g_malloc(FLASH_SIZE);
    char *path = g_strdup("/tmp/kiln-flash-XXXXXX");
    int fd = mkstemp(path);

    memset(bytes, 0xff, FLASH_SIZE);
    bytes[0] = 0xa5;
    assert_int_equal(write(fd, bytes, FLASH_SIZE), FLASH_SIZE);
    close(fd);
    return path;
}

static void
test_flash(void **state)
{
    const uint64_t base = (UINT64_C(4) << 30) - FLASH_SIZE;
    g_autofree char *path = flash_file(), *bytes = NULL;
    FakeMachine *fake = fake_with_flash(path, false);
    size_t len;
    Seen seen = seen_at(fake, base);

    (void)state;
    assert_true(seen.read_only);
    assert_int_equal(*seen.host, 0xa5);
    /* as OVMF finds out what it is */
    fake_write(fake, base, 1, 0x50);
    assert_int_equal(*seen_at(fake, base).host, 0xa5);
    fake_write(fake, base, 1, 0x70);
    assert_null(seen_at(fake, base).host);
    assert_int_equal(fake_read(fake, base, 1), 0x00);
    fake_write(fake, base, 1, 0x98);
    assert_int_equal(fake_read(fake, base + 0x10, 1), 'Q');
    assert_int_equal(fake_read(fake, base + 0x27, 1), 16);
    fake_write(fake, base, 1, 0x90);
    assert_int_equal(fake_read(fake, base, 1), 0x89);
    fake_write(fake, base, 1, 0xff);
    assert_int_equal(*seen_at(fake, base).host, 0xa5);

    /* a program clears bits and never sets one; nothing leaves the mapping meanwhile */
    fake_write(fake, base + 0x1234, 1, 0x10);
    assert_non_null(seen_at(fake, base).host);
    fake_write(fake, base + 0x1234, 1, 0x5f);
    fake_write(fake, base + 0x1234, 1, 0x40);
    fake_write(fake, base + 0x1234, 1, 0xf3);
    assert_int_equal(*seen_at(fake, base + 0x1234).host, 0x53);
    fake_write(fake, base, 1, 0x70);
    assert_int_equal(fake_read(fake, base, 1), 0x80);

    /* a buffered program of three bytes, then one without confirmation */
    fake_write(fake, base + 0x2000, 1, 0xe8);
    assert_int_equal(fake_read(fake, base + 0x2000, 1), 0x80);
    fake_write(fake, base + 0x2000, 1, 2);
    for (unsigned i = 0; i < 3; i++)
        fake_write(fake, base + 0x2000 + i, 1, 0x10 + i);
    fake_write(fake, base + 0x2000, 1, 0xd0);
    fake_write(fake, base + 0x2000, 1, 0xff);
    assert_memory_equal(seen_at(fake, base + 0x2000).host, "\x10\x11\x12\xff", 4);
    fake_write(fake, base, 1, 0xe8);
    fake_write(fake, base, 1, 0);
    fake_write(fake, base, 1, 0);
    fake_write(fake, base, 1, 0x12);
    assert_int_equal(fake_read(fake, base, 1) & 0x10, 0x10);
    /* ... and a buffer at the very end does not run over it */
    fake_write(fake, base + FLASH_SIZE - 1, 1, 0xe8);
    fake_write(fake, base + FLASH_SIZE - 1, 1, 7);
    for (unsigned i = 0; i < 8; i++)
        fake_write(fake, base + FLASH_SIZE - 1, 1, 0);
    fake_write(fake, base + FLASH_SIZE - 1, 1, 0xd0);
    assert_int_equal(fake_read(fake, base, 1) & 0x10, 0x10);

    fake_write(fake, base + 0x1fff, 1, 0x20);
    fake_write(fake, base + 0x1fff, 1, 0xd0);
    fake_write(fake, base, 1, 0xff);
    assert_int_equal(*seen_at(fake, base + 0x1234).host, 0xff);
    assert_int_equal(*seen_at(fake, base + 0x2000).host, 0x10);
    fake_write(fake, base, 1, 0x70);
    machine_reset(fake->machine);
    assert_non_null(seen_at(fake, base).host);
    fake_machine_free(fake);

    /* It is all in the file. */
    assert_true(g_file_get_contents(path, &bytes, &len, NULL));
    assert_int_equal(len, FLASH_SIZE);
    assert_memory_equal(bytes + 0x2000, "\x10\x11\x12\xff", 4);

    fake = fake_with_flash(path, true);
    fake_write(fake, base, 1, 0x10);
    fake_write(fake, base, 1, 0x00);
    fake_write(fake, base, 1, 0x70);
    assert_int_equal(fake_read(fake, base, 1), 0x92);
    fake_write(fake, base, 1, 0xff);
    assert_int_equal(*seen_at(fake, base).host, 0xa5);
    fake_machine_free(fake);
    unlink(path);
}

/* ---- small devices ---- */

static FakeMachine *
fake_with_hpet(void)
{
    MachineCpu cpu = { .present = true };
    MachineConfig config = { .ram_below_4g = RAM,
                             .cpus = &cpu,
                             .n_cpus = 1,
                             .max_cpus = 1,
                             .physical_bits = 40,
                             .hpet = true };
    FakeMachine *fake = fake_machine_new(RAM, &config);
    g_autoptr(GError) err = NULL;

    assert_true(board_create(fake->machine, &board_pc, &err));
    machine_reset(fake->machine);
    machine_set_running(fake->machine, true);
    return fake;
}

static void
test_hpet(void **state)
{
    const uint64_t base = 0xfed00000;
    FakeMachine *fake = fake_with_hpet();
    uint64_t ticks;

    (void)state;
    assert_int_equal(fake_read(fake, base + 4, 4), 10000000); /* femtoseconds */
    /* The PIT keeps its line: no legacy replacement is offered. */
    assert_int_equal(fake_read(fake, base, 4) & 0x8000, 0);
    assert_int_equal(fake_read(fake, base + 0xf0, 8), 0);
    fake_advance(fake, 1000000);
    assert_int_equal(fake_read(fake, base + 0xf0, 8), 0);
    fake_write(fake, base + 0x10, 4, 1);
    fake_advance(fake, 1000000);
    ticks = fake_read(fake, base + 0xf0, 8);
    assert_int_equal(ticks, 100000);

    /* One shot, level, line 20. */
    fake_write(fake, base + 0x100, 4, 20 << 9 | 0x06);
    fake_write(fake, base + 0x108, 8, ticks + 1000);
    fake_advance(fake, 9000);
    assert_false(fake->gsi[20]);
    fake_advance(fake, 2000);
    assert_true(fake->gsi[20]);
    assert_int_equal(fake_read(fake, base + 0x20, 4), 1);
    fake_write(fake, base + 0x20, 4, 1);
    assert_false(fake->gsi[20]);

    /* Periodic, edge, line 21: comparator first, then the period. */
    fake_write(fake, base + 0x120, 4, 21 << 9 | 0x4c);
    fake_write(fake, base + 0x128, 8, fake_read(fake, base + 0xf0, 8) + 1000);
    fake_write(fake, base + 0x128, 8, 500);
    for (int i = 0; i < 10; i++)
        fake_advance(fake, 5000);
    assert_int_equal(fake->gsi_edges[21], 9);
    machine_reset(fake->machine);
    fake_advance(fake, 100000);
    assert_int_equal(fake->gsi_edges[21], 9);
    fake_machine_free(fake);
}

static void
test_bridges(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(RAM);
    g_autoptr(GError) err = NULL;
    uint64_t rsdp;

    (void)state;
    fake_device(fake, "pcie-pci-bridge", "id", "br1", "addr", "3", NULL);
    fake_device(fake, "pci-bridge", "id", "br2", "bus", "br1", "addr", "2", NULL);
    fake_device(fake, "pvpanic-pci", "bus", "br2", "addr", "1f", NULL);
    fake_device(fake, "virtio-serial-pci", "bus", "br1", "addr", "5", NULL);
    machine_reset(fake->machine);
    assert_true(board_prepare_boot(fake->machine, &rsdp, &err));
    assert_int_equal(pci_config_read(fake->machine->pci, 0x0100 | PCI_DEVFN(5, 0), 0, 4),
                     0x10031af4);
    assert_int_equal(pci_config_read(fake->machine->pci, 0x0200 | PCI_DEVFN(31, 0), 0, 4),
                     0x00111b36);
    /* The register behind two bridges answers, and says so when written. */
    rsdp = pci_config_read(fake->machine->pci, 0x0200 | PCI_DEVFN(31, 0), 0x10, 4);
    assert_int_equal(fake_read(fake, rsdp, 1), 3);
    fake_write(fake, rsdp, 1, 1);
    assert_int_equal(g_array_index(fake->requests, MachineRequest, 0), MACHINE_PANIC);
    fake_device_refused(fake, "root bus", "pcie-root-port", "bus", "br1", NULL);
    fake_machine_free(fake);
}

static void
test_pvpanic(void **state)
{
    FakeMachine *fake = fake_board(&board_pc, NULL);

    (void)state;
    fake_device(fake, "pvpanic", NULL);
    assert_int_equal(fake_in(fake, 0x505, 1), 3);
    fake_out(fake, 0x505, 1, 2);
    assert_true(had_event(fake, "GUEST_CRASHLOADED"));
    assert_int_equal(fake->requests->len, 0);
    fake_out(fake, 0x505, 1, 1);
    assert_int_equal(fake->requests->len, 1);
    fake_machine_free(fake);
}

static bool
board_makes(const Board *board, const char *name)
{
    for (unsigned i = 0; i < board->n_devices; i++) {
        if (!strcmp(board->devices[i].driver, name))
            return true;
    }
    return false;
}

/* By its name in a fuzz target, or by a board: fuzz_hw_access.c makes both. */
static bool
class_is_made(const DeviceClass *class, const char *sources)
{
    g_autofree char *quoted = g_strdup_printf("\"%s\"", class->name);

    return board_makes(&board_q35, class->name) || board_makes(&board_pc, class->name) ||
           strstr(sources, quoted);
}

/* Every class that a guest can reach is fuzzed, or one that differs from it by numbers only. */
static void
test_every_class_is_fuzzed(void **state)
{
    g_autofree char *folder = g_build_filename(g_getenv("KILN_SOURCE_ROOT"), "tests/fuzz", NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    g_autoptr(GString) sources = g_string_new(NULL);
    const char *name;
    unsigned missing = 0;
    size_t n;
    const DeviceClass *const *classes = device_class_list(&n);

    (void)state;
    assert_non_null(dir);
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL), *text = NULL;

        if (g_str_has_suffix(name, ".c") && g_file_get_contents(path, &text, NULL, NULL))
            g_string_append(sources, text);
    }
    for (size_t i = 0; i < n; i++) {
        bool made = classes[i]->abstract || class_is_made(classes[i], sources->str);

        for (size_t j = 0; !made && classes[i]->realize && j < n; j++)
            made = classes[j]->realize == classes[i]->realize &&
                   class_is_made(classes[j], sources->str);
        if (!made)
            print_error("no fuzz target makes '%s'\n", classes[i]->name);
        missing += !made;
    }
    assert_int_equal(missing, 0);
    assert_true(n > 50);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shadow),
        cmocka_unit_test(test_direct_boot_sees_ram),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_pc_routing),
        cmocka_unit_test(test_hotplug),
        cmocka_unit_test(test_hotplug_interrupt),
        cmocka_unit_test(test_unplug_by_reset),
        cmocka_unit_test(test_hotplug_refusals),
        cmocka_unit_test(test_boot_order),
        cmocka_unit_test(test_smbios),
        cmocka_unit_test(test_flash),
        cmocka_unit_test(test_hpet),
        cmocka_unit_test(test_bridges),
        cmocka_unit_test(test_pvpanic),
        cmocka_unit_test(test_every_class_is_fuzzed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
