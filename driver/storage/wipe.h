/* wipe.h - making the bytes of a volume unreadable.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_STORAGE_WIPE_H
#define KILN_DRIVER_STORAGE_WIPE_H

#include <glib.h>
#include <stdbool.h>

/* Overwrites the file or device at @path; @algorithm is a virStorageVolWipeAlgorithm. The patterns
 * of more than one pass are scrub(1)'s. VIR_ERR_INVALID_ARG for an unknown algorithm,
 * VIR_ERR_NO_SUPPORT for trim, VIR_ERR_OPERATION_UNSUPPORTED when scrub is not installed. */
bool storage_wipe(const char *path, unsigned algorithm, GError **err);

#endif
