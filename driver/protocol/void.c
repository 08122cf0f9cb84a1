/* void.c - XDR routine of the empty argument or result.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/protocol/void.h"

bool_t
xdr_WireVoid(XDR *xdrs, WireVoid *value)
{
    (void)xdrs;
    (void)value;
    return TRUE;
}
