/* error.c - GError with libvirt's error codes.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/error.h"

#include <gio/gio.h>
#include <stdarg.h>
#include <stdlib.h>

G_DEFINE_QUARK(kiln - error, kiln_error)

bool
kiln_error_set(GError **err, int code, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    if (err)
        *err = g_error_new_valist(KILN_ERROR, code, format, ap);
    va_end(ap);
    return false;
}

bool
kiln_error_set_errno(GError **err, int code, int errnum, const char *format, ...)
{
    g_autofree char *detail = NULL;
    va_list ap;

    if (!err)
        return false;
    va_start(ap, format);
    detail = g_strdup_vprintf(format, ap);
    va_end(ap);
    *err = g_error_new(KILN_ERROR, code, "%s: %s", detail, g_strerror(abs(errnum)));
    return false;
}

int
kiln_error_code(const GError *err)
{
    if (err->domain == KILN_ERROR)
        return err->code;
    if (err->domain == G_IO_ERROR || err->domain == G_FILE_ERROR)
        return VIR_ERR_SYSTEM_ERROR;
    return VIR_ERR_INTERNAL_ERROR;
}
