/* nic.c - what every emulated network card shares: its back end, its I/O loop, and the turns in
 * which packets move.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/net/nic.h"

#include <errno.h>

#include "hw/core/loop.h"
#include "util/error.h"

enum {
    TURN = 64,               /* packets each way before others have their turn */
    FRAME_MAX = 65536 + 256, /* room for what a back end may give */
    FRAME_MIN = 14,
};

static void nic_turn(void *opaque);

void
nic_kick(Nic *nic)
{
    if (!nic->open || nic->scheduled)
        return;
    nic->scheduled = true;
    io_loop_defer(nic->loop, nic_turn, nic);
}

bool
nic_link(const Nic *nic)
{
    return net_backend_link(nic->backend);
}

/* True when more packets may wait. */
static bool
nic_receive(Nic *nic)
{
    struct iovec iov = { nic->buffer, FRAME_MAX };

    for (unsigned i = 0; i < TURN; i++) {
        ssize_t len;

        if (!nic_link(nic) || !nic->ops->can_receive(nic)) {
            net_queue_want_packets(nic->backend, 0, false);
            return false;
        }
        len = net_queue_receive(nic->backend, 0, &iov, 1);
        if (len < 0) {
            net_queue_want_packets(nic->backend, 0, len == -EAGAIN);
            return false;
        }
        if (len >= FRAME_MIN)
            nic->ops->receive(nic, nic->buffer, (size_t)len);
    }
    return true;
}

static void
nic_turn(void *opaque)
{
    Nic *nic = opaque;
    bool more = false;

    g_mutex_lock(&nic->device->lock);
    nic->scheduled = false;
    if (nic->open) {
        if (!nic->blocked)
            more = nic->ops->transmit(nic, TURN) && !nic->blocked;
        more |= nic_receive(nic);
        nic->ops->turn_ended(nic);
        if (more)
            nic_kick(nic);
    }
    g_mutex_unlock(&nic->device->lock);
}

bool
nic_send(Nic *nic, const void *frame, size_t len)
{
    struct iovec iov = { (void *)frame, len };

    if (!nic_link(nic))
        return true;
    if (net_queue_send(nic->backend, 0, &iov, 1) == -EAGAIN) {
        nic->blocked = true;
        return false;
    }
    return true;
}

static void
nic_readable(void *opaque, unsigned queue)
{
    (void)queue;
    nic_turn(opaque);
}

static void
nic_writable(void *opaque, unsigned queue)
{
    Nic *nic = opaque;

    (void)queue;
    g_mutex_lock(&nic->device->lock);
    nic->blocked = false;
    g_mutex_unlock(&nic->device->lock);
    nic_turn(nic);
}

static void
nic_link_changed(void *opaque, bool up)
{
    Nic *nic = opaque;

    (void)up;
    g_mutex_lock(&nic->device->lock);
    nic->ops->link_changed(nic);
    nic_kick(nic);
    g_mutex_unlock(&nic->device->lock);
}

static void
nic_open(void *opaque)
{
    Nic *nic = opaque;

    if (nic->open || net_queue_start(nic->backend, 0, nic->loop) < 0)
        return;
    g_mutex_lock(&nic->device->lock);
    nic->open = true;
    nic->blocked = false;
    nic_kick(nic);
    g_mutex_unlock(&nic->device->lock);
}

static void
nic_close(void *opaque)
{
    Nic *nic = opaque;

    if (!nic->open)
        return;
    net_queue_stop(nic->backend, 0);
    io_loop_cancel(nic->loop, nic_turn, nic);
    g_mutex_lock(&nic->device->lock);
    nic->open = nic->scheduled = false;
    g_mutex_unlock(&nic->device->lock);
}

void
nic_set_running(Nic *nic, bool running)
{
    io_loop_run_sync(nic->loop, running ? nic_open : nic_close, nic);
}

static const NetFrontend nic_frontend = {
    .readable = nic_readable,
    .writable = nic_writable,
    .link = nic_link_changed,
};

bool
nic_init(Nic *nic, Device *device, const NicOps *ops, GError **err)
{
    int ret;

    nic->device = device;
    nic->ops = ops;
    if (nic->mac_given && (nic->mac[0] & 1))
        return device_error(device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "mac=%02x:%02x:%02x:%02x:%02x:%02x is a multicast address; the first "
                            "byte of a card's own is even",
                            nic->mac[0], nic->mac[1], nic->mac[2], nic->mac[3], nic->mac[4],
                            nic->mac[5]);
    if (!nic->mac_given)
        machine_default_mac(device->machine, nic->mac);
    nic->loop = machine_io_loop(device->machine, err);
    if (!nic->loop || !net_backend_attach(nic->netdev.object, &nic_frontend, nic, err))
        return false;
    nic->backend = nic->netdev.object;
    ret = net_backend_set_header_len(nic->backend, 0);
    if (ret == 0)
        ret = net_backend_set_offload(nic->backend, 0);
    if (ret == 0)
        ret = net_backend_use_queues(nic->backend, 1);
    if (ret < 0)
        return device_error(device, err, VIR_ERR_SYSTEM_ERROR,
                            "netdev '%s' cannot be set up for bare frames: %s",
                            net_backend_id(nic->backend), g_strerror(-ret));
    nic->buffer = g_malloc(FRAME_MAX);
    return true;
}

void
nic_fini(Nic *nic)
{
    if (nic->backend) {
        nic_set_running(nic, false);
        net_backend_detach(nic->backend);
    }
    nic->backend = NULL;
    g_clear_pointer(&nic->buffer, g_free);
}
