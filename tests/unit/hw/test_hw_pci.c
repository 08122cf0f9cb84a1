/* test_hw_pci.c - configuration space, BARs and doorbells, MSI-X, INTx, resource assignment.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "hw/pci/lpc.h"
#include "hw/core/bytes.h"
#include "hw/pci/board.h"
#include "util/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

#define ECAM(bus, slot, function, reg)                                                             \
    (BOARD_ECAM_BASE | (uint64_t)(bus) << 20 | (slot) << 15 | (function) << 12 | (reg))

enum { MEM_BAR_SIZE = 0x4000, VECTORS = 4, TABLE = 0x2000, PBA = 0x3000 };

/* A function made by hand, as a device of hw/devices.def would be. */
typedef struct {
    PciDevice pci;
    uint32_t value;
    int doorbell;
} Toy;

static uint64_t
toy_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)size;
    return ((Toy *)opaque)->value + (uint32_t)offset;
}

static void
toy_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    (void)offset;
    (void)size;
    ((Toy *)opaque)->value = (uint32_t)value;
}

static const IoOps toy_ops = { toy_read, toy_write };

static bool
toy_realize(Device *dev, GError **err)
{
    Toy *toy = (Toy *)dev;

    pci_intx_init(&toy->pci);
    pci_bar_add(&toy->pci, 0, PCI_BAR_IO, false, 0x20);
    pci_bar_add_region(&toy->pci, 0, 0, 0x20, &toy_ops, toy, &dev->lock, "toy-io");
    pci_bar_add(&toy->pci, 1, PCI_BAR_MEM32, false, 0x1000);
    pci_bar_add(&toy->pci, 4, PCI_BAR_MEM64, true, MEM_BAR_SIZE);
    pci_bar_add_region(&toy->pci, 4, 0x1000, 0x100, &toy_ops, toy, &dev->lock, "toy-mem");
    toy->doorbell = eventfd(0, EFD_CLOEXEC);
    pci_doorbell_add(&toy->pci, 4, 0x1100, 0, false, 0, toy->doorbell);
    return pci_msix_init(&toy->pci, VECTORS, 4, TABLE, PBA, err);
}

static void
toy_unrealize(Device *dev)
{
    Toy *toy = (Toy *)dev;

    /* As a guest does that still writes to the slot while it is emptied. */
    device_unplug_later(dev);
    assert_null(dev->unplug);
    pci_doorbell_remove(&toy->pci, 4, 0x1100, toy->doorbell);
    close(toy->doorbell);
}

static const PciDetails toy_details = { .vendor = 0x1234,
                                        .device = 0x5678,
                                        .class_code = 0xff0000 };

static const DeviceClass toy_class = {
    .name = "toy",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .state_size = sizeof(Toy),
    .realize = toy_realize,
    .unrealize = toy_unrealize,
    .details = &toy_details,
};

/* As device_new() does it, for a class that is in no list. */
static Toy *
toy_new(FakeMachine *fake, const char *bus, int32_t addr)
{
    Toy *toy = g_new0(Toy, 1);
    Device *dev = &toy->pci.device;
    g_autoptr(GError) err = NULL;

    dev->class = &toy_class;
    dev->machine = fake->machine;
    dev->path = g_strdup("toy");
    dev->bus = bus_find(fake->machine, BUS_PCI, bus, &err);
    assert_non_null(dev->bus);
    dev->bus->children++;
    toy->pci.addr = addr;
    g_mutex_init(&dev->lock);
    g_ptr_array_add(fake->machine->devices, dev);
    assert_true(pci_device_class.realize(dev, &err));
    assert_true(toy_realize(dev, &err));
    dev->realized = true;
    pci_device_class.ready(dev);
    return toy;
}

static void
cfg_write(FakeMachine *fake, unsigned reg, unsigned size, uint32_t value)
{
    fake_write(fake, ECAM(1, 0, 0, reg), size, value);
}

static uint32_t
cfg_read(FakeMachine *fake, unsigned reg, unsigned size)
{
    return (uint32_t)fake_read(fake, ECAM(1, 0, 0, reg), size);
}

/* A board with a root port at 00:02.0 and the toy behind it at 01:00.0, resources assigned. */
static FakeMachine *
board(Toy **ret_toy)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);
    g_autoptr(GError) err = NULL;
    uint64_t rsdp;

    fake_device(fake, "pcie-root-port", "id", "port", "addr", "2", "chassis", "1", NULL);
    *ret_toy = toy_new(fake, "port", -1);
    assert_true(board_prepare_boot(fake->machine, &rsdp, &err));
    return fake;
}

static uint64_t
bar64(FakeMachine *fake)
{
    return (cfg_read(fake, 0x20, 4) & ~15u) | (uint64_t)cfg_read(fake, 0x24, 4) << 32;
}

static void
test_config_ways(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);
    g_autoptr(GError) err = NULL;
    uint64_t rsdp;

    (void)state;
    /* Mechanism 1 works from the start, ECAM once it is enabled. */
    assert_int_equal(fake_in(fake, 0xcfc, 4), 0xffffffff);
    fake_out(fake, 0xcf8, 4, 0x80000000);
    assert_int_equal(fake_in(fake, 0xcfc, 4), 0x29c08086);
    assert_int_equal(fake_in(fake, 0xcfe, 2), 0x29c0);
    fake_out(fake, 0xcf8, 4, 0x8000002c);
    assert_int_equal(fake_in(fake, 0xcfc, 4), 0x11001af4);
    fake_out(fake, 0xcf8, 4, 0x8000f800);
    assert_int_equal(fake_in(fake, 0xcfc, 4), 0x29188086);
    fake_out(fake, 0xcf8, 4, 0x80001000);
    assert_int_equal(fake_in(fake, 0xcfc, 4), 0xffffffff);
    assert_int_equal(fake_read(fake, ECAM(0, 0, 0, 0), 4), 0xffffffff);
    assert_true(board_prepare_boot(fake->machine, &rsdp, &err));
    assert_int_equal(fake_read(fake, ECAM(0, 0, 0, 0), 4), 0x29c08086);
    assert_int_equal(fake_read(fake, ECAM(0, 0x1f, 0, 0), 4), 0x29188086);
    /* conventional functions have no extended space; accesses across a dword are refused */
    assert_int_equal(fake_read(fake, ECAM(0, 0, 0, 0x100), 4), 0xffffffff);
    assert_int_equal(fake_read(fake, ECAM(0, 0, 0, 2), 4), 0xffffffff);
    assert_int_equal(fake_read(fake, ECAM(255, 31, 7, 0xffc), 4), 0xffffffff);
    /* identity is read-only */
    fake_write(fake, ECAM(0, 0, 0, 0), 4, 0);
    assert_int_equal(fake_read(fake, ECAM(0, 0, 0, 0), 4), 0x29c08086);
    /* ECAM does not switch itself off, and is there after a sleep; mechanism 1 can */
    fake_write(fake, ECAM(0, 0, 0, 0x60), 4, 0);
    assert_int_equal(fake_read(fake, ECAM(0, 0, 0, 0), 4), 0x29c08086);
    board_wake(fake->machine, ACPI_WAKE_RTC);
    assert_int_equal(fake_read(fake, ECAM(0, 0, 0, 0), 4), 0x29c08086);
    fake_out(fake, 0xcf8, 4, 0x80000060);
    fake_out(fake, 0xcfc, 4, 0);
    assert_int_equal(fake_read(fake, ECAM(0, 0, 0, 0), 4), 0xffffffff);
    fake_machine_free(fake);
}

/* A guest without firmware goes on where it said in its tables, with its BARs in their places. */
static void
test_resume(void **state)
{
    enum { VECTOR = BOARD_ACPI_BASE + 64 + 12 };
    Toy *toy;
    FakeMachine *fake = board(&toy);
    g_autoptr(GError) none = NULL, beyond = NULL, gone = NULL;
    uint64_t mem = bar64(fake), vector = 0;

    (void)state;
    assert_memory_equal(fake->ram + BOARD_ACPI_BASE + 64, "FACS", 4);
    board_wake(fake->machine, ACPI_WAKE_BUTTON);
    assert_int_equal(cfg_read(fake, 0, 4), 0xffffffff);
    assert_false(board_resume(fake->machine, &vector, &none));
    assert_int_equal(kiln_error_code(none), VIR_ERR_OPERATION_FAILED);
    bytes_store(fake->ram + VECTOR, 0x9a000, 4);
    board_wake(fake->machine, ACPI_WAKE_BUTTON);
    assert_true(board_resume(fake->machine, &vector, NULL));
    assert_int_equal(vector, 0x9a000);
    assert_int_equal(bar64(fake), mem);
    assert_int_equal(cfg_read(fake, 0, 4), 0x56781234);
    bytes_store(fake->ram + VECTOR, 0x100000, 4);
    assert_false(board_resume(fake->machine, &vector, &beyond));
    assert_non_null(strstr(beyond->message, "0x100000"));
    fake->ram[BOARD_ACPI_BASE + 64] = 0;
    assert_false(board_resume(fake->machine, &vector, &gone));
    assert_non_null(strstr(gone->message, "FACS"));
    fake_machine_free(fake);
}

static void
test_assignment(void **state)
{
    Toy *toy;
    FakeMachine *fake = board(&toy);
    uint64_t mem = bar64(fake);
    uint32_t io = cfg_read(fake, 0x10, 4) & ~3u, mem32 = cfg_read(fake, 0x14, 4) & ~15u;

    (void)state;
    assert_int_equal(fake_read(fake, ECAM(0, 2, 0, 0x18), 4) & 0xffffff, 0x010100);
    assert_int_equal(cfg_read(fake, 0, 4), 0x56781234);
    assert_true(mem >= UINT64_C(4) << 30 && mem < UINT64_C(1) << 40);
    assert_in_range(mem32, board_q35.mmio32_base, BOARD_MMIO32_END - 0x1000);
    assert_in_range(io, 0x1000, 0xffe0);
    toy->value = 0x5000;
    assert_int_equal(fake_in(fake, (uint16_t)io + 4, 4), 0x5004);
    assert_int_equal(fake_read(fake, mem + 0x1010, 4), 0x5010);
    fake_write(fake, mem + 0x1000, 4, 0x77);
    assert_int_equal(toy->value, 0x77);
    /* between the regions of a BAR nobody answers */
    assert_int_equal(fake_read(fake, mem + 0x1100, 4), 0xffffffff);
    assert_int_equal(fake_read(fake, mem32, 4), 0xffffffff);
    fake_machine_free(fake);
}

static void
test_bar_moves(void **state)
{
    Toy *toy;
    FakeMachine *fake = board(&toy);
    uint64_t mem = bar64(fake);
    uint32_t command = cfg_read(fake, 4, 2);

    (void)state;
    toy->value = 0x100;
    assert_non_null(fake_event_at(fake, mem + 0x1100));
    assert_int_equal(fake->events->len, 1);
    /* sizing with decode on, as firmware does */
    cfg_write(fake, 0x20, 4, 0xffffffff);
    assert_int_equal(cfg_read(fake, 0x20, 4), (uint32_t) ~(MEM_BAR_SIZE - 1) | 0xc);
    assert_int_equal(fake->events->len, 0);
    assert_int_equal(fake_read(fake, mem + 0x1000, 4), 0xffffffff);
    /* elsewhere in the bridge's window */
    cfg_write(fake, 0x20, 4, (uint32_t)mem + 0x8000);
    assert_int_equal(fake_read(fake, mem + 0x9000, 4), 0x100);
    assert_non_null(fake_event_at(fake, mem + 0x9100));
    /* outside of it the bridge forwards nothing */
    cfg_write(fake, 0x24, 4, (uint32_t)(mem >> 32) + 1);
    assert_int_equal(fake_read(fake, mem + 0x9000 + (UINT64_C(1) << 32), 4), 0xffffffff);
    assert_int_equal(fake->events->len, 0);
    cfg_write(fake, 0x24, 4, (uint32_t)(mem >> 32));
    assert_int_equal(fake_read(fake, mem + 0x9000, 4), 0x100);
    /* memory decode off, at the function and then at the bridge */
    cfg_write(fake, 4, 2, command & ~2u);
    assert_int_equal(fake_read(fake, mem + 0x9000, 4), 0xffffffff);
    cfg_write(fake, 4, 2, command);
    assert_int_equal(fake_read(fake, mem + 0x9000, 4), 0x100);
    fake_write(fake, ECAM(0, 2, 0, 4), 2, 0);
    assert_int_equal(fake_read(fake, mem + 0x9000, 4), 0xffffffff);
    fake_write(fake, ECAM(0, 2, 0, 4), 2, 7);
    assert_int_equal(fake_read(fake, mem + 0x9000, 4), 0x100);
    /* a BAR over the board's registers does not hide them */
    fake_write(fake, ECAM(0, 2, 0, 0x24), 4, 0xfff1fff1 & 0x0000ffff);
    machine_reset(fake->machine);
    assert_int_equal(fake->events->len, 0);
    fake_machine_free(fake);
}

/* A reset takes everything off the bus; the next boot finds it where it was. */
static void
test_reset(void **state)
{
    Toy *toy;
    FakeMachine *fake = board(&toy);
    uint64_t mem = bar64(fake), rsdp;
    g_autoptr(GError) err = NULL;

    (void)state;
    toy->value = 0x100;
    machine_reset(fake->machine);
    assert_int_equal(fake_read(fake, ECAM(0, 0, 0, 0), 4), 0xffffffff);
    assert_int_equal(fake_read(fake, mem + 0x1000, 4), 0xffffffff);
    assert_int_equal(fake->events->len, 0);
    assert_int_equal(fake_in(fake, 0x604, 2), 0xffff);
    assert_true(board_prepare_boot(fake->machine, &rsdp, &err));
    assert_int_equal(bar64(fake), mem);
    assert_int_equal(fake_read(fake, mem + 0x1000, 4), 0x100);
    assert_int_equal(fake->events->len, 1);
    assert_int_equal(fake_in(fake, 0x604, 2), 1);
    fake_machine_free(fake);
}

static void
set_vector(FakeMachine *fake, uint64_t mem, unsigned i, uint32_t data, bool masked)
{
    fake_write(fake, mem + TABLE + 16 * i, 4, 0xfee00000);
    fake_write(fake, mem + TABLE + 16 * i + 4, 4, 0);
    fake_write(fake, mem + TABLE + 16 * i + 8, 4, data);
    fake_write(fake, mem + TABLE + 16 * i + 12, 4, masked);
}

static unsigned
msix_flags(FakeMachine *fake)
{
    unsigned at = cfg_read(fake, 0x34, 1);

    while (cfg_read(fake, at, 1) != PCI_CAP_ID_MSIX)
        at = cfg_read(fake, at + 1, 1);
    return at + 2;
}

static void
test_msix(void **state)
{
    Toy *toy;
    FakeMachine *fake = board(&toy);
    uint64_t mem = bar64(fake);
    unsigned flags = msix_flags(fake);
    FakeRoute *route;
    int fd;

    (void)state;
    assert_int_equal(cfg_read(fake, flags, 2), VECTORS - 1);
    assert_int_equal(fake_read(fake, mem + TABLE + 12, 4), 1);
    assert_int_equal(pci_msix_use(&toy->pci, 1), 0);
    assert_true(pci_msix_use(&toy->pci, VECTORS) < 0);
    fd = pci_msix_fd(&toy->pci, 1);
    assert_true(fd >= 0);
    assert_int_equal(pci_msix_fd(&toy->pci, 0), -1);
    set_vector(fake, mem, 1, 0x41, false);
    assert_null(fake_route(fake, 0x41));
    cfg_write(fake, flags, 2, 0x8000);
    assert_true(pci_msix_enabled(&toy->pci));
    route = fake_route(fake, 0x41);
    assert_non_null(route);
    assert_int_equal(route->message.devid, 0x0100);
    assert_int_equal(route->fd, fd);
    pci_msix_notify(&toy->pci, 1);
    assert_int_equal(fake_route_take(route), 1);
    pci_msix_notify(&toy->pci, 0);
    pci_msix_notify(&toy->pci, 99);

    /* masked: remembered, shown as pending, delivered at unmask; the descriptor stays the same */
    fake_write(fake, mem + TABLE + 16 + 12, 4, 1);
    assert_int_equal(route->fd, -1);
    assert_int_equal(fake_read(fake, mem + PBA, 8), 0);
    pci_msix_notify(&toy->pci, 1);
    assert_int_equal(fake_read(fake, mem + PBA, 8), 2);
    fake_write(fake, mem + TABLE + 16 + 12, 4, 0);
    assert_int_equal(route->fd, fd);
    assert_int_equal(fake_route_take(route), 1);
    assert_int_equal(fake_read(fake, mem + PBA, 8), 0);

    /* the whole function masked */
    cfg_write(fake, flags, 2, 0xc000);
    pci_msix_notify(&toy->pci, 1);
    assert_int_equal(route->fd, -1);
    cfg_write(fake, flags, 2, 0x8000);
    assert_int_equal(fake_route_take(route), 1);

    /* a new message while masked updates the same route */
    fake_write(fake, mem + TABLE + 16 + 12, 4, 1);
    set_vector(fake, mem, 1, 0x42, false);
    assert_ptr_equal(fake_route(fake, 0x42), route);

    pci_msix_unuse(&toy->pci, 1);
    assert_null(fake_route(fake, 0x42));
    assert_int_equal(pci_msix_fd(&toy->pci, 1), -1);
    fake_machine_free(fake);
}

static void
test_msix_batch(void **state)
{
    Toy *toy;
    FakeMachine *fake = board(&toy);
    uint64_t mem = bar64(fake);
    unsigned flags = msix_flags(fake), commits;

    (void)state;
    cfg_write(fake, flags, 2, 0xc000);
    for (unsigned i = 0; i < VECTORS; i++) {
        assert_int_equal(pci_msix_use(&toy->pci, i), 0);
        set_vector(fake, mem, i, 0x50 + i, false);
    }
    commits = fake->commits;
    cfg_write(fake, flags, 2, 0x8000);
    assert_int_equal(fake->commits, commits + 1);
    assert_non_null(fake_route(fake, 0x53));
    /* Reset lets go of everything, although a model forgot its vectors. */
    machine_reset(fake->machine);
    assert_int_equal(fake_route(fake, 0x50)->fd, -1);
    assert_false(pci_msix_enabled(&toy->pci));
    fake_machine_free(fake);
}

static void
set_intx(Toy *toy, bool level)
{
    g_mutex_lock(&toy->pci.device.lock);
    pci_intx_set(&toy->pci, level);
    g_mutex_unlock(&toy->pci.device.lock);
}

static void
test_intx(void **state)
{
    Toy *toy;
    FakeMachine *fake = board(&toy);
    /* slot 0 behind slot 2 of bus 0: PIRQ E + (2 + 0), GSI 16 + 6 */
    const unsigned gsi = 22;

    (void)state;
    set_intx(toy, true);
    assert_true(fake->gsi[gsi]);
    assert_int_equal(cfg_read(fake, 6, 2) & 8, 8);
    cfg_write(fake, 4, 2, cfg_read(fake, 4, 2) | 0x400);
    assert_false(fake->gsi[gsi]);
    cfg_write(fake, 4, 2, cfg_read(fake, 4, 2) & ~0x400u);
    assert_true(fake->gsi[gsi]);
    /* PIC mode: the LPC bridge routes PIRQG to IRQ 11 as well */
    assert_false(fake->gsi[11]);
    fake_write(fake, ECAM(0, 0x1f, 0, 0x6a), 1, 11);
    assert_true(fake->gsi[11]);
    fake_write(fake, ECAM(0, 0x1f, 0, 0x6a), 1, 10);
    assert_false(fake->gsi[11]);
    assert_true(fake->gsi[10]);
    set_intx(toy, false);
    assert_false(fake->gsi[gsi]);
    assert_false(fake->gsi[10]);
    fake_machine_free(fake);
}

static void
test_root_port(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);
    g_autoptr(GError) err = NULL;
    uint64_t rsdp;
    unsigned at, n = 0;

    (void)state;
    fake_device(fake, "pcie-root-port", "id", "empty", "addr", "1.0", "multifunction", "on", "slot",
                "9", NULL);
    fake_device(fake, "pcie-root-port", "id", "full", "addr", "1.1", NULL);
    toy_new(fake, "full", 0);
    assert_true(board_prepare_boot(fake->machine, &rsdp, &err));
    assert_int_equal(fake_read(fake, ECAM(0, 1, 0, 0), 4), 0x000c1b36);
    assert_int_equal(fake_read(fake, ECAM(0, 1, 0, 0xe), 1), 0x81);
    assert_int_equal(fake_read(fake, ECAM(0, 1, 1, 0x19), 1), 2);
    /* nothing behind it: windows closed */
    assert_true((fake_read(fake, ECAM(0, 1, 0, 0x20), 4) & 0xfff0) >
                fake_read(fake, ECAM(0, 1, 0, 0x20), 4) >> 16);
    for (at = (unsigned)fake_read(fake, ECAM(0, 1, 0, 0x34), 1); at && n < 48;
         at = (unsigned)fake_read(fake, ECAM(0, 1, 0, at + 1), 1), n++) {
        if (fake_read(fake, ECAM(0, 1, 0, at), 1) != PCI_CAP_ID_EXPRESS)
            continue;
        assert_int_equal(fake_read(fake, ECAM(0, 1, 0, at + 2), 2), 0x0142);
        /* physical slot 9 with hot plug, nothing present; the other one is occupied */
        assert_int_equal(fake_read(fake, ECAM(0, 1, 0, at + 0x14), 4), 9 << 19 | 0x4005b);
        assert_int_equal(fake_read(fake, ECAM(0, 1, 0, at + 0x1a), 2), 0);
        assert_int_equal(fake_read(fake, ECAM(0, 1, 1, at + 0x1a), 2), 0x40);
    }
    assert_in_range(n, 3, 10);
    /* extended space begins with what there is for errors */
    assert_int_equal(fake_read(fake, ECAM(0, 1, 0, 0x100), 4), 0x14820001);
    fake_machine_free(fake);
}

static void
test_no_room(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);
    g_autoptr(GError) err = NULL;
    uint64_t rsdp;

    (void)state;
    for (int slot = 1; slot < 17; slot++) {
        g_autofree char *id = g_strdup_printf("p%d", slot);

        fake_device(fake, "pcie-root-port", "id", id, NULL);
        toy_new(fake, id, -1);
    }
    /* sixteen windows of 4 KiB do not fit into 60 KiB of ports */
    assert_false(board_prepare_boot(fake->machine, &rsdp, &err));
    assert_non_null(strstr(err->message, "I/O ports"));
    fake_machine_free(fake);
}

typedef struct {
    FakeMachine *fake;
    uint64_t base;
    bool stop;
    unsigned wrong;
} Reader;

static gpointer
reader_run(gpointer data)
{
    Reader *r = data;
    g_autoptr(AddressReader) reader = address_reader_new(r->fake->machine->mmio);

    while (!__atomic_load_n(&r->stop, __ATOMIC_SEQ_CST)) {
        for (unsigned i = 0; i < 2; i++) {
            uint64_t value;

            address_read(reader, r->base + 0x8000 * i + 0x1004, 4, &value);
            if (value != 0x104 && value != 0xffffffff)
                r->wrong++;
        }
    }
    return NULL;
}

static void
test_move_under_access(void **state)
{
    Toy *toy;
    FakeMachine *fake = board(&toy);
    Reader r = { .fake = fake, .base = bar64(fake) };
    GThread *thread;

    (void)state;
    toy->value = 0x100;
    thread = g_thread_new("vcpu", reader_run, &r);
    for (int i = 0; i < 3000; i++)
        cfg_write(fake, 0x20, 4, (uint32_t)r.base + (i & 1 ? 0x8000 : 0));
    __atomic_store_n(&r.stop, true, __ATOMIC_SEQ_CST);
    g_thread_join(thread);
    assert_int_equal(r.wrong, 0);
    assert_int_equal(fake->events->len, 1);
    fake_machine_free(fake);
}

static struct {
    Machine *machine;
    GThread *thread;
    bool begun; /* atomic */
} mover;

static void *
mover_run(void *opaque)
{
    Machine *machine = opaque;

    g_mutex_lock(&machine->pci->lock);
    address_map_begin(machine->mmio);
    __atomic_store_n(&mover.begun, true, __ATOMIC_SEQ_CST);
    g_usleep(30000);
    address_map_commit(machine->mmio);
    g_mutex_unlock(&machine->pci->lock);
    return NULL;
}

/* Called when the function that goes lets its interrupt line fall. */
static void
mover_start(void *host, uint32_t gsi, bool level)
{
    (void)host, (void)gsi, (void)level;
    if (mover.thread)
        return;
    mover.thread = g_thread_new("vcpu", mover_run, mover.machine);
    while (!__atomic_load_n(&mover.begun, __ATOMIC_SEQ_CST))
        g_usleep(100);
}

/* A function goes while a vCPU moves another's BARs: no map may show it any more. */
static void
test_unplug_while_others_move(void **state)
{
    Toy *toy;
    FakeMachine *fake = board(&toy);
    uint64_t mem = bar64(fake);
    MachineOps ops = *fake->machine->ops;

    (void)state;
    g_mutex_lock(&toy->pci.device.lock);
    pci_intx_set(&toy->pci, true);
    g_mutex_unlock(&toy->pci.device.lock);
    mover.machine = fake->machine;
    ops.set_gsi = mover_start;
    fake->machine->ops = &ops;
    device_free(&toy->pci.device);
    assert_non_null(mover.thread);
    assert_int_equal(fake_read(fake, mem + 0x1010, 4), 0xffffffff);
    g_thread_join(mover.thread);
    fake_machine_free(fake);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_ways), cmocka_unit_test(test_assignment),
        cmocka_unit_test(test_resume),      cmocka_unit_test(test_bar_moves),
        cmocka_unit_test(test_msix),        cmocka_unit_test(test_msix_batch),
        cmocka_unit_test(test_intx),        cmocka_unit_test(test_root_port),
        cmocka_unit_test(test_no_room),     cmocka_unit_test(test_move_under_access),
        cmocka_unit_test(test_reset),       cmocka_unit_test(test_unplug_while_others_move),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
