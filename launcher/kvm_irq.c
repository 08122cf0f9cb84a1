/* kvm_irq.c - interrupt lines, MSI routes, irqfds and ioeventfds of a KVM virtual machine.
 *
 * Linux Documentation/virt/kvm/api.rst, 4.25 (KVM_IRQ_LINE), 4.52 (KVM_SET_GSI_ROUTING), 4.59
 * (KVM_IOEVENTFD), 4.71 (KVM_SIGNAL_MSI), 4.75 (KVM_IRQFD). Wiring of lines 0 to 23 as in a PC with
 * an I/O APIC: line 0 is pin 2, as the MADT tells the guest.
 *
 * KVM_SET_GSI_ROUTING replaces the whole table and waits for every vCPU, so changes are collected
 * and handed over at once.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "launcher/kvm_private.h"
#include "util/error.h"

enum {
    PIC_PINS = 8,
    PIC_CASCADE = 2,
    LINES = 24,            /* I/O APIC pins; numbers from here on are messages */
    LINE_ROUTES = 15 + 23, /* lines on a PIC, lines on the I/O APIC */
    ROUTES_KEPT = 4096,
};

typedef struct {
    bool used;
    uint64_t address;
    uint32_t data;
} KvmMessage;

struct KvmRoutes {
    GMutex lock;
    bool dirty;
    unsigned count, high;          /* entries of messages; one past the highest ever used */
    KvmMessage *messages;          /* index: number - LINES */
    struct kvm_irq_routing *table; /* kept to be filled again for each commit */
    unsigned table_room;
};

static void
kvm_routes_line(struct kvm_irq_routing *table, unsigned gsi, unsigned chip, unsigned pin)
{
    struct kvm_irq_routing_entry *e = &table->entries[table->nr++];

    *e = (struct kvm_irq_routing_entry){ .gsi = gsi, .type = KVM_IRQ_ROUTING_IRQCHIP };
    e->u.irqchip.irqchip = chip;
    e->u.irqchip.pin = pin;
}

static void
kvm_routes_lines(struct kvm_irq_routing *table)
{
    for (unsigned i = 0; i < 2 * PIC_PINS; i++)
        if (i != PIC_CASCADE)
            kvm_routes_line(table, i, i < PIC_PINS ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
                            i % PIC_PINS);
    for (unsigned i = 0; i < LINES; i++)
        if (i != PIC_CASCADE)
            kvm_routes_line(table, i, KVM_IRQCHIP_IOAPIC, i == 0 ? PIC_CASCADE : i);
}

static int
kvm_routes_put(Kvm *kvm)
{
    KvmRoutes *r = kvm->routes;
    unsigned want = LINE_ROUTES + r->count;

    if (!r->table || r->table_room < want) {
        r->table_room = want + 16;
        r->table =
            g_realloc(r->table, sizeof(*r->table) + r->table_room * sizeof(r->table->entries[0]));
    }
    r->table->nr = 0;
    r->table->flags = 0;
    kvm_routes_lines(r->table);
    for (unsigned i = 0; i < r->high; i++) {
        const KvmMessage *m = &r->messages[i];
        struct kvm_irq_routing_entry *e;

        if (!m->used)
            continue;
        e = &r->table->entries[r->table->nr++];
        *e = (struct kvm_irq_routing_entry){ .gsi = LINES + i, .type = KVM_IRQ_ROUTING_MSI };
        e->u.msi.address_lo = (uint32_t)m->address;
        e->u.msi.address_hi = m->address >> 32;
        e->u.msi.data = m->data;
    }
    return ioctl(kvm->vm_fd, KVM_SET_GSI_ROUTING, r->table) < 0 ? -errno : 0;
}

bool
kvm_routes_new(Kvm *kvm, GError **err)
{
    int ret;

    kvm->routes = g_new0(KvmRoutes, 1);
    g_mutex_init(&kvm->routes->lock);
    kvm->max_routes = MIN(kvm->max_routes, ROUTES_KEPT);
    if (kvm->max_routes <= LINE_ROUTES)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "KVM offers %u interrupt routes, too few for a PC", kvm->max_routes);
    /* Untouched pages of this table cost nothing: large allocations are mapped when used. */
    kvm->routes->messages = g_new0(KvmMessage, kvm->max_routes);
    ret = kvm_routes_put(kvm);
    if (ret < 0)
        return kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, ret, "KVM_SET_GSI_ROUTING");
    return true;
}

void
kvm_routes_free(KvmRoutes *routes)
{
    g_free(routes->messages);
    g_free(routes->table);
    g_mutex_clear(&routes->lock);
    g_free(routes);
}

int
kvm_route_alloc(Kvm *kvm)
{
    KvmRoutes *r = kvm->routes;
    int gsi = -ENOSPC;

    g_mutex_lock(&r->lock);
    for (unsigned i = 0; i < kvm->max_routes - LINE_ROUTES && gsi < 0; i++) {
        if (r->messages[i].used)
            continue;
        r->messages[i] = (KvmMessage){ .used = true };
        r->high = MAX(r->high, i + 1);
        r->count++;
        r->dirty = true;
        gsi = LINES + i;
    }
    g_mutex_unlock(&r->lock);
    return gsi;
}

static KvmMessage *
kvm_route_find(Kvm *kvm, unsigned gsi)
{
    KvmRoutes *r = kvm->routes;

    return gsi >= LINES && gsi - LINES < r->high && r->messages[gsi - LINES].used
               ? &r->messages[gsi - LINES]
               : NULL;
}

void
kvm_route_set(Kvm *kvm, unsigned gsi, uint64_t address, uint32_t data)
{
    KvmMessage *m;

    g_mutex_lock(&kvm->routes->lock);
    m = kvm_route_find(kvm, gsi);
    if (m && (m->address != address || m->data != data)) {
        m->address = address;
        m->data = data;
        kvm->routes->dirty = true;
    }
    g_mutex_unlock(&kvm->routes->lock);
}

void
kvm_route_free(Kvm *kvm, unsigned gsi)
{
    KvmMessage *m;

    g_mutex_lock(&kvm->routes->lock);
    m = kvm_route_find(kvm, gsi);
    if (m) {
        m->used = false;
        kvm->routes->count--;
        kvm->routes->dirty = true;
    }
    g_mutex_unlock(&kvm->routes->lock);
}

int
kvm_route_commit(Kvm *kvm)
{
    int ret = 0;

    g_mutex_lock(&kvm->routes->lock);
    if (kvm->routes->dirty) {
        ret = kvm_routes_put(kvm);
        kvm->routes->dirty = ret < 0;
    }
    g_mutex_unlock(&kvm->routes->lock);
    return ret;
}

int
kvm_signal_msi(Kvm *kvm, uint64_t address, uint32_t data)
{
    struct kvm_msi msi = {
        .address_lo = (uint32_t)address,
        .address_hi = address >> 32,
        .data = data,
    };

    return ioctl(kvm->vm_fd, KVM_SIGNAL_MSI, &msi) < 0 ? -errno : 0;
}

void
kvm_set_line(Kvm *kvm, unsigned gsi, bool level)
{
    struct kvm_irq_level line = { .irq = gsi, .level = level };

    /* Fails only for a line that is not in the table. */
    ioctl(kvm->vm_fd, KVM_IRQ_LINE, &line);
}

int
kvm_irqfd(Kvm *kvm, unsigned gsi, int event_fd, int resample_fd, bool assign)
{
    struct kvm_irqfd irqfd = { .fd = event_fd, .gsi = gsi };

    if (!assign) {
        irqfd.flags = KVM_IRQFD_FLAG_DEASSIGN;
    } else if (resample_fd >= 0) {
        irqfd.flags = KVM_IRQFD_FLAG_RESAMPLE;
        irqfd.resamplefd = resample_fd;
    }
    return ioctl(kvm->vm_fd, KVM_IRQFD, &irqfd) < 0 ? -errno : 0;
}

int
kvm_ioeventfd(Kvm *kvm, int event_fd, uint64_t address, unsigned length, bool is_pio, bool match,
              uint64_t data, bool assign)
{
    struct kvm_ioeventfd e = {
        .datamatch = data,
        .addr = address,
        .len = length,
        .fd = event_fd,
        .flags = (is_pio ? KVM_IOEVENTFD_FLAG_PIO : 0) |
                 (match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) |
                 (assign ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
    };

    return ioctl(kvm->vm_fd, KVM_IOEVENTFD, &e) < 0 ? -errno : 0;
}
