/* vm_limits.c - limits of disks: groups by name, -object throttle-group, and the QMP command that
 * changes them.
 *
 * QEMU 7.2 qapi/block-core.json, BlockIOThrottle and BlockDeviceInfo; qapi/qom.json,
 * ThrottleGroupProperties. Leaves out: groups that go again, which cost nothing.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/vm_limits.h"

#include <string.h>

#include "block/options.h"
#include "launcher/block_jobs.h"
#include "launcher/keyval.h"
#include "launcher/qmp_handlers.h"
#include "util/error.h"

/* ---- groups ---- */

BlockThrottle *
vm_limits_group(Vm *vm, const char *name)
{
    BlockThrottle *group;

    if (!vm->throttles)
        vm->throttles = g_hash_table_new_full(g_str_hash, g_str_equal, NULL,
                                              (GDestroyNotify)block_throttle_unref);
    group = g_hash_table_lookup(vm->throttles, name);
    if (!group) {
        BlockLimits none;

        block_limits_init(&none);
        group = block_throttle_new(name, &none);
        g_hash_table_insert(vm->throttles, (char *)block_throttle_name(group), group);
    }
    return group;
}

static BlockThrottle *
serve_throttle(void *opaque, const char *name)
{
    return block_throttle_ref(vm_limits_group(opaque, name));
}

void
vm_limits_serve(BlockOpenOps *ops)
{
    ops->throttle = serve_throttle;
}

void
vm_limits_free(Vm *vm)
{
    g_clear_pointer(&vm->throttles, g_hash_table_unref);
}

bool
vm_limits_add_object(Vm *vm, JsonObject *object, GError **err)
{
    g_autoptr(BlockOptions) opts = block_options_new(object, err);
    g_autofree char *type = opts ? block_options_take(opts, "qom-type") : NULL;
    g_autofree char *id = opts ? block_options_take(opts, "id") : NULL;
    BlockLimits limits, nested;
    bool given = false, also = false;

    if (!opts)
        return false;
    if (!id)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "-object %s: wants id=", type);
    if (vm->throttles && g_hash_table_contains(vm->throttles, id))
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "a throttle group of the name '%s' is there", id);
    if (!block_limits_take(opts, "x-", &limits, &given, err) ||
        !block_limits_take(opts, "limits.", &nested, &also, err) ||
        !block_options_finish(opts, type, err))
        return false;
    if (given && also)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "-object %s: limits are x-… or limits.…, not both", type);
    block_throttle_set(vm_limits_group(vm, id), also ? &nested : &limits);
    return true;
}

/* ---- QMP ---- */

/* What the six limits, and the members of BlockIOThrottle, are called. */
static const char *const limit_names[2][BLOCK_LIMIT_KINDS] = {
    { "bps", "bps_rd", "bps_wr" },
    { "iops", "iops_rd", "iops_wr" },
};

void
vm_limits_show(BlockNode *node, const char *id, JsonObject *info)
{
    BlockThrottle *throttle = block_node_throttle(node);
    BlockLimits limits;
    bool any;

    block_limits_init(&limits);
    if (throttle)
        block_throttle_get(throttle, &limits);
    any = block_limits_any(&limits);
    for (unsigned i = 0; i < 2 * BLOCK_LIMIT_KINDS; i++) {
        unsigned unit = i / BLOCK_LIMIT_KINDS, kind = i % BLOCK_LIMIT_KINDS;
        const BlockLimit *limit = unit ? &limits.operations[kind] : &limits.bytes[kind];
        g_autofree char *max = g_strconcat(limit_names[unit][kind], "_max", NULL);
        g_autofree char *length = g_strconcat(max, "_length", NULL);

        json_object_set_int_member(info, limit_names[unit][kind], (gint64)limit->average);
        if (!any)
            continue;
        json_object_set_int_member(info, max, (gint64)limit->max);
        json_object_set_int_member(info, length, (gint64)limit->length);
    }
    if (!any)
        return;
    json_object_set_int_member(info, "iops_size", (gint64)limits.operation_size);
    if (block_throttle_name(throttle) || id)
        json_object_set_string_member(
            info, "group", block_throttle_name(throttle) ? block_throttle_name(throttle) : id);
}

static bool
take_limits(JsonObject *args, BlockLimits *ret, GError **err)
{
    block_limits_init(ret);
    for (unsigned i = 0; i < 2 * BLOCK_LIMIT_KINDS; i++) {
        unsigned unit = i / BLOCK_LIMIT_KINDS, kind = i % BLOCK_LIMIT_KINDS;
        BlockLimit *limit = unit ? &ret->operations[kind] : &ret->bytes[kind];
        g_autofree char *max = g_strconcat(limit_names[unit][kind], "_max", NULL);
        g_autofree char *length = g_strconcat(max, "_length", NULL);

        if (!keyval_uint("limits", args, limit_names[unit][kind], 0, INT64_MAX, &limit->average,
                         err) ||
            !keyval_uint("limits", args, max, 0, INT64_MAX, &limit->max, err) ||
            !keyval_uint("limits", args, length, 1, INT64_MAX, &limit->length, err))
            return false;
    }
    return keyval_uint("limits", args, "iops_size", 0, INT64_MAX, &ret->operation_size, err) &&
           block_limits_check(ret, err);
}

static GPtrArray *
device_images(Vm *vm)
{
    GPtrArray *images = g_ptr_array_new();

    for (guint i = 0; i < vm->machine->devices->len; i++) {
        Drive *drive = drive_of(g_ptr_array_index(vm->machine->devices, i));

        if (drive && drive_has_medium(drive))
            g_ptr_array_add(images, drive->image.object);
    }
    return images;
}

QMP_HANDLER(qmp_block_set_io_throttle)
{
    Vm *vm = qmp_session_vm(session);
    const char *id =
        keyval_text(args, "id") ? keyval_text(args, "id") : keyval_text(args, "device");
    const char *group = keyval_text(args, "group");
    g_autoptr(GPtrArray) images = NULL;
    BlockThrottle *throttle = NULL;
    BlockLimits limits;
    BlockNode *node;

    if (!id) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Need exactly one of 'device' and 'id'");
        return NULL;
    }
    node = vm_block_node(vm, id, err);
    if (!node || !take_limits(args, &limits, err))
        return NULL;
    if (block_limits_any(&limits)) {
        throttle = block_node_throttle(node);
        if (group || !throttle)
            throttle = vm_limits_group(vm, group ? group : id);
    }
    images = device_images(vm);
    block_node_limit(node, throttle, &limits, (BlockNode **)images->pdata, images->len);
    return NULL;
}
