/* vm_run.c - the states a guest goes through, and what its own acts lead to.
 *
 * Names of states, events, reasons and actions are QMP's (QEMU 7.2 qapi/run-state.json). Requests
 * of vCPUs and devices are noted and carried out by the main loop, where no device's lock is held.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "hw/pci/board.h"
#include "launcher/gdb.h"
#include "launcher/vm.h"
#include "util/error.h"

/* Requests beyond MachineRequest: a vCPU left for a debug exception, fell over its own tables, or
 * KVM could not go on. */
enum { VM_REQUEST_DEBUG = 29, VM_REQUEST_TRIPLE_FAULT = 30, VM_REQUEST_FAILED = 31 };

/* In the order of vm_watchdog_actions. */
enum {
    WATCHDOG_RESET,
    WATCHDOG_SHUTDOWN,
    WATCHDOG_POWEROFF,
    WATCHDOG_PAUSE,
    WATCHDOG_DEBUG,
    WATCHDOG_NONE,
    WATCHDOG_INJECT_NMI
};

static bool vm_warn_time;

void
vm_warn_timestamps(bool on)
{
    vm_warn_time = on;
}

void
vm_warn(const char *format, ...)
{
    g_autofree char *text = NULL;
    char stamp[64] = "";
    va_list ap;

    va_start(ap, format);
    text = g_strdup_vprintf(format, ap);
    va_end(ap);
    if (vm_warn_time) {
        struct timespec now;
        struct tm utc;
        size_t n;

        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &utc);
        n = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
        g_snprintf(stamp + n, sizeof(stamp) - n, ".%06ldZ ", now.tv_nsec / 1000);
    }
    fprintf(stderr, "%skiln-vmm: %s\n", stamp, text);
}

void
vm_emit(Vm *vm, const char *name, JsonObject *data)
{
    if (vm->emit)
        vm->emit(vm->emit_opaque, name, data);
    else if (data)
        json_object_unref(data);
}

const char *
vm_state_name(VmState state)
{
    static const char *const names[] = {
        [VM_PRELAUNCH] = "prelaunch",     [VM_RUNNING] = "running",
        [VM_PAUSED] = "paused",           [VM_SHUTDOWN] = "shutdown",
        [VM_PANICKED] = "guest-panicked", [VM_INTERNAL_ERROR] = "internal-error",
        [VM_IO_ERROR] = "io-error",       [VM_WATCHDOG] = "watchdog",
        [VM_INMIGRATE] = "inmigrate",     [VM_FINISH_MIGRATE] = "finish-migrate",
        [VM_POSTMIGRATE] = "postmigrate", [VM_DEBUG] = "debug",
        [VM_SUSPENDED] = "suspended",
    };

    return names[state];
}

static void
run_each_vcpu(Vm *vm, void (*fn)(Vcpu *vcpu))
{
    for (guint i = 0; i < vm->vcpus->len; i++)
        fn(g_ptr_array_index(vm->vcpus, i));
}

static void
run_stop_vcpus(Vm *vm)
{
    run_each_vcpu(vm, vcpu_stop);
    run_each_vcpu(vm, vcpu_wait_stopped);
}

/* The guest's clocks stand still while it does: ours, and KVM's. */
static void
run_hold_clocks(Vm *vm)
{
    __atomic_store_n(&vm->stopped_at, vm_clock_ns(vm), __ATOMIC_RELEASE);
    ioctl(vm->kvm->vm_fd, KVM_GET_CLOCK, &vm->clock);
}

static void
run_release_clocks(Vm *vm)
{
    struct kvm_clock_data clock = { .clock = vm->clock.clock };
    struct timespec now;
    int64_t guest = vm->stopped_at;

    clock_gettime(CLOCK_MONOTONIC, &now);
    __atomic_store_n(&vm->clock_offset, now.tv_sec * INT64_C(1000000000) + now.tv_nsec - guest,
                     __ATOMIC_RELEASE);
    __atomic_store_n(&vm->stopped_at, -1, __ATOMIC_RELEASE);
    if (!vm->ran)
        return;
    ioctl(vm->kvm->vm_fd, KVM_SET_CLOCK, &clock);
    run_each_vcpu(vm, vcpu_clock_paused);
}

/* Neither half loaded nor half written. */
static bool
run_is_whole(const Vm *vm, GError **err)
{
    return (vm->state != VM_INMIGRATE && vm->state != VM_FINISH_MIGRATE) ||
           kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                          "the guest is being %s, or that has failed: its state is '%s'",
                          vm->state == VM_INMIGRATE ? "loaded" : "saved", vm_state_name(vm->state));
}

bool
vm_resume(Vm *vm, GError **err)
{
    if (vm->state == VM_RUNNING || vm->state == VM_SUSPENDED)
        return true;
    if (vm->state == VM_SHUTDOWN || vm->state == VM_INTERNAL_ERROR || vm->state == VM_PANICKED)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "Resetting the Virtual Machine is required: its state is '%s'",
                              vm_state_name(vm->state));
    /* what waits to be tried again holds pages that the log has given out before */
    if (vm->state == VM_IO_ERROR && guest_memory_logs(vm->machine->memory))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "the guest is on its way to another host: it goes on there, or here "
                              "after migrate_cancel");
    if (!run_is_whole(vm, err) || (vm->images_away && !vm_images_take(vm, err)))
        return false;
    run_release_clocks(vm);
    vm->state = VM_RUNNING;
    machine_set_running(vm->machine, true);
    vm->ran = true;
    run_each_vcpu(vm, vcpu_resume);
    vm_emit(vm, "RESUME", NULL);
    return true;
}

void
vm_pause(Vm *vm, VmState state)
{
    if (vm->state == VM_RUNNING) {
        run_stop_vcpus(vm);
        machine_set_running(vm->machine, false);
        run_hold_clocks(vm);
        vm->state = state;
        vm_emit(vm, "STOP", NULL);
        if (vm->gdb)
            gdb_guest_stopped(vm->gdb);
    } else if (state != VM_PAUSED && vm->state != VM_SUSPENDED) {
        vm->state = state;
    }
}

static JsonObject *
run_cause(bool by_guest, const char *reason)
{
    JsonObject *data = json_object_new();

    json_object_set_boolean_member(data, "guest", by_guest);
    json_object_set_string_member(data, "reason", reason);
    return data;
}

bool
vm_reset(Vm *vm, bool by_guest, const char *reason, GError **err)
{
    bool was_running = vm->state == VM_RUNNING || vm->state == VM_SUSPENDED;

    if (!run_is_whole(vm, err))
        return false;
    run_stop_vcpus(vm);
    if (was_running)
        machine_set_running(vm->machine, false);
    kvm_reset_chips(vm->kvm);
    machine_reset(vm->machine);
    if (!vm_boot(vm, err)) {
        if (was_running) {
            run_hold_clocks(vm);
            vm_emit(vm, "STOP", NULL);
        }
        vm->state = VM_INTERNAL_ERROR;
        return false;
    }
    vm_emit(vm, "RESET", run_cause(by_guest, reason));
    if (was_running) {
        machine_set_running(vm->machine, true);
        vm->state = VM_RUNNING;
        run_each_vcpu(vm, vcpu_resume);
    } else {
        vm->state = vm->state == VM_PRELAUNCH ? VM_PRELAUNCH : VM_PAUSED;
    }
    return true;
}

bool
vm_inject_nmi(Vm *vm, GError **err)
{
    bool good = true;

    /* KVM takes it only from a vCPU that is not in the guest, or waits until it leaves. */
    vm_hold_vcpus(vm);
    for (guint i = 0; i < vm->vcpus->len && good; i++)
        if (ioctl(vcpu_fd(g_ptr_array_index(vm->vcpus, i)), KVM_NMI, 0) < 0)
            good = kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, errno, "KVM_NMI of vCPU %u",
                                        vcpu_index(g_ptr_array_index(vm->vcpus, i)));
    vm_release_vcpus(vm);
    return good;
}

static void
run_suspend(Vm *vm)
{
    run_stop_vcpus(vm);
    board_suspend(vm->machine);
    vm->state = VM_SUSPENDED;
    vm_emit(vm, "SUSPEND", NULL);
}

bool
vm_wakeup(Vm *vm, AcpiWake reason, GError **err)
{
    if (vm->state != VM_SUSPENDED)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "Unable to wake up: guest is not in suspended state");
    machine_set_running(vm->machine, false);
    kvm_reset_chips(vm->kvm);
    board_wake(vm->machine, reason);
    machine_set_running(vm->machine, true);
    if (!vm_boot_awake(vm, err)) {
        vm->state = VM_RUNNING;
        vm_pause(vm, VM_INTERNAL_ERROR);
        return false;
    }
    vm->state = VM_RUNNING;
    vm_emit(vm, "WAKEUP", NULL);
    run_each_vcpu(vm, vcpu_resume);
    return true;
}

static void
run_alarm(Vm *vm)
{
    g_autoptr(GError) err = NULL;

    if (vm->state == VM_SUSPENDED && acpi_pm_may_wake(vm->board->pm(vm->machine), ACPI_WAKE_RTC) &&
        !vm_wakeup(vm, ACPI_WAKE_RTC, &err))
        vm_warn("cannot wake the guest: %s", err->message);
}

void
vm_powerdown(Vm *vm)
{
    g_autoptr(GError) err = NULL;

    if (vm->state == VM_SUSPENDED) {
        if (!vm_wakeup(vm, ACPI_WAKE_BUTTON, &err))
            vm_warn("cannot wake the guest: %s", err->message);
        return;
    }
    board_power_button(vm->machine);
    vm_emit(vm, "POWERDOWN", NULL);
}

void
vm_quit(Vm *vm, const char *reason, bool by_guest, int status)
{
    if (vm->exit_status >= 0)
        return;
    vm->exit_status = status;
    run_stop_vcpus(vm);
    vm_emit(vm, "SHUTDOWN", run_cause(by_guest, reason));
    if (vm->gdb)
        gdb_guest_ends(vm->gdb, status);
    if (vm->loop)
        g_main_loop_quit(vm->loop);
}

static void
run_shutdown(Vm *vm, const char *reason)
{
    if (!vm->actions.shutdown_pauses) {
        vm_quit(vm, reason, true, 0);
        return;
    }
    vm_emit(vm, "SHUTDOWN", run_cause(true, reason));
    vm_pause(vm, VM_SHUTDOWN);
}

static void
run_guest_reset(Vm *vm, const char *reason)
{
    g_autoptr(GError) err = NULL;

    if (vm->actions.reboot_ends)
        run_shutdown(vm, reason);
    else if (!vm_reset(vm, true, reason, &err))
        vm_warn("cannot boot the guest again: %s", err->message);
}

static void
run_panic(Vm *vm)
{
    static const char *const names[] = { "pause", "poweroff", "poweroff", "run" };
    JsonObject *data = json_object_new();

    json_object_set_string_member(data, "action", names[vm->actions.panic]);
    vm_emit(vm, "GUEST_PANICKED", data);
    switch (vm->actions.panic) {
    case VM_PANIC_PAUSE:
        vm_pause(vm, VM_PANICKED);
        break;
    case VM_PANIC_SHUTDOWN:
        run_shutdown(vm, "guest-panic");
        break;
    case VM_PANIC_EXIT_FAILURE:
        vm_quit(vm, "guest-panic", true, EXIT_FAILURE);
        break;
    default:
        break;
    }
}

static void
run_watchdog(Vm *vm)
{
    const char *action = vm_watchdog_actions[vm->actions.watchdog];
    g_autoptr(GError) err = NULL;
    JsonObject *data = json_object_new();

    json_object_set_string_member(data, "action", action);
    vm_emit(vm, "WATCHDOG", data);
    switch (vm->actions.watchdog) {
    case WATCHDOG_RESET:
        run_guest_reset(vm, "guest-reset");
        break;
    case WATCHDOG_SHUTDOWN:
        vm_powerdown(vm);
        break;
    case WATCHDOG_POWEROFF:
        run_shutdown(vm, "guest-shutdown");
        break;
    case WATCHDOG_PAUSE:
        vm_pause(vm, VM_WATCHDOG);
        break;
    case WATCHDOG_DEBUG:
        vm_warn("the guest did not feed its watchdog in time");
        break;
    case WATCHDOG_INJECT_NMI:
        if (!vm_inject_nmi(vm, &err))
            vm_warn("the watchdog: %s", err->message);
        break;
    default:
        break;
    }
}

/* The vCPUs whose exceptions are the guest's own go on with them. */
static void
run_debug(Vm *vm)
{
    if (!vm->gdb || vm->state != VM_RUNNING)
        return;
    if (gdb_look(vm->gdb))
        vm_pause(vm, VM_DEBUG);
    else
        run_each_vcpu(vm, vcpu_resume);
}

static gboolean
run_requests(void *opaque)
{
    Vm *vm = opaque;
    g_autofree char *detail = NULL;
    uint32_t requests;
    int value;

    g_mutex_lock(&vm->requests_lock);
    requests = vm->requests;
    value = vm->request_value;
    detail = g_steal_pointer(&vm->request_detail);
    vm->requests = 0;
    vm->wake = NULL;
    g_mutex_unlock(&vm->requests_lock);
    if (vm->exit_status >= 0)
        return G_SOURCE_REMOVE;

    /* The end comes before what it makes pointless. */
    if (requests & 1u << MACHINE_DEBUG_EXIT) {
        vm_quit(vm, "guest-shutdown", true, value);
        return G_SOURCE_REMOVE;
    }
    if (requests & 1u << MACHINE_QUIT) {
        vm_quit(vm, "host-ui", false, EXIT_SUCCESS);
        return G_SOURCE_REMOVE;
    }
    if (requests & 1u << VM_REQUEST_FAILED) {
        vm_warn("%s", detail ? detail : "a vCPU cannot go on");
        vm_pause(vm, VM_INTERNAL_ERROR);
        return G_SOURCE_REMOVE;
    }
    if (requests & 1u << VM_REQUEST_DEBUG)
        run_debug(vm);
    if (requests & 1u << MACHINE_PANIC)
        run_panic(vm);
    if (requests & 1u << MACHINE_IO_ERROR && vm->state == VM_RUNNING)
        vm_pause(vm, VM_IO_ERROR);
    if (requests & 1u << MACHINE_WATCHDOG && vm->state == VM_RUNNING)
        run_watchdog(vm);
    if (vm->exit_status >= 0)
        return G_SOURCE_REMOVE;
    if (requests & 1u << MACHINE_SUSPEND_DISK)
        vm_emit(vm, "SUSPEND_DISK", NULL);
    if (requests & (1u << MACHINE_SHUTDOWN | 1u << MACHINE_SUSPEND_DISK)) {
        run_shutdown(vm, "guest-shutdown");
        return G_SOURCE_REMOVE;
    }
    if (requests & 1u << MACHINE_SUSPEND && vm->state == VM_RUNNING)
        run_suspend(vm);
    if (requests & 1u << MACHINE_WAKEUP)
        run_alarm(vm);
    if (requests & (1u << MACHINE_RESET | 1u << VM_REQUEST_TRIPLE_FAULT))
        run_guest_reset(vm, "guest-reset");
    return G_SOURCE_REMOVE;
}

void
vm_hold_vcpus(Vm *vm)
{
    run_stop_vcpus(vm);
}

void
vm_release_vcpus(Vm *vm)
{
    GSource *wake;

    g_mutex_lock(&vm->requests_lock);
    wake = vm->wake;
    g_mutex_unlock(&vm->requests_lock);
    /* One that stopped because it asked for something must not go on before that is done. */
    if (wake) {
        g_source_destroy(wake);
        run_requests(vm);
    }
    if (vm->state == VM_RUNNING)
        run_each_vcpu(vm, vcpu_resume);
}

bool
vm_rest(Vm *vm)
{
    if (vm->state != VM_RUNNING)
        return false;
    run_stop_vcpus(vm);
    machine_set_running(vm->machine, false);
    return true;
}

void
vm_rest_end(Vm *vm)
{
    machine_set_running(vm->machine, true);
    vm_release_vcpus(vm);
}

static void
run_note(Vm *vm, unsigned bit, int value, const char *detail)
{
    g_mutex_lock(&vm->requests_lock);
    vm->requests |= 1u << bit;
    if (bit == MACHINE_DEBUG_EXIT)
        vm->request_value = value;
    if (detail && !vm->request_detail)
        vm->request_detail = g_strdup(detail);
    if (!vm->wake) {
        vm->wake = g_idle_source_new();
        g_source_set_priority(vm->wake, G_PRIORITY_HIGH);
        g_source_set_callback(vm->wake, run_requests, vm, NULL);
        g_source_attach(vm->wake, NULL);
        g_source_unref(vm->wake);
    }
    g_mutex_unlock(&vm->requests_lock);
}

void
vm_request(Vm *vm, MachineRequest request, int value)
{
    Vcpu *self = vcpu_current();

    /* Not one more instruction after the one that asked. */
    if (self && request != MACHINE_WAKEUP && request != MACHINE_POWERDOWN &&
        !(request == MACHINE_PANIC && vm->actions.panic == VM_PANIC_NONE))
        vcpu_stop(self);
    run_note(vm, request, value, NULL);
}

static void
run_vcpu_event(void *opaque, Vcpu *vcpu, VcpuEvent event, const char *detail)
{
    Vm *vm = opaque;

    (void)vcpu;
    switch (event) {
    case VCPU_TRIPLE_FAULT:
        run_note(vm, VM_REQUEST_TRIPLE_FAULT, 0, NULL);
        break;
    case VCPU_SYSTEM_RESET:
        run_note(vm, MACHINE_RESET, 0, NULL);
        break;
    case VCPU_SYSTEM_SHUTDOWN:
        run_note(vm, MACHINE_SHUTDOWN, 0, NULL);
        break;
    case VCPU_SYSTEM_CRASH:
        run_note(vm, MACHINE_PANIC, 0, NULL);
        break;
    case VCPU_DEBUG:
        run_note(vm, VM_REQUEST_DEBUG, 0, NULL);
        break;
    case VCPU_FAILED:
        run_note(vm, VM_REQUEST_FAILED, 0, detail);
        break;
    }
}

static bool
run_confine(void *opaque)
{
    Vm *vm = opaque;

    return !vm->confine || vm->confine(vm);
}

static void
run_clear_page(void *opaque, uint64_t gpa)
{
    Vm *vm = opaque;

    /* Where the guest has no memory, KVM finds none either. */
    guest_memory_zero(vm->machine->memory, gpa, HYPERV_PAGE_SIZE);
}

bool
vm_start_vcpus(Vm *vm, GError **err)
{
    vcpu_init_signals();
    for (guint i = 0; i < vm->vcpus->len; i++)
        if (!vcpu_start(g_ptr_array_index(vm->vcpus, i), err))
            return false;
    return true;
}

const char *const vm_watchdog_actions[] = { "reset", "shutdown", "poweroff",   "pause",
                                            "debug", "none",     "inject-nmi", NULL };

const VcpuOps vm_vcpu_ops = {
    .event = run_vcpu_event,
    .confine = run_confine,
    .clear_page = run_clear_page,
};
