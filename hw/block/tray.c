/* tray.c - the tray of a drive and the medium in it: moved by the guest, and from outside by QMP.
 *
 * Behaviour and messages of blockdev-open-tray and its like as QEMU's QMP reference has them. An
 * open tray leaves the medium where it is, unseen by the guest, until it is closed again.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/block/drive.h"

#include <errno.h>
#include <string.h>

#include "util/error.h"

static const char *
tray_name(const Drive *drive)
{
    return drive->dev->id ? drive->dev->id : drive->dev->path;
}

static void
tray_event(Drive *drive, bool open)
{
    Machine *machine = drive->dev->machine;
    JsonObject *data = json_object_new();

    json_object_set_string_member(data, "device", "");
    json_object_set_string_member(data, "id", tray_name(drive));
    json_object_set_boolean_member(data, "tray-open", open);
    machine->ops->event(machine->host, "DEVICE_TRAY_MOVED", data);
}

int
drive_tray(Drive *drive, bool open)
{
    bool had = drive->node != NULL;

    if ((g_atomic_int_get(&drive->tray_open) != 0) == open)
        return 0;
    if (open && g_atomic_int_get(&drive->locked))
        return -EBUSY;
    g_atomic_int_set(&drive->tray_open, open);
    drive->node = open ? NULL : drive->image.object;
    tray_event(drive, open);
    if (drive->ops && drive->ops->medium && had != (drive->node != NULL))
        drive->ops->medium(drive, !had);
    return 0;
}

void
drive_lock_tray(Drive *drive, bool locked)
{
    g_atomic_int_set(&drive->locked, locked);
}

bool
drive_has_medium(const Drive *drive)
{
    return drive->image.object != NULL;
}

/* ---- from outside ---- */

typedef struct {
    Drive *drive;
    bool open, force;
    BlockNode *node;
    int ret;
} TrayCall;

static void
tray_move_call(void *opaque)
{
    TrayCall *call = opaque;

    if (call->force)
        drive_lock_tray(call->drive, false);
    call->ret = drive_tray(call->drive, call->open);
    if (call->ret < 0 && call->drive->ops && call->drive->ops->eject_request)
        call->drive->ops->eject_request(call->drive);
}

static void
tray_node_call(void *opaque)
{
    TrayCall *call = opaque;

    block_queue_set_node(call->drive->queue, call->node);
    call->drive->image.object = call->node;
}

static bool
tray_check(Drive *drive, bool must_be_open, GError **err)
{
    if (!drive->removable)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "Device '%s' is not removable",
                              tray_name(drive));
    if (must_be_open && !g_atomic_int_get(&drive->tray_open))
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID, "Tray of device '%s' is not open",
                              tray_name(drive));
    return true;
}

bool
drive_move_tray(Drive *drive, bool open, bool force, bool *ret_asked, GError **err)
{
    TrayCall call = { .drive = drive, .open = open, .force = open && force };

    if (!tray_check(drive, false, err))
        return false;
    io_loop_run_sync(drive->loop, tray_move_call, &call);
    if (ret_asked)
        *ret_asked = call.ret < 0;
    if (call.ret < 0)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "Device '%s' is locked and force was not specified, wait for tray to "
                              "open and try again",
                              tray_name(drive));
    return true;
}

bool
drive_remove_medium(Drive *drive, GError **err)
{
    TrayCall call = { .drive = drive };
    BlockNode *old = drive->image.object;

    if (!tray_check(drive, true, err))
        return false;
    if (!old)
        return true;
    io_loop_run_sync(drive->loop, tray_node_call, &call);
    block_node_release(old);
    drive->claimed = false;
    machine_object_release(drive->dev->machine, OBJECT_BLOCK_NODE, drive->image.id, drive->dev);
    g_clear_pointer(&drive->image.id, g_free);
    return true;
}

bool
drive_insert_medium(Drive *drive, const char *id, GError **err)
{
    Machine *machine = drive->dev->machine;
    TrayCall call = { .drive = drive };

    if (!tray_check(drive, true, err))
        return false;
    if (drive->image.object)
        return kiln_error_set(err, VIR_ERR_OPERATION_INVALID,
                              "There already is a medium in device '%s'", tray_name(drive));
    call.node = machine_object_claim(machine, OBJECT_BLOCK_NODE, id, drive->dev, err);
    if (!call.node)
        return false;
    if (!block_node_claim(call.node, false, drive->share_rw, err)) {
        machine_object_release(machine, OBJECT_BLOCK_NODE, id, drive->dev);
        return false;
    }
    io_loop_run_sync(drive->loop, tray_node_call, &call);
    drive->image.id = g_strdup(id);
    drive->claimed = true;
    return true;
}
