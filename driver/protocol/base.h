/* base.h - the two base types of the wire that rpcgen cannot make: the empty argument or result, so
 * that every row of the procedure table has the same columns, and the string that must be there.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_PROTOCOL_BASE_H
#define KILN_DRIVER_PROTOCOL_BASE_H

#include <rpc/rpc.h>

/* Longest string of the protocol, in bytes. */
#define WIRE_STRING_MAX 4194304

typedef struct WireVoid {
    char unused;
} WireVoid;

/* Takes no bytes and gives none. */
bool_t xdr_WireVoid(XDR *xdrs, WireVoid *value);

typedef char *WireString;

/* A string of at most WIRE_STRING_MAX bytes. One that is missing (NULL) cannot be encoded;
 * libtirpc's own routine would read through the null pointer. */
bool_t xdr_WireString(XDR *xdrs, WireString *value);

#endif
