/* test_hw_virtio_legacy.c - the legacy interface of transitional virtio devices: which devices have
 * it, its registers, queues in use before DRIVER_OK, its shorter network header, saved state.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_net.h"
#include "tests/unit/hw/virtio_driver.h"

#include "hw/virtio/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum {
    RAM = 16 << 20,
    PORT = 0xc000, /* where BAR 0 lies */
    FEATURES = PORT,
    CHOSEN = PORT + 4,
    PAGE = PORT + 8,
    COUNT = PORT + 0xc,
    SELECT = PORT + 0xe,
    NOTIFY = PORT + 0x10,
    STATUS = PORT + 0x12,
    ISR = PORT + 0x13,
    CONFIG = PORT + 0x14,
    CONFIG_MSIX = PORT + 0x18,
    UP = VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER,
};

typedef struct {
    FakeMachine *fake;
    VirtioDriver drv;
    DriverQueue *q;
} Fixture;

static void
add_sources(FakeMachine *fake)
{
    static const char *const ids[] = { "r0", "r1", "r2", "r3" };
    g_autoptr(GError) err = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(ids); i++) {
        g_autoptr(GHashTable) props = g_hash_table_new(g_str_hash, g_str_equal);

        g_hash_table_insert(props, (char *)"qom-type", (char *)"rng-builtin");
        g_hash_table_insert(props, (char *)"id", (char *)ids[i]);
        assert_true(rng_object_add(fake->machine, props, &err));
    }
}

/* BAR 0 at PORT; the memory BARs stay out of reach. */
static void
place(Fixture *f, FakeMachine *fake, Device *dev)
{
    PciRoot *root = fake->machine->pci;

    f->fake = fake;
    f->drv = (VirtioDriver){ .fake = fake, .dev = virtio_device(dev), .heap = 0x100000 };
    f->drv.bdf = pci_requester_id(pci_device(dev));
    f->q = &f->drv.q[0];
    pci_config_write(root, f->drv.bdf, PCI_BASE_ADDRESS_0, 4, PORT);
    pci_config_write(root, f->drv.bdf, PCI_COMMAND, 2, PCI_COMMAND_IO | PCI_COMMAND_MASTER);
    machine_set_running(fake->machine, true);
}

static Device *
make_rng(FakeMachine *fake)
{
    add_sources(fake);
    return fake_device(fake, "virtio-rng-pci", "id", "rng0", "rng", "r0", "addr", "0x5", NULL);
}

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    FakeMachine *fake = fake_machine_new_q35(RAM);

    place(f, fake, make_rng(fake));
    *state = f;
    return 0;
}

static int
setup_bare(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->fake = fake_machine_new_q35(RAM);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    fake_machine_free(f->fake);
    g_free(f);
    return 0;
}

static uint32_t
config_of(Device *dev, unsigned offset)
{
    return pci_config_get(pci_device(dev), offset, 4);
}

/* Sets up queue @i as its size demands. */
static void
add_queue(Fixture *f, unsigned i)
{
    DriverQueue *q = &f->drv.q[i];
    uint64_t avail_end;

    fake_out(f->fake, SELECT, 2, i);
    *q = (DriverQueue){ .index = (uint16_t)i, .size = (uint16_t)fake_in(f->fake, COUNT, 2) };
    assert_true(q->size > 0);
    assert_int_equal(fake_in(f->fake, PAGE, 4), 0);
    f->drv.heap = (f->drv.heap + 4095) & ~UINT64_C(4095);
    q->desc = virtio_driver_alloc(&f->drv, 16 * q->size + 4096 * 4);
    q->avail = q->desc + 16 * q->size;
    avail_end = q->avail + 6 + 2 * q->size;
    q->used = (avail_end + 4095) & ~UINT64_C(4095);
    virtio_driver_alloc(&f->drv, 8 * q->size);
    fake_out(f->fake, PAGE, 4, q->desc >> 12);
    assert_int_equal(fake_in(f->fake, PAGE, 4), q->desc >> 12);
}

static void
start(Fixture *f, uint32_t features, unsigned queues)
{
    fake_out(f->fake, STATUS, 1, 0);
    fake_out(f->fake, STATUS, 1, UP);
    fake_out(f->fake, CHOSEN, 4, features);
    for (unsigned i = 0; i < queues; i++)
        add_queue(f, i);
    fake_out(f->fake, STATUS, 1, UP | VIRTIO_STATUS_DRIVER_OK);
}

static void
expect_alive(Fixture *f)
{
    DriverBuffer buffer = { virtio_driver_alloc(&f->drv, 64), 64, true };
    uint16_t head = virtio_driver_add(&f->drv, f->q, &buffer, 1, false);
    uint32_t len;

    fake_out(f->fake, NOTIFY, 2, f->q->index);
    assert_int_equal(virtio_driver_wait(&f->drv, f->q, &len), head);
    assert_int_equal(len, 64);
    virtio_driver_settle(&f->drv);
}

static void
test_who_has_it(void **state)
{
    Fixture *f = *state;
    Device *dev;

    add_sources(f->fake);
    fake_device(f->fake, "pcie-root-port", "id", "p1", "addr", "2", NULL);
    fake_device(f->fake, "pcie-root-port", "id", "p2", "addr", "3", NULL);
    dev = fake_device(f->fake, "virtio-rng-pci", "rng", "r0", NULL);
    assert_int_equal(config_of(dev, PCI_VENDOR_ID), 0x10051af4);
    assert_int_equal(config_of(dev, PCI_SUBSYSTEM_VENDOR_ID), 0x00041af4);
    assert_int_equal(config_of(dev, PCI_REVISION) & 0xff, 0);
    dev = fake_device(f->fake, "virtio-rng-pci", "rng", "r1", "bus", "p1", NULL);
    assert_int_equal(config_of(dev, PCI_VENDOR_ID), 0x10441af4);
    dev = fake_device(f->fake, "virtio-rng-pci-transitional", "rng", "r2", "bus", "p2", NULL);
    assert_int_equal(config_of(dev, PCI_VENDOR_ID), 0x10051af4);
    dev = fake_device(f->fake, "virtio-rng-pci-non-transitional", "rng", "r3", NULL);
    assert_int_equal(config_of(dev, PCI_VENDOR_ID), 0x10441af4);
    dev = fake_device(f->fake, "virtio-serial-pci", NULL);
    assert_int_equal(config_of(dev, PCI_VENDOR_ID), 0x10031af4);
    dev = fake_device(f->fake, "virtio-balloon-pci", "disable-legacy", "on", NULL);
    assert_int_equal(config_of(dev, PCI_VENDOR_ID), 0x10451af4);
    dev = fake_device(f->fake, "virtio-tablet-pci", NULL);
    assert_int_equal(config_of(dev, PCI_VENDOR_ID), 0x10521af4);
    fake_device_refused(f->fake, "legacy", "virtio-tablet-pci", "disable-legacy", "off", NULL);
    fake_device_refused(f->fake, "disable-modern", "virtio-tablet-pci", "disable-modern", "on",
                        NULL);
    fake_device_refused(f->fake, "disable-legacy", "virtio-serial-pci", "disable-legacy", "on",
                        "disable-modern", "on", NULL);
}

/* Without the modern interface only MSI-X is among the capabilities. */
static void
test_legacy_only(void **state)
{
    Fixture *f = *state;
    Device *dev;
    unsigned cap, n = 0;

    add_sources(f->fake);
    dev = fake_device(f->fake, "virtio-rng-pci", "rng", "r0", "disable-modern", "on", NULL);
    assert_int_equal(config_of(dev, PCI_VENDOR_ID), 0x10051af4);
    for (cap = config_of(dev, PCI_CAPABILITY_LIST) & 0xff; cap;
         cap = config_of(dev, cap) >> 8 & 0xff) {
        assert_int_equal(config_of(dev, cap) & 0xff, PCI_CAP_ID_MSIX);
        n++;
    }
    assert_int_equal(n, 1);
    place(f, f->fake, dev);
    start(f, 0, 1);
    expect_alive(f);
}

static void
test_request(void **state)
{
    Fixture *f = *state;
    unsigned edges = 0;

    assert_true(fake_in(f->fake, FEATURES, 4) & 1 << VIRTIO_F_ANY_LAYOUT_BIT);
    start(f, UINT32_MAX, 1);
    assert_int_equal(fake_in(f->fake, CHOSEN, 4), fake_in(f->fake, FEATURES, 4));
    for (unsigned i = 0; i < 3u * f->q->size; i++)
        expect_alive(f);
    for (unsigned i = 0; i < FAKE_GSIS; i++)
        edges += f->fake->gsi_edges[i];
    assert_true(edges > 0);
    assert_int_equal(fake_in(f->fake, ISR, 1), 1);
    assert_int_equal(fake_in(f->fake, ISR, 1), 0);
    assert_int_equal(fake_in(f->fake, STATUS, 1), UP | VIRTIO_STATUS_DRIVER_OK);
    /* the kernel has the doorbell while it runs, and not after */
    assert_non_null(fake_event_at(f->fake, NOTIFY));
    fake_out(f->fake, STATUS, 1, 0);
    assert_null(fake_event_at(f->fake, NOTIFY));
    assert_int_equal(fake_in(f->fake, PAGE, 4), 0);
}

static void
test_before_driver_ok(void **state)
{
    Fixture *f = *state;

    fake_out(f->fake, STATUS, 1, UP);
    add_queue(f, 0);
    expect_alive(f);
    /* the choice of features comes late */
    fake_out(f->fake, CHOSEN, 4, 1 << VIRTIO_F_INDIRECT_DESC_BIT);
    expect_alive(f);
    machine_set_running(f->fake->machine, false);
    machine_set_running(f->fake->machine, true);
    expect_alive(f);
    fake_out(f->fake, STATUS, 1, UP | VIRTIO_STATUS_DRIVER_OK);
    fake_out(f->fake, CHOSEN, 4, 0);
    assert_int_equal(fake_in(f->fake, CHOSEN, 4), 1 << VIRTIO_F_INDIRECT_DESC_BIT);
    expect_alive(f);
}

/* Without DRIVER, or without a queue, a doorbell starts nothing. */
static void
test_idle_doorbells(void **state)
{
    Fixture *f = *state;

    fake_out(f->fake, NOTIFY, 2, 0);
    add_queue(f, 0);
    fake_out(f->fake, NOTIFY, 2, 0);
    assert_false(f->drv.dev->started);
    fake_out(f->fake, STATUS, 1, UP);
    fake_out(f->fake, NOTIFY, 2, 1);
    fake_out(f->fake, NOTIFY, 2, 0xffff);
    assert_false(f->drv.dev->started);
}

static void
test_queue_taken_away(void **state)
{
    Fixture *f = *state;

    start(f, 0, 1);
    expect_alive(f);
    fake_out(f->fake, SELECT, 2, 0);
    fake_out(f->fake, PAGE, 4, 0);
    assert_false(f->drv.dev->started);
    assert_int_equal(fake_in(f->fake, PAGE, 4), 0);
    start(f, 0, 1);
    expect_alive(f);
}

static void
test_queue_nonsense(void **state)
{
    static const uint32_t pages[] = { UINT32_MAX, RAM >> 12, (RAM >> 12) - 1 };
    Fixture *f = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(pages); i++) {
        fake_out(f->fake, STATUS, 1, 0);
        fake_out(f->fake, STATUS, 1, UP);
        fake_out(f->fake, SELECT, 2, 0);
        fake_out(f->fake, PAGE, 4, pages[i]);
        fake_out(f->fake, STATUS, 1, UP | VIRTIO_STATUS_DRIVER_OK);
        assert_true(fake_in(f->fake, STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET);
    }
    fake_out(f->fake, SELECT, 2, 7);
    assert_int_equal(fake_in(f->fake, COUNT, 2), 0);
    fake_out(f->fake, PAGE, 4, 1);
    start(f, 0, 1);
    expect_alive(f);
}

/* A driver of one interface does not get at the other's choice of features while queues run. */
static void
test_mixed(void **state)
{
    Fixture *f = *state;
    PciRoot *root = f->fake->machine->pci;
    uint64_t common = 0x200000000;

    pci_config_write(root, f->drv.bdf, PCI_BASE_ADDRESS_0 + 16, 4, (uint32_t)common);
    pci_config_write(root, f->drv.bdf, PCI_BASE_ADDRESS_0 + 20, 4, (uint32_t)(common >> 32));
    pci_config_write(root, f->drv.bdf, PCI_COMMAND, 2,
                     PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    /* the modern one does not show what only the legacy one has */
    fake_write(f->fake, common, 4, 0);
    assert_false(fake_read(f->fake, common + 4, 4) & 1 << VIRTIO_F_ANY_LAYOUT_BIT);
    start(f, 0, 1);
    fake_write(f->fake, common + 8, 4, 1);
    fake_write(f->fake, common + 0xc, 4, 1);
    assert_int_equal(f->drv.dev->guest_features, 0);
    expect_alive(f);
    /* modern features without FEATURES_OK do not start by the legacy status */
    fake_out(f->fake, STATUS, 1, 0);
    fake_out(f->fake, STATUS, 1, UP);
    fake_write(f->fake, common + 8, 4, 1);
    fake_write(f->fake, common + 0xc, 4, 1);
    add_queue(f, 0);
    fake_out(f->fake, NOTIFY, 2, 0);
    assert_false(f->drv.dev->started);
    fake_out(f->fake, STATUS, 1, UP | VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);
    assert_false(f->drv.dev->started);
    assert_true(fake_in(f->fake, STATUS, 1) & VIRTIO_STATUS_NEEDS_RESET);
}

/* The last buffer taken interrupts a driver that wants no other interrupts. */
static void
test_notify_on_empty(void **state)
{
    Fixture *f = *state;
    uint16_t flags = 1;

    start(f, 0, 1);
    memcpy(virtio_driver_memory(&f->drv, f->q->avail), &flags, 2);
    expect_alive(f);
    assert_int_equal(fake_in(f->fake, ISR, 1), 0);
    start(f, 1 << VIRTIO_F_NOTIFY_ON_EMPTY_BIT, 1);
    memcpy(virtio_driver_memory(&f->drv, f->q->avail), &flags, 2);
    expect_alive(f);
    assert_int_equal(fake_in(f->fake, ISR, 1), 1);
}

static void
test_saved_state(void **state)
{
    Fixture *f = *state;
    Fixture other = { 0 };
    FakeMachine *fake;
    g_autoptr(GByteArray) saved = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    fake_out(f->fake, STATUS, 1, UP);
    add_queue(f, 0);
    expect_alive(f);
    machine_set_running(f->fake->machine, false);
    assert_true(machine_save(f->fake->machine, saved, &err));

    fake = fake_machine_new_q35(RAM);
    other = *f;
    other.fake = other.drv.fake = fake;
    other.drv.dev = virtio_device(make_rng(fake));
    other.q = &other.drv.q[0];
    memcpy(fake->ram, f->fake->ram, RAM);
    if (!machine_load(fake->machine, saved->data, saved->len, &err))
        fail_msg("%s", err->message);
    machine_set_running(fake->machine, true);
    for (unsigned i = 0; i < 20; i++)
        expect_alive(&other);
    fake_machine_free(fake);
}

static void
set_msix(Fixture *f, bool on)
{
    PciRoot *root = f->fake->machine->pci;
    unsigned cap = pci_config_read(root, f->drv.bdf, PCI_CAPABILITY_LIST, 1);

    while (pci_config_read(root, f->drv.bdf, cap, 1) != PCI_CAP_ID_MSIX)
        cap = pci_config_read(root, f->drv.bdf, cap + 1, 1);
    pci_config_write(root, f->drv.bdf, cap + PCI_MSIX_FLAGS, 2, on ? PCI_MSIX_ENABLE : 0);
}

/* A network card: its address moves with MSI-X and can be written, its header is 10 bytes long. */
static void
test_net(void **state)
{
    Fixture *f = *state;
    FakeNet *net = fake_net_new(f->fake, "n0", 1, NET_CAP_HEADER);
    Device *dev = fake_device(f->fake, "virtio-net-pci", "netdev", "n0", "mac", "52:54:00:01:02:03",
                              "addr", "0x6", NULL);
    uint8_t frame[10 + 60] = { 0 };
    DriverBuffer buffers[2];
    GBytes *sent;
    uint32_t len;

    assert_int_equal(config_of(dev, PCI_VENDOR_ID), 0x10001af4);
    place(f, f->fake, dev);
    assert_int_equal(fake_in(f->fake, CONFIG, 4), 0x01005452);
    set_msix(f, true);
    assert_int_equal(fake_in(f->fake, CONFIG_MSIX, 4), 0x01005452);
    assert_int_equal(fake_in(f->fake, CONFIG, 2), VIRTIO_NO_VECTOR);
    fake_out(f->fake, CONFIG, 2, 1);
    assert_int_equal(fake_in(f->fake, CONFIG, 2), 1);
    fake_out(f->fake, CONFIG, 2, VIRTIO_NO_VECTOR);
    set_msix(f, false);
    start(f, 0, 2);
    fake_out(f->fake, CONFIG + 5, 1, 0x77);
    assert_int_equal(fake_in(f->fake, CONFIG + 4, 2), 0x7702);
    /* in */
    buffers[0] = (DriverBuffer){ virtio_driver_alloc(&f->drv, 10), 10, true };
    buffers[1] = (DriverBuffer){ virtio_driver_alloc(&f->drv, 1514), 1514, true };
    virtio_driver_add(&f->drv, f->q, buffers, 2, false);
    fake_out(f->fake, NOTIFY, 2, 0);
    virtio_driver_settle(&f->drv);
    assert_int_equal(net->header_len, 10);
    memset(frame + 10, 0xab, 60);
    fake_net_arrive(net, frame, sizeof(frame));
    virtio_driver_wait(&f->drv, f->q, &len);
    assert_int_equal(len, sizeof(frame));
    assert_memory_equal(virtio_driver_memory(&f->drv, buffers[1].addr), frame + 10, 60);
    /* out */
    buffers[0] = (DriverBuffer){ virtio_driver_alloc(&f->drv, 70), 70, false };
    memcpy(virtio_driver_memory(&f->drv, buffers[0].addr), frame, 70);
    virtio_driver_add(&f->drv, &f->drv.q[1], buffers, 1, false);
    fake_out(f->fake, NOTIFY, 2, 1);
    virtio_driver_wait(&f->drv, &f->drv.q[1], NULL);
    assert_int_equal(net->sent->len, 1);
    sent = g_ptr_array_index(net->sent, 0);
    assert_int_equal(g_bytes_get_size(sent), 70);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
#define TEST_BARE(fn) cmocka_unit_test_setup_teardown(fn, setup_bare, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_BARE(test_who_has_it), TEST_BARE(test_legacy_only),
        TEST(test_request),         TEST(test_before_driver_ok),
        TEST(test_idle_doorbells),  TEST(test_queue_taken_away),
        TEST(test_queue_nonsense),  TEST(test_mixed),
        TEST(test_notify_on_empty), TEST(test_saved_state),
        TEST_BARE(test_net),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
