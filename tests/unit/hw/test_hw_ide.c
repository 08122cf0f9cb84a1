/* test_hw_ide.c - the IDE controller of the PIIX3 with a disk and a CD drive on its first channel.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "hw/core/bytes.h"
#include "hw/pci/pci.h"
#include "tests/unit/hw/fake_disk.h"

enum {
    RAM = 4 << 20,
    DISK = 1 << 20,
    BM = 0xc000,
    TABLE = 0x10000,
    DATA = 0x100000,
    BSY = 0x80,
    DRQ = 0x08,
    ERR = 0x01,
};

typedef struct {
    FakeMachine *fake;
    int disk, cd;
} Fixture;

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    PciDevice *dev;
    uint16_t bdf;

    f->fake = fake_machine_new_q35(RAM);
    f->disk = fake_disk(f->fake, "d", DISK, false);
    f->cd = fake_disk(f->fake, "c", DISK, true);
    dev = pci_device(fake_device(f->fake, "piix3-ide", "addr", "3", NULL));
    fake_device(f->fake, "ide-hd", "bus", "ide.0", "drive", "d", "serial", "S123", NULL);
    fake_device(f->fake, "ide-cd", "bus", "ide.0", "drive", "c", NULL);
    bdf = pci_requester_id(dev);
    pci_config_write(f->fake->machine->pci, bdf, 0x20, 4, BM);
    pci_config_write(f->fake->machine->pci, bdf, 4, 2, 5);
    machine_set_running(f->fake->machine, true);
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

static uint8_t
wait_idle(Fixture *f)
{
    uint8_t status;

    for (unsigned i = 0; (status = (uint8_t)fake_in(f->fake, 0x3f6, 1)) & BSY; i++) {
        assert_true(i < 100000);
        g_usleep(50);
    }
    return status;
}

static void
command(Fixture *f, uint8_t code, uint8_t device, uint32_t lba, uint8_t count)
{
    fake_out(f->fake, 0x1f6, 1, 0xe0 | device << 4 | lba >> 24);
    fake_out(f->fake, 0x1f2, 1, count);
    for (unsigned i = 0; i < 3; i++)
        fake_out(f->fake, (uint16_t)(0x1f3 + i), 1, lba >> (8 * i) & 0xff);
    fake_out(f->fake, 0x1f7, 1, code);
}

static void
read_data(Fixture *f, uint8_t *buf, unsigned len)
{
    for (unsigned i = 0; i < len; i += 2)
        bytes_store(buf + i, fake_in(f->fake, 0x1f0, 2), 2);
}

static void
test_signatures(void **state)
{
    Fixture *f = *state;

    fake_out(f->fake, 0x3f6, 1, 4);
    fake_out(f->fake, 0x3f6, 1, 0);
    assert_int_equal(wait_idle(f), 0x50);
    assert_int_equal(fake_in(f->fake, 0x1f4, 1), 0);
    fake_out(f->fake, 0x1f6, 1, 0x10);
    assert_int_equal(fake_in(f->fake, 0x1f4, 1), 0x14);
    assert_int_equal(fake_in(f->fake, 0x1f5, 1), 0xeb);
    assert_int_equal(fake_in(f->fake, 0x177, 1), 0); /* nobody on the second channel */
}

static void
test_pio(void **state)
{
    Fixture *f = *state;
    uint8_t page[1024];

    command(f, 0xec, 0, 0, 0);
    assert_int_equal(wait_idle(f) & (DRQ | ERR), DRQ);
    assert_true(f->fake->gsi[14]);
    fake_in(f->fake, 0x1f7, 1);
    assert_false(f->fake->gsi[14]);
    read_data(f, page, 512);
    assert_int_equal(wait_idle(f) & (DRQ | ERR), 0);
    assert_memory_equal(page + 20, "1S32", 4);

    command(f, 0x20, 0, 3, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(wait_idle(f) & (DRQ | ERR), DRQ);
        read_data(f, page + 512 * i, 512);
    }
    assert_int_equal(wait_idle(f) & (DRQ | ERR), 0);
    assert_int_equal(page[0], 4);
    assert_int_equal(page[1023], 5);

    command(f, 0x30, 0, 9, 1);
    assert_int_equal(wait_idle(f) & (DRQ | ERR), DRQ);
    for (unsigned i = 0; i < 128; i++)
        fake_out(f->fake, 0x1f0, 4, 0x5a5a5a5a);
    assert_int_equal(wait_idle(f) & (DRQ | ERR), 0);
    assert_int_equal(pread(f->disk, page, 512, 9 * 512), 512);
    assert_int_equal(page[511], 0x5a);
}

/* Hole class: an index into the data buffer that runs on. */
static void
test_fifo_index(void **state)
{
    Fixture *f = *state;
    uint8_t page[512];

    command(f, 0xec, 0, 0, 0);
    wait_idle(f);
    for (unsigned i = 0; i < 100000; i++)
        fake_in(f->fake, 0x1f0, 4);
    for (unsigned i = 0; i < 100000; i++)
        fake_out(f->fake, 0x1f0, 4, 0xffffffff);
    command(f, 0x30, 0, 1, 1);
    wait_idle(f);
    for (unsigned i = 0; i < 512 + 100; i++)
        fake_out(f->fake, 0x1f0, 1, i);
    assert_int_equal(wait_idle(f) & (DRQ | ERR), 0);
    assert_int_equal(pread(f->disk, page, 512, 512), 512);
    assert_int_equal(page[300], 300 & 0xff);
}

static uint8_t
run_dma(Fixture *f, uint8_t code, uint32_t lba, uint8_t count, bool in)
{
    command(f, code, 0, lba, count);
    fake_out(f->fake, BM, 1, 0);
    fake_out(f->fake, BM + 4, 4, TABLE);
    fake_out(f->fake, BM + 2, 1, 6);
    fake_out(f->fake, BM, 1, in ? 9 : 1);
    for (unsigned i = 0; !(fake_in(f->fake, BM + 2, 1) & 6); i++) {
        assert_true(i < 100000);
        g_usleep(50);
    }
    fake_out(f->fake, BM, 1, 0);
    wait_idle(f);
    return (uint8_t)fake_in(f->fake, 0x1f7, 1);
}

static void
set_prd(Fixture *f, unsigned i, uint32_t at, uint16_t len, bool end)
{
    bytes_store(f->fake->ram + TABLE + i * 8, at, 4);
    bytes_store(f->fake->ram + TABLE + i * 8 + 4, len | (end ? 0x80000000u : 0), 4);
}

static void
test_dma(void **state)
{
    Fixture *f = *state;
    uint8_t sector[512];

    set_prd(f, 0, DATA, 512, false);
    set_prd(f, 1, DATA + 0x1000, 512, true);
    assert_int_equal(run_dma(f, 0xc8, 5, 2, true) & ERR, 0);
    assert_int_equal(f->fake->ram[DATA], 6);
    assert_int_equal(f->fake->ram[DATA + 0x1000], 7);
    memset(f->fake->ram + DATA, 0x77, 512);
    assert_int_equal(run_dma(f, 0xca, 50, 1, false) & ERR, 0);
    assert_int_equal(pread(f->disk, sector, 512, 50 * 512), 512);
    assert_int_equal(sector[0], 0x77);
}

/* Hole classes: tables that never end, that end too soon, that point at no memory. */
static void
test_bad_tables(void **state)
{
    Fixture *f = *state;

    for (unsigned i = 0; i < 8192; i++)
        set_prd(f, i, DATA, 2, false);
    run_dma(f, 0xc8, 0, 64, true);
    set_prd(f, 0, DATA, 512, true);
    assert_int_equal(run_dma(f, 0xc8, 0, 2, true) & ERR, ERR);
    set_prd(f, 0, 0xfebf0000, 512, true);
    assert_int_equal(run_dma(f, 0xc8, 0, 1, true) & ERR, ERR);
    set_prd(f, 0, DATA, 512, true);
    assert_int_equal(run_dma(f, 0xc8, 0, 1, true) & ERR, 0);
}

static void
test_packet(void **state)
{
    Fixture *f = *state;
    static const uint8_t read10[12] = { 0x28, 0, 0, 0, 0, 2, 0, 0, 3 };
    uint8_t page[6144];

    for (unsigned round = 0; round < 2; round++) {
        unsigned got = 0;

        command(f, 0xa0, 1, 0x1000 << 8, 0); /* byte count limit 4096 */
        assert_int_equal(wait_idle(f) & (DRQ | ERR), DRQ);
        for (unsigned i = 0; i < 12; i += 2)
            fake_out(f->fake, 0x1f0, 2, bytes_load16(read10 + i));
        while (wait_idle(f) & DRQ) {
            unsigned len = (unsigned)(fake_in(f->fake, 0x1f4, 1) | fake_in(f->fake, 0x1f5, 1) << 8);

            assert_true(len > 0 && got + len <= sizeof(page));
            read_data(f, page + got, len);
            got += len;
        }
        if (round == 0) {
            assert_int_equal(fake_in(f->fake, 0x1f1, 1) >> 4, 6); /* unit attention */
        } else {
            assert_int_equal(got, 6144);
            assert_int_equal(page[0], 9);
            assert_int_equal(page[6143], 20);
        }
    }
}

/* Hole class: completion after reset. */
static void
test_reset_in_flight(void **state)
{
    Fixture *f = *state;
    uint8_t page[512];

    for (unsigned i = 0; i < 50; i++) {
        command(f, 0x20, 0, i, 200);
        fake_out(f->fake, 0x3f6, 1, 4);
        fake_out(f->fake, 0x3f6, 1, 0);
        assert_int_equal(wait_idle(f), 0x50);
        command(f, 0x20, 0, i, 1);
        assert_int_equal(wait_idle(f) & (DRQ | ERR), DRQ);
        read_data(f, page, 512);
        assert_int_equal(page[0], i + 1);
    }
}

/* Saved in the middle of a transfer, which then goes on. */
static void
test_save(void **state)
{
    Fixture *f = *state;
    g_autoptr(GByteArray) data = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    uint8_t page[1024];

    command(f, 0x20, 0, 7, 2);
    wait_idle(f);
    read_data(f, page, 100);
    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, data, &err));
    machine_reset(f->fake->machine);
    assert_true(machine_load(f->fake->machine, data->data, data->len, &err));
    machine_set_running(f->fake->machine, true);
    read_data(f, page + 100, 412);
    assert_int_equal(wait_idle(f) & (DRQ | ERR), DRQ);
    read_data(f, page + 512, 512);
    assert_int_equal(page[0], 8);
    assert_int_equal(page[511], 8);
    assert_int_equal(page[512], 9);
    assert_int_equal(wait_idle(f) & (DRQ | ERR), 0);
}

/* The machine is saved, and another one goes on. */
static void
go_on_elsewhere(Fixture *f)
{
    g_autoptr(GByteArray) data = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, data, &err));
    machine_reset(f->fake->machine);
    if (!machine_load(f->fake->machine, data->data, data->len, &err))
        fail_msg("%s", err->message);
    machine_set_running(f->fake->machine, true);
}

static void
send_packet(Fixture *f, const uint8_t *packet)
{
    assert_int_equal(wait_idle(f) & (DRQ | ERR), DRQ);
    go_on_elsewhere(f);
    for (unsigned i = 0; i < 12; i += 2) {
        fake_out(f->fake, 0x1f0, 2, bytes_load16(packet + i));
        if (i == 4)
            go_on_elsewhere(f);
    }
    go_on_elsewhere(f);
}

/* Whatever the drive does when the machine is saved goes on. */
static void
test_save_anywhere(void **state)
{
    static const uint8_t ready[12] = { 0 }, read10[12] = { 0x28, 0, 0, 0, 0, 2, 0, 0, 3 };
    Fixture *f = *state;
    uint8_t page[6144];
    unsigned got = 0;

    command(f, 0xa0, 1, 0, 0);
    send_packet(f, ready);
    assert_int_equal(wait_idle(f) & ERR, ERR); /* unit attention */

    /* a packet's data by PIO, then by DMA */
    command(f, 0xa0, 1, 0x800 << 8, 0);
    go_on_elsewhere(f);
    send_packet(f, read10);
    for (; wait_idle(f) & DRQ; go_on_elsewhere(f)) {
        assert_true(got + 2048 <= sizeof(page));
        read_data(f, page + got, 1000);
        go_on_elsewhere(f);
        read_data(f, page + got + 1000, 1048);
        got += 2048;
    }
    assert_int_equal(got, 6144);
    assert_int_equal(page[0], 9);
    assert_int_equal(page[6143], 20);
    for (unsigned early = 0; early < 2; early++) {
        set_prd(f, 0, DATA, 6144, true);
        memset(f->fake->ram + DATA, 0, 6144);
        fake_out(f->fake, BM, 1, 0);
        fake_out(f->fake, BM + 4, 4, TABLE);
        fake_out(f->fake, BM + 2, 1, 6);
        fake_out(f->fake, 0x1f6, 1, 0xf0);
        fake_out(f->fake, 0x1f1, 1, 1);
        command(f, 0xa0, 1, 0, 0);
        if (early)
            fake_out(f->fake, BM, 1, 9);
        send_packet(f, read10);
        if (!early)
            fake_out(f->fake, BM, 1, 9);
        go_on_elsewhere(f);
        for (unsigned i = 0; !(fake_in(f->fake, BM + 2, 1) & 6); i++) {
            assert_true(i < 100000);
            g_usleep(50);
        }
        assert_int_equal(wait_idle(f) & (DRQ | ERR), 0);
        assert_int_equal(f->fake->ram[DATA], 9);
        assert_int_equal(f->fake->ram[DATA + 6143], 20);
        fake_out(f->fake, BM, 1, 0);
        go_on_elsewhere(f);
    }

    command(f, 0x30, 0, 60, 2);
    for (unsigned i = 0; i < 2; i++) {
        go_on_elsewhere(f);
        assert_int_equal(wait_idle(f) & (DRQ | ERR), DRQ);
        for (unsigned w = 0; w < 128; w++) {
            fake_out(f->fake, 0x1f0, 4, 0x01010101u * (0x31 + i));
            if (w == 77)
                go_on_elsewhere(f);
        }
    }
    go_on_elsewhere(f);
    assert_int_equal(wait_idle(f) & (DRQ | ERR), 0);
    assert_int_equal(pread(f->disk, page, 1024, 60 * 512), 1024);
    assert_int_equal(page[0], 0x31);
    assert_int_equal(page[511], 0x31);
    assert_int_equal(page[512], 0x32);
    assert_int_equal(page[1023], 0x32);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_signatures), TEST(test_pio),    TEST(test_fifo_index),      TEST(test_dma),
        TEST(test_bad_tables), TEST(test_packet), TEST(test_reset_in_flight), TEST(test_save),
        TEST(test_save_anywhere),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
