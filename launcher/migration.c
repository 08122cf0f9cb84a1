/* migration.c - beginning a guest from a descriptor, and telling how far writing or loading one is.
 *
 * Names and shapes are QMP's (QEMU 7.2 qapi/migration.json). Left out: URIs of sockets, which come
 * as descriptors.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher/migration_private.h"
#include "util/error.h"

enum { SECTION_MAX = 1 << 30, ACCEPT_WAIT_MS = 200 };

static const char *const migration_statuses[] = { "active", "cancelling", "cancelled", "completed",
                                                  "failed" };

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

void
migration_set_status(Migration *m, MigrationStatus status)
{
    JsonObject *data = json_object_new();

    m->status = status;
    json_object_set_string_member(data, "status", migration_statuses[status]);
    vm_emit(m->vm, "MIGRATION", data);
}

void
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
    migration_wake(m);
    migration_finish_thread(m);
    state_free(m->state);
    g_clear_error(&m->error);
    for (size_t i = 0; i < m->n_pages; i++)
        g_free(m->pages[i]);
    g_free(m->pages);
    g_cond_clear(&m->answered);
    g_mutex_clear(&m->lock);
    g_free(m);
}

Migration *
migration_begin(Vm *vm, int fd, bool incoming)
{
    Migration *m = g_new0(Migration, 1);

    migration_free(vm->migration);
    vm->migration = m;
    m->vm = vm;
    m->fd = fd;
    m->incoming = incoming;
    m->begun = g_get_monotonic_time();
    g_mutex_init(&m->lock);
    g_cond_init(&m->answered);
    m->progress.total = m->progress.goal = guest_memory_size(vm->machine->memory);
    return m;
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
    if (!m->error && vm_images_take(vm, &m->error))
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

/* A socket that listens is waited at for the one who connects to it. */
static bool
receive_accept(Migration *m, GError **err)
{
    int listens = 0, fd = -1;
    socklen_t len = sizeof(listens);

    if (getsockopt(m->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens)
        return true;
    while (fd < 0 && !g_atomic_int_get(&m->cancel)) {
        struct pollfd wait = { .fd = m->fd, .events = POLLIN };

        if (poll(&wait, 1, ACCEPT_WAIT_MS) <= 0)
            continue;
        fd = accept4(m->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0 && errno != EINTR && errno != EAGAIN && errno != ECONNABORTED)
            return kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, errno,
                                        "the guest's sender cannot be let in");
    }
    if (fd < 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED, "cancelled");
    close(m->fd);
    m->fd = fd;
    return true;
}

static void *
receive_thread(void *opaque)
{
    Migration *m = opaque;

    if (receive_accept(m, &m->error)) {
        g_autoptr(StateReader) r = state_reader_new(m->fd, &m->cancel);

        receive_all(m, r, &m->error);
    }
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

static void
query_ram(const Migration *m, JsonObject *ram)
{
    uint64_t done = progress_get(&m->progress.done), normal = progress_get(&m->progress.normal);
    uint64_t goal = progress_get(&m->progress.goal), rate = progress_get(&m->rate);

    json_object_set_int_member(ram, "total", (gint64)m->progress.total);
    json_object_set_int_member(ram, "transferred",
                               (gint64)MAX(progress_get(&m->bytes), normal * 4096));
    json_object_set_int_member(
        ram, "remaining", m->status == MIGRATION_COMPLETED ? 0 : (gint64)(goal - MIN(done, goal)));
    json_object_set_int_member(ram, "duplicate", (gint64)progress_get(&m->progress.duplicate));
    json_object_set_int_member(ram, "normal", (gint64)normal);
    json_object_set_int_member(ram, "normal-bytes", (gint64)normal * 4096);
    json_object_set_int_member(ram, "page-size", 4096);
    json_object_set_int_member(ram, "dirty-sync-count", (gint64)progress_get(&m->rounds));
    json_object_set_double_member(ram, "mbps", (double)rate * 8 / 1e6);
}

JsonObject *
migration_query(const Vm *vm)
{
    const Migration *m = vm->migration;
    JsonObject *answer = json_object_new(), *ram;

    if (!m)
        return answer;
    json_object_set_string_member(answer, "status", migration_statuses[m->status]);
    if (m->error && !m->thread)
        json_object_set_string_member(answer, "error-desc", m->error->message);
    json_object_set_int_member(answer, "total-time",
                               ((m->thread ? g_get_monotonic_time() : m->ended) - m->begun) / 1000);
    if (m->status == MIGRATION_COMPLETED && m->stopped)
        json_object_set_int_member(answer, "downtime", (m->ended - m->stopped) / 1000);
    else if (m->live)
        json_object_set_int_member(answer, "expected-downtime", (gint64)progress_get(&m->expected));
    ram = json_object_new();
    query_ram(m, ram);
    json_object_set_object_member(answer, "ram", ram);
    return answer;
}
