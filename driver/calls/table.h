/* table.h - the rows of procs.def and procs_qemu.def as data.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_CALLS_TABLE_H
#define KILN_DRIVER_CALLS_TABLE_H

#include <rpc/rpc.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/calls/call.h"

typedef enum { CALL_RIGHT_AUTH, CALL_RIGHT_ANY, CALL_RIGHT_READ, CALL_RIGHT_WRITE } CallRight;
typedef enum { CALL_QUEUE_INLINE, CALL_QUEUE_FAST, CALL_QUEUE_SLOW, CALL_QUEUE_THREAD } CallQueue;
typedef enum { CALL_KIND_0, CALL_KIND_STREAM, CALL_KIND_SPARSE, CALL_KIND_FDS } CallKind;
typedef enum {
    CALL_OBJECT_NONE,
    CALL_OBJECT_DOMAIN,
    CALL_OBJECT_NETWORK,
    CALL_OBJECT_SECRET,
    CALL_OBJECT_POOL,
    CALL_OBJECT_VOLUME,
    CALL_OBJECT_SNAPSHOT, /* its domain */
} CallObject;

/* Procedure numbers of events, "CALL_EVENT_" and the name of the row. */
enum {
#define PROC(number, name, api, Args, Ret, right, queue, kind, object)
#define SECRET(number, Args, field, mask)
#define NONE(number, name, api, right)
#define EVENT(number, name) CALL_EVENT_##name = number,
#include "driver/calls/procs.def"
#include "driver/calls/procs_qemu.def"
#undef PROC
#undef SECRET
#undef NONE
#undef EVENT
};

typedef struct CallProc {
    const char *name; /* NULL: no such procedure for clients to call */
    const char *api;
    CallRight right;
    CallQueue queue;
    CallKind kind;
    CallObject object;
    size_t args_size, ret_size;
    xdrproc_t args_xdr, ret_xdr;
    /* NULL: known, not supported. */
    bool (*run)(Call *call, const void *args, void *ret, GError **err);
} CallProc;

/* Bits of an argument: those that read-only connections may not set, or those that a call knows. */
typedef struct CallBits {
    int number;
    size_t offset, size; /* in the arguments, of an unsigned int or hyper */
    const char *field;
    unsigned int mask;
} CallBits;

/* The row of a procedure that clients may call, or NULL. */
const CallProc *call_proc_find(uint32_t prog, int32_t number);

/* The bits of @args that a read-only connection may not set but that are set; @ret_field is the
 * name of the argument. 0 when there are none. */
unsigned int call_proc_secret_bits(uint32_t prog, int32_t number, const void *args,
                                   const char **ret_field);

/* False when @args has flags that the procedure does not know, or that exclude each other; true
 * when it looks for itself. VIR_ERR_INVALID_ARG, or what the row says. */
bool call_proc_check_flags(uint32_t prog, int32_t number, const void *args, GError **err);

/* The virErrorDomain of errors of @proc: that of libvirt's driver which has the call. */
int call_proc_error_domain(const CallProc *proc);

#endif
