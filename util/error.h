/* error.h - GError with libvirt's error codes, for everything that ends as an RPC error, a
 * command-line refusal or a log line.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_UTIL_ERROR_H
#define KILN_UTIL_ERROR_H

#include <glib.h>
#include <libvirt/virterror.h>
#include <stdbool.h>

/* Domain of every GError Kiln makes; its code is a virErrorNumber. */
#define KILN_ERROR kiln_error_quark()
GQuark kiln_error_quark(void);

/* Sets *err to @code (virErrorNumber) with a formatted detail. The detail is only the particular
 * part ("no domain with matching name 'x'"); libvirt's general prefix for the code ("Domain not
 * found: ") is added where the error leaves the process. Returns false, so that callers can write
 * `return kiln_error_set(err, ...)`. */
bool kiln_error_set(GError **err, int code, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* As kiln_error_set() with ": strerror(errnum)" at the end; @errnum is positive or negative. */
bool kiln_error_set_errno(GError **err, int code, int errnum, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

/* The libvirt code of @err: its own if Kiln made it, VIR_ERR_SYSTEM_ERROR for GIO and file errors,
 * VIR_ERR_INTERNAL_ERROR for any other domain. */
int kiln_error_code(const GError *err);

#endif
