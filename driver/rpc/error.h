/* error.h - libvirt's error object on the wire, made from a GError.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_RPC_ERROR_H
#define KILN_DRIVER_RPC_ERROR_H

#include <glib.h>

#include "driver/rpc/message.h"

/* The whole text a client shows for @code (virErrorNumber) with @detail: "Domain not found: …".
 * Free with g_free(). */
char *rpc_error_text(int code, const char *detail);

/* The packet that answers @header with @err: type REPLY, or STREAM when @stream; status ERROR.
 * @domain is the virErrorDomain to name. */
RpcMessage *rpc_error_message(const RpcHeader *header, bool stream, int domain, const GError *err);

#endif
