/* test_hw_virtio_serial.c - virtio consoles and ports over socket character devices.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/virtio_driver.h"

#include "hw/char/chardev.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    RAM = 32 << 20,
    SIZE = 32,
    F_MULTIPORT = 1,
    F_EMERG = 2,
    CONTROL_IN = 2,
    CONTROL_OUT = 3,
    READY = 0,
    ADD = 1,
    REMOVE = 2,
    PORT_READY = 3,
    CONSOLE = 4,
    OPEN = 6,
    NAME = 7,
    PORT = 3,
    PORT_IN = 8,
    PORT_OUT = 9, /* queues of port 3 */
};

typedef struct {
    FakeMachine *fake;
    VirtioDriver drv;
    int console, port; /* the other ends */
    Device *port_dev;
} Fixture;

static int
add_chardev(FakeMachine *fake, const char *id)
{
    g_autoptr(GHashTable) props = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    g_autoptr(GError) err = NULL;
    Chardev *chardev;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    g_hash_table_insert(props, (char *)"backend", g_strdup("socket"));
    g_hash_table_insert(props, (char *)"id", g_strdup(id));
    g_hash_table_insert(props, (char *)"fd", g_strdup_printf("%d", fds[1]));
    chardev = chardev_new(fake->machine, props, &err);
    if (!chardev)
        fail_msg("%s", err->message);
    assert_true(machine_object_add(fake->machine, OBJECT_CHARDEV, id, chardev,
                                   (GDestroyNotify)chardev_free, NULL));
    return fds[0];
}

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    Device *dev;

    f->fake = fake_machine_new_q35(RAM);
    f->console = add_chardev(f->fake, "c0");
    f->port = add_chardev(f->fake, "c1");
    dev = fake_device(f->fake, "virtio-serial-pci", "id", "vs0", "max_ports", "5", "addr", "0x5",
                      NULL);
    fake_device(f->fake, "virtconsole", "id", "console0", "chardev", "c0", "bus", "vs0.0", NULL);
    f->port_dev = fake_device(f->fake, "virtserialport", "id", "port0", "chardev", "c1", "bus",
                              "vs0.0", "nr", "3", "name", "org.kiln.test", NULL);
    virtio_driver_init(&f->drv, f->fake, dev);
    fake_iterate(f->fake);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    close(f->console);
    close(f->port);
    fake_machine_free(f->fake);
    g_free(f);
    return 0;
}

static void
tell(Fixture *f, uint32_t port, uint16_t event, uint16_t value)
{
    DriverBuffer buffer = { virtio_driver_alloc(&f->drv, 8), 8, false };
    uint8_t *at = virtio_driver_memory(&f->drv, buffer.addr);

    memcpy(at, &port, 4);
    memcpy(at + 4, &event, 2);
    memcpy(at + 6, &value, 2);
    virtio_driver_add(&f->drv, &f->drv.q[CONTROL_OUT], &buffer, 1, false);
    virtio_driver_wait(&f->drv, &f->drv.q[CONTROL_OUT], NULL);
}

/* Expects the next control message; returns its text, or an empty one. */
static const char *
expect(Fixture *f, uint32_t port, uint16_t event, uint16_t value)
{
    DriverQueue *q = &f->drv.q[CONTROL_IN];
    DriverBuffer buffer = { virtio_driver_alloc(&f->drv, 64), 64, true };
    uint32_t got_port, len;
    uint16_t got[2];
    uint8_t *at;

    virtio_driver_add(&f->drv, q, &buffer, 1, false);
    virtio_driver_wait(&f->drv, q, &len);
    at = virtio_driver_memory(&f->drv, buffer.addr);
    memcpy(&got_port, at, 4);
    memcpy(got, at + 4, 4);
    assert_int_equal(got_port, port);
    assert_int_equal(got[0], event);
    assert_int_equal(got[1], value);
    return len > 8 ? (char *)at + 8 : "";
}

static void
start(Fixture *f)
{
    virtio_driver_start(&f->drv, VIRTIO_F(F_MULTIPORT) | VIRTIO_F(VIRTIO_F_EVENT_IDX_BIT), 12,
                        SIZE);
    tell(f, 0, READY, 1);
    expect(f, 0, ADD, 1);
    expect(f, PORT, ADD, 1);
    tell(f, PORT, PORT_READY, 1);
    assert_string_equal(expect(f, PORT, NAME, 1), "org.kiln.test");
    expect(f, PORT, OPEN, 1);
}

static void
guest_writes(Fixture *f, unsigned queue, const char *text)
{
    uint32_t len = (uint32_t)strlen(text);
    DriverBuffer buffer = { virtio_driver_alloc(&f->drv, len), len, false };

    memcpy(virtio_driver_memory(&f->drv, buffer.addr), text, len);
    virtio_driver_add(&f->drv, &f->drv.q[queue], &buffer, 1, false);
}

static size_t
host_reads(Fixture *f, int fd, char *buf, size_t len)
{
    for (int i = 0; i < 2000; i++) {
        ssize_t n;

        fake_iterate(f->fake);
        n = read(fd, buf, len);
        if (n > 0)
            return (size_t)n;
        g_usleep(1000);
    }
    fail_msg("nothing comes from the guest");
    return 0;
}

static void
test_console(void **state)
{
    Fixture *f = *state;
    char buf[32] = "";

    start(f);
    tell(f, 0, PORT_READY, 1);
    expect(f, 0, CONSOLE, 1);
    expect(f, 0, OPEN, 1);
    guest_writes(f, 1, "login: ");
    host_reads(f, f->console, buf, sizeof(buf) - 1);
    assert_string_equal(buf, "login: ");
    assert_int_equal(virtio_driver_config(&f->drv, 4, 4), 5);
}

static void
test_port_input(void **state)
{
    Fixture *f = *state;
    DriverBuffer buffer = { virtio_driver_alloc(&f->drv, 64), 64, true };
    uint32_t len;

    start(f);
    virtio_driver_add(&f->drv, &f->drv.q[PORT_IN], &buffer, 1, false);
    assert_int_equal(write(f->port, "hello", 5), 5);
    /* nobody in the guest has opened it yet */
    for (int i = 0; i < 10; i++)
        virtio_driver_settle(&f->drv);
    assert_false(virtio_driver_has_used(&f->drv, &f->drv.q[PORT_IN]));
    tell(f, PORT, OPEN, 1);
    virtio_driver_wait(&f->drv, &f->drv.q[PORT_IN], &len);
    assert_int_equal(len, 5);
    assert_memory_equal(virtio_driver_memory(&f->drv, buffer.addr), "hello", 5);
    assert_string_equal(f->fake->qmp->pdata[f->fake->qmp->len - 1], "VSERPORT_CHANGE");
}

static void
test_port_events(void **state)
{
    Fixture *f = *state;
    Chardev *chardev = machine_object_find(f->fake->machine, OBJECT_CHARDEV, "c1");

    start(f);
    tell(f, PORT, OPEN, 1);
    assert_true(chardev_frontend_open(chardev));
    tell(f, PORT, OPEN, 0);
    assert_false(chardev_frontend_open(chardev));
    shutdown(f->port, SHUT_RDWR);
    expect(f, PORT, OPEN, 0);
}

/* Far more than all buffers between: the guest's ring holds the rest until the host reads. */
static void
test_back_pressure(void **state)
{
    Fixture *f = *state;
    static char text[65536], buf[65536];
    DriverBuffer buffer = { virtio_driver_alloc(&f->drv, sizeof(text)), sizeof(text), false };
    size_t total = 0;
    unsigned used = 0;

    start(f);
    tell(f, PORT, OPEN, 1);
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 23);
    memcpy(virtio_driver_memory(&f->drv, buffer.addr), text, sizeof(text));
    for (unsigned i = 0; i < 16; i++)
        virtio_driver_add(&f->drv, &f->drv.q[PORT_OUT], &buffer, 1, false);
    for (int i = 0; i < 20; i++)
        virtio_driver_settle(&f->drv);
    while (virtio_driver_has_used(&f->drv, &f->drv.q[PORT_OUT])) {
        virtio_driver_wait(&f->drv, &f->drv.q[PORT_OUT], NULL);
        used++;
    }
    assert_true(used < 16);
    while (total < 16 * sizeof(text)) {
        size_t n = host_reads(f, f->port, buf, sizeof(buf));

        for (size_t i = 0; i < n; i++) {
            if (buf[i] != text[(total + i) % sizeof(text)])
                fail_msg("byte %zu is wrong", total + i);
        }
        total += n;
    }
    for (; used < 16; used++)
        virtio_driver_wait(&f->drv, &f->drv.q[PORT_OUT], NULL);
}

static void
test_no_multiport(void **state)
{
    Fixture *f = *state;
    DriverBuffer buffer = { virtio_driver_alloc(&f->drv, 64), 64, true };
    uint32_t len;

    virtio_driver_start(&f->drv, 0, 2, SIZE);
    virtio_driver_add(&f->drv, &f->drv.q[0], &buffer, 1, false);
    assert_int_equal(write(f->console, "ls\n", 3), 3);
    virtio_driver_wait(&f->drv, &f->drv.q[0], &len);
    assert_int_equal(len, 3);
}

static void
test_emergency_write(void **state)
{
    Fixture *f = *state;
    char buf[4];

    assert_true(virtio_driver_offered(&f->drv) & VIRTIO_F(F_EMERG));
    fake_write(f->fake, f->drv.config + 8, 4, '!');
    assert_int_equal(host_reads(f, f->console, buf, sizeof(buf)), 1);
    assert_int_equal(buf[0], '!');
}

/* A driver that asks again and again without reading the answers gets no more than a bound. */
static void
test_unread_messages(void **state)
{
    Fixture *f = *state;

    start(f);
    for (unsigned i = 0; i < 400; i++)
        tell(f, 0, READY, 1);
    tell(f, 77, PORT_READY, 1);
    tell(f, UINT32_MAX, OPEN, 1);
    expect(f, 0, ADD, 1);
    assert_false(virtio_driver_status(&f->drv) & VIRTIO_STATUS_NEEDS_RESET);
}

static void
test_unplug(void **state)
{
    Fixture *f = *state;

    start(f);
    device_free(f->port_dev);
    expect(f, PORT, REMOVE, 1);
    guest_writes(f, PORT_OUT, "into the void");
    virtio_driver_wait(&f->drv, &f->drv.q[PORT_OUT], NULL);
    f->port_dev = fake_device(f->fake, "virtserialport", "id", "port1", "chardev", "c1", NULL);
    expect(f, 1, ADD, 1);
}

static void
test_refused(void **state)
{
    Fixture *f = *state;

    fake_device_refused(f->fake, "taken", "virtserialport", "nr", "3", NULL);
    fake_device_refused(f->fake, "kept for a virtconsole", "virtserialport", "nr", "0", NULL);
    fake_device_refused(f->fake, "beyond", "virtserialport", "nr", "5", NULL);
}

static void
test_saved_state(void **state)
{
    Fixture *f = *state;
    Chardev *chardev = machine_object_find(f->fake->machine, OBJECT_CHARDEV, "c1");
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    start(f);
    tell(f, PORT, OPEN, 1);
    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, saved, &err));
    machine_reset(f->fake->machine);
    assert_false(chardev_frontend_open(chardev));
    if (!machine_load(f->fake->machine, saved->data, saved->len, &err))
        fail_msg("%s", err->message);
    assert_true(chardev_frontend_open(chardev));
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_console),         TEST(test_port_input),   TEST(test_port_events),
        TEST(test_back_pressure),   TEST(test_no_multiport), TEST(test_emergency_write),
        TEST(test_unread_messages), TEST(test_unplug),       TEST(test_refused),
        TEST(test_saved_state),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
