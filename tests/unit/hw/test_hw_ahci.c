/* test_hw_ahci.c - the AHCI controller with an ATA disk and an ATAPI drive, as a driver sees them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "hw/ata/ahci.h"
#include "hw/block/drive.h"
#include "hw/core/bytes.h"
#include "hw/pci/pci.h"
#include "tests/unit/hw/fake_disk.h"

enum {
    RAM = 16 << 20,
    DISK = 1 << 20,
    ABAR = 0x20000000,
    LIST = 0x10000,  /* command list */
    FIS = 0x11000,   /* received FISes */
    TABLE = 0x20000, /* command table of slot 0; others 0x1000 behind */
    DATA = 0x100000,
    PX_IS = 0x10,
    PX_CMD = 0x18,
    PX_TFD = 0x20,
    PX_SIG = 0x24,
    PX_SSTS = 0x28,
    PX_SCTL = 0x2c,
    PX_SACT = 0x34,
    PX_CI = 0x38,
    ERR = 1,
};

typedef struct {
    FakeMachine *fake;
    int disk, cd;
    Device *hd, *cdrom;
    unsigned port;
} Fixture;

static uint32_t
reg(Fixture *f, unsigned offset)
{
    return (uint32_t)fake_read(f->fake, ABAR + 0x100 + f->port * 0x80 + offset, 4);
}

static void
set(Fixture *f, unsigned offset, uint32_t value)
{
    fake_write(f->fake, ABAR + 0x100 + f->port * 0x80 + offset, 4, value);
}

static void
start_port(Fixture *f, unsigned port)
{
    f->port = port;
    set(f, 0x00, LIST);
    set(f, 0x08, FIS);
    set(f, PX_CMD, 0x10);
    set(f, 0x14, 0xffffffff);
    set(f, PX_CMD, 0x11);
}

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    PciDevice *dev;
    uint16_t bdf;

    f->fake = fake_machine_new_q35(RAM);
    f->disk = fake_disk(f->fake, "d", DISK, false);
    f->cd = fake_disk(f->fake, "c", DISK, true);
    dev = pci_device(fake_device(f->fake, "ich9-ahci", "addr", "1f.2", NULL));
    f->hd = fake_device(f->fake, "ide-hd", "bus", "ide.0", "drive", "d", "serial", "S123", "id",
                        "hd", "werror", "stop", NULL);
    f->cdrom = fake_device(f->fake, "ide-cd", "bus", "ide.1", "drive", "c", "id", "cd", NULL);
    bdf = pci_requester_id(dev);
    pci_config_write(f->fake->machine->pci, bdf, 0x24, 4, ABAR);
    pci_config_write(f->fake->machine->pci, bdf, 4, 2, 6);
    machine_set_running(f->fake->machine, true);
    fake_write(f->fake, ABAR + 4, 4, 0x80000002);
    start_port(f, 0);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    machine_set_running(f->fake->machine, false);
    fake_machine_free(f->fake);
    close(f->disk);
    close(f->cd);
    g_free(f);
    return 0;
}

/* Fills slot @slot: a command FIS and a table of one entry. */
static void
prepare(Fixture *f, unsigned slot, const uint8_t *fis, unsigned flags, uint64_t data, uint32_t len)
{
    uint8_t *header = f->fake->ram + LIST + slot * 32;
    uint8_t *table = f->fake->ram + TABLE + slot * 0x1000;

    memset(header, 0, 32);
    bytes_store(header, 5 | flags | (len ? 1u << 16 : 0), 4);
    bytes_store(header + 8, TABLE + slot * 0x1000, 8);
    memcpy(table, fis, 20);
    bytes_store(table + 0x80, data, 8);
    bytes_store(table + 0x8c, len ? len - 1 : 0, 4);
}

static void
lba_fis(uint8_t *fis, uint8_t command, uint64_t lba, uint16_t count)
{
    memset(fis, 0, 20);
    fis[0] = 0x27;
    fis[1] = 0x80;
    fis[2] = command;
    fis[7] = 0x40;
    for (unsigned i = 0; i < 3; i++) {
        fis[4 + i] = (uint8_t)(lba >> (8 * i));
        fis[8 + i] = (uint8_t)(lba >> (24 + 8 * i));
    }
    bytes_store(fis + 12, count, 2);
}

static bool
settled(void *opaque)
{
    Fixture *f = opaque;

    return (reg(f, PX_CI) == 0 && reg(f, PX_SACT) == 0) || (reg(f, PX_IS) & 0x79000000);
}

static uint32_t
run(Fixture *f, uint8_t command, uint64_t lba, uint16_t count, uint64_t data, uint32_t len)
{
    uint8_t fis[20];

    lba_fis(fis, command, lba, count);
    prepare(f, 0, fis, 0, data, len);
    set(f, PX_IS, 0xffffffff);
    set(f, PX_CI, 1);
    fake_wait(f->fake, settled, f);
    return reg(f, PX_TFD);
}

static void
restart(Fixture *f)
{
    set(f, PX_CMD, 0x10);
    assert_int_equal(reg(f, PX_CMD) & 0x8000, 0);
    set(f, PX_IS, 0xffffffff);
    set(f, PX_CMD, 0x11);
}

static void
test_links(void **state)
{
    Fixture *f = *state;

    assert_int_equal(reg(f, PX_SSTS), 0x123);
    assert_int_equal(reg(f, PX_SIG), 0x101);
    f->port = 1;
    assert_int_equal(reg(f, PX_SIG), 0xeb140101);
    f->port = 2;
    assert_int_equal(reg(f, PX_SSTS), 0);
}

static void
test_identify(void **state)
{
    Fixture *f = *state;
    const uint8_t *page = f->fake->ram + DATA;
    uint8_t sum = 0;

    assert_int_equal(run(f, 0xec, 0, 0, DATA, 512) & ERR, 0);
    assert_memory_equal(page + 20, "1S32", 4); /* bytes of each word swapped */
    assert_int_equal(bytes_load16(page + 120), DISK / 512);
    for (unsigned i = 0; i < 512; i++)
        sum += page[i];
    assert_int_equal(sum, 0);
    assert_int_equal(bytes_load32(f->fake->ram + LIST + 4), 512);
}

static void
test_read_write(void **state)
{
    Fixture *f = *state;
    uint8_t sector[512];

    assert_int_equal(run(f, 0x25, 7, 3, DATA, 1536) & ERR, 0);
    assert_int_equal(f->fake->ram[DATA], 8);
    assert_int_equal(f->fake->ram[DATA + 1535], 10);
    memset(f->fake->ram + DATA, 0xa5, 512);
    assert_int_equal(run(f, 0x35, 100, 1, DATA, 512) & ERR, 0);
    assert_int_equal(pread(f->disk, sector, 512, 100 * 512), 512);
    assert_int_equal(sector[511], 0xa5);
    assert_int_equal(run(f, 0xea, 0, 0, 0, 0) & ERR, 0);
    assert_true(f->fake->sent->len > 0 || f->fake->gsi[16 + 2] || f->fake->gsi_edges[18] > 0 ||
                (reg(f, PX_IS) & 1));
}

static void
test_queued(void **state)
{
    Fixture *f = *state;
    uint8_t fis[20];

    for (unsigned i = 0; i < 32; i++) {
        lba_fis(fis, 0x60, i * 4, (uint16_t)(i << 3));
        fis[3] = 4; /* sectors */
        prepare(f, i, fis, 0, DATA + i * 0x1000, 2048);
    }
    set(f, PX_SACT, 0xffffffff);
    set(f, PX_CI, 0xffffffff);
    fake_wait(f->fake, settled, f);
    assert_int_equal(reg(f, PX_TFD) & ERR, 0);
    for (unsigned i = 0; i < 32; i++)
        assert_int_equal(f->fake->ram[DATA + i * 0x1000], (i * 4 + 1) & 0xff);
}

/* ---- message interrupts ---- */

enum { MSI_DATA = 0x4000 };

/* Keeps a loop in one call until it is released. */
typedef struct {
    int entered, go; /* atomic */
} Held;

static void
held_call(void *opaque)
{
    Held *held = opaque;

    g_atomic_int_set(&held->entered, true);
    while (!g_atomic_int_get(&held->go))
        g_usleep(100);
}

static void
hold_loop(IoLoop *loop, Held *held)
{
    io_loop_defer(loop, held_call, held);
    while (!g_atomic_int_get(&held->entered))
        g_usleep(100);
}

static void
release_loop(Held *held)
{
    g_atomic_int_set(&held->go, true);
}

static void
nothing(void *opaque)
{
    (void)opaque;
}

/* Stands in for the host: notes what comes, and whether who is woken by it would meet the lock. */
typedef struct {
    MachineOps ops;
    const MachineOps *old;
    PciDevice *dev;
    int messages, met_lock; /* atomic */
} Listener;

static Listener listener;

static int
listener_take(void *host, const MsiMessage *msg)
{
    GMutex *lock = &listener.dev->device.lock;

    (void)host;
    assert_int_equal(msg->data, MSI_DATA);
    if (g_mutex_trylock(lock))
        g_mutex_unlock(lock);
    else
        g_atomic_int_inc(&listener.met_lock);
    g_atomic_int_inc(&listener.messages);
    return 1;
}

static void
listen_to_messages(Fixture *f)
{
    PciDevice *dev = pci_device(f->hd->bus->owner);
    PciRoot *root = f->fake->machine->pci;
    uint16_t bdf = pci_requester_id(dev);

    listener = (Listener){ *f->fake->machine->ops, f->fake->machine->ops, dev, 0, 0 };
    listener.ops.msi_send = listener_take;
    f->fake->machine->ops = &listener.ops;
    pci_config_write(root, bdf, dev->msi_cap + PCI_MSI_ADDRESS, 4, 0xfee00000);
    pci_config_write(root, bdf, dev->msi_cap + PCI_MSI_DATA_64, 2, MSI_DATA);
    pci_config_write(root, bdf, dev->msi_cap + PCI_MSI_FLAGS, 2, PCI_MSI_ENABLE);
}

static bool
message_came(void *opaque)
{
    (void)opaque;
    return g_atomic_int_get(&listener.messages) > 0;
}

/* Queued reads in the first @n slots, all given at once. */
static void
give_queued(Fixture *f, unsigned n)
{
    uint32_t slots = (uint32_t)((UINT64_C(1) << n) - 1);

    for (unsigned i = 0; i < n; i++) {
        uint8_t fis[20];

        lba_fis(fis, 0x60, i, (uint16_t)(i << 3));
        fis[3] = 1; /* one sector */
        prepare(f, i, fis, 0, DATA + i * 512, 512);
    }
    set(f, PX_IS, 0xffffffff);
    fake_write(f->fake, ABAR + 8, 4, 0xffffffff);
    g_atomic_int_set(&listener.messages, 0);
    set(f, PX_SACT, slots);
    set(f, PX_CI, slots);
}

/* Whoever is woken by a message reads registers at once: nobody holds their lock any more. */
static void
test_message_without_lock(void **state)
{
    Fixture *f = *state;

    listen_to_messages(f);
    for (unsigned i = 0; i < 50; i++) {
        give_queued(f, 1);
        fake_wait(f->fake, message_came, f);
        fake_wait(f->fake, settled, f);
    }
    /* one of a register write: the interrupt is enabled while it is due */
    set(f, 0x14, 0);
    give_queued(f, 1);
    fake_wait(f->fake, settled, f);
    assert_int_equal(g_atomic_int_get(&listener.messages), 0);
    set(f, 0x14, 0xffffffff);
    assert_int_equal(g_atomic_int_get(&listener.messages), 1);
    assert_int_equal(g_atomic_int_get(&listener.met_lock), 0);
    f->fake->machine->ops = listener.old;
}

static void
end_of_all(void *opaque)
{
    Fixture *f = opaque;
    AtaDrive *drive = (AtaDrive *)f->hd;

    ahci_port_run(&((Ahci *)f->hd->bus->owner)->ports[0]);
    drive_drain(&drive->drive);
}

/* What ends in one turn of the loop is told by one message. */
static void
test_message_for_many(void **state)
{
    Fixture *f = *state;
    Ahci *ahci = (Ahci *)f->hd->bus->owner;
    Held held = { 0 };

    listen_to_messages(f);
    hold_loop(ahci->loop, &held);
    give_queued(f, 32);
    /* the loop's calls are ours, then the controller's: all commands end within one */
    io_loop_defer(ahci->loop, end_of_all, f);
    release_loop(&held);
    fake_wait(f->fake, settled, f);
    io_loop_run_sync(ahci->loop, nothing, NULL);
    io_loop_run_sync(ahci->loop, nothing, NULL);
    assert_int_equal(g_atomic_int_get(&listener.messages), 1);
    for (unsigned i = 0; i < 32; i++)
        assert_int_equal(f->fake->ram[DATA + i * 512], i + 1);
    f->fake->machine->ops = listener.old;
}

/* The message of what ended as the guest was paused comes before its state is saved. */
static void
test_message_before_pause(void **state)
{
    Fixture *f = *state;

    listen_to_messages(f);
    for (unsigned i = 0; i < 20; i++) {
        give_queued(f, 4);
        machine_set_running(f->fake->machine, false);
        assert_true(g_atomic_int_get(&listener.messages) > 0);
        g_atomic_int_set(&listener.messages, 0);
        io_loop_run_sync(((Ahci *)f->hd->bus->owner)->loop, nothing, NULL);
        assert_int_equal(g_atomic_int_get(&listener.messages), 0);
        machine_set_running(f->fake->machine, true);
    }
    f->fake->machine->ops = listener.old;
}

static void
test_queued_error_log(void **state)
{
    Fixture *f = *state;
    uint8_t fis[20];

    lba_fis(fis, 0x60, DISK / 512, 5 << 3);
    fis[3] = 1;
    prepare(f, 5, fis, 0, DATA, 512);
    set(f, PX_SACT, 1 << 5);
    set(f, PX_CI, 1 << 5);
    fake_wait(f->fake, settled, f);
    assert_int_equal(reg(f, PX_TFD) & ERR, ERR);
    assert_int_equal(reg(f, PX_SACT), 1 << 5);
    restart(f);
    assert_int_equal(reg(f, PX_SACT), 0);
    assert_int_equal(run(f, 0x2f, 0x10, 1, DATA, 512) & ERR, 0);
}

static void
test_out_of_range(void **state)
{
    Fixture *f = *state;

    assert_int_equal(run(f, 0x25, DISK / 512 - 1, 2, DATA, 1024) & ERR, ERR);
    assert_true(reg(f, PX_IS) & 1 << 30);
    restart(f);
    assert_int_equal(run(f, 0x25, UINT64_C(0xffffffffffff), 0, DATA, 1024) & ERR, ERR);
    restart(f);
    assert_int_equal(run(f, 0x25, 0, 1, DATA, 512) & ERR, 0);
}

/* Hole class: DMA into device registers, and beyond RAM. */
static void
test_dma_to_mmio(void **state)
{
    Fixture *f = *state;

    run(f, 0x25, 0, 1, ABAR, 512);
    assert_true(reg(f, PX_IS) & 1 << 28);
    restart(f);
    run(f, 0x25, 0, 8, RAM - 512, 4096);
    assert_true(reg(f, PX_IS) & 1 << 28);
    restart(f);
    run(f, 0x25, 0, 1, UINT64_MAX - 100, 512);
    assert_true(reg(f, PX_IS) & 1 << 28);
    restart(f);
    assert_int_equal(run(f, 0x25, 0, 1, DATA, 512) & ERR, 0);
}

/* Hole class: tables shorter and longer than the transfer. */
static void
test_odd_tables(void **state)
{
    Fixture *f = *state;
    uint8_t fis[20];

    run(f, 0x25, 0, 4, DATA, 1024);
    assert_true(reg(f, PX_IS) & 1 << 24);
    restart(f);
    memset(f->fake->ram + DATA, 0, 4096);
    assert_int_equal(run(f, 0x25, 0, 1, DATA, 1 << 20) & ERR, 0);
    assert_int_equal(f->fake->ram[DATA + 512], 0);
    lba_fis(fis, 0x25, 0, 1); /* 65535 entries are promised: only what is needed is read */
    prepare(f, 0, fis, 0, DATA, 512);
    bytes_store(f->fake->ram + LIST + 2, 0xffff, 2);
    set(f, PX_CI, 1);
    fake_wait(f->fake, settled, f);
    assert_int_equal(reg(f, PX_TFD) & ERR, 0);
}

/* Hole class: completion after reset. */
static void
test_reset_in_flight(void **state)
{
    Fixture *f = *state;
    uint8_t fis[20];

    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 8; i++) {
            lba_fis(fis, 0x60, i, (uint16_t)(i << 3));
            fis[3] = 1;
            prepare(f, i, fis, 0, DATA, 512);
        }
        set(f, PX_SACT, 0xff);
        set(f, PX_CI, 0xff);
        if (round % 2) {
            fake_write(f->fake, ABAR + 4, 4, 1);
            for (unsigned i = 0; fake_read(f->fake, ABAR + 4, 4) & 1; i++) {
                assert_true(i < 10000);
                g_usleep(100);
            }
        } else {
            set(f, PX_CMD, 0x10);
            set(f, PX_SCTL, 1);
            set(f, PX_SCTL, 0);
            for (unsigned i = 0; reg(f, PX_SSTS) != 0x123; i++) {
                assert_true(i < 10000);
                g_usleep(100);
            }
        }
        assert_int_equal(reg(f, PX_SACT), 0);
        start_port(f, 0);
        assert_int_equal(run(f, 0x25, 9, 1, DATA, 512) & ERR, 0);
        assert_int_equal(f->fake->ram[DATA], 10);
    }
}

static void
test_packet(void **state)
{
    Fixture *f = *state;
    uint8_t fis[20];
    static const uint8_t read10[12] = { 0x28, 0, 0, 0, 0, 3, 0, 0, 2 };
    static const uint8_t sense[12] = { 0x03, 0, 0, 0, 18 };

    start_port(f, 1);
    lba_fis(fis, 0xa0, 0, 0);
    fis[3] = 1;
    for (unsigned round = 0; round < 2; round++) {
        prepare(f, 0, fis, 1 << 5, DATA, 4096);
        memcpy(f->fake->ram + TABLE + 0x40, read10, 12);
        set(f, PX_IS, 0xffffffff);
        set(f, PX_CI, 1);
        fake_wait(f->fake, settled, f);
        if (round == 0) { /* the unit attention of power-on */
            assert_int_equal(reg(f, PX_TFD) & 0xf0ff, 0x6051);
            restart(f);
            prepare(f, 0, fis, 1 << 5, DATA, 18);
            memcpy(f->fake->ram + TABLE + 0x40, sense, 12);
            set(f, PX_CI, 1);
            fake_wait(f->fake, settled, f);
            assert_int_equal(f->fake->ram[DATA + 2], 6);
            assert_int_equal(f->fake->ram[DATA + 12], 0x29);
        }
    }
    assert_int_equal(reg(f, PX_TFD) & ERR, 0);
    assert_int_equal(f->fake->ram[DATA], 13);
    assert_int_equal(f->fake->ram[DATA + 4095], 20);
}

static void
test_medium(void **state)
{
    Fixture *f = *state;
    Drive *drive = drive_of(f->cdrom);
    g_autoptr(GError) err = NULL;
    int other = fake_disk(f->fake, "other", DISK, true);

    assert_false(drive_insert_medium(drive, "other", &err));
    g_clear_error(&err);
    assert_false(drive_move_tray(drive_of(f->hd), true, false, NULL, &err));
    g_clear_error(&err);
    assert_true(drive_move_tray(drive, true, false, NULL, &err));
    assert_string_equal(g_ptr_array_index(f->fake->qmp, f->fake->qmp->len - 1),
                        "DEVICE_TRAY_MOVED");
    assert_true(drive_remove_medium(drive, &err));
    assert_true(machine_object_remove(f->fake->machine, OBJECT_BLOCK_NODE, "c", &err));
    assert_true(drive_insert_medium(drive, "other", &err));
    assert_true(drive_move_tray(drive, false, false, NULL, &err));
    close(other);
}

static void
test_save(void **state)
{
    Fixture *f = *state;
    g_autoptr(GByteArray) data = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    run(f, 0xef, 0, 0, 0, 0);
    restart(f);
    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, data, &err));
    assert_true(machine_load(f->fake->machine, data->data, data->len, &err));
    machine_set_running(f->fake->machine, true);
    assert_int_equal(run(f, 0x25, 1, 1, DATA, 512) & ERR, 0);
}

static bool
stopped(void *opaque)
{
    return ((FakeMachine *)opaque)->requests->len > 0;
}

/* A port is reset under a write that stops the guest: the reset ends where the state is loaded. */
static void
test_save_in_reset(void **state)
{
    Fixture *f = *state, *other;
    void *made;
    g_autoptr(GByteArray) data = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    uint8_t fis[20];

    setup(&made);
    other = made;
    assert_int_equal(fcntl(f->disk, F_ADD_SEALS, F_SEAL_WRITE), 0);
    lba_fis(fis, 0x35, 3, 1);
    prepare(f, 0, fis, 1 << 6, DATA, 512);
    set(f, PX_CI, 1);
    fake_wait(f->fake, stopped, f->fake);
    set(f, PX_CMD, 0x10);
    set(f, PX_SCTL, 1);
    set(f, PX_SCTL, 0);
    assert_int_equal(reg(f, PX_CMD) & 0x8000, 0x8000);
    assert_int_equal(reg(f, PX_SSTS), 0);
    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, data, &err));
    machine_set_running(other->fake->machine, false);
    if (!machine_load(other->fake->machine, data->data, data->len, &err))
        fail_msg("%s", err->message);
    machine_set_running(other->fake->machine, true);
    assert_int_equal(reg(other, PX_CMD) & 0x8000, 0);
    assert_int_equal(reg(other, PX_SSTS), 0x123);
    start_port(other, 0);
    assert_int_equal(run(other, 0x25, 9, 1, DATA, 512) & ERR, 0);
    teardown(&made);
}

/* A guest that stands still moves nothing: a command put there meanwhile begins when it goes on. */
static void
test_nothing_begins_in_a_paused_guest(void **state)
{
    Fixture *f = *state;
    uint8_t fis[20];

    machine_set_running(f->fake->machine, false);
    memset(f->fake->ram + DATA, 0x77, 512);
    lba_fis(fis, 0xec, 0, 0);
    prepare(f, 0, fis, 0, DATA, 512);
    set(f, PX_CI, 1);
    g_usleep(50000);
    assert_int_equal(f->fake->ram[DATA], 0x77);
    assert_int_equal(reg(f, PX_CI), 1);
    machine_set_running(f->fake->machine, true);
    fake_wait(f->fake, settled, f);
    assert_memory_equal(f->fake->ram + DATA + 20, "1S32", 4);
}

static void
test_refused(void **state)
{
    Fixture *f = *state;
    int fd = fake_disk(f->fake, "r", DISK, true);

    fake_device_refused(f->fake, "taken", "ide-hd", "bus", "ide.0", "unit", "0", "drive", "r",
                        NULL);
    fake_device_refused(f->fake, "read-only", "ide-hd", "bus", "ide.2", "drive", "r", NULL);
    close(fd);
}

/* One that the user names is known by that name, whether or not the board's own is there before. */
static void
test_names(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(RAM);

    (void)state;
    fake_device(fake, "ich9-ahci", "id", "sata1", NULL);
    assert_null(bus_find(fake->machine, BUS_IDE, "ide.0", NULL));
    fake_device(fake, "ich9-ahci", "addr", "1f.2", NULL);
    fake_device(fake, "ide-cd", "bus", "sata1.0", NULL);
    fake_device(fake, "ide-cd", "bus", "ide.0", NULL);
    fake_machine_free(fake);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_links),
        TEST(test_identify),
        TEST(test_read_write),
        TEST(test_queued),
        TEST(test_message_without_lock),
        TEST(test_message_for_many),
        TEST(test_message_before_pause),
        TEST(test_queued_error_log),
        TEST(test_out_of_range),
        TEST(test_dma_to_mmio),
        TEST(test_odd_tables),
        TEST(test_reset_in_flight),
        TEST(test_packet),
        TEST(test_medium),
        TEST(test_save),
        TEST(test_save_in_reset),
        TEST(test_nothing_begins_in_a_paused_guest),
        TEST(test_refused),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
