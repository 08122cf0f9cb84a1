/* state.c - all of a guest's state but its RAM: what it is made of, processors, interrupt
 * controllers, clocks, devices.
 *
 * Leaves out: firmware in a read-only ROM, which is a file of the host and read again.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/state.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include "hw/core/bytes.h"
#include "hw/core/device.h"
#include "hw/core/saved.h"
#include "launcher/vcpu_save.h"
#include "util/error.h"

enum { TEXT_MAX = 256, LIST_MAX = 1 << 20, MEMORY_ENTRY = 16 };

State *
state_new(void)
{
    State *state = g_new0(State, 1);

    state->vcpus = g_ptr_array_new_with_free_func((GDestroyNotify)g_byte_array_unref);
    return state;
}

void
state_free(State *state)
{
    if (!state)
        return;
    g_clear_pointer(&state->machine, g_byte_array_unref);
    g_clear_pointer(&state->chips, g_byte_array_unref);
    g_clear_pointer(&state->devices, g_byte_array_unref);
    g_ptr_array_unref(state->vcpus);
    g_free(state);
}

/* ---- what the guest is made of ---- */

typedef struct {
    uint32_t n_cpus;
    bool running;
    GByteArray *board;   /* name of the machine, with its version */
    GByteArray *memory;  /* u64 address, u64 size of each stretch of RAM */
    GByteArray *devices; /* a line for each: path, blank, class */
    GByteArray *cpuid;   /* struct kvm_cpuid_entry2 each */
} MachineState;

static const SavedField machine_fields[] = {
    SAVED(MachineState, n_cpus, 1),
    SAVED(MachineState, running, 1),
    SAVED_BLOB(MachineState, board, TEXT_MAX, 1),
    SAVED_BLOB(MachineState, memory, LIST_MAX, 1),
    SAVED_BLOB(MachineState, devices, LIST_MAX, 1),
    SAVED_BLOB(MachineState, cpuid, LIST_MAX, 1),
};

static const SavedTable machine_table = {
    .name = "machine",
    .version = 1,
    .oldest = 1,
    .fields = machine_fields,
    .n_fields = G_N_ELEMENTS(machine_fields),
};

static void
machine_state_init(MachineState *m)
{
    *m = (MachineState){ .board = g_byte_array_new(),
                         .memory = g_byte_array_new(),
                         .devices = g_byte_array_new(),
                         .cpuid = g_byte_array_new() };
}

static void
machine_state_clear(MachineState *m)
{
    g_byte_array_unref(m->board);
    g_byte_array_unref(m->memory);
    g_byte_array_unref(m->devices);
    g_byte_array_unref(m->cpuid);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MachineState, machine_state_clear)

static void
append_text(GByteArray *to, const char *text)
{
    g_byte_array_append(to, (const guint8 *)text, (guint)strlen(text));
}

static void
describe_device(Device *dev, void *opaque)
{
    g_autofree char *line = g_strdup_printf("%s %s\n", dev->path, dev->class->name);

    append_text(opaque, line);
}

static void
machine_describe(const Vm *vm, MachineState *m)
{
    size_t n;
    const GuestRam *ram = guest_memory_list(vm->machine->memory, &n);

    m->n_cpus = vm->vcpus->len;
    append_text(m->board, vm->board->name);
    for (size_t i = 0; i < n; i++) {
        uint8_t entry[MEMORY_ENTRY];

        bytes_store(entry, ram[i].gpa, 8);
        bytes_store(entry + 8, ram[i].size, 8);
        g_byte_array_append(m->memory, entry, sizeof(entry));
    }
    machine_device_visit(vm->machine, describe_device, m->devices);
    g_byte_array_append(m->cpuid, (const guint8 *)vm->cpu->cpuid.e,
                        vm->cpu->cpuid.n * sizeof(vm->cpu->cpuid.e[0]));
}

static bool
bytes_equal(const GByteArray *a, const GByteArray *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

static char *
bytes_text(const GByteArray *bytes)
{
    return g_utf8_make_valid(bytes->len ? (const char *)bytes->data : "", (gssize)bytes->len);
}

/* Names the first line of @from that @in has not. */
static bool
check_lines(const GByteArray *from, const GByteArray *in, const char *what, GError **err)
{
    g_autofree char *from_text = bytes_text(from), *in_text = bytes_text(in);
    g_auto(GStrv) lines = g_strsplit(from_text, "\n", -1);
    g_auto(GStrv) others = g_strsplit(in_text, "\n", -1);

    for (char **line = lines; *line; line++) {
        if (**line && !g_strv_contains((const char *const *)others, *line))
            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, what, *line);
    }
    return true;
}

static bool
check_devices(const MachineState *saved, const MachineState *here, GError **err)
{
    /* in any order: what came while the guest ran comes earlier when it is made anew */
    return check_lines(saved->devices, here->devices,
                       "the saved guest has a device '%s' that this guest lacks", err) &&
           check_lines(here->devices, saved->devices,
                       "this guest has a device '%s' that the saved one lacks", err);
}

/* Leaves whose registers are sets of features (Intel SDM volume 2, CPUID; AMD APM volume 3,
 * appendix E; Linux Documentation/virt/kvm/x86/cpuid.rst), as masks of EAX, EBX, ECX and EDX. */
static const struct {
    uint32_t leaf, subleaf;
    uint32_t features[4];
} cpuid_features[] = {
    { 1, 0, { 0, 0, ~(1u << 27), ~0u } },  /* OSXSAVE says what the guest does */
    { 7, 0, { 0, ~0u, ~(1u << 4), ~0u } }, /* so does OSPKE */
    { 7, 1, { ~0u, ~0u, ~0u, ~0u } },      { 7, 2, { 0, 0, 0, ~0u } },
    { 0xd, 0, { ~0u, 0, 0, ~0u } },        { 0xd, 1, { ~0u, 0, ~0u, ~0u } },
    { 0x80000001, 0, { 0, 0, ~0u, ~0u } }, { 0x80000007, 0, { 0, 0, 0, ~0u } },
    { 0x80000008, 0, { 0, ~0u, 0, 0 } },   { 0x40000001, 0, { ~0u, 0, 0, 0 } },
};

static bool
check_feature_leaf(const struct kvm_cpuid_entry2 *saved, const struct kvm_cpuid_entry2 *here,
                   const uint32_t features[4], GError **err)
{
    static const char *const names[] = { "eax", "ebx", "ecx", "edx" };
    const uint32_t was[] = { saved->eax, saved->ebx, saved->ecx, saved->edx };
    const uint32_t is[] = { here ? here->eax : 0, here ? here->ebx : 0, here ? here->ecx : 0,
                            here ? here->edx : 0 };

    for (unsigned i = 0; i < G_N_ELEMENTS(was); i++) {
        uint32_t lost = was[i] & features[i] & ~is[i];

        if (lost)
            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                  "the saved guest has processor features that it would not have "
                                  "here: CPUID 0x%x.%u %s bits 0x%x",
                                  saved->function, saved->index, names[i], lost);
    }
    return true;
}

static bool
check_cpuid(const MachineState *saved, const Vm *vm, GError **err)
{
    for (guint at = 0; at + sizeof(struct kvm_cpuid_entry2) <= saved->cpuid->len;
         at += sizeof(struct kvm_cpuid_entry2)) {
        struct kvm_cpuid_entry2 entry;

        memcpy(&entry, saved->cpuid->data + at, sizeof(entry));
        for (size_t i = 0; i < G_N_ELEMENTS(cpuid_features); i++) {
            const struct kvm_cpuid_entry2 *here;

            if (entry.function != cpuid_features[i].leaf ||
                entry.index != cpuid_features[i].subleaf)
                continue;
            here = cpuid_find(&vm->cpu->cpuid, entry.function, (int)entry.index);
            if (!check_feature_leaf(&entry, here, cpuid_features[i].features, err))
                return false;
        }
    }
    return true;
}

bool
state_check_machine(Vm *vm, const GByteArray *machine, bool *ret_was_running, GError **err)
{
    g_auto(MachineState) saved;
    g_auto(MachineState) here;
    size_t pos = 0;

    machine_state_init(&saved);
    machine_state_init(&here);
    if (!saved_table_load(&machine_table, &saved, machine->data, machine->len, &pos, err))
        return false;
    machine_describe(vm, &here);
    if (!bytes_equal(saved.board, here.board)) {
        g_autofree char *was = bytes_text(saved.board);

        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved guest is a machine '%s', this one is '%s'", was,
                              vm->board->name);
    }
    if (saved.n_cpus != here.n_cpus)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved guest has %u processors, this one has %u", saved.n_cpus,
                              here.n_cpus);
    if (!bytes_equal(saved.memory, here.memory))
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved guest has memory of another size, or at other places");
    if (!check_devices(&saved, &here, err) || !check_cpuid(&saved, vm, err))
        return false;
    *ret_was_running = saved.running;
    return true;
}

/* ---- interrupt controllers and clocks ---- */

typedef struct {
    struct kvm_irqchip pic0, pic1, ioapic;
    struct kvm_pit_state2 pit;
    uint64_t kvmclock; /* ns */
    uint64_t clock;    /* ns of the devices' clock */
} ChipState;

static const SavedField chip_fields[] = {
    SAVED_BYTES(ChipState, pic0, 1),   SAVED_BYTES(ChipState, pic1, 1),
    SAVED_BYTES(ChipState, ioapic, 1), SAVED_BYTES(ChipState, pit, 1),
    SAVED(ChipState, kvmclock, 1),     SAVED(ChipState, clock, 1),
};

static bool
chips_after_load(void *opaque, GError **err)
{
    ChipState *c = opaque;

    /* Which chip is meant is not the stream's to say. */
    c->pic0.chip_id = KVM_IRQCHIP_PIC_MASTER;
    c->pic1.chip_id = KVM_IRQCHIP_PIC_SLAVE;
    c->ioapic.chip_id = KVM_IRQCHIP_IOAPIC;
    return (c->clock <= INT64_MAX / 2 && c->kvmclock <= INT64_MAX / 2) ||
           kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "the saved guest's clocks are damaged");
}

static const SavedTable chip_table = {
    .name = "chips",
    .version = 1,
    .oldest = 1,
    .fields = chip_fields,
    .n_fields = G_N_ELEMENTS(chip_fields),
    .after_load = chips_after_load,
};

static bool
chip_ioctl(const Vm *vm, unsigned long request, const char *name, void *argument, GError **err)
{
    return ioctl(vm->kvm->vm_fd, request, argument) >= 0 ||
           kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, errno, "%s", name);
}
#define CHIP_IOCTL(vm, request, argument, err) chip_ioctl(vm, request, #request, argument, err)

static bool
chips_take(Vm *vm, GByteArray *out, GError **err)
{
    ChipState c = { .pic0.chip_id = KVM_IRQCHIP_PIC_MASTER,
                    .pic1.chip_id = KVM_IRQCHIP_PIC_SLAVE,
                    .ioapic.chip_id = KVM_IRQCHIP_IOAPIC,
                    .kvmclock = vm->clock.clock,
                    .clock = (uint64_t)vm_clock_ns(vm) };

    if (!CHIP_IOCTL(vm, KVM_GET_IRQCHIP, &c.pic0, err) ||
        !CHIP_IOCTL(vm, KVM_GET_IRQCHIP, &c.pic1, err) ||
        !CHIP_IOCTL(vm, KVM_GET_IRQCHIP, &c.ioapic, err) ||
        !CHIP_IOCTL(vm, KVM_GET_PIT2, &c.pit, err))
        return false;
    saved_table_save(&chip_table, &c, out);
    return true;
}

/* ---- all of it ---- */

static bool
vcpus_take(Vm *vm, State *state, GError **err)
{
    for (guint i = 0; i < vm->vcpus->len; i++) {
        GByteArray *bytes = g_byte_array_new();

        g_ptr_array_add(state->vcpus, bytes);
        if (!vcpu_save(g_ptr_array_index(vm->vcpus, i), bytes, err))
            return false;
    }
    return true;
}

static void
machine_take(const Vm *vm, bool was_running, GByteArray *out)
{
    g_auto(MachineState) machine;

    machine_state_init(&machine);
    machine_describe(vm, &machine);
    machine.running = was_running;
    saved_table_save(&machine_table, &machine, out);
}

State *
state_begin(Vm *vm, bool was_running)
{
    State *state = state_new();

    state->machine = g_byte_array_new();
    state->was_running = was_running;
    machine_take(vm, was_running, state->machine);
    return state;
}

bool
state_take(Vm *vm, State *state, GError **err)
{
    g_autoptr(GByteArray) machine = g_byte_array_new();

    machine_take(vm, state->was_running, machine);
    if (!bytes_equal(machine, state->machine))
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "devices or processors have come or gone since: try again");
    state->chips = g_byte_array_new();
    state->devices = g_byte_array_new();
    return vcpus_take(vm, state, err) && chips_take(vm, state->chips, err) &&
           machine_save(vm->machine, state->devices, err);
}

static bool
vcpus_give(Vm *vm, const State *state, GError **err)
{
    for (guint i = 0; i < vm->vcpus->len; i++) {
        const GByteArray *bytes = g_ptr_array_index(state->vcpus, i);

        if (!vcpu_load(g_ptr_array_index(vm->vcpus, i), bytes->data, bytes->len, err))
            return false;
    }
    return true;
}

bool
state_give(Vm *vm, const State *state, GError **err)
{
    ChipState c = { .clock = 0 };
    size_t pos = 0;

    if (!saved_table_load(&chip_table, &c, state->chips->data, state->chips->len, &pos, err))
        return false;
    __atomic_store_n(&vm->stopped_at, (int64_t)c.clock, __ATOMIC_RELEASE);
    vm->clock = (struct kvm_clock_data){ .clock = c.kvmclock };
    vm->ran = true;
    /* Devices raise their lines as they are loaded; what the controllers and processors made of
     * that is then replaced by what they were. */
    return machine_load(vm->machine, state->devices->data, state->devices->len, err) &&
           vcpus_give(vm, state, err) && CHIP_IOCTL(vm, KVM_SET_IRQCHIP, &c.pic0, err) &&
           CHIP_IOCTL(vm, KVM_SET_IRQCHIP, &c.pic1, err) &&
           CHIP_IOCTL(vm, KVM_SET_IRQCHIP, &c.ioapic, err) &&
           CHIP_IOCTL(vm, KVM_SET_PIT2, &c.pit, err);
}
