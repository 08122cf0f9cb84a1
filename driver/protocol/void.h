/* void.h - the empty argument or result of a procedure, so that every row of the procedure table
 * has the same columns.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_PROTOCOL_VOID_H
#define KILN_DRIVER_PROTOCOL_VOID_H

#include <rpc/rpc.h>

typedef struct WireVoid {
    char unused;
} WireVoid;

/* Takes no bytes and gives none. */
bool_t xdr_WireVoid(XDR *xdrs, WireVoid *value);

#endif
