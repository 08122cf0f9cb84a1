/* test_block_job.c - block jobs under a guest that writes, judged by qemu-img; and killed at any
 * moment.
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block/job.h"
#include "tests/unit/block/qcow2_fixture.h"
#include "util/error.h"

enum { SIZE = 6 << 20, SECTORS = SIZE / BLOCK_SECTOR, IN_FLIGHT = 6, MAX_SECTORS = 200 };

typedef struct Rig Rig;
typedef struct {
    Rig *rig;
    bool read;
    uint64_t first, count; /* sectors */
    uint8_t *buf;
    struct iovec iov;
} Request;

/* A disk with a guest on it. */
struct Rig {
    Qcow2Fixture *files;
    IoLoop *loop;
    BlockQueue *queue;
    BlockNode *root;
    BlockJobs *jobs;
    GRand *random;
    uint8_t *expect; /* what the disk reads as */
    bool busy[SECTORS];
    Request requests[IN_FLIGHT];
    unsigned in_flight;
    uint64_t done;
    bool stop, failed;
    /* seen on the main thread */
    GString *statuses;
    bool ready, ended, cancelled;
    unsigned errors, moved;
    char *error;
    bool complete_when_ready;
};

/* ---- the guest ---- */

static void guest_start(Request *req);

static void
guest_done(void *opaque, int ret)
{
    Request *req = opaque;
    Rig *rig = req->rig;
    uint8_t *at = rig->expect + req->first * BLOCK_SECTOR;

    rig->failed |= ret != 0;
    if (req->read)
        rig->failed |= memcmp(at, req->buf, req->count * BLOCK_SECTOR) != 0;
    memset(rig->busy + req->first, 0, req->count);
    rig->in_flight--;
    __atomic_add_fetch(&rig->done, 1, __ATOMIC_RELAXED);
    if (!rig->stop)
        guest_start(req);
}

static void
guest_start(Request *req)
{
    Rig *rig = req->rig;
    int kind = g_rand_int_range(rig->random, 0, 10);
    uint8_t *at;

    do {
        req->count = g_rand_int_range(rig->random, 1, kind == 9 ? MAX_SECTORS : 17);
        req->first = g_rand_int_range(rig->random, 0, SECTORS - (int)req->count);
    } while (memchr(rig->busy + req->first, 1, req->count));
    memset(rig->busy + req->first, 1, req->count);
    at = rig->expect + req->first * BLOCK_SECTOR;
    rig->in_flight++;
    req->read = kind < 3;
    req->iov = (struct iovec){ req->buf, req->count * BLOCK_SECTOR };
    if (req->read) {
        block_queue_readv(rig->queue, req->first * BLOCK_SECTOR, &req->iov, 1, guest_done, req);
    } else if (kind == 3) {
        memset(at, 0, req->iov.iov_len);
        block_queue_write_zeroes(rig->queue, req->first * BLOCK_SECTOR, req->iov.iov_len,
                                 BLOCK_UNMAP, guest_done, req);
    } else {
        for (uint64_t i = 0; i < req->iov.iov_len; i += 8) {
            uint64_t word = rig->done + i * G_GUINT64_CONSTANT(0x9e3779b97f4a7c15);

            memcpy(at + i, &word, 8);
        }
        memcpy(req->buf, at, req->iov.iov_len);
        block_queue_writev(rig->queue, req->first * BLOCK_SECTOR, &req->iov, 1,
                           kind == 4 ? BLOCK_FUA : 0, guest_done, req);
    }
    block_queue_submit(rig->queue);
}

static void
guest_begin_call(void *opaque)
{
    Rig *rig = opaque;

    rig->stop = false;
    for (unsigned i = 0; i < IN_FLIGHT; i++)
        guest_start(&rig->requests[i]);
}

static void
guest_end_call(void *opaque)
{
    Rig *rig = opaque;

    rig->stop = true;
    block_queue_drain(rig->queue);
}

/* Where guest_write_call() writes, in bytes. */
typedef struct {
    Rig *rig;
    uint64_t offset, length;
} GuestWrite;

static void
guest_write_done(void *opaque, int ret)
{
    Rig *rig = opaque;

    rig->failed |= ret != 0;
}

static void
guest_write_call(void *opaque)
{
    const GuestWrite *write = opaque;
    Rig *rig = write->rig;
    struct iovec iov = { rig->expect + write->offset, write->length };

    memset(iov.iov_base, 0xe5, iov.iov_len);
    block_queue_writev(rig->queue, write->offset, &iov, 1, 0, guest_write_done, rig);
    block_queue_submit(rig->queue);
    block_queue_drain(rig->queue);
}

/* A guest that stands still writes [@offset, @offset + @length). */
static void
guest_write(Rig *rig, uint64_t offset, uint64_t length)
{
    GuestWrite write = { rig, offset, length };

    io_loop_run_sync(rig->loop, guest_write_call, &write);
    assert_false(rig->failed);
}

static void
guest_end(Rig *rig)
{
    io_loop_run_sync(rig->loop, guest_end_call, rig);
    assert_int_equal(rig->in_flight, 0);
    assert_false(rig->failed);
}

/* ---- images ---- */

static int
open_file(void *opaque, const char *filename, int flags, GError **err)
{
    int fd = open(filename, flags);

    (void)opaque;
    if (fd < 0)
        kiln_error_set_errno(err, VIR_ERR_SYSTEM_ERROR, errno, "cannot open '%s'", filename);
    return fd;
}

static JsonObject *
node_options(Qcow2Fixture *files, const char *name, const char *format, bool writable)
{
    JsonObject *object = json_object_new(), *file = json_object_new();
    g_autofree char *path = qcow2_fixture_path(files, name);

    json_object_set_string_member(file, "driver", "file");
    json_object_set_string_member(file, "filename", path);
    json_object_set_boolean_member(file, "read-only", !writable);
    json_object_set_string_member(file, "discard", "unmap");
    json_object_set_string_member(object, "driver", format);
    json_object_set_string_member(object, "node-name", name);
    json_object_set_boolean_member(object, "read-only", !writable);
    json_object_set_string_member(object, "discard", "unmap");
    json_object_set_object_member(object, "file", file);
    return object;
}

static BlockNode *
node_open(JsonObject *take)
{
    static const BlockOpenOps ops = { .open_file = open_file };
    g_autoptr(JsonObject) object = take;
    g_autoptr(GError) err = NULL;
    BlockNode *node = block_node_open(object, &ops, &err);

    if (!node)
        fail_msg("%s", err->message);
    return node;
}

/* "base" (raw or qcow2) below "mid" below "top", each with something of its own. */
static BlockNode *
chain_open(Qcow2Fixture *files, const char *base_format)
{
    JsonObject *top, *mid, *base;

    qcow2_fixture_run(files, "qemu-img create -q -f %s base %d", base_format, SIZE);
    qcow2_fixture_run(files, "qemu-io -f %s -c 'write -P 11 0 3M' -c 'write -P 12 5M 64k' base",
                      base_format);
    qcow2_fixture_run(files, "qemu-img create -q -f qcow2 -b base -F %s mid", base_format);
    qcow2_fixture_run(files, "qemu-io -f qcow2 -c 'write -P 21 1M 1M' -c 'write -z 2500k 100k' "
                             "-c 'write -P 22 4M 300k' mid");
    qcow2_fixture_run(files, "qemu-img create -q -f qcow2 -b mid -F qcow2 top");
    qcow2_fixture_run(files, "qemu-io -f qcow2 -c 'write -P 31 1536k 1M' -c 'write -z 0 70k' top");
    qcow2_fixture_run(files, "qemu-img convert -O raw top expect");
    base = node_options(files, "base", base_format, false);
    mid = node_options(files, "mid", "qcow2", false);
    top = node_options(files, "top", "qcow2", true);
    if (strcmp(base_format, "qcow2") == 0)
        json_object_set_null_member(base, "backing");
    json_object_set_object_member(mid, "backing", base);
    json_object_set_object_member(top, "backing", mid);
    return node_open(top);
}

/* ---- the rig ---- */

static void
rig_event(void *opaque, BlockJobEvent event, const BlockJobInfo *info)
{
    Rig *rig = opaque;
    g_autoptr(GError) err = NULL;

    switch (event) {
    case BLOCK_JOB_EVENT_STATUS:
        g_string_append_printf(rig->statuses, "%s ", block_job_status_name(info->status));
        break;
    case BLOCK_JOB_EVENT_READY:
        rig->ready = true;
        if (rig->complete_when_ready)
            assert_true(block_job_complete(block_jobs_find(rig->jobs, info->id), &err));
        break;
    case BLOCK_JOB_EVENT_ERROR:
        rig->errors++;
        break;
    case BLOCK_JOB_EVENT_PENDING:
        break;
    case BLOCK_JOB_EVENT_CANCELLED:
        rig->cancelled = true;
        /* fall through */
    case BLOCK_JOB_EVENT_COMPLETED:
        rig->ended = true;
        rig->error = g_strdup(info->error);
        break;
    }
}

static void
rig_root_changed(void *opaque, BlockNode *from, BlockNode *to)
{
    Rig *rig = opaque;

    assert_ptr_equal(rig->root, from);
    block_node_ref(to);
    block_node_unref(from);
    rig->root = to;
    rig->moved++;
}

static Rig *
rig_new(const char *base_format)
{
    Rig *rig = g_new0(Rig, 1);
    const BlockJobOps ops = {
        .opaque = rig, .open_file = open_file, .event = rig_event, .root_changed = rig_root_changed
    };
    g_autoptr(GError) err = NULL;
    g_autofree char *expect = NULL;
    gsize length;

    rig->files = qcow2_fixture_new();
    rig->random = g_rand_new_with_seed(7);
    rig->statuses = g_string_new(NULL);
    rig->root = chain_open(rig->files, base_format);
    expect = qcow2_fixture_path(rig->files, "expect");
    assert_true(g_file_get_contents(expect, (char **)&rig->expect, &length, NULL));
    assert_int_equal(length, SIZE);
    if (!block_node_claim(rig->root, true, false, &err))
        fail_msg("%s", err->message);
    rig->loop = io_loop_new("guest", NULL);
    rig->queue = block_queue_new(rig->root, rig->loop, 8, &err);
    assert_non_null(rig->queue);
    rig->jobs = block_jobs_new(&ops);
    for (unsigned i = 0; i < IN_FLIGHT; i++) {
        rig->requests[i].rig = rig;
        rig->requests[i].buf = g_malloc(MAX_SECTORS * BLOCK_SECTOR);
    }
    io_loop_run_sync(rig->loop, guest_begin_call, rig);
    return rig;
}

static BlockJobOptions
rig_options(Rig *rig)
{
    return (BlockJobOptions){ .id = "job", .root = rig->root };
}

static void
wait_for(const bool *flag)
{
    while (!*flag)
        g_main_context_iteration(NULL, TRUE);
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

/* The guest does @n requests more. */
static void
rig_let_guest_work(Rig *rig, unsigned n)
{
    uint64_t until = __atomic_load_n(&rig->done, __ATOMIC_RELAXED) + n;

    while (__atomic_load_n(&rig->done, __ATOMIC_RELAXED) < until) {
        g_main_context_iteration(NULL, FALSE);
        g_usleep(500);
    }
}

/* Everything is closed; the image @name reads as the guest wrote it, and all are whole. */
static void
rig_finish(Rig *rig, const char *name, const char *format)
{
    g_autofree char *expect = qcow2_fixture_path(rig->files, "expect");

    rig_let_guest_work(rig, 50);
    guest_end(rig);
    block_jobs_free(rig->jobs);
    block_queue_free(rig->queue);
    block_node_release(rig->root);
    assert_string_equal(block_node_name(rig->root), name);
    assert_int_equal(block_node_flush(rig->root), 0);
    block_node_unref(rig->root);
    io_loop_free(rig->loop);
    assert_true(g_file_set_contents(expect, (char *)rig->expect, SIZE, NULL));
    qcow2_fixture_run(rig->files, "qemu-img compare -f raw -F %s expect %s", format, name);
    if (strcmp(format, "qcow2") == 0)
        qcow2_fixture_run(rig->files, "qemu-img check -q -f qcow2 %s", name);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    for (unsigned i = 0; i < IN_FLIGHT; i++)
        g_free(rig->requests[i].buf);
    g_free(rig->expect);
    g_free(rig->error);
    g_string_free(rig->statuses, TRUE);
    g_rand_free(rig->random);
    qcow2_fixture_free(rig->files);
    g_free(rig);
}

static void
rig_run_to_end(Rig *rig)
{
    wait_for(&rig->ended);
    if (rig->error)
        fail_msg("%s", rig->error);
    assert_false(rig->cancelled);
}

/* ---- streams and commits ---- */

static void
test_stream_all(void **state)
{
    Rig *rig = rig_new("qcow2");
    BlockJobOptions options = rig_options(rig);
    g_autoptr(GError) err = NULL;

    (void)state;
    rig_let_guest_work(rig, 50);
    if (!block_job_stream(rig->jobs, &options, rig->root, NULL, NULL, &err))
        fail_msg("%s", err->message);
    assert_false(block_job_stream(rig->jobs, &options, rig->root, NULL, NULL, &err));
    g_clear_error(&err);
    rig_run_to_end(rig);
    assert_null(block_node_backing(rig->root));
    assert_string_equal(rig->statuses->str, "created running waiting pending concluded null ");
    qcow2_fixture_run(rig->files, "! qemu-img info -U top | grep backing");
    rig_finish(rig, "top", "qcow2");
}

static void
test_stream_to_base(void **state)
{
    Rig *rig = rig_new("raw");
    BlockJobOptions options = rig_options(rig);
    BlockNode *base = block_node_backing(block_node_backing(rig->root));
    g_autoptr(GError) err = NULL;

    (void)state;
    if (!block_job_stream(rig->jobs, &options, rig->root, base, NULL, &err))
        fail_msg("%s", err->message);
    rig_run_to_end(rig);
    assert_ptr_equal(block_node_backing(rig->root), base);
    qcow2_fixture_run(rig->files, "qemu-img info -U top | grep '^backing file: base'");
    rig_finish(rig, "top", "qcow2");
}

static void
test_stream_of_a_middle(void **state)
{
    Rig *rig = rig_new("qcow2");
    BlockJobOptions options = rig_options(rig);
    BlockNode *mid = block_node_backing(rig->root);
    g_autoptr(GError) err = NULL;

    (void)state;
    if (!block_job_stream(rig->jobs, &options, mid, NULL, NULL, &err))
        fail_msg("%s", err->message);
    rig_run_to_end(rig);
    assert_null(block_node_backing(mid));
    assert_true(block_node_read_only(mid));
    qcow2_fixture_run(rig->files, "rm base; qemu-img check -q mid");
    rig_finish(rig, "top", "qcow2");
}

static void
test_commit_of_a_middle(void **state)
{
    static const char *const formats[] = { "raw", "qcow2" };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        Rig *rig = rig_new(formats[i]);
        BlockJobOptions options = rig_options(rig);
        BlockNode *mid = block_node_backing(rig->root), *base = block_node_backing(mid);
        g_autoptr(GError) err = NULL;

        if (!block_job_commit(rig->jobs, &options, mid, base, NULL, &err))
            fail_msg("%s", err->message);
        rig_run_to_end(rig);
        assert_ptr_equal(block_node_backing(rig->root), base);
        assert_true(block_node_read_only(base));
        qcow2_fixture_run(rig->files, "rm mid; qemu-img info -U top | grep '^backing file: base'");
        rig_finish(rig, "top", "qcow2");
    }
}

static void
test_commit_of_the_active(void **state)
{
    static const char *const formats[] = { "raw", "qcow2" };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        Rig *rig = rig_new(formats[i]);
        BlockJobOptions options = rig_options(rig);
        BlockNode *base = block_node_backing(block_node_backing(rig->root));
        g_autoptr(GError) err = NULL;

        if (!block_job_commit(rig->jobs, &options, rig->root, base, NULL, &err))
            fail_msg("%s", err->message);
        wait_for(&rig->ready);
        rig_let_guest_work(rig, 100);
        if (!block_job_complete(block_jobs_find(rig->jobs, "job"), &err))
            fail_msg("%s", err->message);
        rig_run_to_end(rig);
        assert_int_equal(rig->moved, 1);
        assert_string_equal(rig->statuses->str,
                            "created running ready waiting pending concluded null ");
        qcow2_fixture_run(rig->files, "rm mid top");
        rig_finish(rig, "base", formats[i]);
    }
}

static void
test_commit_cancelled(void **state)
{
    Rig *rig = rig_new("qcow2");
    BlockJobOptions options = rig_options(rig);
    BlockNode *base = block_node_backing(block_node_backing(rig->root));
    g_autoptr(GError) err = NULL;

    (void)state;
    options.speed = 1 << 20;
    assert_true(block_job_commit(rig->jobs, &options, rig->root, base, NULL, &err));
    rig_let_guest_work(rig, 50);
    assert_true(block_job_cancel(block_jobs_find(rig->jobs, "job"), true, &err));
    wait_for(&rig->ended);
    assert_true(rig->cancelled);
    assert_string_equal(rig->statuses->str, "created running aborting concluded null ");
    assert_true(block_node_read_only(base));
    rig_finish(rig, "top", "qcow2");
}

/* ---- mirrors and backups ---- */

static BlockNode *
target_open(Rig *rig, const char *name, const char *format, const char *backing)
{
    JsonObject *object;

    qcow2_fixture_run(rig->files, "qemu-img create -q -f %s %s%s %s %d", format,
                      backing ? "-u -F qcow2 -b " : "", backing ? backing : "", name, SIZE);
    object = node_options(rig->files, name, format, true);
    if (strcmp(format, "qcow2") == 0)
        json_object_set_null_member(object, "backing");
    return node_open(object);
}

static void
check_mirror(const char *format, BlockJobSync sync, bool repeat, bool pivot)
{
    Rig *rig = rig_new("qcow2");
    BlockJobOptions options = rig_options(rig);
    BlockNode *target = target_open(rig, "copy", format, sync == BLOCK_SYNC_TOP ? "mid" : NULL);
    g_autoptr(GError) err = NULL;
    BlockJob *job;

    if (!block_job_mirror(rig->jobs, &options, target, sync, repeat, 0, &err))
        fail_msg("%s", err->message);
    job = block_jobs_find(rig->jobs, "job");
    assert_false(block_job_complete(job, &err));
    g_clear_error(&err);
    wait_for(&rig->ready);
    rig_let_guest_work(rig, 100);
    if (pivot)
        assert_true(block_job_complete(job, &err));
    else
        assert_true(block_job_cancel(job, false, &err));
    rig_run_to_end(rig);
    assert_int_equal(rig->moved, pivot);
    if (!pivot)
        assert_int_equal(block_node_flush(target), 0);
    block_node_unref(target);
    if (!pivot)
        qcow2_fixture_run(rig->files, "qemu-img check -q copy");
    if (pivot && sync == BLOCK_SYNC_TOP)
        assert_string_equal(block_node_name(block_node_backing(rig->root)), "mid");
    rig_finish(rig, pivot ? "copy" : "top", pivot ? format : "qcow2");
}

static void
test_mirror_full(void **state)
{
    (void)state;
    check_mirror("raw", BLOCK_SYNC_FULL, false, true);
    check_mirror("qcow2", BLOCK_SYNC_FULL, true, true);
}

/* The target has clusters larger than what the guest writes, and the root zeroes of its own. */
static void
test_mirror_top(void **state)
{
    (void)state;
    check_mirror("qcow2", BLOCK_SYNC_TOP, false, true);
    check_mirror("qcow2", BLOCK_SYNC_TOP, true, true);
}

static void
test_mirror_not_moved(void **state)
{
    (void)state;
    check_mirror("qcow2", BLOCK_SYNC_FULL, false, false);
}

/* The copy is of the moment at which the job began. */
static void
test_backup(void **state)
{
    Rig *rig = rig_new("qcow2");
    BlockJobOptions options = rig_options(rig);
    BlockNode *target = target_open(rig, "copy", "qcow2", NULL);
    g_autofree char *then = qcow2_fixture_path(rig->files, "then");
    g_autoptr(GError) err = NULL;
    BlockJob *job;

    (void)state;
    guest_end(rig);
    assert_true(g_file_set_contents(then, (char *)rig->expect, SIZE, NULL));
    options.speed = 4 << 20;
    if (!block_job_backup(rig->jobs, &options, target, BLOCK_SYNC_FULL, NULL, 0, &err))
        fail_msg("%s", err->message);
    job = block_jobs_find(rig->jobs, "job");
    assert_true(block_job_pause(job, &err));
    assert_false(block_job_pause(job, &err));
    g_clear_error(&err);
    io_loop_run_sync(rig->loop, guest_begin_call, rig);
    rig_let_guest_work(rig, 200);
    assert_true(block_job_resume(job, &err));
    assert_true(block_job_set_speed(job, 0, &err));
    rig_run_to_end(rig);
    assert_int_equal(block_node_flush(target), 0);
    block_node_unref(target);
    qcow2_fixture_run(rig->files, "qemu-img compare -f raw -F qcow2 then copy");
    qcow2_fixture_run(rig->files, "qemu-img check -q copy");
    rig_finish(rig, "top", "qcow2");
}

/* What is saved for a write lies where others are kept away: not behind it, though its first
 * cluster needs no saving any more. */
static void
test_backup_saves_what_is_written(void **state)
{
    enum { CLUSTER = 64 << 10 };
    Rig *rig = rig_new("qcow2");
    BlockJobOptions options = rig_options(rig);
    BlockNode *target = target_open(rig, "copy", "qcow2", NULL);
    g_autoptr(GError) err = NULL;
    BlockStatus s;

    (void)state;
    guest_end(rig);
    if (!block_job_backup(rig->jobs, &options, target, BLOCK_SYNC_NONE, NULL, 0, &err))
        fail_msg("%s", err->message);
    guest_write(rig, 0, BLOCK_SECTOR);
    guest_write(rig, CLUSTER - BLOCK_SECTOR, 2 * BLOCK_SECTOR);
    for (uint64_t at = 0; at < 3 * CLUSTER; at += s.length) {
        assert_int_equal(block_node_status(target, at, 3 * CLUSTER - at, &s), 0);
        assert_int_equal(s.flags & BLOCK_STATUS_ALLOCATED ? at + s.length <= 2 * CLUSTER
                                                          : at == 2 * CLUSTER,
                         true);
    }
    assert_true(block_job_cancel(block_jobs_find(rig->jobs, "job"), true, &err));
    wait_for(&rig->ended);
    block_node_unref(target);
    io_loop_run_sync(rig->loop, guest_begin_call, rig);
    rig_finish(rig, "top", "qcow2");
}

/* What a bitmap says was written since the copy, put over the copy, is the disk of now. */
static void
test_backup_incremental(void **state)
{
    Rig *rig = rig_new("qcow2");
    BlockJobOptions options = rig_options(rig);
    BlockNode *first = target_open(rig, "copy", "raw", NULL), *second;
    g_autofree char *now = qcow2_fixture_path(rig->files, "now");
    g_autoptr(GError) err = NULL;

    (void)state;
    guest_end(rig);
    assert_true(block_image_bitmap_add(rig->root, "since", 0, true, &err));
    if (!block_job_backup(rig->jobs, &options, first, BLOCK_SYNC_FULL, NULL, 0, &err))
        fail_msg("%s", err->message);
    io_loop_run_sync(rig->loop, guest_begin_call, rig);
    rig_run_to_end(rig);
    block_node_unref(first);
    guest_end(rig);
    assert_true(g_file_set_contents(now, (char *)rig->expect, SIZE, NULL));
    qcow2_fixture_run(rig->files, "qemu-img create -q -f qcow2 -b copy -F raw more");
    second = node_open(node_options(rig->files, "more", "qcow2", true));
    rig->ended = false;
    if (!block_job_backup(rig->jobs, &options, second, BLOCK_SYNC_BITMAP, "since",
                          BLOCK_BITMAP_ON_SUCCESS, &err))
        fail_msg("%s", err->message);
    io_loop_run_sync(rig->loop, guest_begin_call, rig);
    rig_run_to_end(rig);
    assert_int_equal(block_node_flush(second), 0);
    block_node_unref(second);
    qcow2_fixture_run(rig->files, "qemu-img compare -f raw -F qcow2 now more");
    qcow2_fixture_run(rig->files, "qemu-img check -q more");
    {
        g_autoptr(GPtrArray) left = block_image_bitmaps(rig->root);

        assert_int_equal(left->len, 1);
    }
    rig_finish(rig, "top", "qcow2");
}

/* ---- snapshots and sizes ---- */

static void
test_snapshot(void **state)
{
    Rig *rig = rig_new("qcow2");
    BlockNode *old = rig->root, *overlay;
    g_autofree char *then = qcow2_fixture_path(rig->files, "then");
    g_autoptr(GError) err = NULL;

    (void)state;
    qcow2_fixture_run(rig->files, "qemu-img create -q -f qcow2 -u -b top -F qcow2 new %d", SIZE);
    overlay = target_open(rig, "short", "qcow2", NULL);
    assert_int_equal(block_image_resize(overlay, SIZE / 2, BLOCK_PREALLOC_OFF, true, &err), true);
    assert_false(block_jobs_snapshot(rig->jobs, &old, &overlay, 1, &err));
    g_clear_error(&err);
    block_node_unref(overlay);
    {
        JsonObject *object = node_options(rig->files, "new", "qcow2", true);

        json_object_set_null_member(object, "backing");
        overlay = node_open(object);
    }
    rig_let_guest_work(rig, 50);
    if (!block_jobs_snapshot(rig->jobs, &old, &overlay, 1, &err))
        fail_msg("%s", err->message);
    assert_int_equal(rig->moved, 1);
    assert_ptr_equal(block_node_backing(rig->root), old);
    block_node_unref(overlay);
    rig_finish(rig, "new", "qcow2");
}

static void
test_resize(void **state)
{
    Rig *rig = rig_new("qcow2");
    g_autoptr(GError) err = NULL;

    (void)state;
    if (!block_jobs_resize(rig->jobs, rig->root, SIZE * 2, &err))
        fail_msg("%s", err->message);
    assert_int_equal(block_node_size(rig->root), SIZE * 2);
    rig_let_guest_work(rig, 50);
    if (!block_jobs_resize(rig->jobs, rig->root, SIZE, &err))
        fail_msg("%s", err->message);
    rig_finish(rig, "top", "qcow2");
}

/* ---- errors, and users who change their minds ---- */

static void
test_target_fails(void **state)
{
    Rig *rig = rig_new("qcow2");
    BlockJobOptions options = rig_options(rig);
    g_autoptr(GError) err = NULL;
    JsonObject *object;
    BlockNode *target;

    (void)state;
    /* a device that takes nothing, under a node as large as the disk */
    object = node_options(rig->files, "full", "raw", true);
    qcow2_fixture_run(rig->files, "truncate -s %d full", SIZE);
    target = node_open(object);
    assert_true(dup2(open("/dev/full", O_RDWR), block_node_file(target)->fd) >= 0);
    options.on_target_error = BLOCK_ON_ERROR_ENOSPC;
    /* zeroes would fail otherwise: that device has no size to be set */
    guest_end(rig);
    guest_write(rig, 0, BLOCK_SECTOR);
    if (!block_job_mirror(rig->jobs, &options, target, BLOCK_SYNC_FULL, false, 0, &err))
        fail_msg("%s", err->message);
    while (rig->errors == 0)
        g_main_context_iteration(NULL, TRUE);
    while (!strstr(rig->statuses->str, "paused"))
        g_main_context_iteration(NULL, TRUE);
    io_loop_run_sync(rig->loop, guest_begin_call, rig);
    assert_true(block_job_cancel(block_jobs_find(rig->jobs, "job"), true, &err));
    wait_for(&rig->ended);
    assert_true(rig->cancelled);
    block_node_unref(target);
    rig_finish(rig, "top", "qcow2");
}

static void
test_manual_end(void **state)
{
    Rig *rig = rig_new("qcow2");
    BlockJobOptions options = rig_options(rig);
    g_autoptr(GError) err = NULL;
    BlockJob *job;

    (void)state;
    options.manual_finalize = options.manual_dismiss = true;
    assert_true(block_job_stream(rig->jobs, &options, rig->root, NULL, NULL, &err));
    job = block_jobs_find(rig->jobs, "job");
    while (!strstr(rig->statuses->str, "pending"))
        g_main_context_iteration(NULL, TRUE);
    assert_false(block_job_dismiss(job, &err));
    g_clear_error(&err);
    rig_let_guest_work(rig, 50);
    assert_true(block_job_finalize(job, &err));
    rig_run_to_end(rig);
    assert_non_null(block_jobs_find(rig->jobs, "job"));
    assert_true(block_job_dismiss(job, &err));
    assert_null(block_jobs_find(rig->jobs, "job"));
    rig_finish(rig, "top", "qcow2");
}

/* ---- killed in the middle ---- */

/* The child: a job on the chain that is there, ended by nobody. */
static int
child_main(const char *dir, const char *what)
{
    Qcow2Fixture files = { .dir = (char *)dir };
    const BlockJobOps ops = { .open_file = open_file };
    JsonObject *base = node_options(&files, "base", "qcow2", false);
    JsonObject *mid = node_options(&files, "mid", "qcow2", false);
    JsonObject *top = node_options(&files, "top", "qcow2", true);
    BlockJobOptions options = { .id = "job", .speed = 8 << 20 };
    BlockJobs *jobs = block_jobs_new(&ops);
    BlockNode *node;
    bool ok;

    json_object_set_null_member(base, "backing");
    json_object_set_object_member(mid, "backing", base);
    json_object_set_object_member(top, "backing", mid);
    node = node_open(top);
    options.root = node;
    if (strcmp(what, "stream") == 0)
        ok = block_job_stream(jobs, &options, node, NULL, NULL, NULL);
    else
        ok = block_job_commit(jobs, &options,
                              strcmp(what, "commit") == 0 ? block_node_backing(node) : node,
                              block_node_backing(block_node_backing(node)), NULL, NULL);
    if (!ok)
        return 1;
    if (write(STDOUT_FILENO, "x", 1) != 1)
        return 1;
    for (;;)
        g_main_context_iteration(NULL, TRUE);
}

static char *self;

static void
check_killed(const char *what, unsigned after_ms)
{
    g_autoptr(Qcow2Fixture) files = qcow2_fixture_new();
    const char *argv[] = { self, "--child", files->dir, what, NULL };
    char byte;
    GPid pid;
    int out;

    block_node_unref(chain_open(files, "qcow2"));
    assert_true(g_spawn_async_with_pipes(NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL,
                                         NULL, &pid, NULL, &out, NULL, NULL));
    assert_int_equal(read(out, &byte, 1), 1);
    g_usleep(after_ms * 1000);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(out);
    qcow2_fixture_run(files, "qemu-img compare -f raw -F qcow2 expect top");
    /* lost clusters are allowed (3), errors are not */
    qcow2_fixture_run(files, "for i in base mid top; do qemu-img check -q $i; "
                             "[ $? = 0 ] || qemu-img check -q -r leaks $i || exit 1; done");
}

static void
test_killed(void **state)
{
    static const char *const jobs[] = { "stream", "commit", "active" };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(jobs); i++)
        for (unsigned ms = 0; ms < 200; ms += 117)
            check_killed(jobs[i], ms);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_all),
        cmocka_unit_test(test_stream_to_base),
        cmocka_unit_test(test_stream_of_a_middle),
        cmocka_unit_test(test_commit_of_a_middle),
        cmocka_unit_test(test_commit_of_the_active),
        cmocka_unit_test(test_commit_cancelled),
        cmocka_unit_test(test_mirror_full),
        cmocka_unit_test(test_mirror_top),
        cmocka_unit_test(test_mirror_not_moved),
        cmocka_unit_test(test_backup),
        cmocka_unit_test(test_backup_saves_what_is_written),
        cmocka_unit_test(test_backup_incremental),
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_target_fails),
        cmocka_unit_test(test_manual_end),
        cmocka_unit_test(test_killed),
    };

    if (argc == 4 && strcmp(argv[1], "--child") == 0)
        return child_main(argv[2], argv[3]);
    self = argv[0];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
