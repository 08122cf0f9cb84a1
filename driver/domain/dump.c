/* dump.c - core files of guests, asked for by clients or by <on_crash>, and looks into their
 * memory.
 *
 * Follows virDomainCoreDumpWithFormat and virDomainMemoryPeek of libvirt 9.0. What is written is
 * ELF with all of the guest's memory and its registers, also where libvirt writes a stream that
 * only QEMU reads (without VIR_DUMP_MEMORY_ONLY). Left out: kdump's formats, BYPASS_CACHE.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver/domain/private.h"
#include "util/error.h"
#include "util/file.h"

enum { DUMP_SECONDS = 3600 }; /* all memory on a slow disk; the VMM answers when it is written */

static bool
check(const char *path, unsigned format, unsigned flags, GError **err)
{
    unsigned after = flags & (VIR_DUMP_CRASH | VIR_DUMP_LIVE | VIR_DUMP_RESET);

    if (flags & VIR_DUMP_BYPASS_CACHE)
        return kiln_error_set(err, VIR_ERR_ARGUMENT_UNSUPPORTED,
                              "core files go through the page cache: VIR_DUMP_BYPASS_CACHE is not "
                              "supported");
    if (after & (after - 1))
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "crash, live and reset flags are mutually exclusive");
    if (format != VIR_DOMAIN_CORE_DUMP_FORMAT_RAW)
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "unsupported dumpformat %u: core files are ELF (raw)", format);
    return g_path_is_absolute(path) ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG, "'%s' is not an absolute path", path);
}

static bool
write_core(DomainRun *run, int fd, GError **err)
{
    JsonObject *arguments = json_object_new();
    g_autoptr(JsonNode) taken = NULL;

    json_object_set_string_member(arguments, "fdname", "core");
    taken = qmp_execute_fd(run->qmp, "getfd", arguments, fd, DOMAIN_QMP_SECONDS, err);
    if (!taken)
        return false;
    arguments = json_object_new();
    json_object_set_boolean_member(arguments, "paging", FALSE);
    json_object_set_string_member(arguments, "protocol", "fd:core");
    return qmp_command(run->qmp, "dump-guest-memory", arguments, DUMP_SECONDS, err);
}

bool
domain_dump_write(DomainRun *run, const char *path, GError **err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
    struct stat st;
    bool ok;

    if (fd < 0)
        return kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, errno,
                                    "cannot write the core file '%s'", path);
    ok = write_core(run, fd, err) &&
         (fdatasync(fd) == 0 || errno == EINVAL ||
          kiln_error_set_errno(err, VIR_ERR_OPERATION_FAILED, errno,
                               "the core file '%s' is not on stable storage", path));
    /* half a core is of no use; a device stays */
    if (!ok && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        unlink(path);
    close(fd);
    return ok;
}

/* A path in @dir that is free: a guest that crashes again within a second leaves the first core as
 * it is. g_free() it. */
static char *
auto_path(const char *dir, const DomainRun *run)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *when = g_date_time_format(now, "%Y-%m-%d-%H:%M:%S");
    char *path = g_strdup_printf("%s/%d-%s-%s", dir, run->id, run->domain->name, when);

    for (int n = 2; access(path, F_OK) == 0; n++) {
        g_free(path);
        path = g_strdup_printf("%s/%d-%s-%s-%d", dir, run->id, run->domain->name, when, n);
    }
    return path;
}

void
domain_dump_auto(DomainRun *run, const char *why)
{
    DomainManager *manager = run->domain->manager;
    g_autofree char *dir = g_build_filename(manager->lib_dir, "dump", NULL);
    g_autofree char *path = auto_path(dir, run);
    g_autoptr(GError) err = NULL;

    if (file_make_dirs(dir, 0700, &err) && domain_dump_write(run, path, &err))
        domain_manager_warn(manager, "domain '%s' %s; its core file is '%s'", run->domain->name,
                            why, path);
    else
        domain_manager_warn(manager, "no core file of domain '%s': %s", run->domain->name,
                            err->message);
}

/* What is to become of the guest once its core is written. In a job. */
static bool
go_on(DomainRun *run, unsigned flags, bool held, GError **err)
{
    bool ok = true;

    if (flags & VIR_DUMP_CRASH) {
        domain_run_quit(run, VIR_DOMAIN_SHUTOFF_CRASHED, VIR_DOMAIN_EVENT_STOPPED_CRASHED);
        return true;
    }
    if (flags & VIR_DUMP_RESET)
        ok = qmp_command(run->qmp, "system_reset", NULL, DOMAIN_QMP_SECONDS, err);
    if (held)
        domain_guest_let_go(run, VIR_DOMAIN_RUNNING_UNPAUSED);
    return ok;
}

/* In a job, which clients can look at meanwhile. */
static bool
write_reported(DomainRun *run, const char *path, GError **err)
{
    Domain *domain = run->domain;
    uint64_t bytes;
    bool ok;

    g_mutex_lock(&domain->lock);
    bytes = domain->live ? domain->live->memory * 1024 : 0;
    g_mutex_unlock(&domain->lock);
    domain_job_report(domain, VIR_DOMAIN_JOB_OPERATION_DUMP);
    ok = domain_dump_write(run, path, err);
    domain_job_done(domain, ok ? bytes : 0);
    if (ok)
        domain_job_tell(domain);
    return ok;
}

bool
domain_core_dump(Domain *domain, const char *path, unsigned format, unsigned flags, GError **err)
{
    g_autoptr(DomainRun) run = NULL;
    bool held = false, ok;

    if (!check(path, format, flags, err) || !domain_job_begin(domain, "core dump", err))
        return false;
    run = domain_run_get(domain, err);
    ok = run != NULL;
    if (ok && !(flags & VIR_DUMP_LIVE)) {
        g_mutex_lock(&domain->lock);
        held = domain->state == VIR_DOMAIN_RUNNING;
        g_mutex_unlock(&domain->lock);
        ok = !held || domain_guest_hold(run, VIR_DOMAIN_PAUSED_DUMP, err);
        held = held && ok;
    }
    ok = ok && write_reported(run, path, err);
    if (ok)
        ok = go_on(run, flags, held, err);
    else if (held)
        domain_guest_let_go(run, VIR_DOMAIN_RUNNING_UNPAUSED);
    domain_job_end(domain);
    return ok;
}

/* --- memory ----------------------------------------------------------------------------------- */

static GBytes *
peek(DomainRun *run, const char *command, uint64_t start, size_t size, GError **err)
{
    int fd = memfd_create("memory", MFD_CLOEXEC);
    g_autofree uint8_t *bytes = g_malloc(size);
    JsonObject *arguments = json_object_new();
    bool ok;

    json_object_set_int_member(arguments, "val", (gint64)start);
    json_object_set_int_member(arguments, "size", (gint64)size);
    if (fd < 0) {
        json_object_unref(arguments);
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "memory for a copy of memory");
        return NULL;
    }
    ok = domain_qmp_write(run, command, arguments, fd, err);
    if (ok && pread(fd, bytes, size, 0) != (ssize_t)size)
        ok = kiln_error_set(err, VIR_ERR_INTERNAL_ERROR, "the VMM wrote less than %zu bytes", size);
    close(fd);
    return ok ? g_bytes_new_take(g_steal_pointer(&bytes), size) : NULL;
}

GBytes *
domain_memory_peek(Domain *domain, uint64_t start, size_t size, unsigned flags, GError **err)
{
    g_autoptr(DomainRun) run = NULL;
    GBytes *bytes;

    if (flags != VIR_MEMORY_VIRTUAL && flags != VIR_MEMORY_PHYSICAL) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "flags parameter must be VIR_MEMORY_VIRTUAL or VIR_MEMORY_PHYSICAL");
        return NULL;
    }
    if (!domain_job_begin(domain, "memory peek", err))
        return NULL;
    run = domain_run_get(domain, err);
    bytes = run ? peek(run, flags == VIR_MEMORY_VIRTUAL ? "memsave" : "pmemsave", start, size, err)
                : NULL;
    domain_job_end(domain);
    return bytes;
}
