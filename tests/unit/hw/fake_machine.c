/* fake_machine.c - a machine without KVM.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_machine.h"

#include "hw/core/timer.h"
#include "hw/pci/board.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static void
fake_set_gsi(void *host, uint32_t gsi, bool level)
{
    FakeMachine *fake = host;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake->lock);

    if (gsi >= FAKE_GSIS)
        return;
    if (level && !fake->gsi[gsi])
        fake->gsi_edges[gsi]++;
    fake->gsi[gsi] = level;
}

static int
fake_msi_route_add(void *host, const MsiMessage *msg)
{
    FakeMachine *fake = host;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake->lock);

    for (int i = 0; i < FAKE_ROUTES; i++) {
        if (!fake->routes[i].used) {
            fake->routes[i] = (FakeRoute){ true, *msg, -1 };
            return FAKE_ROUTE_BASE + i;
        }
    }
    return -ENOSPC;
}

static int
fake_msi_route_update(void *host, int gsi, const MsiMessage *msg)
{
    FakeMachine *fake = host;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake->lock);

    fake->routes[gsi - FAKE_ROUTE_BASE].message = *msg;
    return 0;
}

static void
fake_msi_route_remove(void *host, int gsi)
{
    FakeMachine *fake = host;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake->lock);

    fake->routes[gsi - FAKE_ROUTE_BASE].used = false;
}

static int
fake_msi_route_commit(void *host)
{
    FakeMachine *fake = host;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake->lock);

    fake->commits++;
    return 0;
}

static int
fake_msi_send(void *host, const MsiMessage *msg)
{
    FakeMachine *fake = host;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake->lock);

    g_array_append_vals(fake->sent, msg, 1);
    return 0;
}

static int
fake_irqfd_add(void *host, int fd, int resample_fd, int gsi)
{
    FakeMachine *fake = host;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake->lock);

    (void)resample_fd;
    if (gsi >= FAKE_ROUTE_BASE && gsi < FAKE_ROUTE_BASE + FAKE_ROUTES)
        fake->routes[gsi - FAKE_ROUTE_BASE].fd = fd;
    return 0;
}

static int
fake_irqfd_remove(void *host, int fd, int gsi)
{
    FakeMachine *fake = host;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake->lock);

    (void)fd;
    if (gsi >= FAKE_ROUTE_BASE && gsi < FAKE_ROUTE_BASE + FAKE_ROUTES)
        fake->routes[gsi - FAKE_ROUTE_BASE].fd = -1;
    return 0;
}

static int
fake_ioeventfd_add(void *host, const IoEvent *event)
{
    FakeMachine *fake = host;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake->lock);

    g_array_append_vals(fake->events, event, 1);
    return 0;
}

static int
fake_ioeventfd_remove(void *host, const IoEvent *event)
{
    FakeMachine *fake = host;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake->lock);

    for (guint i = 0; i < fake->events->len; i++) {
        const IoEvent *e = &g_array_index(fake->events, IoEvent, i);

        if (e->address == event->address && e->pio == event->pio && e->fd == event->fd) {
            g_array_remove_index(fake->events, i);
            return 0;
        }
    }
    return -ENOENT;
}

static void
fake_request(void *host, MachineRequest request, int value)
{
    FakeMachine *fake = host;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake->lock);

    g_array_append_val(fake->requests, request);
    fake->last_value = value;
}

static void
fake_event(void *host, const char *name, JsonObject *data)
{
    FakeMachine *fake = host;
    G_GNUC_UNUSED g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&fake->lock);

    g_ptr_array_add(fake->qmp, g_strdup(name));
    if (data)
        json_object_unref(data);
}

static int64_t
fake_clock_ns(void *host)
{
    return __atomic_load_n(&((FakeMachine *)host)->clock, __ATOMIC_SEQ_CST);
}

static int64_t
fake_wall_ns(void *host)
{
    return __atomic_load_n(&((FakeMachine *)host)->wall, __ATOMIC_SEQ_CST);
}

static void
fake_cpu_ejected(void *host, unsigned index)
{
    ((FakeMachine *)host)->ejected |= 1u << (index & 31);
}

static void
fake_cpu_status(void *host, unsigned index, uint32_t event, uint32_t status)
{
    (void)index;
    ((FakeMachine *)host)->cpu_event = event;
    ((FakeMachine *)host)->cpu_status = status;
}

static const MachineOps fake_ops = {
    .set_gsi = fake_set_gsi,
    .msi_route_add = fake_msi_route_add,
    .msi_route_update = fake_msi_route_update,
    .msi_route_remove = fake_msi_route_remove,
    .msi_route_commit = fake_msi_route_commit,
    .msi_send = fake_msi_send,
    .irqfd_add = fake_irqfd_add,
    .irqfd_remove = fake_irqfd_remove,
    .ioeventfd_add = fake_ioeventfd_add,
    .ioeventfd_remove = fake_ioeventfd_remove,
    .cpu_ejected = fake_cpu_ejected,
    .cpu_status = fake_cpu_status,
    .request = fake_request,
    .event = fake_event,
    .clock_ns = fake_clock_ns,
    .wall_ns = fake_wall_ns,
};

FakeMachine *
fake_machine_new(uint64_t ram, const MachineConfig *config)
{
    MachineCpu cpu = { .present = true };
    MachineConfig plain = { .name = "test",
                            .ram_below_4g = ram,
                            .cpus = &cpu,
                            .n_cpus = 1,
                            .max_cpus = 1,
                            .physical_bits = 40 };
    FakeMachine *fake = g_new0(FakeMachine, 1);
    GuestRam region;

    g_mutex_init(&fake->lock);
    fake->sent = g_array_new(FALSE, TRUE, sizeof(MsiMessage));
    fake->events = g_array_new(FALSE, TRUE, sizeof(IoEvent));
    fake->requests = g_array_new(FALSE, TRUE, sizeof(MachineRequest));
    fake->qmp = g_ptr_array_new_with_free_func(g_free);
    fake->clock = INT64_C(5000000000);
    fake->wall = INT64_C(1700000000) * 1000000000;
    fake->context = g_main_context_new();
    fake->machine = machine_new(config ? config : &plain, &fake_ops, fake, fake->context);
    fake->ram =
        mmap(NULL, ram, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fake->ram == MAP_FAILED)
        g_error("no memory for the guest's RAM");
    region = (GuestRam){ 0, ram, fake->ram, -1, 0 };
    if (!guest_memory_add(fake->machine->memory, &region, NULL))
        g_error("cannot add RAM");
    fake->mmio = address_reader_new(fake->machine->mmio);
    fake->pio = address_reader_new(fake->machine->pio);
    return fake;
}

FakeMachine *
fake_machine_new_q35(uint64_t ram)
{
    FakeMachine *fake = fake_machine_new(ram, NULL);
    g_autoptr(GError) err = NULL;

    if (!board_create(fake->machine, &board_q35, &err))
        g_error("q35_create: %s", err->message);
    return fake;
}

void
fake_machine_free(FakeMachine *fake)
{
    size_t n;
    uint64_t ram = guest_memory_list(fake->machine->memory, &n)->size;

    address_reader_free(fake->mmio);
    address_reader_free(fake->pio);
    machine_free(fake->machine);
    munmap(fake->ram, ram);
    g_main_context_unref(fake->context);
    g_array_unref(fake->sent);
    g_array_unref(fake->events);
    g_array_unref(fake->requests);
    g_ptr_array_unref(fake->qmp);
    g_mutex_clear(&fake->lock);
    g_free(fake);
}

uint64_t
fake_read(FakeMachine *fake, uint64_t addr, unsigned size)
{
    uint64_t value;

    address_read(fake->mmio, addr, size, &value);
    return value;
}

void
fake_write(FakeMachine *fake, uint64_t addr, unsigned size, uint64_t value)
{
    address_write(fake->mmio, addr, size, value);
}

uint64_t
fake_in(FakeMachine *fake, uint16_t port, unsigned size)
{
    uint64_t value;

    address_read(fake->pio, port, size, &value);
    return value;
}

void
fake_out(FakeMachine *fake, uint16_t port, unsigned size, uint64_t value)
{
    address_write(fake->pio, port, size, value);
}

static GHashTable *
fake_props(va_list args)
{
    GHashTable *props = g_hash_table_new(g_str_hash, g_str_equal);
    const char *name;

    while ((name = va_arg(args, const char *)) != NULL)
        g_hash_table_insert(props, (char *)name, va_arg(args, char *));
    return props;
}

Device *
fake_device(FakeMachine *fake, const char *driver, ...)
{
    g_autoptr(GHashTable) props = NULL;
    g_autoptr(GError) err = NULL;
    Device *dev;
    va_list args;

    va_start(args, driver);
    props = fake_props(args);
    va_end(args);
    /* every virtio device, in a run of its tests with packed queues (meson.build) */
    if (g_getenv("KILN_TEST_PACKED") && g_str_has_prefix(driver, "virtio-"))
        g_hash_table_insert(props, (char *)"packed", (char *)"on");
    dev = device_new(fake->machine, driver, props, &err);
    if (!dev)
        g_error("device_new: %s", err->message);
    return dev;
}

void
fake_device_refused(FakeMachine *fake, const char *text, const char *driver, ...)
{
    g_autoptr(GHashTable) props = NULL;
    g_autoptr(GError) err = NULL;
    va_list args;

    va_start(args, driver);
    props = fake_props(args);
    va_end(args);
    assert_null(device_new(fake->machine, driver, props, &err));
    assert_non_null(err);
    if (!strstr(err->message, text))
        fail_msg("the message is \"%s\", expected \"%s\" in it", err->message, text);
}

void
fake_iterate(FakeMachine *fake)
{
    for (int i = 0; i < 1000 && g_main_context_iteration(fake->context, FALSE); i++)
        ;
}

void
fake_advance(FakeMachine *fake, int64_t ns)
{
    __atomic_add_fetch(&fake->clock, ns, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&fake->wall, ns, __ATOMIC_SEQ_CST);
    for (guint i = 0; i < fake->machine->timers->len; i++)
        device_timer_resync(g_ptr_array_index(fake->machine->timers, i));
    fake_iterate(fake);
}

void
fake_wait(FakeMachine *fake, bool (*done)(void *opaque), void *opaque)
{
    for (int i = 0; i < 10000; i++) {
        fake_iterate(fake);
        if (done(opaque))
            return;
        g_usleep(1000);
    }
    fail_msg("ten seconds have passed");
}

FakeRoute *
fake_route(FakeMachine *fake, uint32_t data)
{
    for (int i = 0; i < FAKE_ROUTES; i++) {
        if (fake->routes[i].used && fake->routes[i].message.data == data)
            return &fake->routes[i];
    }
    return NULL;
}

uint64_t
fake_route_take(FakeRoute *route)
{
    struct pollfd p = { route->fd, POLLIN, 0 };
    uint64_t count = 0;

    if (route->fd < 0 || poll(&p, 1, 0) <= 0 || read(route->fd, &count, sizeof(count)) < 0)
        return 0;
    return count;
}

const IoEvent *
fake_event_at(FakeMachine *fake, uint64_t address)
{
    for (guint i = 0; i < fake->events->len; i++) {
        const IoEvent *e = &g_array_index(fake->events, IoEvent, i);

        if (e->address == address)
            return e;
    }
    return NULL;
}
