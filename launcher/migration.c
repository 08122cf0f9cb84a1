/* migration.c - writing a guest into a descriptor, and beginning a guest from one.
 *
 * Names and shapes are QMP's (QEMU 7.2 qapi/migration.json). Left out: guests that run on while
 * they are written, sockets, bandwidth limits, capabilities.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/migration.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launcher/gdb.h"
#include "launcher/state.h"
#include "launcher/state_ram.h"
#include "util/error.h"

enum { SECTION_MAX = 1 << 30 };

typedef enum {
    MIGRATION_ACTIVE,
    MIGRATION_CANCELLING,
    MIGRATION_CANCELLED,
    MIGRATION_COMPLETED,
    MIGRATION_FAILED
} MigrationStatus;

static const char *const migration_statuses[] = { "active", "cancelling", "cancelled", "completed",
                                                  "failed" };

struct Migration {
    Vm *vm;
    int fd;
    bool incoming, fatal;
    bool was_running; /* outgoing: to be set going after a failure; incoming: as it was saved */
    bool resume;
    VmState before; /* outgoing */
    MigrationStatus status;
    gint64 begun, ended; /* us */
    GThread *thread;     /* NULL: it has ended */
    gint cancel;         /* atomic */
    State *state;        /* the thread's while there is one, as is error */
    GError *error;
    StateRamProgress progress;
    uint64_t bytes; /* atomic: in the stream so far */
};

int
migration_open(Vm *vm, const char *uri, bool write, GError **err)
{
    const char *rest;

    if ((rest = strchr(uri, ':')) && g_str_has_prefix(uri, "fd:"))
        return vm_take_fd(vm, rest + 1, err);
    if (rest && g_str_has_prefix(uri, "file:"))
        return fdset_open(vm->fdsets, rest + 1, write ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY,
                          0600, err);
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                   "'%s' is not offered: a guest is saved to and loaded from fd:NAME or file:PATH",
                   uri);
    return -1;
}

static void
migration_set_status(Migration *m, MigrationStatus status)
{
    JsonObject *data = json_object_new();

    m->status = status;
    json_object_set_string_member(data, "status", migration_statuses[status]);
    vm_emit(m->vm, "MIGRATION", data);
}

static void
migration_finish_thread(Migration *m)
{
    if (!m->thread)
        return;
    g_thread_join(g_steal_pointer(&m->thread));
    close(m->fd);
    m->fd = -1;
    m->ended = g_get_monotonic_time();
}

void
migration_free(Migration *m)
{
    if (!m)
        return;
    g_atomic_int_set(&m->cancel, 1);
    migration_finish_thread(m);
    state_free(m->state);
    g_clear_error(&m->error);
    g_free(m);
}

/* Makes the guest's migration anew; the one before, which is over, is forgotten. */
static Migration *
migration_begin(Vm *vm, int fd, bool incoming)
{
    Migration *m = g_new0(Migration, 1);

    migration_free(vm->migration);
    vm->migration = m;
    m->vm = vm;
    m->fd = fd;
    m->incoming = incoming;
    m->begun = g_get_monotonic_time();
    m->progress.total = guest_memory_size(vm->machine->memory);
    return m;
}

/* ---- writing ---- */

static void
send_section(Migration *m, StateWriter *w, StateKind kind, const GByteArray *bytes)
{
    state_writer_section(w, kind, bytes->data, bytes->len);
    __atomic_store_n(&m->bytes, state_writer_bytes(w), __ATOMIC_RELAXED);
}

static gboolean send_done(void *opaque);

static void *
send_thread(void *opaque)
{
    Migration *m = opaque;
    g_autoptr(StateWriter) w = state_writer_new(m->fd, &m->cancel);
    int ret;

    send_section(m, w, STATE_MACHINE, m->state->machine);
    state_ram_save(w, m->vm->machine->memory, &m->progress);
    for (guint i = 0; i < m->state->vcpus->len; i++)
        send_section(m, w, STATE_VCPU, g_ptr_array_index(m->state->vcpus, i));
    send_section(m, w, STATE_CHIPS, m->state->chips);
    send_section(m, w, STATE_DEVICES, m->state->devices);
    ret = state_writer_finish(w);
    __atomic_store_n(&m->bytes, state_writer_bytes(w), __ATOMIC_RELAXED);
    if (ret < 0)
        kiln_error_set_errno(&m->error, VIR_ERR_OPERATION_FAILED, ret,
                             "the guest cannot be written");
    g_idle_add_full(G_PRIORITY_HIGH, send_done, m->vm, NULL);
    return NULL;
}

static void
send_failed(Migration *m)
{
    Vm *vm = m->vm;
    g_autoptr(GError) err = NULL;

    vm->state = m->before;
    if (m->was_running && !vm_resume(vm, &err))
        vm_warn("the guest cannot go on: %s", err->message);
}

static gboolean
send_done(void *opaque)
{
    Vm *vm = opaque;
    Migration *m = vm->migration;

    migration_finish_thread(m);
    g_clear_pointer(&m->state, state_free);
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

static bool
vm_has_requests(Vm *vm)
{
    bool has;

    g_mutex_lock(&vm->requests_lock);
    has = (vm->requests & ~(1u << MACHINE_WAKEUP)) != 0; /* an alarm is nothing to wait for */
    g_mutex_unlock(&vm->requests_lock);
    return has;
}

bool
migration_send(Vm *vm, int fd, GError **err)
{
    bool was_running = vm->state == VM_RUNNING;
    VmState before = was_running ? VM_PAUSED : vm->state;
    Migration *m;

    if (vm->migration && vm->migration->thread) {
        close(fd);
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "There's a migration process in progress");
    }
    if (vm->state == VM_INMIGRATE) {
        close(fd);
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "Guest is waiting for an incoming migration");
    }
    if (vm->state == VM_SUSPENDED) {
        close(fd);
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "the guest sleeps; wake it before it is saved");
    }
    if (gdb_changes_memory(vm->gdb)) {
        close(fd);
        return kiln_error_set(
            err, VIR_ERR_OPERATION_INVALID,
            "a debugger has breakpoints in the guest's memory; delete them first");
    }
    vm_pause(vm, VM_PAUSED);
    m = migration_begin(vm, fd, false);
    m->was_running = was_running;
    m->before = before;
    vm->state = VM_FINISH_MIGRATE;
    if (vm_has_requests(vm))
        kiln_error_set(&m->error, VIR_ERR_OPERATION_INVALID,
                       "the guest was just about to reset itself or to power off: try again");
    else
        m->state = state_take(vm, was_running, &m->error);
    if (!m->state) {
        g_propagate_error(err, g_error_copy(m->error));
        close(m->fd);
        m->fd = -1;
        migration_set_status(m, MIGRATION_FAILED);
        send_failed(m);
        return false;
    }
    migration_set_status(m, MIGRATION_ACTIVE);
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
        migration_set_status(m, MIGRATION_CANCELLING);
    }
    return true;
}

/* ---- loading ---- */

static bool
receive_section(Migration *m, StateReader *r, StateKind kind, uint64_t length, GError **err)
{
    State *state = m->state;
    GByteArray **to = kind == STATE_MACHINE ? &state->machine
                      : kind == STATE_CHIPS ? &state->chips
                                            : &state->devices;
    GByteArray *bytes = state_reader_section(r, length, SECTION_MAX, err);

    if (!bytes)
        return false;
    if (kind == STATE_VCPU && state->vcpus->len < m->vm->vcpus->len) {
        g_ptr_array_add(state->vcpus, bytes);
        return true;
    }
    if (kind == STATE_VCPU || *to) {
        g_byte_array_unref(bytes);
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved guest is damaged: it has a part twice");
    }
    *to = bytes;
    return kind != STATE_MACHINE || state_check_machine(m->vm, bytes, &m->was_running, err);
}

static bool
receive_all(Migration *m, StateReader *r, GError **err)
{
    const State *state = m->state;
    uint64_t length;
    int kind;

    while ((kind = state_reader_next(r, &length, err)) > STATE_END) {
        bool good;

        /* Nothing is looked at before it is known what the guest is made of. */
        if (!state->machine && kind != STATE_MACHINE)
            return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                                  "the saved guest is damaged: it does not begin with what it is "
                                  "made of");
        if (kind == STATE_RAM)
            good = state_ram_load(r, m->vm->machine->memory, &m->progress, err);
        else
            good = receive_section(m, r, (StateKind)kind, length, err);
        if (!good)
            return false;
        __atomic_store_n(&m->bytes, state_reader_bytes(r), __ATOMIC_RELAXED);
    }
    if (kind < 0)
        return false;
    return (state->machine && state->chips && state->devices &&
            state->vcpus->len == m->vm->vcpus->len) ||
           kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                          "the saved guest is damaged: parts of it are missing");
}

static gboolean
receive_done(void *opaque)
{
    Vm *vm = opaque;
    Migration *m = vm->migration;

    migration_finish_thread(m);
    if (!m->error)
        state_give(vm, m->state, &m->error);
    g_clear_pointer(&m->state, state_free);
    if (m->error) {
        vm_warn("%s", m->error->message);
        migration_set_status(m, MIGRATION_FAILED);
        if (m->fatal)
            vm_quit(vm, "host-error", false, EXIT_FAILURE);
        return G_SOURCE_REMOVE;
    }
    vm->state = VM_PAUSED;
    vm->booted = true;
    migration_set_status(m, MIGRATION_COMPLETED);
    if (m->resume && m->was_running && !vm_resume(vm, &m->error))
        vm_warn("the guest cannot go on: %s", m->error->message);
    return G_SOURCE_REMOVE;
}

static void *
receive_thread(void *opaque)
{
    Migration *m = opaque;
    g_autoptr(StateReader) r = state_reader_new(m->fd, &m->cancel);

    receive_all(m, r, &m->error);
    g_idle_add_full(G_PRIORITY_HIGH, receive_done, m->vm, NULL);
    return NULL;
}

bool
migration_receive(Vm *vm, int fd, bool resume, bool fatal, GError **err)
{
    Migration *m;

    if (vm->state != VM_INMIGRATE || vm->migration) {
        close(fd);
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              vm->state == VM_INMIGRATE
                                  ? "The incoming migration has already been started"
                                  : "'-incoming' was not specified on the command line");
    }
    m = migration_begin(vm, fd, true);
    m->resume = resume;
    m->fatal = fatal;
    m->state = state_new();
    migration_set_status(m, MIGRATION_ACTIVE);
    m->thread = g_thread_new("migration", receive_thread, m);
    return true;
}

/* ---- telling ---- */

static uint64_t
progress_get(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

JsonObject *
migration_query(const Vm *vm)
{
    const Migration *m = vm->migration;
    JsonObject *answer = json_object_new(), *ram;
    uint64_t done, normal;

    if (!m)
        return answer;
    json_object_set_string_member(answer, "status", migration_statuses[m->status]);
    if (m->error && !m->thread)
        json_object_set_string_member(answer, "error-desc", m->error->message);
    json_object_set_int_member(answer, "total-time",
                               ((m->thread ? g_get_monotonic_time() : m->ended) - m->begun) / 1000);
    done = progress_get(&m->progress.done);
    normal = progress_get(&m->progress.normal);
    ram = json_object_new();
    json_object_set_int_member(ram, "total", (gint64)m->progress.total);
    json_object_set_int_member(ram, "transferred",
                               (gint64)MAX(progress_get(&m->bytes), normal * 4096));
    json_object_set_int_member(ram, "remaining",
                               m->status == MIGRATION_COMPLETED
                                   ? 0
                                   : (gint64)(m->progress.total - MIN(done, m->progress.total)));
    json_object_set_int_member(ram, "duplicate", (gint64)progress_get(&m->progress.duplicate));
    json_object_set_int_member(ram, "normal", (gint64)normal);
    json_object_set_int_member(ram, "normal-bytes", (gint64)normal * 4096);
    json_object_set_int_member(ram, "page-size", 4096);
    json_object_set_object_member(answer, "ram", ram);
    return answer;
}
