/* flags.h - flags of libvirt's calls that nobody here knows.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_UTIL_FLAGS_H
#define KILN_UTIL_FLAGS_H

#include <glib.h>
#include <stdbool.h>

/* Whether @flags has only bits of @allowed; else VIR_ERR_INVALID_ARG, worded as libvirt words it,
 * for the API @function. */
bool kiln_flags_check(unsigned flags, unsigned allowed, const char *function, GError **err);

#endif
