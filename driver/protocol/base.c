/* base.c - base types of the wire. See base.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/protocol/base.h"

bool_t
xdr_WireVoid(XDR *xdrs, WireVoid *value)
{
    (void)xdrs;
    (void)value;
    return TRUE;
}

bool_t
xdr_WireString(XDR *xdrs, WireString *value)
{
    if (xdrs->x_op == XDR_ENCODE && !*value)
        return FALSE;
    return xdr_string(xdrs, value, WIRE_STRING_MAX);
}
