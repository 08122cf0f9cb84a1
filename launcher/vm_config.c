/* vm_config.c - what the options say of the machine: identity, processors, memory, nodes, clock.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <string.h>

#include "hw/pci/board.h"
#include "launcher/keyval.h"
#include "launcher/vm.h"
#include "util/cpumap.h"
#include "util/error.h"

#define DEFAULT_MEMORY (UINT64_C(128) << 20)
enum { MAX_NODES = 64, DISTANCE_SELF = 10, DISTANCE_OTHER = 20, DISTANCE_MAX = 254 };

static bool
config_identity(Vm *vm, GError **err)
{
    const Options *o = vm->options;

    vm->name = o->name ? g_strdup(keyval_text(o->name, "guest")) : NULL;
    if (!o->uuid)
        return true;
    if (!g_uuid_string_is_valid(o->uuid))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-uuid %s is not a UUID", o->uuid);
    for (unsigned i = 0, nibble = 0; o->uuid[i]; i++)
        if (o->uuid[i] != '-') {
            vm->uuid[nibble / 2] |= g_ascii_xdigit_value(o->uuid[i]) << (nibble % 2 ? 0 : 4);
            nibble++;
        }
    vm->has_uuid = true;
    return true;
}

/* Parts of a machine that may be asked to be there, or not, in one way only. */
static bool
config_fixed_switch(JsonObject *machine, const char *key, bool only, GError **err)
{
    bool value = only;

    if (!keyval_bool("-machine", machine, key, &value, err))
        return false;
    return value == only ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-machine: %s=%s is not offered yet",
                          key, value ? "on" : "off");
}

static bool
config_machine(Vm *vm, GError **err)
{
    static const struct {
        const char *key;
        bool only;
    } fixed[] = {
        { "smm", false },
        { "vmport", false },
        { "acpi", true },
        { "pit", true },
    };
    static const char *const unknown[] = { "fault", "ignore", NULL };
    int on_unknown = 0;
    JsonObject *machine = vm->options->machine;
    const char *type = machine ? keyval_text(machine, "type") : NULL;
    const char *accel = machine ? keyval_text(machine, "accel") : NULL;
    const char *irqchip = machine ? keyval_text(machine, "kernel-irqchip") : NULL;

    if (vm->options->accel)
        accel = keyval_text(vm->options->accel, "accel");
    /* Of a list that begins with KVM the others are never come to. */
    if (accel && strcmp(accel, "kvm") && !g_str_has_prefix(accel, "kvm:"))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-accel %s: only kvm runs guests",
                              accel);
    vm->board = type ? board_find(type) : board_list[0];
    if (!vm->board)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-machine %s: no such machine; '%s' and '%s' are offered", type,
                              board_q35.aliases[0], board_pc.aliases[0]);
    if (!machine)
        return true;
    if (!keyval_enum("-machine", machine, "unknown-msrs", unknown, &on_unknown, err))
        return false;
    vm->ignore_msrs = on_unknown;
    if (irqchip && strcmp(irqchip, "on"))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-machine: kernel-irqchip=%s; only 'on' is offered", irqchip);
    for (size_t i = 0; i < G_N_ELEMENTS(fixed); i++) {
        const char *text = keyval_text(machine, fixed[i].key);

        if (g_strcmp0(text, "auto") &&
            !config_fixed_switch(machine, fixed[i].key, fixed[i].only, err))
            return false;
    }
    return true;
}

static bool
config_actions(Vm *vm, GError **err)
{
    static const char *const reboot[] = { "reset", "shutdown", NULL };
    static const char *const shutdown[] = { "poweroff", "pause", NULL };
    static const char *const panic[] = { "pause", "shutdown", "exit-failure", "none", NULL };
    JsonObject *a = vm->options->action;
    int on_reboot = vm->options->no_reboot, on_shutdown = vm->options->no_shutdown;

    vm->actions.panic = VM_PANIC_SHUTDOWN;
    if (a &&
        (!keyval_enum("-action", a, "reboot", reboot, &on_reboot, err) ||
         !keyval_enum("-action", a, "shutdown", shutdown, &on_shutdown, err) ||
         !keyval_enum("-action", a, "panic", panic, &vm->actions.panic, err) ||
         !keyval_enum("-action", a, "watchdog", vm_watchdog_actions, &vm->actions.watchdog, err)))
        return false;
    vm->actions.reboot_ends = on_reboot;
    vm->actions.shutdown_pauses = on_shutdown;
    return true;
}

static bool
config_chipset(Vm *vm, MachineConfig *ret, GError **err)
{
    JsonObject *machine = vm->options->machine;
    bool i8042 = true;

    if (machine && (!keyval_bool("-machine", machine, "i8042", &i8042, err) ||
                    !keyval_bool("-machine", machine, "hpet", &ret->hpet, err)))
        return false;
    ret->no_i8042 = !i8042;
    return true;
}

/* What config_globals() below knows of the board. */
static const char *const config_board_globals[] = {
    "ICH9-LPC.noreboot",   "ICH9-LPC.disable_s3", "ICH9-LPC.disable_s4",
    "PIIX4_PM.disable_s3", "PIIX4_PM.disable_s4", NULL,
};

/* driver=D,property=P,value=V as D.P=V, and nothing that no device would ever look at in silence.
 */
static bool
config_check_global(JsonObject *global, GError **err)
{
    const char *driver = keyval_text(global, "driver"), *name = keyval_text(global, "property");
    const char *value = keyval_text(global, "value");
    g_autoptr(GList) keys = NULL;

    if (driver && name && value) {
        g_autofree char *key = g_strconcat(driver, ".", name, NULL);
        g_autofree char *text = g_strdup(value);

        json_object_remove_member(global, "driver");
        json_object_remove_member(global, "property");
        json_object_remove_member(global, "value");
        json_object_set_string_member(global, key, text);
    }
    keys = json_object_get_members(global);
    for (GList *l = keys; l; l = l->next) {
        const char *key = l->data, *dot = strrchr(key, '.');
        g_autofree char *model = dot ? g_strndup(key, (gsize)(dot - key)) : NULL;
        const DeviceClass *class = dot ? device_class_find(model) : NULL;

        if (!dot || dot == key || !dot[1])
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "-global %s: wants DRIVER.PROPERTY=VALUE", driver ? driver : key);
        if (g_strv_contains(config_board_globals, key))
            continue;
        if (!class)
            vm_warn("warning: -global %s: there is no device '%s' here; nothing is set", key,
                    model);
        else if (!device_class_has_prop(class, dot + 1))
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "-global %s: '%s' has no property '%s' that can be set", key,
                                  model, dot + 1);
    }
    return true;
}

/* -global ICH9-LPC.disable_s4=0 and its like: what the board is made with. */
static bool
config_globals(Vm *vm, MachineConfig *ret, GError **err)
{
    static const char *const chips[] = { "ICH9-LPC", "PIIX4_PM" };

    for (guint i = 0; i < vm->options->globals->len; i++) {
        JsonObject *global = g_ptr_array_index(vm->options->globals, i);
        bool no_reboot = !ret->tco_reboots;

        if (!config_check_global(global, err))
            return false;
        if (!keyval_bool("-global", global, "ICH9-LPC.noreboot", &no_reboot, err))
            return false;
        ret->tco_reboots = !no_reboot;
        for (size_t c = 0; c < G_N_ELEMENTS(chips); c++) {
            g_autofree char *s3 = g_strconcat(chips[c], ".disable_s3", NULL);
            g_autofree char *s4 = g_strconcat(chips[c], ".disable_s4", NULL);
            uint64_t off3 = !ret->s3, off4 = !ret->s4;

            if (!keyval_uint("-global", global, s3, 0, 1, &off3, err) ||
                !keyval_uint("-global", global, s4, 0, 1, &off4, err))
                return false;
            ret->s3 = !off3;
            ret->s4 = !off4;
        }
    }
    return true;
}

static bool
config_rtc(Vm *vm, MachineConfig *ret, GError **err)
{
    /* Either way the guest's clock goes with the host's, and its ticks are never made up for. */
    static const char *const clocks[] = { "host", "rt", "vm", NULL };
    static const char *const fixes[] = { "none", "slew", NULL };
    JsonObject *rtc = vm->options->rtc;
    const char *base = rtc ? keyval_text(rtc, "base") : NULL;
    int clock = 0, fix = 0;
    g_autoptr(GDateTime) date = NULL;
    g_autofree char *time = NULL;
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();

    if (rtc && (!keyval_enum("-rtc", rtc, "clock", clocks, &clock, err) ||
                !keyval_enum("-rtc", rtc, "driftfix", fixes, &fix, err)))
        return false;
    ret->rtc_base = RTC_BASE_UTC;
    if (!base || !strcmp(base, "utc"))
        return true;
    if (!strcmp(base, "localtime")) {
        ret->rtc_base = RTC_BASE_LOCALTIME;
        return true;
    }
    time = g_strconcat(base, strchr(base, 'T') ? "" : "T00:00:00", NULL);
    date = g_date_time_new_from_iso8601(time, utc);
    if (!date)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-rtc: base=%s; it can be: utc, localtime, or a date as "
                              "2006-06-17T16:01:21 or 2006-06-17",
                              base);
    ret->rtc_base = RTC_BASE_TIME;
    ret->rtc_seconds = g_date_time_to_unix(date);
    return true;
}

static bool
config_cpus(Vm *vm, MachineConfig *ret, GError **err)
{
    g_autoptr(CpuSpec) spec = cpu_spec_parse(vm->options->cpu, err);
    g_autoptr(GPtrArray) missing = g_ptr_array_new_with_free_func(g_free);
    g_autofree Cpuid *supported = g_new0(Cpuid, 1);
    Topology *t = &vm->topology;
    uint32_t last;

    if (!spec || !topology_parse(vm->options->smp, t, err))
        return false;
    last = topology_apic_id(t, t->max_cpus - 1);
    if (t->max_cpus > vm->kvm->max_vcpus || last >= vm->kvm->max_vcpu_id)
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "-smp: %u processors with APIC ids up to %u; this host's KVM has %u and "
            "%u",
            t->max_cpus, last, vm->kvm->max_vcpus, vm->kvm->max_vcpu_id - 1);
    if (last > 254 && !vm->kvm->x2apic_api)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-smp: APIC id %u is beyond 254, and this host's KVM has no "
                              "KVM_CAP_X2APIC_API",
                              last);
    if (!cpuid_supported(vm->kvm->fd, vm->kvm->tsc_deadline, supported, err))
        return false;
    vm->cpu = cpu_define(spec, supported, CPUMAP_DEFAULT_DIR, vm->kvm->fd, missing, err);
    if (!vm->cpu)
        return false;
    for (guint i = 0; spec->check && i < missing->len; i++)
        vm_warn("warning: -cpu %s: this host cannot give the guest %s", spec->model,
                (char *)g_ptr_array_index(missing, i));
    ret->physical_bits = cpuid_physical_bits(&vm->cpu->cpuid);
    ret->n_cpus = t->cpus;
    ret->max_cpus = t->max_cpus;
    ret->cpus = g_new0(MachineCpu, t->max_cpus);
    for (unsigned i = 0; i < t->max_cpus; i++) {
        ret->cpus[i].apic_id = topology_apic_id(t, i);
        ret->cpus[i].present = i < t->cpus;
    }
    return true;
}

static bool
config_node_cpus(MachineConfig *c, unsigned node, const char *text, bool *placed, GError **err)
{
    g_auto(GStrv) ranges = g_strsplit(text, ":", -1);

    for (char **r = ranges; *r; r++) {
        char *end;
        guint64 first = g_ascii_strtoull(*r, &end, 10), last = first;

        if (end != *r && *end == '-' && g_ascii_isdigit(end[1]))
            last = g_ascii_strtoull(end + 1, &end, 10);
        if (end == *r || *end || first > last || last >= c->max_cpus)
            return kiln_error_set(
                err, VIR_ERR_CONFIG_UNSUPPORTED,
                "-numa node,nodeid=%u: cpus=%s is not a processor or range below %u", node, *r,
                c->max_cpus);
        for (; first <= last; first++) {
            c->cpus[first].node = node;
            placed[first] = true;
        }
    }
    return true;
}

static bool
config_node(Vm *vm, MachineConfig *c, JsonObject *numa, uint64_t memory_left, bool *placed,
            GError **err)
{
    uint64_t id = c->n_nodes, size = 0;
    const char *memdev = keyval_text(numa, "memdev"), *cpus = keyval_text(numa, "cpus");

    if (!keyval_uint("-numa node", numa, "nodeid", 0, MAX_NODES - 1, &id, err) ||
        !keyval_size("-numa node", numa, "mem", 1 << 20, &size, err))
        return false;
    if (id != c->n_nodes)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-numa node,nodeid=%u: nodes are numbered 0, 1, 2 … in order",
                              (unsigned)id);
    c->nodes = g_renew(MachineNode, c->nodes, c->n_nodes + 1);
    c->nodes[c->n_nodes] = (MachineNode){ 0 };
    c->n_nodes++;
    if (cpus && !config_node_cpus(c, id, cpus, placed, err))
        return false;
    if (!memdev && size == 0)
        return true;
    if (!memdev && size > memory_left)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-numa node,nodeid=%u: mem= is more than -m leaves", (unsigned)id);
    c->nodes[id].memory = ram_use(vm->ram, memdev, size, err);
    return c->nodes[id].memory > 0;
}

static bool
config_distance(MachineConfig *c, JsonObject *numa, GError **err)
{
    uint64_t src = MAX_NODES, dst = MAX_NODES, val = 0;

    if (!keyval_uint("-numa dist", numa, "src", 0, MAX_NODES - 1, &src, err) ||
        !keyval_uint("-numa dist", numa, "dst", 0, MAX_NODES - 1, &dst, err) ||
        !keyval_uint("-numa dist", numa, "val", DISTANCE_SELF, DISTANCE_MAX, &val, err))
        return false;
    if (src >= c->n_nodes || dst >= c->n_nodes || val == 0)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-numa dist wants src= and dst= of nodes named before, and val=");
    for (unsigned i = 0; i < c->n_nodes; i++) {
        MachineNode *n = &c->nodes[i];

        if (n->distances)
            continue;
        n->distances = g_malloc(c->n_nodes);
        memset(n->distances, DISTANCE_OTHER, c->n_nodes);
        n->distances[i] = DISTANCE_SELF;
    }
    c->nodes[src].distances[dst] = val;
    return true;
}

static bool
config_numa(Vm *vm, MachineConfig *c, uint64_t memory, GError **err)
{
    g_autofree bool *placed = g_new0(bool, c->max_cpus);
    uint64_t used = 0;

    for (guint i = 0; i < vm->options->numa->len; i++) {
        JsonObject *numa = g_ptr_array_index(vm->options->numa, i);
        const char *type = keyval_text(numa, "type");

        if (!g_strcmp0(type, "node")) {
            if (!config_node(vm, c, numa, memory - MIN(used, memory), placed, err))
                return false;
            used += c->nodes[c->n_nodes - 1].memory;
        } else if (!g_strcmp0(type, "dist")) {
            if (!config_distance(c, numa, err))
                return false;
        } else {
            return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                                  "-numa %s: only 'node' and 'dist' are offered", type ? type : "");
        }
    }
    if (used != memory)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-numa: the nodes have %" PRIu64 " MiB, -m says %" PRIu64, used >> 20,
                              memory >> 20);
    for (unsigned i = 0; i < c->max_cpus; i++)
        if (!placed[i])
            vm_warn("warning: -numa: processor %u is on no node; it goes to node %u", i,
                    c->cpus[i].node);
    return true;
}

static bool
config_memory(Vm *vm, MachineConfig *c, GError **err)
{
    const Options *o = vm->options;
    const char *backend = o->machine ? keyval_text(o->machine, "memory-backend") : NULL;
    uint64_t size = DEFAULT_MEMORY, unused = 0, got;

    if (o->memory && (!keyval_size("-m", o->memory, "size", 1 << 20, &size, err) ||
                      !keyval_size("-m", o->memory, "maxmem", 1 << 20, &unused, err)))
        return false;
    if (unused > size)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-m: maxmem= beyond size=: adding memory later is not offered yet");
    if (size < 1 << 20 || size % 4096)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-m: %" PRIu64 " bytes; at least 1 MiB, in whole pages of 4 KiB",
                              size);
    if (size >> (c->physical_bits - 1))
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-m: %" PRIu64
                              " MiB is more than %u address bits of the processor reach",
                              size >> 20, c->physical_bits);
    if (o->numa->len > 0)
        return config_numa(vm, c, size, err);
    got = ram_use(vm->ram, backend, size, err);
    if (got == 0)
        return false;
    return got == size ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                          "memory backend '%s' has %" PRIu64 " MiB, -m says %" PRIu64, backend,
                          got >> 20, size >> 20);
}

bool
vm_configure(Vm *vm, MachineConfig *ret, GError **err)
{
    *ret = (MachineConfig){ 0 };
    if (!config_cpus(vm, ret, err) || !config_memory(vm, ret, err) ||
        !config_chipset(vm, ret, err) || !config_globals(vm, ret, err) || !config_rtc(vm, ret, err))
        return false;
    ret->firmware = vm->options->kernel == NULL;
    ret->name = vm->name;
    memcpy(ret->uuid, vm->uuid, sizeof(ret->uuid));
    return true;
}

bool
vm_configure_early(Vm *vm, GError **err)
{
    return config_identity(vm, err) && config_machine(vm, err) && config_actions(vm, err);
}
