/* qmp_block_graph.c - QMP commands that change a guest's images at once: snapshots, sizes, dirty
 * bitmaps, and several of these as one.
 *
 * QEMU 7.2 qapi/block-core.json and qapi/transaction.json. Bitmaps are those that qcow2 images
 * keep: one that is not persistent is refused by name.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "launcher/block_jobs.h"
#include "launcher/keyval.h"
#include "launcher/qmp_handlers.h"
#include "util/error.h"

/* ---- sizes ---- */

QMP_HANDLER(qmp_block_resize)
{
    Vm *vm = qmp_session_vm(session);
    const char *name = keyval_text(args, "node-name") ? keyval_text(args, "node-name")
                                                      : keyval_text(args, "device");
    BlockNode *node;
    gint64 size = json_object_get_int_member(args, "size");

    if (!name) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Need exactly one of 'device' and 'node-name'");
        return NULL;
    }
    node = vm_block_node(vm, name, err);
    if (!node)
        return NULL;
    if (size < 0)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter 'size' expects a >0 size");
    else
        block_jobs_resize(vm_block_jobs(vm), node, (uint64_t)size, err);
    return NULL;
}

/* ---- snapshots ---- */

typedef struct {
    GPtrArray *roots, *overlays; /* BlockNode, not referenced */
    GPtrArray *added;            /* names of nodes that were opened for it, owned */
} Snapshots;

static void
snapshots_init(Snapshots *s)
{
    *s =
        (Snapshots){ g_ptr_array_new(), g_ptr_array_new(), g_ptr_array_new_with_free_func(g_free) };
}

static void
snapshots_clear(Snapshots *s)
{
    g_ptr_array_unref(s->roots);
    g_ptr_array_unref(s->overlays);
    g_ptr_array_unref(s->added);
}

static bool
snapshot_take(Snapshots *s, Vm *vm, JsonObject *args, GError **err)
{
    const char *node = keyval_text(args, "node"), *overlay = keyval_text(args, "overlay");
    BlockNode *root, *top;

    if (!node || !overlay)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter '%s' is missing",
                              node ? "overlay" : "node");
    root = vm_block_node(vm, node, err);
    top = root ? vm_block_node(vm, overlay, err) : NULL;
    if (!top)
        return false;
    g_ptr_array_add(s->roots, root);
    g_ptr_array_add(s->overlays, top);
    return true;
}

static bool
snapshot_take_sync(Snapshots *s, Vm *vm, JsonObject *args, GError **err)
{
    static const char *const modes[] = { "absolute-paths", "existing", NULL };
    const char *device =
        keyval_text(args, "device") ? keyval_text(args, "device") : keyval_text(args, "node-name");
    const char *file = keyval_text(args, "snapshot-file"), *format = keyval_text(args, "format");
    BlockNode *root = device ? vm_block_node(vm, device, err) : NULL;
    int mode = 0;
    char *id;

    if (!device || !file)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter '%s' is missing",
                              device ? "snapshot-file" : "device");
    if (!root || !keyval_enum("blockdev-snapshot-sync", args, "mode", modes, &mode, err))
        return false;
    if (mode == 0 && g_str_has_prefix(block_node_filename(root), "/dev/fdset/"))
        return kiln_error_set(err, VIR_ERR_OPERATION_UNSUPPORTED,
                              "the disk's image was given as a descriptor: its name, which the "
                              "overlay has to have, is not known; make the overlay and use mode "
                              "'existing'");
    id = vm_block_add_file(vm, keyval_text(args, "snapshot-node-name"), file,
                           format ? format : "qcow2", mode == 0 ? block_node_size(root) : 0,
                           block_node_filename(root), block_node_driver(root), err);
    if (!id)
        return false;
    g_ptr_array_add(s->added, id);
    g_ptr_array_add(s->roots, root);
    g_ptr_array_add(s->overlays, machine_object_find(vm->machine, OBJECT_BLOCK_NODE, id));
    return true;
}

static bool
snapshots_do(Snapshots *s, Vm *vm, GError **err)
{
    return s->roots->len == 0 ||
           block_jobs_snapshot(vm_block_jobs(vm), (BlockNode *const *)s->roots->pdata,
                               (BlockNode *const *)s->overlays->pdata, s->roots->len, err);
}

static void
snapshots_undo(Snapshots *s, Vm *vm)
{
    for (guint i = 0; i < s->added->len; i++)
        machine_object_remove(vm->machine, OBJECT_BLOCK_NODE, s->added->pdata[i], NULL);
}

static JsonNode *
snapshot_alone(QmpSession *session, JsonObject *args,
               bool (*take)(Snapshots *s, Vm *vm, JsonObject *args, GError **err), GError **err)
{
    Vm *vm = qmp_session_vm(session);
    Snapshots s;

    snapshots_init(&s);
    if (!take(&s, vm, args, err) || !snapshots_do(&s, vm, err))
        snapshots_undo(&s, vm);
    snapshots_clear(&s);
    return NULL;
}

QMP_HANDLER(qmp_blockdev_snapshot)
{
    return snapshot_alone(session, args, snapshot_take, err);
}

QMP_HANDLER(qmp_blockdev_snapshot_sync)
{
    return snapshot_alone(session, args, snapshot_take_sync, err);
}

/* Not by number: names are what users know. */
static void
snapshot_internal(QmpSession *session, JsonObject *args, bool remove, GError **err)
{
    Vm *vm = qmp_session_vm(session);
    const char *device = keyval_text(args, "device"), *name = keyval_text(args, "name");
    BlockNode *node;

    if (!device || !name || !*name)
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter '%s' is missing",
                       device ? "name" : "device");
    else if ((node = vm_block_node(vm, device, err)))
        block_jobs_snapshot_internal(vm_block_jobs(vm), node, name, remove, err);
}

QMP_HANDLER(qmp_blockdev_snapshot_internal_sync)
{
    snapshot_internal(session, args, false, err);
    return NULL;
}

QMP_HANDLER(qmp_blockdev_snapshot_delete_internal_sync)
{
    snapshot_internal(session, args, true, err);
    return NULL;
}

/* ---- bitmaps ---- */

static BlockNode *
bitmap_node(Vm *vm, JsonObject *args, const char *name_key, const char **ret_name, GError **err)
{
    const char *node = keyval_text(args, "node");

    *ret_name = keyval_text(args, name_key);
    if (node && *ret_name)
        return vm_block_node(vm, node, err);
    kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter '%s' is missing", node ? name_key : "node");
    return NULL;
}

static bool
bitmap_add(Vm *vm, JsonObject *args, GError **err)
{
    const char *name;
    BlockNode *node = bitmap_node(vm, args, "name", &name, err);
    bool persistent = false, disabled = false;
    uint64_t granularity = 0;

    if (!node || !keyval_bool("bitmap", args, "persistent", &persistent, err) ||
        !keyval_bool("bitmap", args, "disabled", &disabled, err) ||
        !keyval_uint("bitmap", args, "granularity", 0, UINT32_MAX, &granularity, err))
        return false;
    if (!persistent)
        return kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                              "bitmap '%s': only bitmaps that the image keeps are offered; say "
                              "'persistent': true",
                              name);
    return block_image_bitmap_add(node, name, granularity, !disabled, err);
}

static bool
bitmap_remove(Vm *vm, JsonObject *args, GError **err)
{
    const char *name;
    BlockNode *node = bitmap_node(vm, args, "name", &name, err);

    return node && block_image_bitmap_remove(node, name, err);
}

static bool
bitmap_clear(Vm *vm, JsonObject *args, GError **err)
{
    const char *name;
    BlockNode *node = bitmap_node(vm, args, "name", &name, err);

    return node && block_image_bitmap_clear(node, name, err);
}

static bool
bitmap_enable(Vm *vm, JsonObject *args, GError **err)
{
    const char *name;
    BlockNode *node = bitmap_node(vm, args, "name", &name, err);

    return node && block_image_bitmap_enable(node, name, true, err);
}

static bool
bitmap_disable(Vm *vm, JsonObject *args, GError **err)
{
    const char *name;
    BlockNode *node = bitmap_node(vm, args, "name", &name, err);

    return node && block_image_bitmap_enable(node, name, false, err);
}

static bool
bitmap_merge(Vm *vm, JsonObject *args, GError **err)
{
    const char *target;
    BlockNode *node = bitmap_node(vm, args, "target", &target, err);
    JsonNode *list = json_object_get_member(args, "bitmaps");
    JsonArray *bitmaps = list && JSON_NODE_HOLDS_ARRAY(list) ? json_node_get_array(list) : NULL;

    if (!node)
        return false;
    if (!bitmaps)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG, "Parameter 'bitmaps' is missing");
    for (guint i = 0; i < json_array_get_length(bitmaps); i++) {
        JsonNode *element = json_array_get_element(bitmaps, i);
        const char *name = NULL;
        BlockNode *from = node;

        if (JSON_NODE_HOLDS_OBJECT(element))
            from = bitmap_node(vm, json_node_get_object(element), "name", &name, err);
        else if (JSON_NODE_HOLDS_VALUE(element))
            name = json_node_get_string(element);
        if (!from || (!name && !kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                               "'bitmaps' has what is neither name nor object")))
            return false;
        if (!block_image_bitmap_merge(node, target, from, name, err))
            return false;
    }
    return true;
}

QMP_HANDLER(qmp_block_dirty_bitmap_add)
{
    bitmap_add(qmp_session_vm(session), args, err);
    return NULL;
}

QMP_HANDLER(qmp_block_dirty_bitmap_remove)
{
    bitmap_remove(qmp_session_vm(session), args, err);
    return NULL;
}

QMP_HANDLER(qmp_block_dirty_bitmap_clear)
{
    bitmap_clear(qmp_session_vm(session), args, err);
    return NULL;
}

QMP_HANDLER(qmp_block_dirty_bitmap_enable)
{
    bitmap_enable(qmp_session_vm(session), args, err);
    return NULL;
}

QMP_HANDLER(qmp_block_dirty_bitmap_disable)
{
    bitmap_disable(qmp_session_vm(session), args, err);
    return NULL;
}

QMP_HANDLER(qmp_block_dirty_bitmap_merge)
{
    bitmap_merge(qmp_session_vm(session), args, err);
    return NULL;
}

/* ---- several as one ---- */

/* An action on a bitmap, and the one that undoes it; NULL: it can only be the last to be done. */
typedef struct {
    const char *name;
    bool (*run)(Vm *vm, JsonObject *args, GError **err);
    bool (*undo)(Vm *vm, JsonObject *args, GError **err);
} BitmapAction;

static const BitmapAction bitmap_actions[] = {
    { "block-dirty-bitmap-add", bitmap_add, bitmap_remove },
    { "block-dirty-bitmap-enable", bitmap_enable, bitmap_disable },
    { "block-dirty-bitmap-disable", bitmap_disable, bitmap_enable },
    { "block-dirty-bitmap-merge", bitmap_merge, NULL },
    { "block-dirty-bitmap-clear", bitmap_clear, NULL },
    { "block-dirty-bitmap-remove", bitmap_remove, NULL },
};

static const BitmapAction *
action_find(const char *name)
{
    for (size_t i = 0; name && i < G_N_ELEMENTS(bitmap_actions); i++)
        if (!strcmp(bitmap_actions[i].name, name))
            return &bitmap_actions[i];
    return NULL;
}

/* The action's arguments; NULL with @err set when it is not one that is offered. */
static JsonObject *
action_data(JsonArray *actions, guint i, const char **ret_type, GError **err)
{
    JsonNode *node = json_array_get_element(actions, i);
    JsonObject *action = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
    JsonNode *data = action ? json_object_get_member(action, "data") : NULL;
    const char *type = action ? keyval_text(action, "type") : NULL;

    *ret_type = type;
    if (!type || !data || !JSON_NODE_HOLDS_OBJECT(data)) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "an action of a transaction has a 'type' and an object 'data'");
        return NULL;
    }
    if (!strcmp(type, "blockdev-snapshot") || !strcmp(type, "blockdev-snapshot-sync") ||
        action_find(type))
        return json_node_get_object(data);
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED,
                   "the action '%s' is not offered in a transaction", type);
    return NULL;
}

static void
actions_undo(Vm *vm, JsonArray *actions, guint n)
{
    while (n-- > 0) {
        const char *type;
        JsonObject *data = action_data(actions, n, &type, NULL);
        const BitmapAction *action = action_find(type);

        if (action && action->undo)
            action->undo(vm, data, NULL);
    }
}

/* First what can be undone and what the snapshots need; the snapshots; then what cannot be undone:
 * it works on bitmaps that are known to be there. */
static bool
transaction_run(Vm *vm, JsonArray *actions, Snapshots *s, GError **err)
{
    guint n = json_array_get_length(actions), i;
    const char *type;
    JsonObject *data;
    bool ok = true;

    for (i = 0; ok && i < n; i++) {
        const BitmapAction *action;

        data = action_data(actions, i, &type, err);
        action = data ? action_find(type) : NULL;
        if (!data)
            ok = false;
        else if (action)
            ok = !action->undo || action->run(vm, data, err);
        else if (!strcmp(type, "blockdev-snapshot"))
            ok = snapshot_take(s, vm, data, err);
        else
            ok = snapshot_take_sync(s, vm, data, err);
    }
    if (!ok || !snapshots_do(s, vm, err)) {
        actions_undo(vm, actions, ok ? i : i - 1);
        snapshots_undo(s, vm);
        return false;
    }
    for (i = 0; ok && i < n; i++) {
        const BitmapAction *action;

        data = action_data(actions, i, &type, err);
        action = action_find(type);
        ok = !action || action->undo || action->run(vm, data, err);
    }
    return ok;
}

QMP_HANDLER(qmp_transaction)
{
    JsonNode *list = json_object_get_member(args, "actions");
    Snapshots s;

    if (!JSON_NODE_HOLDS_ARRAY(list)) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG,
                       "Invalid parameter type for 'actions', expected: array");
        return NULL;
    }
    snapshots_init(&s);
    transaction_run(qmp_session_vm(session), json_node_get_array(list), &s, err);
    snapshots_clear(&s);
    return NULL;
}
