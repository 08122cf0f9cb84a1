/* cpu_hotplug.c - registers through which ACPI's methods learn of processors that come and go.
 *
 * QEMU docs/specs/acpi_cpu_hotplug.rst, the interface of version 2.7 and later, which firmware
 * knows too. Left out: what came before it, and the removal of a processor by firmware (SMM).
 *
 *   offset  read                               write
 *   0 (4)   data 2: upper half of an answer    number of the processor that the rest is about
 *   4 (1)   is there, has come, is to go       has come and is to go are seen; eject
 *   5 (1)                                      command
 *   8 (4)   data: answer to the command        data: what the command wants
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/acpi/cpu_hotplug.h"

#include "hw/pci/board.h"
#include "util/error.h"

enum {
    PORT_EXPRESS = 0x0cd8,
    PORT_PC = 0xaf00,
    SELECT = 0,
    FLAGS = 4,
    COMMAND = 5,
    DATA = 8,
    FLAG_ENABLED = 1 << 0,
    FLAG_INSERTING = 1 << 1,
    FLAG_REMOVING = 1 << 2,
    FLAG_EJECT = 1 << 3,
    COMMAND_NEXT = 0, /* selects the next processor that has news */
    COMMAND_EVENT = 1,
    COMMAND_STATUS = 2,
    COMMAND_ARCH_ID = 3,
    COMMANDS = 4,
};

typedef struct {
    Device device;
    IoRegion region;
    bool mapped;
    uint32_t n; /* config.max_cpus */
    uint32_t selector;
    uint8_t command;
    uint8_t
        *flags; /* by processor: FLAG_INSERTING, FLAG_REMOVING, FLAG_EJECT: not there any more */
    uint32_t *event; /* by processor, of COMMAND_EVENT */
} CpuHotplug;

static bool
cpu_hotplug_enabled(const CpuHotplug *h, uint32_t index)
{
    return __atomic_load_n(&h->device.machine->config.cpus[index].present, __ATOMIC_ACQUIRE) &&
           !(h->flags[index] & FLAG_EJECT);
}

static uint64_t
cpu_hotplug_read(void *opaque, uint64_t offset, unsigned size)
{
    CpuHotplug *h = opaque;
    unsigned flags;

    (void)size;
    if (h->selector >= h->n)
        return 0;
    switch (offset) {
    case FLAGS:
        flags = h->flags[h->selector] & (FLAG_INSERTING | FLAG_REMOVING);
        return flags | (cpu_hotplug_enabled(h, h->selector) ? FLAG_ENABLED : 0);
    case DATA:
        return h->command == COMMAND_NEXT      ? h->selector
               : h->command == COMMAND_ARCH_ID ? h->device.machine->config.cpus[h->selector].apic_id
                                               : 0;
    default: /* upper halves are zero */
        return 0;
    }
}

static void
cpu_hotplug_select_next(CpuHotplug *h)
{
    for (uint32_t i = 0; i < h->n; i++) {
        uint32_t at = (h->selector + i) % h->n;

        if (h->flags[at] & (FLAG_INSERTING | FLAG_REMOVING)) {
            h->selector = at;
            return;
        }
    }
}

static void
cpu_hotplug_write_flags(CpuHotplug *h, uint8_t value)
{
    Machine *machine = h->device.machine;
    uint8_t *flags = &h->flags[h->selector];

    *flags &= (uint8_t) ~(value & (FLAG_INSERTING | FLAG_REMOVING));
    /* The first processor is never asked to go, and so cannot. */
    if (!(value & FLAG_EJECT) || h->selector == 0 || !cpu_hotplug_enabled(h, h->selector))
        return;
    *flags = FLAG_EJECT;
    if (machine->ops->cpu_ejected)
        machine->ops->cpu_ejected(machine->host, h->selector);
}

static void
cpu_hotplug_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    CpuHotplug *h = opaque;
    Machine *machine = h->device.machine;

    if (offset == SELECT && size == 4)
        h->selector = (uint32_t)value;
    if (h->selector >= h->n)
        return;
    switch (offset) {
    case FLAGS:
        cpu_hotplug_write_flags(h, (uint8_t)value);
        break;
    case COMMAND:
        if (value >= COMMANDS)
            break;
        h->command = (uint8_t)value;
        if (value == COMMAND_NEXT)
            cpu_hotplug_select_next(h);
        break;
    case DATA:
        if (h->command == COMMAND_EVENT)
            h->event[h->selector] = (uint32_t)value;
        else if (h->command == COMMAND_STATUS && machine->ops->cpu_status)
            machine->ops->cpu_status(machine->host, h->selector, h->event[h->selector],
                                     (uint32_t)value);
        break;
    default:
        break;
    }
}

static const IoOps cpu_hotplug_ops = { cpu_hotplug_read, cpu_hotplug_write, .sizes = 1 | 2 | 4 };

static bool
cpu_hotplug_realize(Device *dev, GError **err)
{
    CpuHotplug *h = (CpuHotplug *)dev;
    const MachineConfig *config = &dev->machine->config;

    (void)err;
    h->n = config->max_cpus;
    h->flags = g_new0(uint8_t, h->n);
    h->event = g_new0(uint32_t, h->n);
    h->region = (IoRegion){ "cpu-hotplug", &cpu_hotplug_ops, h,
                            &dev->lock,    CPU_HOTPLUG_SIZE, IO_PRIORITY_BOARD };
    h->mapped = address_map_add(dev->machine->pio, &h->region,
                                dev->machine->board->express ? PORT_EXPRESS : PORT_PC) == 0;
    return h->mapped;
}

static void
cpu_hotplug_unrealize(Device *dev)
{
    CpuHotplug *h = (CpuHotplug *)dev;

    if (h->mapped) {
        address_map_remove(dev->machine->pio, &h->region);
        address_map_synchronize(dev->machine->pio);
    }
    g_free(h->flags);
    g_free(h->event);
}

/* Tables made after a reset tell of all that are there; who was asked to go may be asked again. */
static void
cpu_hotplug_reset(Device *dev)
{
    CpuHotplug *h = (CpuHotplug *)dev;

    g_mutex_lock(&dev->lock);
    h->selector = h->command = 0;
    for (uint32_t i = 0; i < h->n; i++) {
        h->flags[i] &= FLAG_EJECT;
        h->event[i] = 0;
    }
    g_mutex_unlock(&dev->lock);
}

static CpuHotplug *
cpu_hotplug_find(Machine *machine)
{
    CpuHotplug *found = NULL;

    g_mutex_lock(&machine->devices_lock);
    for (guint i = 0; i < machine->devices->len && !found; i++) {
        Device *dev = g_ptr_array_index(machine->devices, i);

        if (dev->class == &cpu_hotplug_class)
            found = (CpuHotplug *)dev;
    }
    g_mutex_unlock(&machine->devices_lock);
    return found;
}

uint16_t
cpu_hotplug_port(Machine *machine)
{
    return !cpu_hotplug_find(machine) ? 0 : machine->board->express ? PORT_EXPRESS : PORT_PC;
}

static void
cpu_hotplug_set_present(Machine *machine, unsigned index, bool present)
{
    MachineConfig *config = &machine->config;

    if (config->cpus[index].present == present)
        return;
    __atomic_store_n(&config->cpus[index].present, present, __ATOMIC_RELEASE);
    config->n_cpus += present ? 1 : -1;
}

static void
cpu_hotplug_tell(CpuHotplug *h, unsigned index, uint8_t flags)
{
    Machine *machine = h->device.machine;

    g_mutex_lock(&h->device.lock);
    h->flags[index] = flags;
    g_mutex_unlock(&h->device.lock);
    if (flags)
        acpi_pm_gpe(machine->board->pm(machine), CPU_HOTPLUG_GPE);
}

void
cpu_hotplug_plug(Machine *machine, unsigned index, bool tell)
{
    CpuHotplug *h = cpu_hotplug_find(machine);

    cpu_hotplug_set_present(machine, index, true);
    if (h)
        cpu_hotplug_tell(h, index, tell ? FLAG_INSERTING : 0);
}

void
cpu_hotplug_unplug(Machine *machine, unsigned index)
{
    CpuHotplug *h = cpu_hotplug_find(machine);

    if (h)
        cpu_hotplug_tell(h, index, FLAG_REMOVING);
}

void
cpu_hotplug_gone(Machine *machine, unsigned index)
{
    CpuHotplug *h = cpu_hotplug_find(machine);

    cpu_hotplug_set_present(machine, index, false);
    if (h)
        cpu_hotplug_tell(h, index, 0);
}

static bool
cpu_hotplug_after_load(void *state, GError **err)
{
    CpuHotplug *h = state;

    if (h->command >= COMMANDS)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved command %u of CPU hotplug is not one", h->command);
    for (uint32_t i = 0; i < h->n; i++)
        h->flags[i] &= FLAG_INSERTING | FLAG_REMOVING;
    return true;
}

static const SavedField cpu_hotplug_fields[] = {
    SAVED(CpuHotplug, selector, 1),
    SAVED(CpuHotplug, command, 1),
    SAVED_BUFFER(CpuHotplug, flags, n, 1),
};

static const SavedTable cpu_hotplug_saved = {
    .name = "cpu-hotplug",
    .version = 1,
    .oldest = 1,
    .fields = cpu_hotplug_fields,
    .n_fields = G_N_ELEMENTS(cpu_hotplug_fields),
    .after_load = cpu_hotplug_after_load,
};

const DeviceClass cpu_hotplug_class = {
    .name = "cpu-hotplug",
    .bus = BUS_SYSTEM,
    .board = true,
    .state_size = sizeof(CpuHotplug),
    .saved = &cpu_hotplug_saved,
    .realize = cpu_hotplug_realize,
    .reset = cpu_hotplug_reset,
    .unrealize = cpu_hotplug_unrealize,
};
