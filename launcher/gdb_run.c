/* gdb_run.c - the debugger lets the guest go, and hears why it stopped.
 *
 * "Debugging with GDB", appendix E.2 (vCont) and E.3 (stop replies), all-stop mode.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "launcher/gdb_private.h"

int
gdb_stop_signal(const Gdb *gdb)
{
    switch (gdb->vm->state) {
    case VM_DEBUG:
    case VM_PRELAUNCH:
        return GDB_SIGNAL_TRAP;
    case VM_SHUTDOWN:
        return GDB_SIGNAL_QUIT;
    case VM_IO_ERROR:
        return GDB_SIGNAL_STOP;
    case VM_WATCHDOG:
        return GDB_SIGNAL_ALRM;
    case VM_INTERNAL_ERROR:
    case VM_PANICKED:
        return GDB_SIGNAL_ABRT;
    default:
        return GDB_SIGNAL_INT;
    }
}

static void
run_append_reason(const Gdb *gdb, const GdbHit *hit, GString *out)
{
    static const char *const watches[] = {
        [GDB_WATCH_WRITE] = "watch",
        [GDB_WATCH_READ] = "rwatch",
        [GDB_WATCH_ACCESS] = "awatch",
    };

    if (hit->kind == GDB_HIT_WATCH)
        g_string_append_printf(out, "%s:%" G_GINT64_MODIFIER "x;", watches[hit->at.kind],
                               hit->at.address);
    else if (hit->kind != GDB_HIT_STEP && gdb->knows_breaks)
        g_string_append(out, hit->kind == GDB_HIT_SOFTWARE ? "swbreak:;" : "hwbreak:;");
}

void
gdb_tell_stop(Gdb *gdb, int signal)
{
    g_autoptr(GString) out = g_string_new(NULL);

    gdb->waiting = false;
    if (gdb->hits->len > 0) {
        const GdbHit *hit = &g_array_index(gdb->hits, GdbHit, 0);

        gdb->stop_thread = hit->thread;
        g_string_printf(out, "T%02xthread:%x;", (unsigned)GDB_SIGNAL_TRAP, hit->thread);
        run_append_reason(gdb, hit, out);
        g_array_remove_index(gdb->hits, 0);
    } else {
        if (!gdb_vcpu(gdb, gdb->stop_thread))
            gdb->stop_thread = vcpu_index(gdb_vcpu(gdb, 0)) + 1;
        g_string_printf(out, "T%02xthread:%x;", (unsigned)signal, gdb->stop_thread);
    }
    gdb->thread = gdb->stop_thread;
    gdb_send(gdb, out->str);
}

/* The action for a vCPU in "c:1;s:2;c": the first that names it, or none. */
static char
run_action(const char *actions, unsigned thread)
{
    for (const char *p = actions; p && *p; p = strchr(p, ';') ? strchr(p, ';') + 1 : NULL) {
        size_t len = strcspn(p, ";");
        const char *colon = memchr(p, ':', len), *at = colon ? colon + 1 : NULL;
        uint64_t named = 0;
        char action = g_ascii_tolower(*p);

        if (action != 'c' && action != 's')
            continue;
        /* -1 is every thread, 0 any */
        if (!at || *at == '-' || (gdb_hex_number(&at, &named) && (named == 0 || named == thread)))
            return action;
    }
    return 0;
}

static void
run_go(Gdb *gdb)
{
    g_autoptr(GError) err = NULL;

    gdb->waiting = true;
    /* Another vCPU has stopped as well, and nobody has heard of it. */
    if (gdb->hits->len > 0) {
        gdb_tell_stop(gdb, GDB_SIGNAL_TRAP);
        return;
    }
    if (vm_resume(gdb->vm, &err))
        return;
    vm_warn("gdb: %s", err->message);
    gdb_tell_stop(gdb, gdb_stop_signal(gdb));
}

void
gdb_run_vcont(Gdb *gdb, const char *actions)
{
    bool any = false;

    if (gdb->vm->state == VM_RUNNING)
        vm_pause(gdb->vm, VM_PAUSED);
    g_array_set_size(gdb->stepping, 0);
    for (guint i = 0; i < gdb->vm->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(gdb->vm->vcpus, i);
        unsigned thread = vcpu_index(vcpu) + 1;
        char action = run_action(actions, thread);

        if (action == 's')
            g_array_append_val(gdb->stepping, thread);
        vcpu_hold(vcpu, action == 0);
        gdb_break_arm(gdb, vcpu, action == 's');
        any |= action != 0;
    }
    if (any)
        run_go(gdb);
    else
        gdb_send(gdb, "E16");
}

void
gdb_run_all(Gdb *gdb, char action)
{
    g_autofree char *text =
        action == 's' ? g_strdup_printf("s:%x;c", gdb->run_thread ? gdb->run_thread : gdb->thread)
                      : g_strdup("c");

    gdb_run_vcont(gdb, text);
}

bool
gdb_look(Gdb *gdb)
{
    bool ours = false;

    for (guint i = 0; i < gdb->vm->vcpus->len; i++) {
        Vcpu *vcpu = g_ptr_array_index(gdb->vm->vcpus, i);
        struct kvm_debug_exit_arch stop;
        GdbHit hit;

        if (!vcpu_take_debug_stop(vcpu, &stop))
            continue;
        if (!gdb_break_judge(gdb, vcpu, &stop, &hit)) {
            gdb_break_inject(gdb, vcpu, stop.exception);
            continue;
        }
        /* An instruction that was not carried out yet stops again by itself. */
        if (gdb->hits->len == 0 || hit.kind == GDB_HIT_WATCH)
            g_array_append_val(gdb->hits, hit);
        ours = true;
    }
    return ours;
}

void
gdb_guest_stopped(Gdb *gdb)
{
    gdb_look(gdb);
    for (guint i = 0; i < gdb->vm->vcpus->len; i++)
        vcpu_hold(g_ptr_array_index(gdb->vm->vcpus, i), false);
    if (gdb->stepping->len > 0) {
        g_array_set_size(gdb->stepping, 0);
        for (guint i = 0; i < gdb->vm->vcpus->len; i++)
            gdb_break_arm(gdb, g_ptr_array_index(gdb->vm->vcpus, i), false);
    }
    if (gdb->waiting && gdb->vm->state != VM_FINISH_MIGRATE)
        gdb_tell_stop(gdb, gdb_stop_signal(gdb));
}
