/* qmp_block_jobs.c - QMP commands that begin block jobs, ask about them, and end them.
 *
 * QEMU 7.2 qapi/block-core.json and qapi/job.json, names, arguments and wording. The filter between
 * a device and its image is no node that anyone can name: filter-node-name is taken, and names
 * nothing; buf-size is a hint that is not needed.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "launcher/block_jobs.h"
#include "launcher/keyval.h"
#include "launcher/qmp_handlers.h"
#include "util/error.h"

/* ---- arguments ---- */

static bool
take_on_error(JsonObject *args, const char *key, BlockOnError *ret, GError **err)
{
    static const char *const names[] = { "report", "stop", "enospc", NULL };
    int value = BLOCK_ON_ERROR_REPORT;

    if (!keyval_enum("block job", args, key, names, &value, err))
        return false;
    *ret = value;
    return true;
}

/* What all jobs take. The root is found from "device". */
static bool
take_options(Vm *vm, JsonObject *args, BlockJobOptions *ret, BlockNode **ret_node, GError **err)
{
    const char *device = keyval_text(args, "device");
    bool finalize = true, dismiss = true;

    *ret_node = vm_block_node(vm, device, err);
    if (!*ret_node)
        return false;
    *ret = (BlockJobOptions){
        .id = keyval_text(args, "job-id") ? keyval_text(args, "job-id") : device,
        .root = vm_block_root(vm, *ret_node),
    };
    if (!keyval_uint("block job", args, "speed", 0, INT64_MAX, &ret->speed, err) ||
        !keyval_bool("block job", args, "auto-finalize", &finalize, err) ||
        !keyval_bool("block job", args, "auto-dismiss", &dismiss, err) ||
        !take_on_error(args, "on-error", &ret->on_source_error, err) ||
        !take_on_error(args, "on-source-error", &ret->on_source_error, err) ||
        !take_on_error(args, "on-target-error", &ret->on_target_error, err))
        return false;
    if (json_object_has_member(args, "on-error"))
        ret->on_target_error = ret->on_source_error;
    ret->manual_finalize = !finalize;
    ret->manual_dismiss = !dismiss;
    return true;
}

/* The image at or behind @top that "KEY-node" or the file name "KEY" stands for; *ret stays as it
 * is when neither is given. */
static bool
take_in_chain(Vm *vm, JsonObject *args, const char *key, BlockNode *top, BlockNode **ret,
              GError **err)
{
    g_autofree char *node_key = g_strconcat(key, "-node", NULL);
    const char *name = keyval_text(args, node_key), *file = keyval_text(args, key);
    BlockNode *above = NULL, *wanted = name ? vm_block_node(vm, name, err) : NULL;

    if (name && file)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "'%s-node' and '%s' cannot be specified at the same time", key, key);
    if (name && !wanted)
        return false;
    if (!name && !file)
        return true;
    for (BlockNode *n = top; n; above = n, n = block_node_backing(n)) {
        const char *said = above ? block_node_backing_filename(above) : NULL;

        if (n == wanted ||
            (file && (!g_strcmp0(block_node_filename(n), file) || !g_strcmp0(said, file)))) {
            *ret = n;
            return true;
        }
    }
    return kiln_error_set(err, VIR_ERR_INVALID_ARG, "'%s' is not in the chain of '%s'",
                          name ? name : file,
                          block_node_name(top) ? block_node_name(top) : block_node_filename(top));
}

static bool
refuse_given(JsonObject *args, const char *key, GError **err)
{
    return !json_object_has_member(args, key) ||
           kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "'%s' is not offered", key);
}

/* ---- jobs ---- */

QMP_HANDLER(qmp_block_stream)
{
    Vm *vm = qmp_session_vm(session);
    BlockNode *node, *base = NULL, *bottom = NULL;
    BlockJobOptions options;

    if (!take_options(vm, args, &options, &node, err) ||
        !take_in_chain(vm, args, "base", node, &base, err))
        return NULL;
    if (keyval_text(args, "bottom")) {
        bottom = vm_block_node(vm, keyval_text(args, "bottom"), err);
        if (!bottom)
            return NULL;
        base = block_node_backing(bottom);
    }
    block_job_stream(vm_block_jobs(vm), &options, node, base, keyval_text(args, "backing-file"),
                     err);
    return NULL;
}

QMP_HANDLER(qmp_block_commit)
{
    Vm *vm = qmp_session_vm(session);
    BlockNode *node, *top, *base;
    BlockJobOptions options;

    if (!take_options(vm, args, &options, &node, err))
        return NULL;
    top = base = node;
    while (block_node_backing(base))
        base = block_node_backing(base);
    if (!take_in_chain(vm, args, "top", node, &top, err) ||
        !take_in_chain(vm, args, "base", top, &base, err))
        return NULL;
    block_job_commit(vm_block_jobs(vm), &options, top, base, keyval_text(args, "backing-file"),
                     err);
    return NULL;
}

static const char *const sync_names[] = { "full", "top", "none", NULL };

static bool
mirror_start(Vm *vm, JsonObject *args, const BlockJobOptions *options, BlockNode *target,
             GError **err)
{
    static const char *const copy_modes[] = { "background", "write-blocking", NULL };
    int sync = -1, mode = 0;
    uint64_t granularity = 0;

    if (!refuse_given(args, "replaces", err) ||
        !keyval_enum("mirror", args, "sync", sync_names, &sync, err) ||
        !keyval_enum("mirror", args, "copy-mode", copy_modes, &mode, err) ||
        !keyval_uint("mirror", args, "granularity", 0, 64 << 20, &granularity, err))
        return false;
    return block_job_mirror(vm_block_jobs(vm), options, target, sync, mode == 1, granularity, err);
}

static bool
backup_start(Vm *vm, JsonObject *args, const BlockJobOptions *options, BlockNode *target,
             GError **err)
{
    static const char *const syncs[] = { "full", "top", "none", "incremental", "bitmap", NULL };
    static const char *const modes[] = { "on-success", "never", NULL };
    int sync = -1, mode = 0;
    bool compress = false;

    if (!keyval_enum("backup", args, "sync", syncs, &sync, err) ||
        !keyval_enum("backup", args, "bitmap-mode", modes, &mode, err) ||
        !keyval_bool("backup", args, "compress", &compress, err))
        return false;
    if (compress)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "'compress' is not offered");
    return block_job_backup(vm_block_jobs(vm), options, target, MIN(sync, BLOCK_SYNC_BITMAP),
                            keyval_text(args, "bitmap"), mode, err);
}

static void
start_to_node(Vm *vm, JsonObject *args,
              bool (*start)(Vm *vm, JsonObject *args, const BlockJobOptions *options,
                            BlockNode *target, GError **err),
              GError **err)
{
    BlockJobOptions options;
    BlockNode *node, *target;

    if (!take_options(vm, args, &options, &node, err))
        return;
    target = vm_block_node(vm, keyval_text(args, "target"), err);
    if (target)
        start(vm, args, &options, target, err);
}

/* drive-mirror and drive-backup: the target is a file, made unless mode is existing. */
static void
start_to_file(Vm *vm, JsonObject *args,
              bool (*start)(Vm *vm, JsonObject *args, const BlockJobOptions *options,
                            BlockNode *target, GError **err),
              GError **err)
{
    static const char *const modes[] = { "absolute-paths", "existing", NULL };
    const char *format = keyval_text(args, "format"), *name = keyval_text(args, "node-name");
    bool top = !g_strcmp0(keyval_text(args, "sync"), "top"), unmap = true;
    g_autofree char *id = NULL;
    BlockJobOptions options;
    BlockNode *node, *backing;
    int mode = 0;

    if (!take_options(vm, args, &options, &node, err) ||
        !keyval_enum("target", args, "mode", modes, &mode, err) ||
        !keyval_bool("target", args, "unmap", &unmap, err))
        return;
    if (!unmap) {
        kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "'unmap': false is not offered");
        return;
    }
    backing = top ? block_node_backing(options.root) : NULL;
    id = vm_block_add_file(vm, name, keyval_text(args, "target"),
                           format ? format : block_node_driver(options.root),
                           mode == 0 ? block_node_size(options.root) : 0,
                           backing ? block_node_backing_filename(options.root) : NULL,
                           backing ? block_node_driver(backing) : NULL, err);
    if (!id)
        return;
    start(vm, args, &options, machine_object_find(vm->machine, OBJECT_BLOCK_NODE, id), err);
    /* the job holds it as long as it needs it */
    machine_object_remove(vm->machine, OBJECT_BLOCK_NODE, id, NULL);
}

QMP_HANDLER(qmp_blockdev_mirror)
{
    start_to_node(qmp_session_vm(session), args, mirror_start, err);
    return NULL;
}

QMP_HANDLER(qmp_drive_mirror)
{
    start_to_file(qmp_session_vm(session), args, mirror_start, err);
    return NULL;
}

QMP_HANDLER(qmp_blockdev_backup)
{
    start_to_node(qmp_session_vm(session), args, backup_start, err);
    return NULL;
}

QMP_HANDLER(qmp_drive_backup)
{
    start_to_file(qmp_session_vm(session), args, backup_start, err);
    return NULL;
}

/* ---- questions ---- */

static void
list_block_job(BlockJob *job, void *opaque)
{
    JsonObject *out = json_object_new();
    BlockJobInfo info;

    block_job_info(job, &info);
    json_object_set_string_member(out, "type", info.type);
    json_object_set_string_member(out, "device", info.id);
    json_object_set_int_member(out, "len", (gint64)info.length);
    json_object_set_int_member(out, "offset", (gint64)info.offset);
    json_object_set_boolean_member(out, "busy", info.busy);
    json_object_set_boolean_member(out, "paused", info.paused);
    json_object_set_int_member(out, "speed", (gint64)info.speed);
    json_object_set_string_member(out, "io-status", info.failed ? "failed" : "ok");
    json_object_set_boolean_member(out, "ready", info.ready);
    json_object_set_string_member(out, "status", block_job_status_name(info.status));
    json_object_set_boolean_member(out, "auto-finalize", !info.manual_finalize);
    json_object_set_boolean_member(out, "auto-dismiss", !info.manual_dismiss);
    if (info.error)
        json_object_set_string_member(out, "error", info.error);
    json_array_add_object_element(opaque, out);
}

QMP_HANDLER(qmp_query_block_jobs)
{
    JsonArray *list = json_array_new();

    (void)args;
    (void)err;
    block_jobs_visit(vm_block_jobs(qmp_session_vm(session)), list_block_job, list);
    return qmp_node_array(list);
}

static void
list_job(BlockJob *job, void *opaque)
{
    JsonObject *out = json_object_new();
    BlockJobInfo info;

    block_job_info(job, &info);
    json_object_set_string_member(out, "id", info.id);
    json_object_set_string_member(out, "type", info.type);
    json_object_set_string_member(out, "status", block_job_status_name(info.status));
    json_object_set_int_member(out, "current-progress", (gint64)info.offset);
    json_object_set_int_member(out, "total-progress", (gint64)info.length);
    if (info.error)
        json_object_set_string_member(out, "error", info.error);
    json_array_add_object_element(opaque, out);
}

QMP_HANDLER(qmp_query_jobs)
{
    JsonArray *list = json_array_new();

    (void)args;
    (void)err;
    block_jobs_visit(vm_block_jobs(qmp_session_vm(session)), list_job, list);
    return qmp_node_array(list);
}

/* ---- what is asked of jobs ---- */

/* By "id" for job-… and those of all states, else by "device". */
static BlockJob *
find_job(QmpSession *session, JsonObject *args, GError **err)
{
    const char *id = keyval_text(args, "id");
    const char *device = keyval_text(args, "device");
    BlockJob *job = block_jobs_find(vm_block_jobs(qmp_session_vm(session)), id ? id : device);

    if (!job && device)
        kiln_error_set(err, VIR_ERR_NO_NODE_DEVICE, "Block job '%s' not found", device);
    else if (!job)
        kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "Job not found");
    return job;
}

QMP_HANDLER(qmp_block_job_set_speed)
{
    BlockJob *job = find_job(session, args, err);
    uint64_t speed = 0;

    if (job && keyval_uint("block job", args, "speed", 0, INT64_MAX, &speed, err))
        block_job_set_speed(job, speed, err);
    return NULL;
}

QMP_HANDLER(qmp_job_pause)
{
    BlockJob *job = find_job(session, args, err);

    if (job)
        block_job_pause(job, err);
    return NULL;
}

QMP_HANDLER(qmp_job_resume)
{
    BlockJob *job = find_job(session, args, err);

    if (job)
        block_job_resume(job, err);
    return NULL;
}

QMP_HANDLER(qmp_block_job_cancel)
{
    BlockJob *job = find_job(session, args, err);
    bool force = false;

    if (job && keyval_bool("block job", args, "force", &force, err))
        block_job_cancel(job, force, err);
    return NULL;
}

/* job-cancel is never a good end. */
QMP_HANDLER(qmp_job_cancel)
{
    BlockJob *job = find_job(session, args, err);

    if (job)
        block_job_cancel(job, true, err);
    return NULL;
}

QMP_HANDLER(qmp_job_complete)
{
    BlockJob *job = find_job(session, args, err);

    if (job)
        block_job_complete(job, err);
    return NULL;
}

QMP_HANDLER(qmp_job_finalize)
{
    BlockJob *job = find_job(session, args, err);

    if (job)
        block_job_finalize(job, err);
    return NULL;
}

QMP_HANDLER(qmp_job_dismiss)
{
    BlockJob *job = find_job(session, args, err);

    if (job)
        block_job_dismiss(job, err);
    return NULL;
}
