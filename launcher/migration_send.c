/* migration_send.c - writing a guest into a descriptor, while it runs or standing still.
 *
 * What is written while the log is on (hw/core/memory.h) is sent again in the next round. Pages
 * that a device holds to write count as written when they are handed out; at the beginning of each
 * round the guest and its devices rest for a moment, after which none of those is held any more, so
 * the log is complete. Devices that the kernel serves (vhost) go through this process meanwhile.
 *
 * Left out: slowing down a guest that writes faster than it can be sent, which never ends by
 * itself.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hw/core/device.h"
#include "launcher/gdb.h"
#include "launcher/migration_private.h"
#include "util/error.h"

enum {
    PAGE = 4096,
    FEW_PAGES = 64,     /* so little is always sent at once */
    PACE_MS = 100,      /* the longest sleep, after which a cancellation is seen */
    PACE_WINDOW_S = 10, /* bytes a second are counted over that long */
};

static void
send_section(Migration *m, StateWriter *w, StateKind kind, const GByteArray *bytes)
{
    state_writer_section(w, kind, bytes->data, bytes->len);
    __atomic_store_n(&m->bytes, state_writer_bytes(w), __ATOMIC_RELAXED);
}

/* ---- what the guest writes meanwhile; the main thread ---- */

static void
log_begin(Migration *m)
{
    const GuestRam *ram = guest_memory_list(m->vm->machine->memory, &m->n_pages);

    m->pages = g_new(uint64_t *, m->n_pages);
    for (size_t i = 0; i < m->n_pages; i++)
        m->pages[i] = g_new(uint64_t, guest_memory_log_words(&ram[i]));
}

/* The guest rests or stands still. */
static bool
log_switch(Vm *vm, bool on, GError **err)
{
    int ret;

    if (on)
        guest_memory_log(vm->machine->memory, true);
    ret = memory_layout_log(vm->machine->layout, on);
    if (!on || ret < 0)
        guest_memory_log(vm->machine->memory, false);
    if (ret < 0 && on)
        memory_layout_log(vm->machine->layout, false);
    return ret >= 0 || kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, ret,
                                            "the kernel cannot note what the guest writes");
}

static uint64_t
log_take(Migration *m)
{
    Machine *machine = m->vm->machine;
    uint64_t n = 0;

    memory_layout_collect(machine->layout);
    for (size_t i = 0; i < m->n_pages; i++)
        n += guest_memory_log_take(machine->memory, i, m->pages[i]);
    return n;
}

static void
log_end(Vm *vm)
{
    bool ran = vm_rest(vm);

    log_switch(vm, false, NULL);
    if (ran)
        vm_rest_end(vm);
}

/* ---- rounds ---- */

static bool
vm_has_requests(Vm *vm)
{
    bool has;

    g_mutex_lock(&vm->requests_lock);
    has = (vm->requests & ~(1u << MACHINE_WAKEUP)) != 0; /* an alarm is nothing to wait for */
    g_mutex_unlock(&vm->requests_lock);
    return has;
}

/* Neither asleep nor at its end. */
static bool
check_state(Vm *vm, GError **err)
{
    if (vm->state == VM_SUSPENDED)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "the guest sleeps; wake it before it is saved");
    if (gdb_changes_memory(vm->gdb))
        return kiln_error_set(
            err, VIR_ERR_OPERATION_INVALID,
            "a debugger has breakpoints in the guest's memory; delete them first");
    return true;
}

/* From now on the guest stands still; it has just rested, or stood still before. */
static bool
send_stand_still(Migration *m, GError **err)
{
    Vm *vm = m->vm;

    m->stopped = g_get_monotonic_time();
    m->was_running = vm->state == VM_RUNNING;
    m->before = m->was_running ? VM_PAUSED : vm->state;
    vm_pause(vm, VM_PAUSED);
    vm->state = VM_FINISH_MIGRATE;
    if (vm_has_requests(vm))
        return kiln_error_set(
            err, VIR_ERR_OPERATION_INVALID,
            "the guest was just about to reset itself or to power off: try again");
    return state_take(vm, m->state, err) && (!m->hands_over || vm_images_give(vm, err));
}

/* Whether @left bytes can be sent within the time that the guest may stand still for. */
static bool
fits(Migration *m, uint64_t left)
{
    uint64_t limit = __atomic_load_n(&m->vm->migrate_bandwidth, __ATOMIC_RELAXED);
    uint64_t rate = __atomic_load_n(&m->rate, __ATOMIC_RELAXED), ms;

    if (limit && limit < rate)
        rate = limit;
    ms = left / MAX(rate / 1000, UINT64_C(1));
    __atomic_store_n(&m->expected, ms, __ATOMIC_RELAXED);
    return left <= (uint64_t)FEW_PAGES * PAGE ||
           ms <= __atomic_load_n(&m->vm->migrate_downtime, __ATOMIC_RELAXED);
}

/* Takes out what is to be sent in the next round, which is the last if it fits. */
static bool
send_collect(Migration *m, GError **err)
{
    Vm *vm = m->vm;
    bool ran = vm_rest(vm), good = check_state(vm, err);
    uint64_t left = log_take(m) * PAGE;

    if (good && vm->state != VM_RUNNING && vm->state != VM_PAUSED && vm->state != VM_IO_ERROR &&
        vm->state != VM_WATCHDOG && vm->state != VM_PRELAUNCH && vm->state != VM_POSTMIGRATE)
        good = kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the guest has ended: its state is '%s'", vm_state_name(vm->state));
    __atomic_store_n(&m->progress.done, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&m->progress.goal, left, __ATOMIC_RELAXED);
    /* what it was about to do comes first */
    m->last = good && (!ran || (fits(m, left) && !vm_has_requests(vm)));
    if (m->last)
        return send_stand_still(m, err);
    if (ran)
        vm_rest_end(vm);
    return good;
}

static void
send_count_round(Migration *m)
{
    JsonObject *data = json_object_new();

    json_object_set_int_member(data, "pass",
                               (gint64)__atomic_add_fetch(&m->rounds, 1, __ATOMIC_RELAXED));
    vm_emit(m->vm, "MIGRATION_PASS", data);
}

static gboolean
send_answer(void *opaque)
{
    Migration *m = ((Vm *)opaque)->migration;
    bool asked;

    if (!m)
        return G_SOURCE_REMOVE;
    g_mutex_lock(&m->lock);
    asked = m->asked && !g_atomic_int_get(&m->cancel);
    g_mutex_unlock(&m->lock);
    if (!asked)
        return G_SOURCE_REMOVE;
    if (send_collect(m, &m->error))
        send_count_round(m);
    g_mutex_lock(&m->lock);
    m->asked = false;
    g_cond_signal(&m->answered);
    g_mutex_unlock(&m->lock);
    return G_SOURCE_REMOVE;
}

void
migration_wake(Migration *m)
{
    g_mutex_lock(&m->lock);
    g_cond_signal(&m->answered);
    g_mutex_unlock(&m->lock);
}

/* ---- the thread ---- */

/* Keeps to the limit. */
static void
send_pace(void *opaque, const StateWriter *w)
{
    Migration *m = opaque;
    uint64_t bytes = state_writer_bytes(w), limit;

    __atomic_store_n(&m->bytes, bytes, __ATOMIC_RELAXED);
    while ((limit = __atomic_load_n(&m->vm->migrate_bandwidth, __ATOMIC_RELAXED)) > 0 &&
           !g_atomic_int_get(&m->cancel) && !m->last) {
        gint64 now = g_get_monotonic_time();
        double due = (double)(bytes - m->paced_bytes) * G_USEC_PER_SEC / (double)limit;
        double ahead = due - (double)(now - m->paced_from);

        if (now - m->paced_from > PACE_WINDOW_S * G_USEC_PER_SEC && ahead <= 0) {
            m->paced_from = now;
            m->paced_bytes = bytes;
        }
        if (ahead < 1000)
            return;
        g_usleep((gulong)MIN(ahead, PACE_MS * 1000.0));
    }
}

static void
send_round(Migration *m, StateWriter *w)
{
    StateRamRound round = { .pages = m->rounds > 1 ? m->pages : NULL,
                            .pace = send_pace,
                            .opaque = m };
    uint64_t bytes = state_writer_bytes(w);
    gint64 begun = g_get_monotonic_time(), took;

    state_ram_send(w, m->vm->machine->memory, &round, &m->progress);
    took = MAX(g_get_monotonic_time() - begun, 1);
    bytes = state_writer_bytes(w) - bytes;
    /* little says nothing of how fast much would go */
    if (bytes > (uint64_t)FEW_PAGES * PAGE)
        __atomic_store_n(&m->rate, (uint64_t)((double)bytes * G_USEC_PER_SEC / (double)took),
                         __ATOMIC_RELAXED);
}

/* False when there is no next round: cancelled, or @m->error. */
static bool
send_ask(Migration *m)
{
    bool answered;

    g_mutex_lock(&m->lock);
    m->asked = true;
    g_idle_add_full(G_PRIORITY_HIGH, send_answer, m->vm, NULL);
    while (m->asked && !g_atomic_int_get(&m->cancel))
        g_cond_wait(&m->answered, &m->lock);
    answered = !m->asked;
    m->asked = false;
    g_mutex_unlock(&m->lock);
    return answered && !m->error;
}

/* True when all of it, up to what the guest did last, is in the stream. */
static bool
send_rounds(Migration *m, StateWriter *w)
{
    send_round(m, w);
    while (!m->last) {
        if (state_writer_error(w) || !send_ask(m))
            return false;
        send_round(m, w);
    }
    return true;
}

static gboolean send_done(void *opaque);

static void *
send_thread(void *opaque)
{
    Migration *m = opaque;
    g_autoptr(StateWriter) w = state_writer_new(m->fd, &m->cancel);
    int ret;

    send_section(m, w, STATE_MACHINE, m->state->machine);
    if (!m->live)
        state_ram_save(w, m->vm->machine->memory, &m->progress);
    if (!m->live || send_rounds(m, w)) {
        for (guint i = 0; i < m->state->vcpus->len; i++)
            send_section(m, w, STATE_VCPU, g_ptr_array_index(m->state->vcpus, i));
        send_section(m, w, STATE_CHIPS, m->state->chips);
        send_section(m, w, STATE_DEVICES, m->state->devices);
        ret = state_writer_finish(w);
    } else {
        ret = state_writer_error(w) ? state_writer_error(w) : -ECANCELED;
    }
    __atomic_store_n(&m->bytes, state_writer_bytes(w), __ATOMIC_RELAXED);
    if (ret < 0 && !m->error)
        kiln_error_set_errno(&m->error, VIR_ERR_OPERATION_FAILED, ret,
                             "the guest cannot be written");
    g_idle_add_full(G_PRIORITY_HIGH, send_done, m->vm, NULL);
    return NULL;
}

/* ---- begin and end; the main thread ---- */

static void
send_failed(Migration *m)
{
    Vm *vm = m->vm;
    g_autoptr(GError) err = NULL;

    if (vm->state != VM_FINISH_MIGRATE)
        return;
    vm->state = m->before;
    if ((vm->images_away && !vm_images_take(vm, &err)) || (m->was_running && !vm_resume(vm, &err)))
        vm_warn("the guest cannot go on: %s", err->message);
}

static gboolean
send_done(void *opaque)
{
    Vm *vm = opaque;
    Migration *m = vm->migration;

    migration_finish_thread(m);
    g_clear_pointer(&m->state, state_free);
    if (m->live)
        log_end(vm);
    if (m->error) {
        bool cancelled = g_error_matches(m->error, KILN_ERROR, VIR_ERR_OPERATION_FAILED) &&
                         g_atomic_int_get(&m->cancel);

        migration_set_status(m, cancelled ? MIGRATION_CANCELLED : MIGRATION_FAILED);
        send_failed(m);
    } else {
        vm->state = VM_POSTMIGRATE;
        migration_set_status(m, MIGRATION_COMPLETED);
    }
    return G_SOURCE_REMOVE;
}

static void
find_vsock(Device *device, void *opaque)
{
    if (g_str_has_prefix(device->class->name, "vhost-vsock"))
        *(bool *)opaque = true;
}

/* The log is on before the first byte is read. */
static bool
send_begin_live(Migration *m, GError **err)
{
    Vm *vm = m->vm;
    bool vsock = false, good;

    machine_device_visit(vm->machine, find_vsock, &vsock);
    if (vsock)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "the kernel writes to this guest's memory for its vhost-vsock "
                              "device; stop the guest first");
    vm_rest(vm);
    good = log_switch(vm, true, err);
    vm_rest_end(vm);
    if (!good)
        return false;
    m->live = true;
    m->paced_from = m->begun;
    log_begin(m);
    m->state = state_begin(vm, true);
    return true;
}

static bool
send_check(Vm *vm, GError **err)
{
    if (vm->migration && vm->migration->thread)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "There's a migration process in progress");
    if (vm->state == VM_INMIGRATE)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "Guest is waiting for an incoming migration");
    return check_state(vm, err);
}

bool
migration_send(Vm *vm, int fd, GError **err)
{
    struct stat st = { .st_mode = S_IFREG };
    Migration *m;
    bool good;

    if (!send_check(vm, err)) {
        close(fd);
        return false;
    }
    m = migration_begin(vm, fd, false);
    fstat(fd, &st);
    m->hands_over = S_ISSOCK(st.st_mode);
    /* what is written in place gains nothing by being written twice */
    if (vm->state == VM_RUNNING && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
        good = send_begin_live(m, &m->error);
    } else {
        m->state = state_begin(vm, vm->state == VM_RUNNING);
        good = send_stand_still(m, &m->error);
    }
    if (!good) {
        g_propagate_error(err, g_error_copy(m->error));
        close(m->fd);
        m->fd = -1;
        g_clear_pointer(&m->state, state_free);
        migration_set_status(m, MIGRATION_FAILED);
        send_failed(m);
        return false;
    }
    migration_set_status(m, MIGRATION_ACTIVE);
    if (m->live)
        send_count_round(m);
    m->thread = g_thread_new("migration", send_thread, m);
    return true;
}

bool
migration_cancel(Vm *vm, GError **err)
{
    Migration *m = vm->migration;

    if (!m || !m->thread)
        return true;
    if (m->incoming)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "an incoming migration cannot be cancelled: quit");
    if (m->status == MIGRATION_ACTIVE) {
        g_atomic_int_set(&m->cancel, 1);
        migration_wake(m);
        migration_set_status(m, MIGRATION_CANCELLING);
    }
    return true;
}
