/* test_hw_isa.c - 16550A, real-time clock, fw_cfg, small ports.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "hw/char/chardev.h"
#include "hw/core/bytes.h"
#include "hw/isa/fw_cfg.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { COM1 = 0x3f8, IRQ4 = 4, IRQ8 = 8 };

/* A chardev over a socket pair; *ret_peer is the other end. */
static void
add_socket_chardev(FakeMachine *fake, const char *id, int *ret_peer)
{
    g_autoptr(GHashTable) props = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    g_autoptr(GError) err = NULL;
    Chardev *chardev;
    int pair[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
    g_hash_table_insert(props, (char *)"id", g_strdup(id));
    g_hash_table_insert(props, (char *)"backend", g_strdup("socket"));
    g_hash_table_insert(props, (char *)"fd", g_strdup_printf("%d", pair[0]));
    chardev = chardev_new(fake->machine, props, &err);
    assert_non_null(chardev);
    assert_true(machine_object_add(fake->machine, OBJECT_CHARDEV, id, chardev,
                                   (GDestroyNotify)chardev_free, &err));
    *ret_peer = pair[1];
}

static FakeMachine *
serial_machine(int *ret_peer)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);

    add_socket_chardev(fake, "c", ret_peer);
    fake_device(fake, "isa-serial", "chardev", "c", "id", "serial0", NULL);
    fake_iterate(fake);
    return fake;
}

static uint8_t
com_in(FakeMachine *fake, unsigned reg)
{
    return (uint8_t)fake_in(fake, (uint16_t)(COM1 + reg), 1);
}

static void
com_out(FakeMachine *fake, unsigned reg, uint8_t value)
{
    fake_out(fake, (uint16_t)(COM1 + reg), 1, value);
}

static void
test_serial_output(void **state)
{
    int peer;
    FakeMachine *fake = serial_machine(&peer);
    char buf[16] = "";

    (void)state;
    assert_int_equal(com_in(fake, 5), 0x60);
    for (const char *p = "hello"; *p; p++) {
        com_out(fake, 0, (uint8_t)*p);
        assert_int_equal(com_in(fake, 5), 0x60);
    }
    fake_iterate(fake);
    assert_int_equal(read(peer, buf, sizeof(buf)), 5);
    assert_string_equal(buf, "hello");
    close(peer);
    fake_machine_free(fake);
}

static void
test_serial_registers(void **state)
{
    int peer;
    FakeMachine *fake = serial_machine(&peer);

    (void)state;
    /* what a driver does to tell a 16550A from its ancestors */
    com_out(fake, 1, 0xff);
    assert_int_equal(com_in(fake, 1), 0x0f);
    com_out(fake, 1, 0);
    com_out(fake, 7, 0x5a);
    assert_int_equal(com_in(fake, 7), 0x5a);
    assert_int_equal(com_in(fake, 2), 0x01);
    com_out(fake, 2, 0x01);
    assert_int_equal(com_in(fake, 2), 0xc1);
    com_out(fake, 4, 0x1a);
    assert_int_equal(com_in(fake, 6) & 0xf0, 0x90);
    com_out(fake, 4, 0xff);
    assert_int_equal(com_in(fake, 4), 0x1f);
    com_out(fake, 4, 0);
    /* divisor latch */
    com_out(fake, 3, 0x83);
    com_out(fake, 0, 0x34);
    com_out(fake, 1, 0x12);
    assert_int_equal(com_in(fake, 0), 0x34);
    assert_int_equal(com_in(fake, 1), 0x12);
    com_out(fake, 3, 0x03);
    assert_int_equal(com_in(fake, 1), 0);
    /* a word access is two byte accesses */
    com_in(fake, 6);
    assert_int_equal(fake_in(fake, COM1 + 6, 2), 0x5ab0);
    close(peer);
    fake_machine_free(fake);
}

static void
test_serial_interrupts(void **state)
{
    int peer;
    FakeMachine *fake = serial_machine(&peer);

    (void)state;
    /* enabling the transmitter's interrupt raises it; reading its cause clears it; again after a
     * byte */
    com_out(fake, 1, 0x02);
    assert_true(fake->gsi[IRQ4]);
    assert_int_equal(com_in(fake, 2), 0x02);
    assert_false(fake->gsi[IRQ4]);
    assert_int_equal(com_in(fake, 2), 0x01);
    com_out(fake, 0, 'x');
    assert_true(fake->gsi[IRQ4]);
    com_out(fake, 1, 0x00);
    assert_false(fake->gsi[IRQ4]);
    com_out(fake, 1, 0x02);
    assert_true(fake->gsi[IRQ4]);
    com_out(fake, 1, 0x00);

    /* received data: trigger level 14, the time-out below it */
    com_out(fake, 2, 0xc1);
    com_out(fake, 1, 0x01);
    assert_int_equal(write(peer, "ab", 2), 2);
    fake_iterate(fake);
    assert_true(fake->gsi[IRQ4]);
    assert_int_equal(com_in(fake, 2), 0xcc);
    assert_int_equal(com_in(fake, 5) & 1, 1);
    assert_int_equal(com_in(fake, 0), 'a');
    assert_true(fake->gsi[IRQ4]);
    assert_int_equal(com_in(fake, 0), 'b');
    assert_false(fake->gsi[IRQ4]);
    assert_int_equal(com_in(fake, 5) & 1, 0);

    /* more than the FIFO holds waits outside and nothing is lost */
    assert_int_equal(write(peer, "0123456789abcdefghijklmnopqrstuvwxyz", 36), 36);
    fake_iterate(fake);
    assert_int_equal(com_in(fake, 2), 0xc4);
    for (const char *p = "0123456789abcdefghijklmnopqrstuvwxyz"; *p; p++) {
        if (!(com_in(fake, 5) & 1))
            fake_iterate(fake);
        assert_int_equal(com_in(fake, 5) & 3, 1);
        assert_int_equal(com_in(fake, 0), *p);
    }
    /* a break: a character of nothing, and the line status says what it was */
    com_out(fake, 1, 0x04);
    chardev_send_break(machine_object_find(fake->machine, OBJECT_CHARDEV, "c"));
    assert_int_equal(com_in(fake, 2), 0xc6);
    assert_int_equal(com_in(fake, 5) & 0x1f, 0x11);
    assert_false(fake->gsi[IRQ4]);
    assert_int_equal(com_in(fake, 0), 0);
    com_out(fake, 1, 0x01);
    /* clearing the FIFO drops what is in it */
    assert_int_equal(write(peer, "zzz", 3), 3);
    fake_iterate(fake);
    com_out(fake, 2, 0xc3);
    assert_int_equal(com_in(fake, 5) & 1, 0);
    assert_false(fake->gsi[IRQ4]);
    close(peer);
    fake_machine_free(fake);
}

static void
test_serial_loopback(void **state)
{
    int peer;
    FakeMachine *fake = serial_machine(&peer);
    char buf[4];

    (void)state;
    com_out(fake, 4, 0x10);
    com_in(fake, 6);
    com_out(fake, 0, 'q');
    assert_int_equal(com_in(fake, 5) & 1, 1);
    assert_int_equal(com_in(fake, 0), 'q');
    /* one byte deep without the FIFO: the second is an overrun, reported once */
    com_out(fake, 0, '1');
    com_out(fake, 0, '2');
    assert_int_equal(com_in(fake, 5) & 2, 2);
    assert_int_equal(com_in(fake, 5) & 2, 0);
    assert_int_equal(com_in(fake, 0), '1');
    /* modem lines follow, with their deltas */
    com_out(fake, 4, 0x12);
    assert_int_equal(com_in(fake, 6), 0x11);
    assert_int_equal(com_in(fake, 6), 0x10);
    com_out(fake, 4, 0x14);
    assert_int_equal(com_in(fake, 6), 0x41);
    com_out(fake, 4, 0x10);
    assert_int_equal(com_in(fake, 6), 0x04);
    fake_iterate(fake);
    assert_int_equal(read(peer, buf, sizeof(buf)), -1);
    close(peer);
    fake_machine_free(fake);
}

/* A reader that does not read: the transmitter stays busy and no byte is lost. */
static void
test_serial_back_pressure(void **state)
{
    int peer;
    FakeMachine *fake = serial_machine(&peer);
    unsigned sent = 0, got = 0;
    uint8_t buf[4096];
    ssize_t n;

    (void)state;
    com_out(fake, 2, 0x01);
    while ((com_in(fake, 5) & 0x20) && sent < 4 << 20) {
        com_out(fake, 0, (uint8_t)sent++);
        if (sent % 1000 == 0)
            fake_iterate(fake);
    }
    assert_in_range(sent, 65536, (4 << 20) - 1);
    fake_iterate(fake);
    com_out(fake, 1, 0x02);
    assert_false(fake->gsi[IRQ4]);
    while (got < sent) {
        n = read(peer, buf, sizeof(buf));
        for (ssize_t i = 0; i < n; i++, got++)
            assert_int_equal(buf[i], got & 0xff);
        fake_iterate(fake);
    }
    assert_int_equal(got, sent);
    assert_int_equal(com_in(fake, 5), 0x60);
    assert_true(fake->gsi[IRQ4]);
    close(peer);
    fake_machine_free(fake);
}

static void
test_serial_ports(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);
    int peers[5];

    (void)state;
    for (int i = 0; i < 5; i++) {
        char id[8];

        g_snprintf(id, sizeof(id), "c%d", i);
        add_socket_chardev(fake, id, &peers[i]);
    }
    fake_device(fake, "isa-serial", "chardev", "c0", "index", "1", NULL);
    fake_device(fake, "isa-serial", "chardev", "c1", NULL);
    fake_device_refused(fake, "serial port 1 is there", "isa-serial", "chardev", "c2", "index", "1",
                        NULL);
    fake_device_refused(fake, "not 4", "isa-serial", "chardev", "c2", "index", "4", NULL);
    fake_device_refused(fake, "in use by device 'isa-serial", "isa-serial", "chardev", "c0", NULL);
    fake_device(fake, "isa-serial", "chardev", "c2", NULL);
    fake_device(fake, "isa-serial", "chardev", "c3", NULL);
    fake_device_refused(fake, "serial ports 0 to 3", "isa-serial", "chardev", "c4", NULL);
    assert_int_equal(fake_in(fake, 0x3f8 + 5, 1), 0x60);
    assert_int_equal(fake_in(fake, 0x2f8 + 5, 1), 0x60);
    assert_int_equal(fake_in(fake, 0x2e8 + 5, 1), 0x60);
    for (int i = 0; i < 5; i++)
        close(peers[i]);
    fake_machine_free(fake);
}

static uint8_t
cmos_in(FakeMachine *fake, uint8_t at)
{
    fake_out(fake, 0x70, 1, at);
    return (uint8_t)fake_in(fake, 0x71, 1);
}

static void
cmos_out(FakeMachine *fake, uint8_t at, uint8_t value)
{
    fake_out(fake, 0x70, 1, at);
    fake_out(fake, 0x71, 1, value);
}

static void
test_rtc_time(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);

    (void)state;
    /* 1700000000 is 2023-11-14 22:13:20 UTC, a Tuesday */
    assert_int_equal(cmos_in(fake, 0), 0x20);
    assert_int_equal(cmos_in(fake, 2), 0x13);
    assert_int_equal(cmos_in(fake, 4), 0x22);
    assert_int_equal(cmos_in(fake, 6), 0x03);
    assert_int_equal(cmos_in(fake, 7), 0x14);
    assert_int_equal(cmos_in(fake, 8), 0x11);
    assert_int_equal(cmos_in(fake, 9), 0x23);
    assert_int_equal(cmos_in(fake, 0x32), 0x20);
    assert_int_equal(cmos_in(fake, 13), 0x80);
    /* binary, twelve hours */
    cmos_out(fake, 11, 0x04);
    assert_int_equal(cmos_in(fake, 4), 0x80 | 10);
    assert_int_equal(cmos_in(fake, 9), 23);
    cmos_out(fake, 11, 0x02);
    /* set it, as a driver does: halt, write, go on */
    cmos_out(fake, 11, 0x82);
    cmos_out(fake, 0, 0x58);
    cmos_out(fake, 2, 0x59);
    cmos_out(fake, 4, 0x23);
    cmos_out(fake, 7, 0x31);
    cmos_out(fake, 8, 0x12);
    cmos_out(fake, 9, 0x99);
    cmos_out(fake, 0x32, 0x19);
    fake_advance(fake, INT64_C(5000000000));
    assert_int_equal(cmos_in(fake, 0), 0x58);
    cmos_out(fake, 11, 0x02);
    assert_int_equal(fake->qmp->len, 1);
    assert_string_equal(g_ptr_array_index(fake->qmp, 0), "RTC_CHANGE");
    fake_advance(fake, INT64_C(3000000000));
    assert_int_equal(cmos_in(fake, 0), 0x01);
    assert_int_equal(cmos_in(fake, 9), 0x00);
    assert_int_equal(cmos_in(fake, 0x32), 0x20);
    /* update in progress in the last 244 microseconds of a second only */
    assert_int_equal(cmos_in(fake, 10) & 0x80, 0);
    fake_advance(fake, 999900000);
    assert_int_equal(cmos_in(fake, 10) & 0x80, 0x80);
    /* nonsense in every register neither crashes nor stops the clock */
    for (unsigned i = 0; i < 256; i++) {
        for (uint8_t reg = 0; reg < 10; reg++)
            cmos_out(fake, reg, (uint8_t)i);
        cmos_out(fake, 0x32, (uint8_t)i);
        cmos_in(fake, 0);
    }
    fake_machine_free(fake);
}

static void
test_rtc_interrupts(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);
    unsigned before;

    (void)state;
    machine_set_running(fake->machine, true);
    /* update-ended */
    cmos_out(fake, 11, 0x12);
    fake_advance(fake, 500000000);
    assert_false(fake->gsi[IRQ8]);
    fake_advance(fake, 600000000);
    assert_true(fake->gsi[IRQ8]);
    assert_int_equal(cmos_in(fake, 12) & 0x90, 0x90);
    assert_false(fake->gsi[IRQ8]);
    assert_int_equal(cmos_in(fake, 12), 0);
    /* alarm at second 30 of any minute; it is now 22:13:21 */
    cmos_out(fake, 1, 0x30);
    cmos_out(fake, 3, 0xff);
    cmos_out(fake, 5, 0xff);
    cmos_out(fake, 11, 0x22);
    for (int i = 0; i < 8; i++)
        fake_advance(fake, 1000000000);
    assert_false(fake->gsi[IRQ8]);
    fake_advance(fake, 1000000000);
    assert_true(fake->gsi[IRQ8]);
    assert_int_equal(cmos_in(fake, 12) & 0xa0, 0xa0);
    /* periodic, 1024 Hz */
    cmos_out(fake, 10, 0x26);
    cmos_out(fake, 11, 0x42);
    before = fake->gsi_edges[IRQ8];
    for (int i = 0; i < 10; i++) {
        fake_advance(fake, 1000000);
        assert_int_equal(cmos_in(fake, 12) & 0xc0, 0xc0);
    }
    assert_int_equal(fake->gsi_edges[IRQ8] - before, 10);
    /* a pause stops them */
    machine_set_running(fake->machine, false);
    fake_advance(fake, 1000000);
    assert_false(fake->gsi[IRQ8]);
    machine_set_running(fake->machine, true);
    fake_advance(fake, 0);
    assert_true(fake->gsi[IRQ8]);
    fake_machine_free(fake);
}

static void
test_rtc_memory(void **state)
{
    MachineCpu cpus[3] = { { .present = true },
                           { .apic_id = 1, .present = true },
                           { .apic_id = 2, .present = true } };
    MachineConfig config = { .ram_below_4g = UINT64_C(2) << 30,
                             .ram_above_4g = UINT64_C(3) << 30,
                             .cpus = cpus,
                             .n_cpus = 3,
                             .max_cpus = 3,
                             .rtc_base = RTC_BASE_TIME,
                             .rtc_seconds = 86399 };
    FakeMachine *fake = fake_machine_new(64 << 20, &config);
    g_autoptr(GError) err = NULL;

    (void)state;
    assert_non_null(device_new_board(fake->machine, "mc146818rtc", &err, NULL));
    assert_int_equal(cmos_in(fake, 0x34) | cmos_in(fake, 0x35) << 8, (2048 - 16) * 16);
    assert_int_equal(cmos_in(fake, 0x5b) | cmos_in(fake, 0x5c) << 8 | cmos_in(fake, 0x5d) << 16,
                     3072 * 16);
    assert_int_equal(cmos_in(fake, 0x5f), 2);
    assert_int_equal(cmos_in(fake, 4), 0x23);
    assert_int_equal(cmos_in(fake, 9), 0x70);
    fake_machine_free(fake);
}

static uint64_t
fw_read(FakeMachine *fake, unsigned n)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < n; i++)
        value |= fake_in(fake, 0x511, 1) << (8 * i);
    return value;
}

static void
fw_dma(FakeMachine *fake, uint32_t control, uint32_t length, uint64_t address)
{
    uint8_t *request = fake->ram + 0x1000;

    bytes_store(request, GUINT32_SWAP_LE_BE(control), 4);
    bytes_store(request + 4, GUINT32_SWAP_LE_BE(length), 4);
    bytes_store(request + 8, GUINT64_SWAP_LE_BE(address), 8);
    fake_out(fake, 0x514, 4, 0);
    fake_out(fake, 0x518, 4, GUINT32_SWAP_LE_BE(0x1000u));
}

static uint32_t
fw_dma_result(FakeMachine *fake)
{
    return GUINT32_SWAP_LE_BE(bytes_load32(fake->ram + 0x1000));
}

static void
test_fw_cfg(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);
    g_autoptr(GError) err = NULL;

    (void)state;
    fake_out(fake, 0x510, 2, 0);
    assert_int_equal(fw_read(fake, 4), 0x554d4551);
    assert_int_equal(fw_read(fake, 4), 0);
    fake_out(fake, 0x510, 2, 1);
    assert_int_equal(fw_read(fake, 4), 3);
    fake_out(fake, 0x510, 2, 5);
    assert_int_equal(fw_read(fake, 2), 1);
    fake_out(fake, 0x510, 2, 0x7777);
    assert_int_equal(fw_read(fake, 4), 0);
    assert_int_equal(fake_in(fake, 0x514, 4), 0x554d4551);
    assert_int_equal(fake_in(fake, 0x518, 4), 0x47464320);

    /* files: sorted, big-endian directory */
    assert_true(fw_cfg_add_file(fake->machine->fw_cfg, "opt/zz", "data", 4, &err));
    assert_true(fw_cfg_add_file(fake->machine->fw_cfg, "bootorder", "abc", 3, &err));
    assert_false(fw_cfg_add_file(fake->machine->fw_cfg, "bootorder", "abc", 3, &err));
    assert_true(fw_cfg_set_file(fake->machine->fw_cfg, "bootorder", "12345", 5, NULL));
    assert_false(fw_cfg_add_file(fake->machine->fw_cfg, "", "", 0, NULL));
    assert_false(fw_cfg_add_file(fake->machine->fw_cfg,
                                 "a-name-that-is-longer-than-the-directory-has-room-for-it", "", 0,
                                 NULL));
    fw_dma(fake, 0x19 << 16 | 8 | 2, 4 + 3 * 64, 0x2000);
    assert_int_equal(fw_dma_result(fake), 0);
    assert_int_equal(GUINT32_SWAP_LE_BE(bytes_load32(fake->ram + 0x2000)), 3);
    assert_string_equal((char *)fake->ram + 0x2004 + 8, "bootorder");
    assert_int_equal(GUINT32_SWAP_LE_BE(bytes_load32(fake->ram + 0x2004)), 5);
    assert_string_equal((char *)fake->ram + 0x2004 + 64 + 8, "etc/e820");
    assert_string_equal((char *)fake->ram + 0x2004 + 128 + 8, "opt/zz");

    /* read past the end pads with zeroes; skip; errors */
    memset(fake->ram + 0x3000, 0xaa, 16);
    fw_dma(fake, (uint32_t)(fake->ram[0x2004 + 4] << 8 | fake->ram[0x2004 + 5]) << 16 | 8 | 4, 2,
           0);
    assert_int_equal(fw_dma_result(fake), 0);
    fw_dma(fake, 2, 8, 0x3000);
    assert_memory_equal(fake->ram + 0x3000, "345\0\0\0\0\0\xaa", 9);
    fw_dma(fake, 0 << 16 | 8 | 2, 4, UINT64_C(1) << 40);
    assert_int_equal(fw_dma_result(fake), 1);
    fw_dma(fake, 0 << 16 | 8 | 2, UINT32_MAX, 0x3000);
    assert_int_equal(fw_dma_result(fake), 1);
    fw_dma(fake, 16, 4, 0x3000);
    assert_int_equal(fw_dma_result(fake), 1);
    /* a request outside of RAM is dropped */
    fake_out(fake, 0x514, 4, 0xffffffff);
    fake_out(fake, 0x518, 4, 0xffffffff);
    fake_machine_free(fake);
}

static void
test_small_ports(void **state)
{
    FakeMachine *fake = fake_machine_new_q35(64 << 20);

    (void)state;
    fake_device(fake, "isa-debug-exit", NULL);
    fake_out(fake, 0xf4, 4, 5);
    assert_int_equal(g_array_index(fake->requests, MachineRequest, 0), MACHINE_DEBUG_EXIT);
    assert_int_equal(fake->last_value, 11);
    fake_out(fake, 0x92, 1, 2);
    assert_int_equal(fake->requests->len, 1);
    fake_out(fake, 0x92, 1, 3);
    assert_int_equal(g_array_index(fake->requests, MachineRequest, 1), MACHINE_RESET);
    fake_out(fake, 0x80, 1, 0x55);
    assert_int_equal(fake_in(fake, 0x66, 1), 0xff);
    fake_machine_free(fake);
}

static bool
peer_has(void *opaque)
{
    char byte;

    return recv(*(int *)opaque, &byte, 1, MSG_PEEK) == 1;
}

/* What is strobed is printed and acknowledged; a printer whose paper goes nowhere is busy. */
static void
test_parallel(void **state)
{
    enum { LPT1 = 0x378, IRQ7 = 7, FULL = 64 << 10 };
    FakeMachine *fake = fake_machine_new_q35(64 << 20);
    g_autoptr(GByteArray) stream = g_byte_array_new();
    static uint8_t byte;
    unsigned n = 0;
    int peer, other;

    (void)state;
    add_socket_chardev(fake, "c", &peer);
    fake_device(fake, "isa-parallel", "chardev", "c", "id", "lpt", NULL);
    fake_iterate(fake);
    assert_int_equal(fake_in(fake, LPT1 + 2, 1), 0xcc);
    fake_out(fake, LPT1, 1, 0x5a);
    assert_int_equal(fake_in(fake, LPT1, 1), 0x5a);
    fake_out(fake, LPT1 + 2, 1, 0x1d);
    assert_false(fake->gsi[IRQ7]);
    fake_out(fake, LPT1 + 2, 1, 0x1c);
    assert_true(fake->gsi[IRQ7]);
    assert_int_equal(fake_in(fake, LPT1 + 1, 1), 0xde);
    assert_false(fake->gsi[IRQ7]);
    fake_wait(fake, peer_has, &peer);
    assert_int_equal(read(peer, &byte, 1), 1);
    assert_int_equal(byte, 0x5a);
    fake_out(fake, LPT1 + 2, 1, 0x2c); /* as input: nobody drives it, and nothing is printed */
    assert_int_equal(fake_in(fake, LPT1, 1), 0xff);
    fake_out(fake, LPT1 + 2, 1, 0x0c);
    /* nobody reads: in the end it is busy, and that is saved */
    while (fake_in(fake, LPT1 + 1, 1) & 0x80 && n < 16 * FULL) {
        fake_out(fake, LPT1, 1, n++ & 0xff);
        fake_out(fake, LPT1 + 2, 1, 0x1d);
        fake_out(fake, LPT1 + 2, 1, 0x1c);
    }
    assert_in_range(n, FULL, 16 * FULL - 1);
    assert_true(machine_save(fake->machine, stream, NULL));
    machine_reset(fake->machine);
    assert_true(fake_in(fake, LPT1 + 1, 1) & 0x80);
    assert_true(machine_load(fake->machine, stream->data, stream->len, NULL));
    for (unsigned i = 0; i < n; i++) {
        fake_wait(fake, peer_has, &peer);
        assert_int_equal(read(peer, &byte, 1), 1);
        assert_int_equal(byte, i & 0xff);
    }
    assert_int_equal(fake_in(fake, LPT1 + 1, 1), 0xde);
    add_socket_chardev(fake, "d", &other);
    fake_device_refused(fake, "parallel ports 0 to 2", "isa-parallel", "chardev", "d", "index", "3",
                        NULL);
    close(other);
    close(peer);
    fake_machine_free(fake);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parallel),         cmocka_unit_test(test_serial_output),
        cmocka_unit_test(test_serial_registers), cmocka_unit_test(test_serial_interrupts),
        cmocka_unit_test(test_serial_loopback),  cmocka_unit_test(test_serial_back_pressure),
        cmocka_unit_test(test_serial_ports),     cmocka_unit_test(test_rtc_time),
        cmocka_unit_test(test_rtc_interrupts),   cmocka_unit_test(test_rtc_memory),
        cmocka_unit_test(test_fw_cfg),           cmocka_unit_test(test_small_ports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
