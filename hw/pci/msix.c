/* msix.c - MSI-X (PCI Local Bus 3.0, section 6.8.2).
 *
 * A vector in use has an eventfd for life. While the vector may fire, the eventfd is bound to an
 * MSI route in the host's interrupt controller (an irqfd), so raising it is one write from any
 * thread. While it is masked the binding is undone and the eventfd itself remembers that it was
 * raised: the pending bits are read out of it, and the host delivers what is pending when it is
 * bound again.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/core/bytes.h"
#include "hw/pci/internal.h"
#include "util/error.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { MSIX_ADDRESS = 0, MSIX_DATA = 8, MSIX_CONTROL = 12 };

typedef struct {
    unsigned uses;
    int fd;             /* atomic; -1 while not in use */
    int gsi;            /* MSI route, -1 for none */
    MsiMessage message; /* of the route */
    bool bound;         /* fd raises gsi */
} Vector;

struct PciMsix {
    GMutex lock;
    unsigned cap, n;
    bool live;        /* enabled and function not masked */
    uint8_t *table;   /* n entries of 16 bytes, then the pending bits: msix_state */
    uint8_t *pending; /* whole 64-bit words */
    unsigned pending_size;
    Vector vectors[];
};

static bool
msix_pending_test(const PciMsix *msix, unsigned i)
{
    return msix->pending[i / 8] & 1u << (i % 8);
}

static void
msix_pending_put(PciMsix *msix, unsigned i, bool on)
{
    if (on)
        msix->pending[i / 8] |= (uint8_t)(1u << (i % 8));
    else
        msix->pending[i / 8] &= (uint8_t) ~(1u << (i % 8));
}

static void
msix_raise(int fd)
{
    uint64_t one = 1;
    ssize_t n;

    /* Fails only when the counter is full, and then the interrupt is pending already. */
    do
        n = write(fd, &one, sizeof(one));
    while (n < 0 && errno == EINTR);
}

/* Moves what the eventfd remembers into the pending bit. */
static void
msix_collect(PciMsix *msix, unsigned i)
{
    Vector *v = &msix->vectors[i];
    uint64_t count;

    if (v->uses > 0 && !v->bound && read(v->fd, &count, sizeof(count)) == sizeof(count))
        msix_pending_put(msix, i, true);
}

static bool
msix_wants_binding(const PciMsix *msix, unsigned i)
{
    return msix->live && msix->vectors[i].uses > 0 &&
           !(msix->table[i * PCI_MSIX_ENTRY + MSIX_CONTROL] & PCI_MSIX_ENTRY_MASKED);
}

static void
msix_unbind(PciDevice *dev, Vector *v)
{
    Machine *machine = dev->device.machine;

    if (v->bound)
        (void)machine->ops->irqfd_remove(machine->host, v->fd, v->gsi);
    v->bound = false;
}

/* First half of binding: the route. Returns whether routes changed. */
static bool
msix_route(PciDevice *dev, unsigned i)
{
    Machine *machine = dev->device.machine;
    PciMsix *msix = dev->msix;
    Vector *v = &msix->vectors[i];
    const uint8_t *entry = msix->table + i * PCI_MSIX_ENTRY;
    MsiMessage msg = { bytes_load64(entry + MSIX_ADDRESS), bytes_load32(entry + MSIX_DATA),
                       pci_requester_id(dev) };

    if (v->gsi >= 0) {
        if (v->message.address == msg.address && v->message.data == msg.data &&
            v->message.devid == msg.devid)
            return false;
        if (machine->ops->msi_route_update(machine->host, v->gsi, &msg) < 0)
            return false;
    } else {
        v->gsi = machine->ops->msi_route_add(machine->host, &msg);
    }
    v->message = msg;
    return true;
}

static void
msix_bind(PciDevice *dev, unsigned i)
{
    Machine *machine = dev->device.machine;
    PciMsix *msix = dev->msix;
    Vector *v = &msix->vectors[i];

    /* Out of routes: interrupts stay pending, and the next change of the vector tries again. */
    if (v->bound || v->gsi < 0)
        return;
    if (msix_pending_test(msix, i)) {
        msix_pending_put(msix, i, false);
        msix_raise(v->fd);
    }
    v->bound = machine->ops->irqfd_add(machine->host, v->fd, -1, v->gsi) == 0;
}

/* Puts vectors [first, end) in step with the table and the capability; one commit for all. */
static void
msix_sync(PciDevice *dev, unsigned first, unsigned end)
{
    Machine *machine = dev->device.machine;
    PciMsix *msix = dev->msix;
    bool changed = false;

    for (unsigned i = first; i < end; i++) {
        if (msix_wants_binding(msix, i))
            changed |= msix_route(dev, i);
        else
            msix_unbind(dev, &msix->vectors[i]);
    }
    if (changed)
        (void)machine->ops->msi_route_commit(machine->host);
    for (unsigned i = first; i < end; i++) {
        if (msix_wants_binding(msix, i))
            msix_bind(dev, i);
    }
}

static uint64_t
msix_table_read(void *opaque, uint64_t offset, unsigned size)
{
    PciMsix *msix = ((PciDevice *)opaque)->msix;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&msix->lock);

    return bytes_load(msix->table + offset, size);
}

static void
msix_table_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    PciDevice *dev = opaque;
    PciMsix *msix = dev->msix;
    unsigned i = (unsigned)(offset / PCI_MSIX_ENTRY);
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&msix->lock);

    bytes_store(msix->table + offset, value, size);
    bytes_store(msix->table + i * PCI_MSIX_ENTRY + MSIX_CONTROL,
                msix->table[i * PCI_MSIX_ENTRY + MSIX_CONTROL] & PCI_MSIX_ENTRY_MASKED, 4);
    msix_sync(dev, i, i + 1);
}

static uint64_t
msix_pending_read(void *opaque, uint64_t offset, unsigned size)
{
    PciMsix *msix = ((PciDevice *)opaque)->msix;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&msix->lock);
    unsigned first = (unsigned)offset * 8;

    for (unsigned i = first; i < MIN(first + size * 8, msix->n); i++)
        msix_collect(msix, i);
    return bytes_load(msix->pending + offset, size);
}

static const IoOps msix_table_ops = { msix_table_read, msix_table_write, .sizes = 4 | 8 };
static const IoOps msix_pending_ops = { msix_pending_read, NULL, .sizes = 4 | 8 };

bool
pci_msix_init(PciDevice *dev, unsigned vectors, unsigned n, uint64_t table, uint64_t pba,
              GError **err)
{
    PciMsix *msix;
    unsigned at;

    if (vectors < 1 || vectors > 2048)
        return device_error(&dev->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "%u MSI-X vectors are not between 1 and 2048", vectors);
    at = pci_capability_add(dev, PCI_CAP_ID_MSIX, PCI_MSIX_SIZE);
    if (!at)
        return device_error(&dev->device, err, VIR_ERR_INTERNAL_ERROR,
                            "no room for an MSI-X capability");
    msix = g_malloc0(sizeof(*msix) + vectors * sizeof(Vector));
    g_mutex_init(&msix->lock);
    msix->cap = at;
    msix->n = vectors;
    msix->pending_size = (vectors + 63) / 64 * 8;
    dev->msix = msix;
    dev->msix_state_size = vectors * PCI_MSIX_ENTRY + msix->pending_size;
    dev->msix_state = msix->table = g_malloc0(dev->msix_state_size);
    msix->pending = msix->table + vectors * PCI_MSIX_ENTRY;
    for (unsigned i = 0; i < vectors; i++) {
        msix->vectors[i].fd = msix->vectors[i].gsi = -1;
        msix->table[i * PCI_MSIX_ENTRY + MSIX_CONTROL] = PCI_MSIX_ENTRY_MASKED;
    }
    pci_config_set(dev, at + PCI_MSIX_FLAGS, 2, vectors - 1);
    pci_config_mask(dev, at + PCI_MSIX_FLAGS, 2, PCI_MSIX_ENABLE | PCI_MSIX_MASKALL);
    pci_config_set(dev, at + PCI_MSIX_TABLE, 4, (uint32_t)table | n);
    pci_config_set(dev, at + PCI_MSIX_PBA, 4, (uint32_t)pba | n);
    /* These registers have a lock of their own: a vCPU that unmasks a vector does not wait for the
     * device's work. */
    pci_bar_add_region(dev, n, table, (uint64_t)vectors * PCI_MSIX_ENTRY, &msix_table_ops, dev,
                       NULL, "msix-table");
    pci_bar_add_region(dev, n, pba, msix->pending_size, &msix_pending_ops, dev, NULL, "msix-pba");
    return true;
}

void
pci_msix_update(PciDevice *dev)
{
    PciMsix *msix = dev->msix;
    unsigned flags;

    if (!msix)
        return;
    flags = pci_config_get(dev, msix->cap + PCI_MSIX_FLAGS, 2);
    g_mutex_lock(&msix->lock);
    msix->live = (flags & PCI_MSIX_ENABLE) && !(flags & PCI_MSIX_MASKALL) && !pci_asleep(dev);
    msix_sync(dev, 0, msix->n);
    g_mutex_unlock(&msix->lock);
}

void
pci_msix_config_written(PciDevice *dev, unsigned offset, unsigned size)
{
    const PciMsix *msix = dev->msix;

    if (msix && offset + size > msix->cap + PCI_MSIX_FLAGS && offset < msix->cap + 4)
        pci_msix_update(dev);
}

bool
pci_msix_enabled(const PciDevice *dev)
{
    return dev->msix &&
           (__atomic_load_n(&dev->config[dev->msix->cap + PCI_MSIX_FLAGS + 1], __ATOMIC_RELAXED) &
            PCI_MSIX_ENABLE >> 8);
}

unsigned
pci_msix_vectors(const PciDevice *dev)
{
    return dev->msix ? dev->msix->n : 0;
}

int
pci_msix_use(PciDevice *dev, unsigned vector)
{
    PciMsix *msix = dev->msix;
    Vector *v;

    if (!msix || vector >= msix->n)
        return -EINVAL;
    v = &msix->vectors[vector];
    g_mutex_lock(&msix->lock);
    if (v->uses == 0) {
        int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

        if (fd < 0) {
            int saved = errno;

            g_mutex_unlock(&msix->lock);
            return -saved;
        }
        __atomic_store_n(&v->fd, fd, __ATOMIC_RELEASE);
    }
    v->uses++;
    msix_sync(dev, vector, vector + 1);
    g_mutex_unlock(&msix->lock);
    return 0;
}

static void
msix_vector_end(PciDevice *dev, Vector *v)
{
    Machine *machine = dev->device.machine;

    msix_unbind(dev, v);
    if (v->gsi >= 0)
        machine->ops->msi_route_remove(machine->host, v->gsi);
    v->gsi = -1;
    close(v->fd);
    __atomic_store_n(&v->fd, -1, __ATOMIC_RELEASE);
}

void
pci_msix_unuse(PciDevice *dev, unsigned vector)
{
    PciMsix *msix = dev->msix;

    if (!msix || vector >= msix->n)
        return;
    g_mutex_lock(&msix->lock);
    if (msix->vectors[vector].uses > 0 && --msix->vectors[vector].uses == 0) {
        msix_vector_end(dev, &msix->vectors[vector]);
        msix_pending_put(msix, vector, false);
    }
    g_mutex_unlock(&msix->lock);
}

int
pci_msix_fd(PciDevice *dev, unsigned vector)
{
    if (!dev->msix || vector >= dev->msix->n)
        return -1;
    return __atomic_load_n(&dev->msix->vectors[vector].fd, __ATOMIC_ACQUIRE);
}

void
pci_msix_notify(PciDevice *dev, unsigned vector)
{
    int fd = pci_msix_fd(dev, vector);

    if (fd >= 0)
        msix_raise(fd);
}

void
pci_msix_reset(PciDevice *dev)
{
    PciMsix *msix = dev->msix;

    if (!msix)
        return;
    g_mutex_lock(&msix->lock);
    msix->live = false;
    msix_sync(dev, 0, msix->n);
    memset(msix->table, 0, dev->msix_state_size);
    for (unsigned i = 0; i < msix->n; i++)
        msix->table[i * PCI_MSIX_ENTRY + MSIX_CONTROL] = PCI_MSIX_ENTRY_MASKED;
    g_mutex_unlock(&msix->lock);
}

void
pci_msix_before_save(PciDevice *dev)
{
    PciMsix *msix = dev->msix;

    if (!msix)
        return;
    g_mutex_lock(&msix->lock);
    for (unsigned i = 0; i < msix->n; i++)
        msix_collect(msix, i);
    g_mutex_unlock(&msix->lock);
}

void
pci_msix_loaded(PciDevice *dev)
{
    PciMsix *msix = dev->msix;

    if (!msix)
        return;
    for (unsigned i = 0; i < msix->n; i++) {
        uint8_t *control = msix->table + i * PCI_MSIX_ENTRY + MSIX_CONTROL;

        bytes_store(control, control[0] & PCI_MSIX_ENTRY_MASKED, 4);
    }
    pci_msix_update(dev);
}

void
pci_msix_fini(PciDevice *dev)
{
    PciMsix *msix = dev->msix;

    if (!msix)
        return;
    for (unsigned i = 0; i < msix->n; i++) {
        if (msix->vectors[i].uses > 0)
            msix_vector_end(dev, &msix->vectors[i]);
    }
    g_mutex_clear(&msix->lock);
    g_free(msix->table);
    g_free(msix);
    dev->msix = NULL;
}
