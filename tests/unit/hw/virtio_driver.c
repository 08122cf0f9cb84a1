/* virtio_driver.c - the driver's side of a virtio device over PCI, for tests.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/virtio_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define BAR4_BASE UINT64_C(0x200000000)
#define MSIX_BASE UINT64_C(0xc1000000)

enum { HEAP_START = 0x100000, CONFIG_VECTOR = 0 };

static uint32_t
config_get(VirtioDriver *drv, unsigned offset, unsigned size)
{
    return pci_config_read(drv->fake->machine->pci, drv->bdf, offset, size);
}

static void
config_set(VirtioDriver *drv, unsigned offset, unsigned size, uint32_t value)
{
    pci_config_write(drv->fake->machine->pci, drv->bdf, offset, size, value);
}

static void
find_registers(VirtioDriver *drv)
{
    unsigned cap = config_get(drv, PCI_CAPABILITY_LIST, 1);

    for (; cap; cap = config_get(drv, cap + 1, 1)) {
        unsigned type = config_get(drv, cap + 3, 1);
        uint64_t at = BAR4_BASE + (uint64_t)drv->bdf * 0x10000 + config_get(drv, cap + 8, 4);

        if (config_get(drv, cap, 1) == PCI_CAP_ID_MSIX) {
            config_set(drv, cap + PCI_MSIX_FLAGS, 2, PCI_MSIX_ENABLE);
            continue;
        }
        if (config_get(drv, cap, 1) != PCI_CAP_ID_VENDOR)
            continue;
        if (type == 1)
            drv->common = at;
        else if (type == 2)
            drv->notify = at, drv->notify_step = config_get(drv, cap + 16, 4);
        else if (type == 3)
            drv->isr = at;
        else if (type == 4)
            drv->config = at;
    }
}

void
virtio_driver_init(VirtioDriver *drv, FakeMachine *fake, Device *dev)
{
    uint64_t bar4, bar1;

    *drv = (VirtioDriver){ .fake = fake, .dev = virtio_device(dev), .heap = HEAP_START };
    drv->bdf = pci_requester_id(pci_device(dev));
    bar4 = BAR4_BASE + (uint64_t)drv->bdf * 0x10000;
    bar1 = MSIX_BASE + (uint64_t)drv->bdf * 0x10000;
    config_set(drv, PCI_BASE_ADDRESS_0 + 4, 4, (uint32_t)bar1);
    config_set(drv, PCI_BASE_ADDRESS_0 + 16, 4, (uint32_t)bar4);
    config_set(drv, PCI_BASE_ADDRESS_0 + 20, 4, (uint32_t)(bar4 >> 32));
    config_set(drv, PCI_COMMAND, 2, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    find_registers(drv);
    assert_true(drv->common && drv->notify && drv->isr && drv->config);
    for (unsigned i = 0; i < pci_msix_vectors(pci_device(dev)); i++) {
        fake_write(fake, bar1 + 16 * i, 4, 0xfee00000);
        fake_write(fake, bar1 + 16 * i + 4, 4, 0);
        fake_write(fake, bar1 + 16 * i + 8, 4, DRIVER_VECTOR_DATA + i);
        fake_write(fake, bar1 + 16 * i + 12, 4, 0);
    }
    machine_set_running(fake->machine, true);
}

uint64_t
virtio_driver_alloc(VirtioDriver *drv, uint64_t len)
{
    uint64_t at = drv->heap;

    drv->heap += (len + 63) & ~UINT64_C(63);
    assert_true(drv->heap <= guest_memory_size(drv->fake->machine->memory));
    memset(drv->fake->ram + at, 0, len);
    return at;
}

void *
virtio_driver_memory(VirtioDriver *drv, uint64_t addr)
{
    return drv->fake->ram + addr;
}

uint8_t
virtio_driver_status(VirtioDriver *drv)
{
    return (uint8_t)fake_read(drv->fake, drv->common + 0x14, 1);
}

void
virtio_driver_set_status(VirtioDriver *drv, uint8_t status)
{
    fake_write(drv->fake, drv->common + 0x14, 1, status);
}

uint64_t
virtio_driver_offered(VirtioDriver *drv)
{
    uint64_t features;

    fake_write(drv->fake, drv->common, 4, 0);
    features = fake_read(drv->fake, drv->common + 4, 4);
    fake_write(drv->fake, drv->common, 4, 1);
    return features | fake_read(drv->fake, drv->common + 4, 4) << 32;
}

bool
virtio_driver_negotiate(VirtioDriver *drv, uint64_t features)
{
    virtio_driver_set_status(drv, 0);
    assert_int_equal(virtio_driver_status(drv), 0);
    virtio_driver_set_status(drv, VIRTIO_STATUS_ACKNOWLEDGE);
    virtio_driver_set_status(drv, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    if (!g_strcmp0(g_getenv("KILN_TEST_PACKED"), "1"))
        features |= VIRTIO_F(VIRTIO_F_RING_PACKED_BIT);
    for (unsigned i = 0; i < 2; i++) {
        fake_write(drv->fake, drv->common + 8, 4, i);
        fake_write(drv->fake, drv->common + 0xc, 4, (uint32_t)(features >> (32 * i)));
    }
    drv->features = features;
    virtio_driver_set_status(drv, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
                                      VIRTIO_STATUS_FEATURES_OK);
    return virtio_driver_status(drv) & VIRTIO_STATUS_FEATURES_OK;
}

DriverQueue *
virtio_driver_queue(VirtioDriver *drv, unsigned i, uint16_t size)
{
    DriverQueue *q = &drv->q[i];
    FakeMachine *fake = drv->fake;

    *q = (DriverQueue){ .index = (uint16_t)i, .size = size };
    q->packed = drv->features & VIRTIO_F(VIRTIO_F_RING_PACKED_BIT);
    if (q->packed)
        q->next_desc = q->used_seen = PACKED_WRAP;
    q->desc = virtio_driver_alloc(drv, 16 * size);
    q->avail = virtio_driver_alloc(drv, 6 + 2 * size);
    q->used = virtio_driver_alloc(drv, 6 + 8 * size);
    fake_write(fake, drv->common + 0x16, 2, i);
    fake_write(fake, drv->common + 0x18, 2, size);
    fake_write(fake, drv->common + 0x1a, 2,
               i + 1 < pci_msix_vectors(&drv->dev->pci) ? i + 1 : VIRTIO_NO_VECTOR);
    fake_write(fake, drv->common + 0x20, 4, (uint32_t)q->desc);
    fake_write(fake, drv->common + 0x24, 4, (uint32_t)(q->desc >> 32));
    fake_write(fake, drv->common + 0x28, 4, (uint32_t)q->avail);
    fake_write(fake, drv->common + 0x2c, 4, (uint32_t)(q->avail >> 32));
    fake_write(fake, drv->common + 0x30, 4, (uint32_t)q->used);
    fake_write(fake, drv->common + 0x34, 4, (uint32_t)(q->used >> 32));
    fake_write(fake, drv->common + 0x1c, 2, 1);
    return q;
}

void
virtio_driver_ok(VirtioDriver *drv)
{
    virtio_driver_set_status(drv, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER |
                                      VIRTIO_STATUS_FEATURES_OK | VIRTIO_STATUS_DRIVER_OK);
}

void
virtio_driver_start(VirtioDriver *drv, uint64_t features, unsigned queues, uint16_t size)
{
    assert_true(virtio_driver_negotiate(drv, features | VIRTIO_F(VIRTIO_F_VERSION_1_BIT)));
    fake_write(drv->fake, drv->common + 0x10, 2, CONFIG_VECTOR);
    for (unsigned i = 0; i < queues; i++)
        virtio_driver_queue(drv, i, size);
    virtio_driver_ok(drv);
    virtio_driver_settle(drv);
}

static void
store(VirtioDriver *drv, uint64_t at, const void *value, size_t size)
{
    memcpy(virtio_driver_memory(drv, at), value, size);
}

void
virtio_driver_desc(VirtioDriver *drv, DriverQueue *q, uint16_t i, uint64_t addr, uint32_t len,
                   uint16_t flags, uint16_t next)
{
    uint64_t at = q->desc + 16 * (uint64_t)i;

    store(drv, at, &addr, 8);
    store(drv, at + 8, &len, 4);
    store(drv, at + 12, &flags, 2);
    store(drv, at + 14, &next, 2);
}

void
virtio_driver_offer(VirtioDriver *drv, DriverQueue *q, uint16_t head)
{
    store(drv, q->avail + 4 + 2 * (uint64_t)(q->avail_idx % q->size), &head, 2);
    q->avail_idx++;
    __atomic_store_n((uint16_t *)virtio_driver_memory(drv, q->avail + 2), q->avail_idx,
                     __ATOMIC_RELEASE);
}

void
virtio_driver_kick(VirtioDriver *drv, DriverQueue *q)
{
    fake_write(drv->fake, drv->notify + q->index * (uint64_t)drv->notify_step, 2, q->index);
}

static uint16_t
packed_after(const DriverQueue *q, uint16_t at, unsigned count)
{
    unsigned to = (at & ~PACKED_WRAP) + count, wrap = at & PACKED_WRAP;

    return (uint16_t)(to >= q->size ? (to - q->size) | (wrap ^ PACKED_WRAP) : to | wrap);
}

/* Without the first descriptor's flags, which make a chain available. */
static uint16_t
packed_put(VirtioDriver *drv, DriverQueue *q, uint64_t addr, uint32_t len, uint16_t id,
           uint16_t flags, bool first)
{
    uint16_t at = q->next_desc;
    uint64_t desc = q->desc + 16 * (uint64_t)(at & ~PACKED_WRAP);

    flags |= at & PACKED_WRAP ? PACKED_AVAIL : PACKED_USED;
    store(drv, desc, &addr, 8);
    store(drv, desc + 8, &len, 4);
    store(drv, desc + 12, &id, 2);
    if (!first)
        store(drv, desc + 14, &flags, 2);
    q->next_desc = packed_after(q, at, 1);
    return flags;
}

static void
packed_show(VirtioDriver *drv, DriverQueue *q, uint16_t at, uint16_t flags)
{
    __atomic_store_n(
        (uint16_t *)virtio_driver_memory(drv, q->desc + 16 * (uint64_t)(at & ~PACKED_WRAP) + 14),
        flags, __ATOMIC_RELEASE);
}

void
virtio_driver_packed(VirtioDriver *drv, DriverQueue *q, uint64_t addr, uint32_t len, uint16_t id,
                     uint16_t flags)
{
    uint16_t at = q->next_desc;

    packed_show(drv, q, at, packed_put(drv, q, addr, len, id, flags, true));
}

static uint16_t
packed_add(VirtioDriver *drv, DriverQueue *q, const DriverBuffer *buffers, unsigned n,
           bool indirect)
{
    uint16_t first = q->next_desc, first_flags = 0, id = q->next_id++;
    DriverQueue table = { .desc = 0, .size = (uint16_t)n };

    if (indirect) {
        table.desc = virtio_driver_alloc(drv, 16 * n);
        for (unsigned i = 0; i < n; i++)
            virtio_driver_desc(drv, &table, (uint16_t)i, buffers[i].addr, buffers[i].len, 0,
                               buffers[i].write ? DESC_WRITE : 0);
        first_flags = packed_put(drv, q, table.desc, 16 * n, id, DESC_INDIRECT, true);
    }
    for (unsigned i = 0; !indirect && i < n; i++) {
        uint16_t flags = packed_put(
            drv, q, buffers[i].addr, buffers[i].len, i + 1 < n ? (uint16_t)0xdead : id,
            (uint16_t)((buffers[i].write ? DESC_WRITE : 0) | (i + 1 < n ? DESC_NEXT : 0)), i == 0);

        if (i == 0)
            first_flags = flags;
    }
    q->counts[id] = (uint16_t)(indirect ? 1 : n);
    packed_show(drv, q, first, first_flags);
    virtio_driver_kick(drv, q);
    return id;
}

uint16_t
virtio_driver_add(VirtioDriver *drv, DriverQueue *q, const DriverBuffer *buffers, unsigned n,
                  bool indirect)
{
    DriverQueue table = { .desc = 0, .size = (uint16_t)n };
    uint16_t head = q->next_desc;

    if (q->packed)
        return packed_add(drv, q, buffers, n, indirect);
    if (indirect)
        table.desc = virtio_driver_alloc(drv, 16 * n);
    for (unsigned i = 0; i < n; i++) {
        uint16_t flags =
            (uint16_t)((buffers[i].write ? DESC_WRITE : 0) | (i + 1 < n ? DESC_NEXT : 0));
        uint16_t at = indirect ? (uint16_t)i : q->next_desc;
        uint16_t next = (uint16_t)(indirect ? i + 1 : (q->next_desc + 1u) % q->size);

        virtio_driver_desc(drv, indirect ? &table : q, at, buffers[i].addr, buffers[i].len, flags,
                           next);
        if (!indirect)
            q->next_desc = (uint16_t)((q->next_desc + 1) % q->size);
    }
    if (indirect) {
        virtio_driver_desc(drv, q, head, table.desc, 16 * n, DESC_INDIRECT, 0);
        q->next_desc = (uint16_t)((q->next_desc + 1) % q->size);
    }
    virtio_driver_offer(drv, q, head);
    virtio_driver_kick(drv, q);
    return head;
}

static bool
packed_has_used(VirtioDriver *drv, DriverQueue *q)
{
    const uint16_t *place =
        virtio_driver_memory(drv, q->desc + 16 * (uint64_t)(q->used_seen & ~PACKED_WRAP) + 14);
    uint16_t flags = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    bool wrap = q->used_seen & PACKED_WRAP;

    return !!(flags & PACKED_AVAIL) == wrap && !!(flags & PACKED_USED) == wrap;
}

static uint32_t
packed_take_used(VirtioDriver *drv, DriverQueue *q, uint32_t *ret_len)
{
    const uint8_t *desc =
        virtio_driver_memory(drv, q->desc + 16 * (uint64_t)(q->used_seen & ~PACKED_WRAP));
    uint16_t id, flags;
    uint32_t len;

    memcpy(&len, desc + 8, 4);
    memcpy(&id, desc + 12, 2);
    memcpy(&flags, desc + 14, 2);
    assert_in_range(id, 0, G_N_ELEMENTS(q->counts) - 1);
    assert_int_equal(!!(flags & DESC_WRITE), len > 0);
    q->used_seen = packed_after(q, q->used_seen, q->counts[id]);
    if (ret_len)
        *ret_len = len;
    return id;
}

bool
virtio_driver_has_used(VirtioDriver *drv, DriverQueue *q)
{
    if (q->packed)
        return packed_has_used(drv, q);
    return __atomic_load_n((uint16_t *)virtio_driver_memory(drv, q->used + 2), __ATOMIC_ACQUIRE) !=
           q->used_seen;
}

uint32_t
virtio_driver_wait(VirtioDriver *drv, DriverQueue *q, uint32_t *ret_len)
{
    uint32_t entry[2];

    for (int i = 0; !virtio_driver_has_used(drv, q); i++) {
        if (i == 10000)
            fail_msg("queue %u gives nothing back", q->index);
        fake_iterate(drv->fake);
        g_usleep(1000);
    }
    if (q->packed)
        return packed_take_used(drv, q, ret_len);
    memcpy(entry, virtio_driver_memory(drv, q->used + 4 + 8 * (uint64_t)(q->used_seen % q->size)),
           sizeof(entry));
    q->used_seen++;
    if (ret_len)
        *ret_len = entry[1];
    return entry[0];
}

void
virtio_driver_wait_broken(VirtioDriver *drv)
{
    for (int i = 0; !(virtio_driver_status(drv) & VIRTIO_STATUS_NEEDS_RESET); i++) {
        if (i == 10000)
            fail_msg("the device does not ask for a reset");
        g_usleep(1000);
    }
}

static void
nothing(void *opaque)
{
    (void)opaque;
}

void
virtio_driver_settle(VirtioDriver *drv)
{
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned j = 0; j < drv->dev->n_queues; j++)
            io_loop_run_sync(drv->dev->queues[j].loop, nothing, NULL);
        fake_iterate(drv->fake);
    }
}

uint64_t
virtio_driver_interrupts(VirtioDriver *drv, unsigned i)
{
    FakeRoute *route = fake_route(drv->fake, DRIVER_VECTOR_DATA + i + 1);

    return route ? fake_route_take(route) : 0;
}

uint64_t
virtio_driver_config(VirtioDriver *drv, unsigned offset, unsigned size)
{
    return fake_read(drv->fake, drv->config + offset, size);
}
