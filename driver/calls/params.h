/* params.h - the typed parameters that a call takes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_CALLS_PARAMS_H
#define KILN_DRIVER_CALLS_PARAMS_H

#include <glib.h>
#include <stdbool.h>

#include "driver/protocol/types.h"

/* A parameter that a call takes, and where its value goes. */
typedef struct {
    const char *name;
    int type;    /* virTypedParameterType */
    void *value; /* uint64_t; int64_t for INT and LLONG; for STRING const char *, borrowed;
                  * for BOOLEAN int, 0 or 1 */
    bool *given; /* may be NULL */
} CallParam;

/* Each parameter must be one of @all, of its type, and be there once: VIR_ERR_ARGUMENT_UNSUPPORTED
 * (74) and VIR_ERR_INVALID_ARG as libvirt has them. */
bool call_params_take(const WireTypedParam *params, guint n_params, const CallParam *all,
                      guint n_all, GError **err);

#endif
