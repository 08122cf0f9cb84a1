/* block_jobs.c - the guest's block jobs: names of images, events, and devices whose image changes.
 *
 * Events: QEMU 7.2 qapi/block-core.json and qapi/job.json.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/block_jobs.h"

#include <fcntl.h>
#include <string.h>

#include "launcher/keyval.h"
#include "util/error.h"

/* ---- names ---- */

static Drive *
drive_with(Vm *vm, const BlockNode *image)
{
    for (guint i = 0; i < vm->machine->devices->len; i++) {
        Drive *drive = drive_of(g_ptr_array_index(vm->machine->devices, i));

        if (drive && drive->image.object == image)
            return drive;
    }
    return NULL;
}

BlockNode *
vm_block_node(Vm *vm, const char *name, GError **err)
{
    BlockNode *node = machine_object_find(vm->machine, OBJECT_BLOCK_NODE, name);

    for (guint i = 0; !node && i < vm->machine->devices->len; i++) {
        Device *dev = g_ptr_array_index(vm->machine->devices, i);
        Drive *drive = drive_of(dev);

        if (drive && (!g_strcmp0(dev->id, name) || !strcmp(dev->path, name) ||
                      !g_strcmp0(drive->image.id, name)))
            node = drive->image.object;
    }
    if (!node)
        kiln_error_set(err, VIR_ERR_DEVICE_MISSING, "Cannot find device='%s' nor node-name='%s'",
                       name, name);
    return node;
}

BlockNode *
vm_block_root(Vm *vm, BlockNode *node)
{
    for (guint i = 0; i < vm->machine->devices->len; i++) {
        Drive *drive = drive_of(g_ptr_array_index(vm->machine->devices, i));

        for (BlockNode *n = drive ? drive->image.object : NULL; n; n = block_node_backing(n))
            if (n == node)
                return drive->image.object;
    }
    return node;
}

static char *
free_name(Vm *vm)
{
    for (unsigned i = 0;; i++) {
        g_autofree char *name = g_strdup_printf("#block%u", i);

        if (!machine_object_find(vm->machine, OBJECT_BLOCK_NODE, name))
            return g_steal_pointer(&name);
    }
}

/* ---- files ---- */

static int
jobs_open_file(void *opaque, const char *filename, int flags, GError **err)
{
    return fdset_open(((Vm *)opaque)->fdsets, filename, flags, 0644, err);
}

static int
jobs_create_file(void *opaque, const char *filename, int flags, GError **err)
{
    return jobs_open_file(opaque, filename, flags | O_CREAT, err);
}

static bool
file_make(Vm *vm, const char *filename, const char *format, uint64_t size, const char *backing,
          const char *backing_format, GError **err)
{
    const BlockImageOptions image = { .ops = { .opaque = vm, .open_file = jobs_create_file } };
    g_autoptr(GHashTable) options = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

    g_hash_table_insert(options, g_strdup("size"), g_strdup_printf("%" G_GUINT64_FORMAT, size));
    if (backing) {
        g_hash_table_insert(options, g_strdup("backing_file"), g_strdup(backing));
        g_hash_table_insert(options, g_strdup("backing_fmt"), g_strdup(backing_format));
    }
    return block_image_create(filename, format, options, &image, err);
}

char *
vm_block_add_file(Vm *vm, const char *name, const char *filename, const char *format, uint64_t size,
                  const char *backing, const char *backing_format, GError **err)
{
    g_autoptr(JsonObject) options = json_object_new();
    g_autofree char *id = name ? g_strdup(name) : free_name(vm);
    JsonObject *file;

    if (machine_object_find(vm->machine, OBJECT_BLOCK_NODE, id)) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Duplicate nodes with node-name='%s'", id);
        return NULL;
    }
    if (size > 0 && !file_make(vm, filename, format, size, backing, backing_format, err))
        return NULL;
    file = block_filename_options(filename, err);
    if (!file)
        return NULL;
    json_object_set_string_member(file, "discard", "unmap");
    json_object_set_string_member(options, "driver", format);
    json_object_set_string_member(options, "node-name", id);
    json_object_set_string_member(options, "discard", "unmap");
    json_object_set_object_member(options, "file", file);
    if (strcmp(format, "raw"))
        json_object_set_null_member(options, "backing");
    return vm_add_blockdev(vm, options, err) ? g_steal_pointer(&id) : NULL;
}

/* ---- what the jobs tell ---- */

static void
jobs_tell(Vm *vm, const char *event, const BlockJobInfo *info)
{
    JsonObject *data = json_object_new();

    json_object_set_string_member(data, "type", info->type);
    json_object_set_string_member(data, "device", info->id);
    json_object_set_int_member(data, "len", (gint64)info->length);
    json_object_set_int_member(data, "offset", (gint64)info->offset);
    json_object_set_int_member(data, "speed", (gint64)info->speed);
    if (info->error)
        json_object_set_string_member(data, "error", info->error);
    vm_emit(vm, event, data);
}

static void
jobs_event(void *opaque, BlockJobEvent event, const BlockJobInfo *info)
{
    Vm *vm = opaque;
    JsonObject *data;

    switch (event) {
    case BLOCK_JOB_EVENT_STATUS:
        data = json_object_new();
        json_object_set_string_member(data, "status", block_job_status_name(info->status));
        json_object_set_string_member(data, "id", info->id);
        vm_emit(vm, "JOB_STATUS_CHANGE", data);
        break;
    case BLOCK_JOB_EVENT_ERROR:
        data = json_object_new();
        json_object_set_string_member(data, "device", info->id);
        json_object_set_string_member(data, "operation", info->reading ? "read" : "write");
        json_object_set_string_member(data, "action", info->stopped ? "stop" : "report");
        vm_emit(vm, "BLOCK_JOB_ERROR", data);
        break;
    case BLOCK_JOB_EVENT_PENDING:
        data = json_object_new();
        json_object_set_string_member(data, "type", info->type);
        json_object_set_string_member(data, "id", info->id);
        vm_emit(vm, "BLOCK_JOB_PENDING", data);
        break;
    case BLOCK_JOB_EVENT_READY:
        jobs_tell(vm, "BLOCK_JOB_READY", info);
        break;
    case BLOCK_JOB_EVENT_COMPLETED:
        jobs_tell(vm, "BLOCK_JOB_COMPLETED", info);
        break;
    case BLOCK_JOB_EVENT_CANCELLED:
        jobs_tell(vm, "BLOCK_JOB_CANCELLED", info);
        break;
    }
}

static void
node_close(void *opaque)
{
    BlockNode *node = opaque;
    int r = block_node_flush(node);

    if (r < 0)
        vm_warn("image '%s' cannot be flushed, what was written last may be lost: %s",
                block_node_filename(node), g_strerror(-r));
    block_node_unref(node);
}

static void
jobs_root_changed(void *opaque, BlockNode *from, BlockNode *to)
{
    Vm *vm = opaque;
    Drive *drive = drive_with(vm, from);
    const char *name = block_node_name(to);

    if (!drive)
        return;
    /* a node that was only a part of another's options has to last as long as its device */
    if (!name || machine_object_find(vm->machine, OBJECT_BLOCK_NODE, name) != to) {
        g_autofree char *made = free_name(vm);

        block_node_set_name(to, made);
        machine_object_add(vm->machine, OBJECT_BLOCK_NODE, made, block_node_ref(to), node_close,
                           NULL);
        name = block_node_name(to);
    }
    drive_image_changed(drive, to, name);
}

BlockJobs *
vm_block_jobs(Vm *vm)
{
    const BlockJobOps ops = {
        .opaque = vm,
        .open_file = jobs_open_file,
        .event = jobs_event,
        .root_changed = jobs_root_changed,
    };

    if (!vm->block_jobs)
        vm->block_jobs = block_jobs_new(&ops);
    return vm->block_jobs;
}
