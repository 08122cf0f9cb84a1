/* test_hw_virtio_scsi.c - the virtio SCSI host, and through it the commands of disks and CDs.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "hw/block/drive.h"
#include "tests/unit/hw/fake_disk.h"
#include "tests/unit/hw/virtio_driver.h"

enum { RAM = 16 << 20, DISK = 1 << 20, HEAD = 19 + 32, TAIL = 12 + 96, ROOM = 64 << 10 };

typedef struct {
    FakeMachine *fake;
    VirtioDriver drv;
    int disk, cd;
    Device *hd, *cdrom;
    uint64_t head, tail, data;
    uint8_t status, response, key, asc;
} Fixture;

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    Device *hba;

    f->fake = fake_machine_new_q35(RAM);
    f->disk = fake_disk(f->fake, "d", DISK, false);
    f->cd = fake_disk(f->fake, "c", DISK, true);
    hba = fake_device(f->fake, "virtio-scsi-pci", "id", "s", NULL);
    f->hd = fake_device(f->fake, "scsi-hd", "bus", "s.0", "drive", "d", "serial", "S123", "id",
                        "hd", "werror", "stop", NULL);
    f->cdrom = fake_device(f->fake, "scsi-cd", "bus", "s.0", "scsi-id", "1", "drive", "c", NULL);
    virtio_driver_init(&f->drv, f->fake, hba);
    virtio_driver_start(&f->drv, VIRTIO_F(1) | VIRTIO_F(2), 3, 64);
    f->head = virtio_driver_alloc(&f->drv, HEAD);
    f->tail = virtio_driver_alloc(&f->drv, TAIL);
    f->data = virtio_driver_alloc(&f->drv, ROOM);
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

/* Runs a command with @len bytes of data; true when it was good. */
static bool
run(Fixture *f, unsigned target, const uint8_t *cdb, size_t cdb_len, uint32_t len, bool in)
{
    uint8_t *head = virtio_driver_memory(&f->drv, f->head);
    uint8_t *tail = virtio_driver_memory(&f->drv, f->tail);
    DriverBuffer buffers[3];
    unsigned n = 0;

    memset(head, 0, HEAD);
    memset(tail, 0xee, TAIL);
    head[0] = 1;
    head[1] = (uint8_t)target;
    head[2] = 0x40;
    memcpy(head + 19, cdb, cdb_len);
    buffers[n++] = (DriverBuffer){ f->head, HEAD, false };
    if (len && !in)
        buffers[n++] = (DriverBuffer){ f->data, len, false };
    buffers[n++] = (DriverBuffer){ f->tail, TAIL, true };
    if (len && in)
        buffers[n++] = (DriverBuffer){ f->data, len, true };
    virtio_driver_add(&f->drv, &f->drv.q[2], buffers, n, false);
    virtio_driver_wait(&f->drv, &f->drv.q[2], NULL);
    f->status = tail[10];
    f->response = tail[11];
    f->key = tail[12 + 2];
    f->asc = tail[12 + 12];
    return f->response == 0 && f->status == 0;
}

#define RUN(f, target, len, in, ...)                                                               \
    run(f, target, (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }),     \
        len, in)

static uint8_t *
data(Fixture *f)
{
    return virtio_driver_memory(&f->drv, f->data);
}

static void
test_identity(void **state)
{
    Fixture *f = *state;

    assert_true(RUN(f, 0, 36, true, 0x12, 0, 0, 0, 36));
    assert_memory_equal(data(f) + 8, "KILN    KILN HARDDISK   ", 24);
    assert_true(RUN(f, 1, 36, true, 0x12, 0, 0, 0, 36));
    assert_int_equal(data(f)[0], 5);
    assert_true(RUN(f, 0, 255, true, 0x12, 1, 0x80, 0, 255));
    assert_memory_equal(data(f) + 4, "S123", 4);
    assert_true(RUN(f, 0, 255, true, 0x12, 1, 0xb0, 0, 255));
    assert_true(RUN(f, 0, 64, true, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64));
    assert_int_equal(data(f)[3], 8);
    assert_false(RUN(f, 2, 36, true, 0x12, 0, 0, 0, 36));
    assert_int_equal(f->response, 3); /* bad target */
}

static void
test_attention(void **state)
{
    Fixture *f = *state;

    assert_false(RUN(f, 0, 0, true, 0x00));
    assert_int_equal(f->key, 6);
    assert_int_equal(f->asc, 0x29);
    assert_true(RUN(f, 0, 0, true, 0x00));
}

static void
test_read_write(void **state)
{
    Fixture *f = *state;
    uint8_t sector[512];

    RUN(f, 0, 0, true, 0x00);
    assert_true(RUN(f, 0, 8, true, 0x25));
    assert_int_equal(data(f)[2] << 8 | data(f)[3], DISK / 512 - 1);
    assert_true(RUN(f, 0, 32, true, 0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32));
    assert_true(RUN(f, 0, 1024, true, 0x28, 0, 0, 0, 0, 4, 0, 0, 2));
    assert_int_equal(data(f)[0], 5);
    assert_int_equal(data(f)[1023], 6);
    memset(data(f), 0x5c, 512);
    assert_true(RUN(f, 0, 512, false, 0x2a, 8, 0, 0, 0, 9, 0, 0, 1));
    assert_int_equal(pread(f->disk, sector, 512, 9 * 512), 512);
    assert_int_equal(sector[511], 0x5c);
    assert_true(RUN(f, 0, 0, true, 0x35));
    assert_false(RUN(f, 0, 512, true, 0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1));
    assert_int_equal(f->asc, 0x21);
    assert_false(RUN(f, 0, 512, true, 0x28, 0, 0, 0, 0, 0, 0, 0, 2));
    assert_int_equal(f->response, 1); /* overrun */
    assert_false(RUN(f, 0, 512, true, 0x5e));
    assert_int_equal(f->asc, 0x20);
}

static void
test_unmap_same(void **state)
{
    Fixture *f = *state;
    uint8_t sector[512];
    static const uint8_t list[24] = {
        0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 8
    };

    RUN(f, 0, 0, true, 0x00);
    memcpy(data(f), list, 24);
    assert_true(RUN(f, 0, 24, false, 0x42, 0, 0, 0, 0, 0, 0, 0, 24));
    assert_int_equal(pread(f->disk, sector, 512, 16 * 512), 512);
    assert_int_equal(sector[0], 0);
    data(f)[3] = 200; /* more descriptors than were sent */
    assert_false(RUN(f, 0, 24, false, 0x42, 0, 0, 0, 0, 0, 0, 0, 24));
    memset(data(f), 0x3d, 512);
    assert_true(RUN(f, 0, 512, false, 0x41, 0, 0, 0, 0, 100, 0, 7, 0));
    assert_int_equal(pread(f->disk, sector, 512, (100 + 1791) * 512), 512);
    assert_int_equal(sector[5], 0x3d);
}

static void
test_mode(void **state)
{
    Fixture *f = *state;
    uint8_t list[24];

    RUN(f, 0, 0, true, 0x00);
    assert_true(RUN(f, 0, 255, true, 0x1a, 8, 0x08, 0, 255));
    assert_int_equal(data(f)[4 + 2] & 4, 4);
    memcpy(list, data(f), 24);
    list[0] = list[2] = 0;
    list[4 + 2] &= (uint8_t)~4;
    memcpy(data(f), list, 24);
    assert_true(RUN(f, 0, 24, false, 0x15, 0x10, 0, 0, 24));
    assert_false(drive_writeback(drive_of(f->hd)));
    list[4 + 3] = 0x77;
    memcpy(data(f), list, 24);
    assert_false(RUN(f, 0, 24, false, 0x15, 0x10, 0, 0, 24));
    assert_int_equal(f->asc, 0x26);
    assert_true(RUN(f, 0, 255, true, 0x1a, 0, 0x3f, 0, 255));
}

static void
test_cdrom(void **state)
{
    Fixture *f = *state;
    Drive *drive = drive_of(f->cdrom);
    g_autoptr(GError) err = NULL;
    bool asked = false;

    RUN(f, 1, 0, true, 0x00);
    assert_true(RUN(f, 1, 4096, true, 0x28, 0, 0, 0, 0, 1, 0, 0, 2));
    assert_int_equal(data(f)[0], 5);
    assert_true(RUN(f, 1, 20, true, 0x43, 0, 0, 0, 0, 0, 0, 0, 20));
    assert_int_equal(data(f)[14], 0xaa);
    assert_true(RUN(f, 1, 128, true, 0x46, 0, 0, 0, 0, 0, 0, 0, 128));
    assert_true(RUN(f, 1, 34, true, 0x51, 0, 0, 0, 0, 0, 0, 0, 34));
    assert_true(RUN(f, 1, 8, true, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8));
    /* locked: the guest is asked, and opens by itself */
    assert_true(RUN(f, 1, 0, true, 0x1e, 0, 0, 0, 1));
    assert_false(drive_move_tray(drive, true, false, &asked, &err));
    assert_true(asked);
    assert_true(RUN(f, 1, 8, true, 0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8));
    assert_int_equal(data(f)[4], 1);
    assert_false(RUN(f, 1, 0, true, 0x1b, 0, 0, 0, 2));
    assert_int_equal(f->asc, 0x53);
    assert_true(RUN(f, 1, 0, true, 0x1e, 0, 0, 0, 0));
    assert_true(RUN(f, 1, 0, true, 0x1b, 0, 0, 0, 2));
    assert_false(RUN(f, 1, 0, true, 0x00));
    assert_int_equal(f->asc, 0x3a);
    assert_true(RUN(f, 1, 0, true, 0x1b, 0, 0, 0, 3));
    assert_false(RUN(f, 1, 0, true, 0x00));
    assert_int_equal(f->asc, 0x28);
    assert_true(RUN(f, 1, 0, true, 0x00));
}

static void
test_management(void **state)
{
    Fixture *f = *state;
    uint64_t head = virtio_driver_alloc(&f->drv, 24), tail = virtio_driver_alloc(&f->drv, 1);
    uint8_t *in = virtio_driver_memory(&f->drv, head), *out = virtio_driver_memory(&f->drv, tail);
    DriverBuffer buffers[] = { { head, 24, false }, { tail, 1, true } };

    in[4] = 5; /* logical unit reset */
    in[8] = 1;
    virtio_driver_add(&f->drv, &f->drv.q[0], buffers, 2, false);
    virtio_driver_wait(&f->drv, &f->drv.q[0], NULL);
    assert_int_equal(*out, 0);
    in[9] = 77;
    virtio_driver_add(&f->drv, &f->drv.q[0], buffers, 2, false);
    virtio_driver_wait(&f->drv, &f->drv.q[0], NULL);
    assert_int_equal(*out, 3);
}

/* As QMP's device_add and device_del do it. */
static void
test_hotplug(void **state)
{
    Fixture *f = *state;
    uint64_t at = virtio_driver_alloc(&f->drv, 16);
    const uint8_t *event = virtio_driver_memory(&f->drv, at);
    DriverBuffer buffer = { at, 16, true };
    int fd = fake_disk(f->fake, "n", DISK, false);
    g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GError) err = NULL;
    Device *dev;

    g_hash_table_insert(props, (char *)"id", (char *)"new");
    g_hash_table_insert(props, (char *)"bus", (char *)"s.0");
    g_hash_table_insert(props, (char *)"scsi-id", (char *)"9");
    g_hash_table_insert(props, (char *)"drive", (char *)"n");
    virtio_driver_add(&f->drv, &f->drv.q[1], &buffer, 1, false);
    dev = device_plug(f->fake->machine, "scsi-hd", props, &err);
    if (!dev)
        fail_msg("%s", err->message);
    virtio_driver_wait(&f->drv, &f->drv.q[1], NULL);
    assert_int_equal(event[0], 1);
    assert_int_equal(event[5], 9);
    assert_int_equal(event[12], 1);
    virtio_driver_add(&f->drv, &f->drv.q[1], &buffer, 1, false);
    assert_true(device_unplug(dev, NULL));
    virtio_driver_wait(&f->drv, &f->drv.q[1], NULL);
    assert_int_equal(event[12], 2);
    assert_null(machine_device_find(f->fake->machine, "new"));
    assert_string_equal(f->fake->qmp->pdata[f->fake->qmp->len - 1], "DEVICE_DELETED");
    /* nobody answers there any more */
    assert_false(RUN(f, 9, 36, true, 0x12, 0, 0, 0, 36));
    assert_int_equal(f->response, 3);
    close(fd);
}

/* What happens while nobody can be told is told as missed. */
static void
test_missed_events(void **state)
{
    Fixture *f = *state;
    uint64_t at = virtio_driver_alloc(&f->drv, 16);
    const uint8_t *event = virtio_driver_memory(&f->drv, at);
    DriverBuffer buffer = { at, 16, true };
    int fd = fake_disk(f->fake, "n", DISK, false);
    const uint16_t *avail_event;
    Device *dev;

    virtio_driver_start(&f->drv, VIRTIO_F(1) | VIRTIO_F(2) | VIRTIO_F(VIRTIO_F_EVENT_IDX_BIT), 3,
                        64);
    virtio_driver_add(&f->drv, &f->drv.q[1], &buffer, 1, false);
    machine_set_running(f->fake->machine, false);
    dev = fake_device(f->fake, "scsi-hd", "bus", "s.0", "scsi-id", "9", "drive", "n", NULL);
    machine_set_running(f->fake->machine, true);
    virtio_driver_wait(&f->drv, &f->drv.q[1], NULL);
    assert_int_equal(event[3], 0x80);
    /* and a driver without buffers is asked to say when it has some */
    device_free(dev);
    virtio_driver_settle(&f->drv);
    avail_event =
        virtio_driver_memory(&f->drv, f->drv.q[1].used + (f->drv.q[1].packed ? 0 : 4 + 8 * 64));
    assert_int_equal(*avail_event, f->drv.q[1].packed ? PACKED_WRAP | 1 : 1);
    virtio_driver_add(&f->drv, &f->drv.q[1], &buffer, 1, false);
    virtio_driver_wait(&f->drv, &f->drv.q[1], NULL);
    assert_int_equal(event[3], 0x80);
    close(fd);
}

static void
test_nonsense(void **state)
{
    Fixture *f = *state;
    DriverBuffer buffers[] = { { f->head, 10, false }, { f->tail, TAIL, true } };

    virtio_driver_add(&f->drv, &f->drv.q[2], buffers, 2, false);
    virtio_driver_wait_broken(&f->drv);
}

static bool
stopped(void *opaque)
{
    return ((FakeMachine *)opaque)->requests->len > 0;
}

/* An error that stops the guest: the request goes on with it. */
static void
test_error_stop(void **state)
{
    Fixture *f = *state;
    uint8_t *head = virtio_driver_memory(&f->drv, f->head);
    uint8_t *tail = virtio_driver_memory(&f->drv, f->tail);
    DriverBuffer buffers[] = { { f->head, HEAD, false },
                               { f->data, 512, false },
                               { f->tail, TAIL, true } };
    static const uint8_t write10[] = { 0x2a, 0, 0, 0, 7, 0xff, 0, 0, 1 };

    RUN(f, 0, 0, true, 0x00);
    assert_int_equal(ftruncate(f->disk, DISK), 0);
    assert_int_equal(fcntl(f->disk, F_ADD_SEALS, F_SEAL_WRITE), 0);
    memset(head, 0, HEAD);
    head[0] = 1;
    memcpy(head + 19, write10, sizeof(write10));
    tail[11] = 0xee;
    virtio_driver_add(&f->drv, &f->drv.q[2], buffers, 3, false);
    fake_wait(f->fake, stopped, f->fake);
    assert_int_equal(g_array_index(f->fake->requests, MachineRequest, 0), MACHINE_IO_ERROR);
    assert_string_equal(g_ptr_array_index(f->fake->qmp, f->fake->qmp->len - 1), "BLOCK_IO_ERROR");
    machine_set_running(f->fake->machine, false);
    assert_int_equal(tail[11], 0xee);
    g_array_set_size(f->fake->requests, 0);
    machine_set_running(f->fake->machine, true);
    fake_wait(f->fake, stopped, f->fake); /* tried again, and failed again */
    machine_set_running(f->fake->machine, false);
    machine_reset(f->fake->machine); /* forgotten with the guest */
    machine_set_running(f->fake->machine, true);
    assert_int_equal(tail[11], 0xee);
}

/* The request that stopped the guest is done where the state is loaded. */
static void
test_error_stop_saved(void **state)
{
    Fixture *f = *state, *other;
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) err = NULL;
    DriverBuffer buffers[] = { { f->head, HEAD, false },
                               { f->data, 512, false },
                               { f->tail, TAIL, true } };
    static const uint8_t write10[] = { 0x2a, 0, 0, 0, 0, 3, 0, 0, 1 };
    uint8_t *head = virtio_driver_memory(&f->drv, f->head), sector[512];
    VirtioDevice *dev;
    void *made;

    RUN(f, 0, 0, true, 0x00);
    assert_int_equal(fcntl(f->disk, F_ADD_SEALS, F_SEAL_WRITE), 0);
    memset(head, 0, HEAD);
    head[0] = 1;
    memcpy(head + 19, write10, sizeof(write10));
    memset(virtio_driver_memory(&f->drv, f->data), 0x5c, 512);
    virtio_driver_add(&f->drv, &f->drv.q[2], buffers, 3, false);
    fake_wait(f->fake, stopped, f->fake);
    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, saved, &err));

    setup(&made);
    other = made;
    machine_set_running(other->fake->machine, false);
    dev = other->drv.dev;
    other->drv = f->drv;
    other->drv.dev = dev;
    other->drv.fake = other->fake;
    memcpy(other->fake->ram, f->fake->ram, RAM);
    ((uint8_t *)virtio_driver_memory(&other->drv, f->tail))[11] = 0xee;
    if (!machine_load(other->fake->machine, saved->data, saved->len, &err))
        fail_msg("%s", err->message);
    machine_set_running(other->fake->machine, true);
    virtio_driver_wait(&other->drv, &other->drv.q[2], NULL);
    assert_int_equal(((uint8_t *)virtio_driver_memory(&other->drv, f->tail))[11], 0);
    assert_int_equal(pread(other->disk, sector, sizeof(sector), 3 * 512), 512);
    assert_memory_equal(sector, virtio_driver_memory(&f->drv, f->data), 512);
    RUN(other, 0, 0, true, 0x00);
    teardown(&made);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_identity),   TEST(test_attention),  TEST(test_read_write),
        TEST(test_unmap_same), TEST(test_mode),       TEST(test_cdrom),
        TEST(test_management), TEST(test_hotplug),    TEST(test_missed_events),
        TEST(test_nonsense),   TEST(test_error_stop), TEST(test_error_stop_saved),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
