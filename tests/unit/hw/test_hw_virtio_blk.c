/* test_hw_virtio_blk.c - the virtio disk over a temporary raw file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/virtio_driver.h"

#include "hw/block/drive.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    RAM = 16 << 20,
    SIZE = 64,
    DISK = 1 << 20,
    T_IN = 0,
    T_OUT = 1,
    T_FLUSH = 4,
    T_GET_ID = 8,
    T_DISCARD = 11,
    T_WRITE_ZEROES = 13,
    S_OK = 0,
    S_IOERR = 1,
    S_UNSUPP = 2,
    F_SEG_MAX = 2,
    F_RO = 5,
    F_BLK_SIZE = 6,
    F_FLUSH = 9,
    F_CONFIG_WCE = 11,
    F_MQ = 12,
    F_DISCARD = 13,
    F_WRITE_ZEROES = 14,
};

#define FEATURES                                                                                   \
    (VIRTIO_F(F_FLUSH) | VIRTIO_F(F_DISCARD) | VIRTIO_F(F_WRITE_ZEROES) |                          \
     VIRTIO_F(VIRTIO_F_INDIRECT_DESC_BIT) | VIRTIO_F(VIRTIO_F_EVENT_IDX_BIT))

typedef struct {
    FakeMachine *fake;
    VirtioDriver drv;
    DriverQueue *q;
    char path[64];
    Device *dev;
} Fixture;

static int
open_file(void *opaque, const char *filename, int flags, GError **err)
{
    (void)opaque;
    (void)err;
    return open(filename, flags);
}

static BlockNode *
find_node(void *opaque, const char *name)
{
    FakeMachine *fake = opaque;

    return machine_object_find(fake->machine, OBJECT_BLOCK_NODE, name);
}

static void
add_node(FakeMachine *fake, const char *json)
{
    g_autoptr(JsonNode) node = json_from_string(json, NULL);
    BlockOpenOps ops = { fake, open_file, find_node };
    g_autoptr(GError) err = NULL;
    BlockNode *block = block_node_open(json_node_get_object(node), &ops, &err);

    if (!block)
        fail_msg("%s", err->message);
    assert_true(machine_object_add(fake->machine, OBJECT_BLOCK_NODE, block_node_name(block), block,
                                   (GDestroyNotify)block_node_unref, &err));
}

static int
setup_disk(void **state, bool read_only)
{
    Fixture *f = g_new0(Fixture, 1);
    g_autofree char *file = NULL, *raw = NULL;
    int fd;

    strcpy(f->path, "/tmp/kiln-blk-XXXXXX");
    fd = mkstemp(f->path);
    assert_true(fd >= 0 && ftruncate(fd, DISK) == 0);
    close(fd);
    f->fake = fake_machine_new_q35(RAM);
    file = g_strdup_printf("{\"driver\":\"file\",\"filename\":\"%s\",\"node-name\":\"s\","
                           "\"read-only\":%s,\"discard\":\"unmap\"}",
                           f->path, read_only ? "true" : "false");
    raw = g_strdup_printf("{\"driver\":\"raw\",\"file\":\"s\",\"node-name\":\"d\","
                          "\"read-only\":%s,\"discard\":\"unmap\"}",
                          read_only ? "true" : "false");
    add_node(f->fake, file);
    add_node(f->fake, raw);
    f->dev = fake_device(f->fake, "virtio-blk-pci", "id", "disk0", "drive", "d", "serial",
                         "KILN-SERIAL", "addr", "0x5", "num-queues", "2", NULL);
    virtio_driver_init(&f->drv, f->fake, f->dev);
    f->q = &f->drv.q[0];
    *state = f;
    return 0;
}

static int
setup(void **state)
{
    return setup_disk(state, false);
}

static int
setup_read_only(void **state)
{
    return setup_disk(state, true);
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    fake_machine_free(f->fake);
    unlink(f->path);
    g_free(f);
    return 0;
}

typedef struct {
    uint64_t header, data, status;
    uint32_t len;
} Request;

/* Adds a request of @pieces equal buffers. */
static Request
submit(Fixture *f, DriverQueue *q, uint32_t type, uint64_t sector, uint32_t len, unsigned pieces,
       bool indirect, const void *out)
{
    Request r = { virtio_driver_alloc(&f->drv, 16), virtio_driver_alloc(&f->drv, MAX(len, 1)),
                  virtio_driver_alloc(&f->drv, 1), len };
    DriverBuffer buffers[40] = { { r.header, 16, false } };
    bool in = type == T_IN || type == T_GET_ID;
    unsigned n = 1;

    memcpy(virtio_driver_memory(&f->drv, r.header), &type, 4);
    memcpy(virtio_driver_memory(&f->drv, r.header + 8), &sector, 8);
    memset(virtio_driver_memory(&f->drv, r.status), 0xff, 1);
    if (out)
        memcpy(virtio_driver_memory(&f->drv, r.data), out, len);
    for (unsigned i = 0; i < pieces; i++)
        buffers[n++] = (DriverBuffer){ r.data + (uint64_t)i * (len / pieces), len / pieces, in };
    buffers[n++] = (DriverBuffer){ r.status, 1, true };
    virtio_driver_add(&f->drv, q, buffers, n, indirect);
    return r;
}

static uint8_t
status_of(Fixture *f, const Request *r)
{
    return *(uint8_t *)virtio_driver_memory(&f->drv, r->status);
}

static uint8_t
run(Fixture *f, uint32_t type, uint64_t sector, uint32_t len, const void *out, void *in)
{
    Request r = submit(f, f->q, type, sector, len, len ? 1 : 0, false, out);
    uint32_t written;

    virtio_driver_wait(&f->drv, f->q, &written);
    assert_true(written >= 1);
    if (in)
        memcpy(in, virtio_driver_memory(&f->drv, r.data), len);
    return status_of(f, &r);
}

static void
read_file(Fixture *f, uint64_t offset, void *buf, size_t len)
{
    int fd = open(f->path, O_RDONLY);

    assert_int_equal(pread(fd, buf, len, (off_t)offset), (ssize_t)len);
    close(fd);
}

static void
test_config(void **state)
{
    Fixture *f = *state;
    uint64_t offered = virtio_driver_offered(&f->drv);

    assert_int_equal(virtio_driver_config(&f->drv, 0, 4), DISK / 512);
    assert_int_equal(virtio_driver_config(&f->drv, 4, 4), 0);
    assert_int_equal(virtio_driver_config(&f->drv, 12, 4), 254);
    assert_int_equal(virtio_driver_config(&f->drv, 20, 4), 512);
    assert_int_equal(virtio_driver_config(&f->drv, 32, 1), 1);
    assert_int_equal(virtio_driver_config(&f->drv, 34, 2), 2);
    assert_int_equal(virtio_driver_config(&f->drv, 40, 4), 1);
    assert_true(offered & VIRTIO_F(F_MQ) && offered & VIRTIO_F(F_DISCARD) &&
                offered & VIRTIO_F(F_WRITE_ZEROES) && !(offered & VIRTIO_F(F_RO)));
}

static void
test_write_read(void **state)
{
    Fixture *f = *state;
    uint8_t out[4096], in[4096], disk[4096];

    virtio_driver_start(&f->drv, FEATURES, 2, SIZE);
    for (unsigned i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)(i * 7);
    assert_int_equal(run(f, T_OUT, 8, sizeof(out), out, NULL), S_OK);
    read_file(f, 4096, disk, sizeof(disk));
    assert_memory_equal(disk, out, sizeof(out));
    assert_int_equal(run(f, T_IN, 8, sizeof(in), NULL, in), S_OK);
    assert_memory_equal(in, out, sizeof(out));
    assert_int_equal(run(f, T_FLUSH, 0, 0, NULL, NULL), S_OK);
}

static void
test_many_at_once(void **state)
{
    Fixture *f = *state;
    Request r[2][15];
    uint8_t page[4096];

    virtio_driver_start(&f->drv, FEATURES, 2, SIZE);
    for (unsigned i = 0; i < 15; i++) {
        for (unsigned j = 0; j < 2; j++) {
            memset(page, (int)(1 + i + 100 * j), sizeof(page));
            r[j][i] = submit(f, &f->drv.q[j], T_OUT, 8 * (i + 16 * j), sizeof(page), 8, true, page);
        }
    }
    for (unsigned i = 0; i < 15; i++) {
        for (unsigned j = 0; j < 2; j++)
            virtio_driver_wait(&f->drv, &f->drv.q[j], NULL);
    }
    for (unsigned i = 0; i < 15; i++) {
        for (unsigned j = 0; j < 2; j++) {
            assert_int_equal(status_of(f, &r[j][i]), S_OK);
            read_file(f, 4096 * (i + 16 * j), page, sizeof(page));
            assert_int_equal(page[0], 1 + i + 100 * j);
            assert_int_equal(page[4095], 1 + i + 100 * j);
        }
    }
}

/* Header and status may share buffers with data (2.7.4.1: no framing is assumed). */
static void
test_framing(void **state)
{
    Fixture *f = *state;
    uint64_t out = virtio_driver_alloc(&f->drv, 528), in = virtio_driver_alloc(&f->drv, 513);
    uint32_t type = T_OUT, len;
    uint64_t sector = 3;
    DriverBuffer write[3] = { { out, 5, false }, { out + 5, 523, false }, { in, 1, true } };
    DriverBuffer read[3] = { { out, 16, false }, { in, 100, true }, { in + 100, 413, true } };

    virtio_driver_start(&f->drv, FEATURES, 1, SIZE);
    memcpy(virtio_driver_memory(&f->drv, out), &type, 4);
    memcpy(virtio_driver_memory(&f->drv, out + 8), &sector, 8);
    memset(virtio_driver_memory(&f->drv, out + 16), 0x5a, 512);
    virtio_driver_add(&f->drv, f->q, write, 3, false);
    virtio_driver_wait(&f->drv, f->q, &len);
    assert_int_equal(len, 1);
    type = T_IN;
    memcpy(virtio_driver_memory(&f->drv, out), &type, 4);
    memset(virtio_driver_memory(&f->drv, in), 0xff, 513);
    virtio_driver_add(&f->drv, f->q, read, 3, false);
    virtio_driver_wait(&f->drv, f->q, &len);
    assert_int_equal(len, 513);
    assert_int_equal(*(uint8_t *)virtio_driver_memory(&f->drv, in + 511), 0x5a);
    assert_int_equal(*(uint8_t *)virtio_driver_memory(&f->drv, in + 512), S_OK);
}

static void
test_get_id(void **state)
{
    Fixture *f = *state;
    char id[20];

    virtio_driver_start(&f->drv, FEATURES, 1, SIZE);
    assert_int_equal(run(f, T_GET_ID, 0, 20, NULL, id), S_OK);
    assert_string_equal(id, "KILN-SERIAL");
}

static void
test_out_of_range(void **state)
{
    Fixture *f = *state;
    static uint8_t page[4096];

    virtio_driver_start(&f->drv, FEATURES, 1, SIZE);
    assert_int_equal(run(f, T_IN, DISK / 512, 512, NULL, page), S_IOERR);
    assert_int_equal(run(f, T_IN, DISK / 512 - 1, 1024, NULL, page), S_IOERR);
    assert_int_equal(run(f, T_IN, UINT64_MAX, 512, NULL, page), S_IOERR);
    assert_int_equal(run(f, T_OUT, UINT64_MAX / 512, 512, page, NULL), S_IOERR);
    assert_int_equal(run(f, T_IN, 0, 100, NULL, page), S_IOERR);
    assert_int_equal(run(f, 77, 0, 512, page, NULL), S_UNSUPP);
    assert_int_equal(run(f, T_IN, 0, 512, NULL, page), S_OK);
}

static void
test_unmap(void **state)
{
    Fixture *f = *state;
    struct {
        uint64_t sector;
        uint32_t sectors, flags;
    } seg = { 8, 8, 0 };
    uint8_t page[4096];

    virtio_driver_start(&f->drv, FEATURES, 1, SIZE);
    memset(page, 0xaa, sizeof(page));
    assert_int_equal(run(f, T_OUT, 8, sizeof(page), page, NULL), S_OK);
    assert_int_equal(run(f, T_WRITE_ZEROES, 0, 16, &seg, NULL), S_OK);
    read_file(f, 4096, page, sizeof(page));
    assert_int_equal(page[0] | page[4095], 0);
    memset(page, 0xaa, sizeof(page));
    assert_int_equal(run(f, T_OUT, 8, sizeof(page), page, NULL), S_OK);
    assert_int_equal(run(f, T_DISCARD, 0, 16, &seg, NULL), S_OK);
    seg.flags = 1;
    assert_int_equal(run(f, T_WRITE_ZEROES, 0, 16, &seg, NULL), S_OK);
    assert_int_equal(run(f, T_DISCARD, 0, 16, &seg, NULL), S_UNSUPP);
    seg.flags = 2;
    assert_int_equal(run(f, T_WRITE_ZEROES, 0, 16, &seg, NULL), S_UNSUPP);
    seg.flags = 0;
    seg.sector = DISK / 512;
    assert_int_equal(run(f, T_DISCARD, 0, 16, &seg, NULL), S_IOERR);
    assert_int_equal(run(f, T_DISCARD, 0, 8, &seg, NULL), S_IOERR);
    /* not asked for, not given */
    virtio_driver_start(&f->drv, VIRTIO_F(F_FLUSH), 1, SIZE);
    assert_int_equal(run(f, T_DISCARD, 0, 16, &seg, NULL), S_UNSUPP);
}

static void
test_cut_short(void **state)
{
    Fixture *f = *state;
    DriverBuffer only_header = { 0x1000, 16, false }, only_status = { 0x1000, 1, true };
    DriverBuffer short_header[2] = { { 0x1000, 15, false }, { 0x2000, 1, true } };
    const DriverBuffer *rows[] = { &only_header, &only_status, short_header };

    for (unsigned i = 0; i < 3; i++) {
        virtio_driver_start(&f->drv, FEATURES, 1, SIZE);
        virtio_driver_add(&f->drv, f->q, rows[i], i == 2 ? 2 : 1, false);
        virtio_driver_wait_broken(&f->drv);
    }
    virtio_driver_start(&f->drv, FEATURES, 1, SIZE);
    assert_int_equal(run(f, T_FLUSH, 0, 0, NULL, NULL), S_OK);
}

static void
test_read_only(void **state)
{
    Fixture *f = *state;
    static uint8_t page[4096];

    assert_true(virtio_driver_offered(&f->drv) & VIRTIO_F(F_RO));
    assert_false(virtio_driver_offered(&f->drv) & VIRTIO_F(F_DISCARD));
    virtio_driver_start(&f->drv, VIRTIO_F(F_RO), 1, SIZE);
    assert_int_equal(run(f, T_OUT, 0, sizeof(page), page, NULL), S_IOERR);
    assert_int_equal(run(f, T_IN, 0, sizeof(page), NULL, page), S_OK);
}

static void
test_write_cache(void **state)
{
    Fixture *f = *state;

    virtio_driver_start(&f->drv, FEATURES | VIRTIO_F(F_CONFIG_WCE), 1, SIZE);
    assert_true(drive_writeback(drive_of(f->dev)));
    fake_write(f->fake, f->drv.config + 32, 1, 0);
    assert_false(drive_writeback(drive_of(f->dev)));
    assert_int_equal(virtio_driver_config(&f->drv, 32, 1), 0);
    virtio_driver_set_status(&f->drv, 0);
    assert_true(drive_writeback(drive_of(f->dev)));
}

static void
test_stats(void **state)
{
    Fixture *f = *state;
    static uint8_t page[4096];
    DriveStats stats;

    virtio_driver_start(&f->drv, FEATURES, 1, SIZE);
    run(f, T_OUT, 0, 4096, page, NULL);
    run(f, T_IN, 0, 4096, NULL, page);
    run(f, T_IN, 0, 512, NULL, page);
    run(f, T_IN, DISK, 512, NULL, page);
    run(f, T_FLUSH, 0, 0, NULL, NULL);
    drive_stats(drive_of(f->dev), &stats);
    assert_int_equal(stats.kind[DRIVE_READ].operations, 2);
    assert_int_equal(stats.kind[DRIVE_READ].bytes, 4608);
    assert_int_equal(stats.kind[DRIVE_READ].failed, 1);
    assert_int_equal(stats.kind[DRIVE_WRITE].bytes, 4096);
    assert_int_equal(stats.kind[DRIVE_FLUSH].operations, 1);
    assert_string_equal(block_node_name(drive_of(f->dev)->node), "d");
}

/* A reset while requests are under way finishes them first. */
static void
test_reset_in_flight(void **state)
{
    Fixture *f = *state;
    static uint8_t page[4096];

    for (unsigned round = 0; round < 20; round++) {
        virtio_driver_start(&f->drv, FEATURES, 2, SIZE);
        for (unsigned i = 0; i < 10; i++)
            submit(f, f->q, T_OUT, 8 * i, sizeof(page), 1, false, page);
        virtio_driver_set_status(&f->drv, 0);
        assert_int_equal(virtio_driver_status(&f->drv), 0);
    }
}

static void
test_refused(void **state)
{
    Fixture *f = *state;

    fake_device_refused(f->fake, "queue-size", "virtio-blk-pci", "drive", "s", "queue-size", "100",
                        NULL);
    fake_device_refused(f->fake, "scsi", "virtio-blk-pci", "drive", "s", "scsi", "on", NULL);
    fake_device_refused(f->fake, "multiple", "virtio-blk-pci", "drive", "s", "min_io_size", "100",
                        NULL);
    fake_device_refused(f->fake, "werror", "virtio-blk-pci", "drive", "s", "werror", "sometimes",
                        NULL);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_config),
        TEST(test_write_read),
        TEST(test_many_at_once),
        TEST(test_framing),
        TEST(test_get_id),
        TEST(test_out_of_range),
        TEST(test_unmap),
        TEST(test_cut_short),
        cmocka_unit_test_setup_teardown(test_read_only, setup_read_only, teardown),
        TEST(test_write_cache),
        TEST(test_stats),
        TEST(test_reset_in_flight),
        TEST(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
