/* ps2_port.c - the bytes between a PS/2 device and its controller.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/input/ps2.h"
#include "util/error.h"

#include <string.h>

bool
ps2_port_pending(const Ps2Port *port)
{
    return port->n_replies > 0 || port->n_data > 0;
}

uint8_t
ps2_port_take(Ps2Port *port)
{
    uint8_t *from = port->n_replies ? port->replies : port->data;
    uint16_t *n = port->n_replies ? &port->n_replies : &port->n_data;

    if (*n == 0)
        return 0;
    port->last = from[0];
    memmove(from, from + 1, --*n);
    return port->last;
}

bool
ps2_port_check(const Ps2Port *port, GError **err)
{
    if (port->n_replies <= PS2_REPLIES && port->n_data <= PS2_DATA)
        return true;
    return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                          "a PS/2 port's queue holds more bytes than it has room for");
}

void
ps2_port_clear(Ps2Port *port)
{
    port->n_replies = 0;
    port->n_data = 0;
}

void
ps2_port_reply(Ps2Port *port, uint8_t byte)
{
    if (port->n_replies < PS2_REPLIES)
        port->replies[port->n_replies++] = byte;
}

bool
ps2_port_send(Ps2Port *port, const uint8_t *bytes, unsigned n, unsigned reserve)
{
    if (port->n_data + n + reserve > PS2_DATA)
        return false;
    memcpy(port->data + port->n_data, bytes, n);
    port->n_data = (uint16_t)(port->n_data + n);
    return true;
}
