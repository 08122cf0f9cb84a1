/* flags.c - flags that nobody knows. See flags.h.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/flags.h"

#include "util/error.h"

bool
kiln_flags_check(unsigned flags, unsigned allowed, const char *function, GError **err)
{
    return !(flags & ~allowed) ||
           kiln_error_set(err, VIR_ERR_INVALID_ARG, "unsupported flags (0x%x) in function %s",
                          flags & ~allowed, function);
}
