/* storage.c - usb-storage: a SCSI disk behind Bulk-Only Transport (46f4:0001).
 *
 * USB Mass Storage Class, Bulk-Only Transport 1.0. Data passes through a buffer of the device, so
 * that a command still under way after a reset moves nothing in the guest's memory. A command that
 * was in its data phase when the guest was saved ends as failed after loading; drivers repeat it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/usb/usb.h"

#include <string.h>

#include "hw/core/bytes.h"
#include "hw/scsi/scsi.h"
#include "util/error.h"

enum {
    CBW_BYTES = 31,
    CSW_BYTES = 13,
    CBW_SIGNATURE = 0x43425355,
    CSW_SIGNATURE = 0x53425355,
    CBW_IN = 0x80,
    STATUS_PASSED = 0,
    STATUS_FAILED = 1,
    STATUS_PHASE = 2,
    RESET = 0xff,
    GET_MAX_LUN = 0xfe,
    CHUNK = 128 << 10, /* bytes moved at a time, unless a packet wants more */
    ENDPOINT_IN = 1,
    ENDPOINT_OUT = 2,
    QUEUE_DEPTH = 2,
    BLOCK = 512,
};

typedef enum { MODE_COMMAND, MODE_DATA, MODE_STATUS } StorageMode;

typedef struct {
    UsbDevice usb; /* first */
    Drive drive;
    ScsiLun lun;
    ScsiRequest request;
    bool removable;

    uint8_t mode; /* StorageMode */
    uint32_t tag, left; /* of the CBW: bytes the host still wants to move */
    uint8_t status;
    bool in;
    bool active;    /* the request is started and not ended */
    bool busy;      /* it will call step */
    bool moving;    /* a move is under way */
    bool abandoned; /* its transfer is gone: it ends when it calls */
    bool saved_active;
    uint64_t moved; /* before that move */
    uint8_t *buffer;
    uint32_t room, begin, end; /* bytes [begin, end) of the buffer are data */
    struct iovec piece;
} UsbStorage;

static void
storage_wake(UsbStorage *s)
{
    usb_wakeup(&s->usb, 16 + ENDPOINT_IN);
    usb_wakeup(&s->usb, ENDPOINT_OUT);
}

static void
storage_end_request(UsbStorage *s)
{
    if (!s->active)
        return;
    if (s->busy) {
        s->abandoned = true;
        return;
    }
    scsi_request_end(&s->request);
    s->active = s->moving = s->abandoned = false;
}

/* Takes note of where the request stands. */
static void
storage_phase(UsbStorage *s, ScsiPhase phase)
{
    s->busy = phase == SCSI_WAIT;
    if (s->busy)
        return;
    if (s->moving) {
        s->moving = false;
        if (s->in)
            s->end += (uint32_t)(s->request.moved - s->moved);
    }
    if (phase != SCSI_STATUS)
        return;
    s->status = s->request.status == SCSI_GOOD ? STATUS_PASSED : STATUS_FAILED;
    storage_end_request(s);
}

/* The disk has come further; in the loop, without a lock. */
static void
storage_step(ScsiRequest *request)
{
    UsbStorage *s = (UsbStorage *)((char *)request - offsetof(UsbStorage, request));

    usb_lock(&s->usb);
    s->busy = false;
    if (s->abandoned) {
        storage_end_request(s);
        s->begin = s->end = 0;
    } else {
        storage_phase(s, request->phase);
    }
    storage_wake(s);
    usb_unlock(&s->usb);
}

static void
storage_move(UsbStorage *s, uint32_t at, uint32_t len)
{
    s->piece = (struct iovec){ s->buffer + at, len };
    s->moved = s->request.moved;
    s->moving = true;
    storage_phase(s, scsi_request_move(&s->request, &s->piece, 1));
    drive_submit(&s->drive);
}

static void
storage_make_room(UsbStorage *s, uint32_t room)
{
    if (s->begin > 0) {
        memmove(s->buffer, s->buffer + s->begin, s->end - s->begin);
        s->end -= s->begin;
        s->begin = 0;
    }
    if (room > s->room) {
        s->buffer = g_realloc(s->buffer, room);
        s->room = room;
    }
}

/* A new command; anything but a whole one in the right place stalls until a reset. */
static void
storage_command(UsbStorage *s, UsbPacket *packet)
{
    uint8_t cbw[CBW_BYTES];

    if (s->abandoned && !s->busy)
        storage_end_request(s);
    if (s->active) { /* one that was given up has not ended yet */
        packet->status = USB_NAK;
        return;
    }
    if (packet->length != CBW_BYTES) {
        packet->status = USB_STALL;
        return;
    }
    usb_packet_read(packet, cbw, sizeof(cbw));
    if (bytes_load32(cbw) != CBW_SIGNATURE || cbw[13] != 0 || cbw[14] == 0 || cbw[14] > 16) {
        packet->actual = 0;
        packet->status = USB_STALL;
        return;
    }
    s->tag = bytes_load32(cbw + 4);
    s->left = bytes_load32(cbw + 8);
    s->in = cbw[12] & CBW_IN;
    s->begin = s->end = 0;
    s->mode = s->left ? MODE_DATA : MODE_STATUS;
    memset(s->request.cdb, 0, sizeof(s->request.cdb));
    memcpy(s->request.cdb, cbw + 15, cbw[14]);
    s->request.lun = &s->lun;
    s->request.step = storage_step;
    s->active = true;
    s->moving = false;
    storage_phase(s, scsi_request_start(&s->request));
    drive_submit(&s->drive);
}

/* A request whose data phase the host does not want, or wants the other way round (6.7). */
static bool
storage_phase_error(UsbStorage *s, ScsiPhase phase)
{
    if (!s->active || s->busy || (phase != SCSI_DATA_IN && phase != SCSI_DATA_OUT))
        return false;
    if (s->mode == MODE_DATA && (phase == SCSI_DATA_IN) == s->in)
        return false;
    storage_end_request(s);
    s->status = STATUS_PHASE;
    return true;
}

static void
storage_send_status(UsbStorage *s, UsbPacket *packet)
{
    uint8_t csw[CSW_BYTES];

    storage_phase_error(s, s->request.phase);
    if (s->active) {
        packet->status = USB_NAK;
        return;
    }
    if (packet->length < CSW_BYTES) {
        packet->status = USB_BABBLE;
        return;
    }
    bytes_store(csw, CSW_SIGNATURE, 4);
    bytes_store(csw + 4, s->tag, 4);
    bytes_store(csw + 8, s->left, 4);
    csw[12] = s->status;
    usb_packet_write(packet, csw, sizeof(csw));
    s->mode = MODE_COMMAND;
}

static void
storage_send_data(UsbStorage *s, UsbPacket *packet)
{
    uint32_t want = MIN(packet->length, s->left), have;

    if (!s->in) {
        packet->status = USB_STALL;
        return;
    }
    storage_phase_error(s, s->request.phase);
    if (s->busy) {
        packet->status = USB_NAK;
        return;
    }
    have = s->end - s->begin;
    if (s->active && have < want) {
        uint64_t rest = s->request.length - s->request.moved;
        uint64_t asked = ((uint64_t)s->left - have + BLOCK - 1) / BLOCK * BLOCK;
        uint32_t more = MAX((want - have + BLOCK - 1) / BLOCK * BLOCK, CHUNK);

        /* No more than the host asked for in all. */
        more = (uint32_t)MIN(more, MIN(rest, asked));
        storage_make_room(s, have + more);
        storage_move(s, s->end, more);
        have = s->end - s->begin;
        if (s->busy || (s->active && have < want && s->request.moved < s->request.length)) {
            packet->status = USB_NAK;
            if (!s->busy)
                storage_wake(s);
            return;
        }
    }
    /* Less than a packet ends the transfer: the disk had no more. */
    have = MIN(have, want);
    usb_packet_write(packet, s->buffer + s->begin, have);
    s->begin += have;
    s->left -= have;
    if (s->left == 0 || have < packet->length)
        s->mode = MODE_STATUS;
    if (s->mode == MODE_STATUS && s->active && !s->busy) {
        /* What the host does not take is left. */
        if (s->request.phase != SCSI_STATUS && s->request.moved < s->request.length)
            s->status = STATUS_PHASE;
        storage_end_request(s);
    }
}

static void
storage_take_data(UsbStorage *s, UsbPacket *packet)
{
    uint32_t len = MIN(packet->length, s->left);
    uint64_t rest;

    if (s->in) {
        packet->status = USB_STALL;
        return;
    }
    storage_phase_error(s, s->request.phase);
    if (s->busy) {
        packet->status = USB_NAK;
        return;
    }
    storage_make_room(s, s->end - s->begin + len);
    usb_packet_read(packet, s->buffer + s->end, len);
    s->left -= len;
    if (s->active) {
        s->end += len;
        rest = s->request.length - s->request.moved;
        s->end = (uint32_t)MIN(s->end, rest); /* more than the command takes is thrown away */
        if (s->end == rest || s->left == 0 || s->end >= CHUNK) {
            uint32_t whole = s->end == rest ? s->end : s->end / BLOCK * BLOCK;

            s->begin = whole;
            if (whole > 0)
                storage_move(s, 0, whole);
        }
    }
    if (s->left == 0)
        s->mode = MODE_STATUS;
}

static void
storage_packet(UsbDevice *dev, UsbPacket *packet)
{
    UsbStorage *s = (UsbStorage *)dev;

    if (packet->token == USB_OUT && packet->endpoint == ENDPOINT_OUT) {
        if (s->mode == MODE_COMMAND)
            storage_command(s, packet);
        else if (s->mode == MODE_DATA)
            storage_take_data(s, packet);
        else
            packet->status = USB_STALL;
    } else if (packet->token == USB_IN && packet->endpoint == ENDPOINT_IN) {
        if (s->mode == MODE_STATUS)
            storage_send_status(s, packet);
        else if (s->mode == MODE_DATA)
            storage_send_data(s, packet);
        else
            packet->status = USB_NAK;
    } else {
        packet->status = USB_STALL;
    }
}

/* Power-on, a port's reset, or the class's own: forgets the command, not the disk. */
static void
storage_reset(UsbDevice *dev)
{
    UsbStorage *s = (UsbStorage *)dev;

    s->mode = MODE_COMMAND;
    s->left = 0;
    s->status = STATUS_PASSED;
    if (s->active) {
        if (!s->busy && !io_loop_is_current(dev->port->bus->loop)) {
            /* Only the loop may end it. */
            s->abandoned = true;
            return;
        }
        storage_end_request(s);
    }
    if (!s->active)
        s->begin = s->end = 0;
}

static int
storage_control(UsbDevice *dev, const UsbSetup *setup, uint8_t *data)
{
    if (setup->type == (USB_TYPE_IN | USB_TYPE_CLASS | 1) && setup->request == GET_MAX_LUN) {
        data[0] = 0;
        return 1;
    }
    if (setup->type == (USB_TYPE_CLASS | 1) && setup->request == RESET) {
        storage_reset(dev);
        return 0;
    }
    return -1;
}

/* ---- the disk's side ---- */

static void
storage_medium(Drive *drive, bool loaded)
{
    UsbStorage *s = (UsbStorage *)((char *)drive - offsetof(UsbStorage, drive));

    scsi_lun_medium(&s->lun, loaded);
}

static void
storage_eject_request(Drive *drive)
{
    UsbStorage *s = (UsbStorage *)((char *)drive - offsetof(UsbStorage, drive));

    scsi_lun_eject_request(&s->lun);
}

static const DriveOps storage_drive_ops = {
    .medium = storage_medium,
    .eject_request = storage_eject_request,
};

static bool
storage_realize(Device *device, GError **err)
{
    UsbStorage *s = (UsbStorage *)device;

    if (s->removable)
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "removable=on is not offered: leave it out");
    if (!drive_open(&s->drive, device, s->usb.port->bus->loop, QUEUE_DEPTH, false,
                    &storage_drive_ops, err))
        return false;
    scsi_lun_init(&s->lun, device, &s->drive, SCSI_DISK);
    s->lun.keeps_sense = true;
    s->lun.vendor = "Kiln";
    s->lun.product = "USB disk";
    return true;
}

/* All that the disk has under way is finished; in the loop, without a lock. */
static void
storage_drain(void *opaque)
{
    UsbStorage *s = opaque;

    drive_drain(&s->drive);
    usb_lock(&s->usb);
    storage_end_request(s);
    s->begin = s->end = 0;
    usb_unlock(&s->usb);
}

static void
storage_unrealize(Device *device)
{
    UsbStorage *s = (UsbStorage *)device;

    if (s->drive.queue) {
        usb_lock(&s->usb);
        s->usb.gone = true;
        usb_unlock(&s->usb);
        io_loop_run_sync(s->usb.port->bus->loop, storage_drain, s);
        scsi_request_clear(&s->request);
    }
    drive_close(&s->drive);
    g_clear_pointer(&s->buffer, g_free);
}

static void
storage_power_on(void *opaque)
{
    UsbStorage *s = opaque;

    storage_drain(s);
    drive_reset(&s->drive);
    scsi_lun_reset(&s->lun);
}

static void
storage_device_reset(Device *device)
{
    UsbStorage *s = (UsbStorage *)device;

    io_loop_run_sync(s->usb.port->bus->loop, storage_power_on, s);
}

static void
storage_pause(void *opaque)
{
    drive_pause(&((UsbStorage *)opaque)->drive);
}

static void
storage_resume(void *opaque)
{
    UsbStorage *s = opaque;

    drive_resume(&s->drive);
    usb_lock(&s->usb);
    storage_wake(s);
    usb_unlock(&s->usb);
}

static void
storage_set_running(Device *device, bool running)
{
    io_loop_run_sync(((UsbStorage *)device)->usb.port->bus->loop,
                     running ? storage_resume : storage_pause, device);
}

static bool
storage_after_load(void *state, GError **err)
{
    UsbStorage *s = state;

    if (s->mode > MODE_STATUS)
        return device_error(&s->usb.device, err, VIR_ERR_OPERATION_FAILED,
                            "its saved transfer is in no phase there is");
    if (s->mode == MODE_DATA || s->saved_active)
        s->status = STATUS_FAILED;
    return true;
}

static void
storage_before_save(void *state)
{
    UsbStorage *s = state;

    s->saved_active = s->active;
}

static const uint8_t config_full[] = {
    9, 2, 32, 0, 1, 1, 0, 0xc0, 0,
    9, 4, 0, 0, 2, 8, 6, 0x50, 0, /* mass storage, SCSI, bulk only */
    7, 5, 0x81, 2, 64, 0, 0,
    7, 5, 0x02, 2, 64, 0, 0,
};

static const uint8_t config_high[] = {
    9, 2, 32, 0, 1, 1, 0, 0xc0, 0,
    9, 4, 0, 0, 2, 8, 6, 0x50, 0,
    7, 5, 0x81, 2, 0, 2, 0,
    7, 5, 0x02, 2, 0, 2, 0,
};

static const uint8_t config_super[] = {
    9, 2, 44, 0, 1, 1, 0, 0xc0, 0,
    9, 4, 0, 0, 2, 8, 6, 0x50, 0,
    7, 5, 0x81, 2, 0, 4, 0,
    6, 0x30, 15, 0, 0, 0, /* bursts of 16 */
    7, 5, 0x02, 2, 0, 4, 0,
    6, 0x30, 15, 0, 0, 0,
};

static const SavedField storage_fields[] = {
    SAVED(UsbStorage, mode, 1),
    SAVED(UsbStorage, tag, 1),
    SAVED(UsbStorage, left, 1),
    SAVED(UsbStorage, status, 1),
    SAVED(UsbStorage, in, 1),
    SAVED(UsbStorage, saved_active, 1),
    SAVED_STRUCT(UsbStorage, drive, drive_saved, 1),
    SAVED_STRUCT(UsbStorage, lun, scsi_lun_saved, 1),
};

static const SavedTable storage_saved = {
    .name = "usb-storage",
    .version = 1,
    .oldest = 1,
    .fields = storage_fields,
    .n_fields = G_N_ELEMENTS(storage_fields),
    .before_save = storage_before_save,
    .after_load = storage_after_load,
};

static const DeviceProp storage_props[] = {
    DRIVE_IMAGE_PROP(UsbStorage, drive, true),
    DRIVE_PROPS(UsbStorage, drive),
    DRIVE_SIZE_PROPS(UsbStorage, drive),
    { "removable", PROP_BOOL, offsetof(UsbStorage, removable), "off",
      .help = "off only" },
};

static char *
storage_firmware_node(Device *device)
{
    (void)device;
    return g_strdup("channel@0/disk@0,0");
}

static const UsbClass storage_details = {
    .vendor = 0x46f4,
    .product = 0x0001,
    .version = 0x0100,
    .maker = "Kiln",
    .name = "Kiln USB Disk",
    .config = { [USB_FULL] = config_full, [USB_HIGH] = config_high, [USB_SUPER] = config_super },
    .control = storage_control,
    .packet = storage_packet,
    .reset = storage_reset,
};

const DeviceClass usb_storage_class = {
    .name = "usb-storage",
    .description = "USB disk",
    .base = &usb_device_class,
    .bus = BUS_USB,
    .hotpluggable = true,
    .state_size = sizeof(UsbStorage),
    .drive_offset = offsetof(UsbStorage, drive),
    .props = storage_props,
    .n_props = G_N_ELEMENTS(storage_props),
    .saved = &storage_saved,
    .realize = storage_realize,
    .reset = storage_device_reset,
    .unrealize = storage_unrealize,
    .set_running = storage_set_running,
    .firmware_node = storage_firmware_node,
    .details = &storage_details,
};
