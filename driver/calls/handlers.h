/* handlers.h - the prototype of each handler, made from the rows of the procedure tables: a row
 * without its handler does not link.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_CALLS_HANDLERS_H
#define KILN_DRIVER_CALLS_HANDLERS_H

#include "driver/calls/call.h"
#include "driver/protocol/events.h"
#include "driver/protocol/qemu.h"

#define PROC(number, name, api, Args, Ret, right, queue, kind, object)                             \
    bool call_##name(Call *call, const Args *args, Ret *ret, GError **err);
#define SECRET(number, Args, field, mask)
#define NONE(number, name, api, right)
#define EVENT(number, name)
#include "driver/calls/procs.def"
#include "driver/calls/procs_qemu.def"
#undef PROC
#undef SECRET
#undef NONE
#undef EVENT

#endif
