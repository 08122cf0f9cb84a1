/* fuzz_hw_virtio.c - a driver that writes anything to the rings and registers of a virtio device.
 *
 * The first byte chooses the device, some behind a port, the next eight the features, packed queues
 * among them; then records of 12 bytes: what to do, queue, index, flags, a number of 32 and one of
 * 16 bits, next.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/virtio_driver.h"

#include "block/block.h"
#include "hw/char/chardev.h"
#include "hw/core/bytes.h"
#include "hw/virtio/rng.h"
#include "net/net.h"

#include <linux/vhost.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    RECORD = 12,
    RAM = 2 << 20,
    QUEUES = 6,
    SIZE = 16,
    DISK = 64 << 10,
    PORT = 0xc000,
    KINDS = 14,
    PORT_BDF = 1 << 3,
    POWER_CONTROL = 4, /* places in capabilities */
    FUNCTION_RESET = 9,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
open_disk(void *opaque, const char *filename, int flags, GError **err)
{
    int fd = memfd_create("disk", MFD_CLOEXEC);

    (void)opaque;
    (void)filename;
    (void)flags;
    (void)err;
    if (fd < 0 || ftruncate(fd, DISK) < 0)
        g_error("no memory for a disk");
    return fd;
}

static BlockNode *
no_node(void *opaque, const char *name)
{
    (void)opaque;
    (void)name;
    return NULL;
}

static void
add_disk(FakeMachine *fake)
{
    g_autoptr(JsonNode) node = json_from_string("{\"driver\":\"file\",\"filename\":\"x\","
                                                "\"node-name\":\"d\",\"discard\":\"unmap\"}",
                                                NULL);
    BlockOpenOps ops = { NULL, open_disk, no_node };
    BlockNode *block = block_node_open(json_node_get_object(node), &ops, NULL);

    machine_object_add(fake->machine, OBJECT_BLOCK_NODE, "d", block,
                       (GDestroyNotify)block_node_unref, NULL);
}

static GHashTable *
props(const char *type, const char *type_value, const char *id, const char *more, const char *value)
{
    GHashTable *table = g_hash_table_new(g_str_hash, g_str_equal);

    g_hash_table_insert(table, (char *)type, (char *)type_value);
    g_hash_table_insert(table, (char *)"id", (char *)id);
    if (more)
        g_hash_table_insert(table, (char *)more, (char *)value);
    return table;
}

/* The kernel's device, as far as starting and stopping goes: nobody takes anything off its rings.
 * The linker puts this in ioctl's place. */
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);

int
__wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list args;
    void *argument;

    va_start(args, request);
    argument = va_arg(args, void *);
    va_end(args);
    if (_IOC_TYPE(request) != VHOST_VIRTIO)
        return __real_ioctl(fd, request, argument);
    if (request == VHOST_GET_FEATURES)
        *(uint64_t *)argument = UINT64_MAX;
    return 0;
}

static const char *
vhost_fd(void)
{
    static char number[12];

    g_snprintf(number, sizeof(number), "%d", memfd_create("vhost", MFD_CLOEXEC));
    return number;
}

/* A port with bus 1 and windows around all that virtio_driver_init() places. */
static void
add_port(FakeMachine *fake)
{
    static const struct {
        unsigned reg;
        uint32_t value;
    } registers[] = {
        { PCI_PRIMARY_BUS, 0x010100 }, { PCI_MEMORY_BASE, 0xcff0c000 },
        { PCI_PREF_BASE, 0xfff10001 }, { PCI_PREF_BASE_UPPER, 2 },
        { PCI_PREF_LIMIT_UPPER, 2 },   { PCI_COMMAND, 7 },
    };

    fake_device(fake, "pcie-root-port", "id", "p", "addr", "1", NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(registers); i++)
        pci_config_write(fake->machine->pci, PORT_BDF, registers[i].reg, 4, registers[i].value);
}

static Device *
make_device(FakeMachine *fake, unsigned kind)
{
    g_autoptr(GHashTable) table = NULL;
    NetOpenOps net_ops = { 0 };
    Device *dev;

    g_setenv("KILN_TEST_PACKED", "offered", TRUE); /* offered by each; the features choose it */
    switch (kind) {
    case 0:
        add_disk(fake);
        return fake_device(fake, "virtio-blk-pci", "drive", "d", "num-queues", "3", NULL);
    case 1:
        table = props("type", "user", "n", "restrict", "on");
        machine_object_add(fake->machine, OBJECT_NETDEV, "n",
                           net_backend_open(table, &net_ops, NULL),
                           (GDestroyNotify)net_backend_free, NULL);
        return fake_device(fake, "virtio-net-pci", "netdev", "n", NULL);
    case 2:
        table = props("backend", "null", "c", NULL, NULL);
        machine_object_add(fake->machine, OBJECT_CHARDEV, "c",
                           chardev_new(fake->machine, table, NULL), (GDestroyNotify)chardev_free,
                           NULL);
        dev = fake_device(fake, "virtio-serial-pci", "id", "s", "max_ports", "2", NULL);
        fake_device(fake, "virtconsole", "chardev", "c", NULL);
        fake_device(fake, "virtserialport", "name", "port", NULL);
        return dev;
    case 5:
        add_disk(fake);
        dev = fake_device(fake, "virtio-scsi-pci", "id", "h", "num_queues", "2", NULL);
        fake_device(fake, "scsi-hd", "bus", "h.0", "drive", "d", NULL);
        fake_device(fake, "scsi-cd", "bus", "h.0", NULL);
        return dev;
    case 3:
        return fake_device(fake, "virtio-balloon-pci", "free-page-reporting", "on", NULL);
    case 6:
        return fake_device(fake, "virtio-gpu-pci", "max_outputs", "2", NULL);
    case 7:
        return fake_device(fake, "virtio-tablet-pci", NULL);
    case 8:
        return fake_device(fake, "virtio-keyboard-pci", NULL);
    case 9:
        return fake_device(fake, "virtio-mouse-pci", NULL);
    case 10:
        return fake_device(fake, "virtio-vga", NULL);
    case 11:
        return fake_device(fake, "vhost-vsock-pci", "guest-cid", "3", "vhostfd", vhost_fd(), NULL);
    case 12: /* which has power states there */
        add_disk(fake);
        add_port(fake);
        return fake_device(fake, "virtio-blk-pci", "drive", "d", "num-queues", "3", "bus", "p",
                           NULL);
    case 13:
        add_port(fake);
        return fake_device(fake, "virtio-gpu-pci", "bus", "p", NULL);
    default:
        table = props("qom-type", "rng-builtin", "r", NULL, NULL);
        rng_object_add(fake->machine, table, NULL);
        return fake_device(fake, "virtio-rng-pci", "rng", "r", NULL);
    }
}

/* Whatever became of the function: it is awake, and its registers are in their places. */
static void
place(VirtioDriver *drv, FakeMachine *fake, VirtioDevice *dev)
{
    uint16_t bdf = pci_requester_id(&dev->pci);

    if (dev->pci.power_cap)
        pci_config_write(fake->machine->pci, bdf, dev->pci.power_cap + POWER_CONTROL, 2, 0);
    virtio_driver_init(drv, fake, virtio_base(dev));
    pci_config_write(fake->machine->pci, bdf, PCI_BASE_ADDRESS_0, 4, PORT);
    pci_config_write(fake->machine->pci, bdf, PCI_COMMAND, 2,
                     PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void
begin(VirtioDriver *drv, uint64_t features)
{
    uint64_t wanted = (virtio_driver_offered(drv) & features) | VIRTIO_F(VIRTIO_F_VERSION_1_BIT);

    drv->heap = 0x1000;
    virtio_driver_negotiate(drv, wanted);
    for (unsigned i = 0; i < MIN(drv->dev->n_queues, (uint32_t)QUEUES); i++)
        virtio_driver_queue(drv, i, MIN(SIZE, drv->dev->queues[i].max_size));
    virtio_driver_ok(drv);
}

/* The same through the legacy interface, with rings wherever their sizes put them. */
static void
begin_legacy(VirtioDriver *drv, uint64_t features)
{
    drv->heap = 0x1000;
    fake_out(drv->fake, PORT + 0x12, 1, 0);
    fake_out(drv->fake, PORT + 0x12, 1, VIRTIO_STATUS_ACKNOWLEDGE | VIRTIO_STATUS_DRIVER);
    fake_out(drv->fake, PORT + 4, 4, (uint32_t)features);
    for (unsigned i = 0; i < MIN(drv->dev->n_queues, (uint32_t)QUEUES); i++) {
        DriverQueue *q = &drv->q[i];
        uint64_t size = drv->dev->queues[i].max_size;

        *q = (DriverQueue){ .index = (uint16_t)i, .size = (uint16_t)size };
        drv->heap = (drv->heap + 4095) & ~UINT64_C(4095);
        q->desc = virtio_driver_alloc(drv, 24 * size + 8192);
        q->avail = q->desc + 16 * size;
        q->used = (q->avail + 6 + 2 * size + 4095) & ~UINT64_C(4095);
        fake_out(drv->fake, PORT + 0xe, 2, i);
        fake_out(drv->fake, PORT + 8, 4, q->desc >> 12);
    }
    if (features >> 63)
        fake_out(drv->fake, PORT + 0x12, 1, UINT8_MAX);
}

static void
run_record(VirtioDriver *drv, const uint8_t *r, uint64_t features)
{
    DriverQueue *q = &drv->q[r[1] % MIN(drv->dev->n_queues, (uint32_t)QUEUES)];
    uint32_t number = bytes_load32(r + 4);
    uint16_t len = bytes_load16(r + 8), next = r[10];
    uint64_t at = number % (RAM + 0x1000);

    switch (r[0] % 14) {
    case 0:
        virtio_driver_desc(drv, q, r[2] % SIZE, number, len, r[3], next);
        break;
    case 1:
        virtio_driver_desc(drv, q, r[2] % SIZE, at, len, r[3] & 7, next % (SIZE + 1));
        break;
    case 2:
        virtio_driver_offer(drv, q, r[2] % (SIZE + 1));
        virtio_driver_kick(drv, q);
        break;
    case 3:
        if (at < RAM - 4)
            bytes_store(drv->fake->ram + at, bytes_load32(r + 8), 4);
        break;
    case 4:
        virtio_driver_settle(drv);
        break;
    case 5:
        fake_write(drv->fake, drv->common + r[2] % 0x40, 1u << (r[3] & 3), number);
        break;
    case 6:
        fake_write(drv->fake, drv->config + r[2], 1u << (r[3] & 3), number);
        fake_read(drv->fake, drv->config + r[2], 1u << (r[3] & 3));
        break;
    case 7:
        place(drv, drv->fake, drv->dev);
        begin(drv, features);
        break;
    case 8:
        fake_out(drv->fake, (uint16_t)(PORT + r[2] % 0x80), 1u << (r[3] & 3), number);
        fake_in(drv->fake, (uint16_t)(PORT + r[2] % 0x80), 1u << (r[3] & 3));
        break;
    case 9:
        begin_legacy(drv, features);
        break;
    case 10: /* of a packed queue: whatever it looks like, it is the next one */
        virtio_driver_packed(drv, q, at, len, next, r[3] & 7);
        if (r[2] & 1)
            virtio_driver_kick(drv, q);
        break;
    case 11:
        virtio_driver_packed(drv, q, number, len, next, (uint16_t)(r[3] | r[2] << 8));
        break;
    case 12:
        pci_config_write(drv->fake->machine->pci, drv->bdf, r[2] & ~3u, 4, number);
        pci_config_read(drv->fake->machine->pci, drv->bdf, r[3] & ~3u, 4);
        break;
    case 13: /* D3hot and back, or the function's reset */
        if (r[3] & 4)
            pci_config_write(drv->fake->machine->pci, drv->bdf,
                             drv->dev->pci.express_cap + FUNCTION_RESET, 1, r[2]);
        else
            pci_config_write(drv->fake->machine->pci, drv->bdf,
                             drv->dev->pci.power_cap + POWER_CONTROL, 2, r[3] & 3);
        break;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FakeMachine *fake;
    VirtioDriver drv;
    uint64_t features;

    if (size < 9)
        return 0;
    fake = fake_machine_new_q35(RAM);
    features = bytes_load64(data + 1);
    place(&drv, fake, virtio_device(make_device(fake, data[0] % KINDS)));
    begin(&drv, features);
    for (size_t at = 9; at + RECORD <= size; at += RECORD)
        run_record(&drv, data + at, features);
    virtio_driver_settle(&drv);
    machine_set_running(fake->machine, false);
    fake_machine_free(fake);
    return 0;
}
