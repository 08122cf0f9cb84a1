/* lazy.h - libraries that only some guests need, loaded when one does.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_LAZY_H
#define KILN_LAUNCHER_LAZY_H

#include <glib.h>
#include <stdbool.h>

typedef enum {
    LAZY_SLIRP,
    LAZY_GNUTLS,
    LAZY_NETTLE,
    LAZY_PNG,
    LAZY_ZSTD,
    LAZY_DEFLATE, /* compresses images, which no guest asks for: never loaded */
    LAZY_LIBRARIES
} LazyLibrary;

/* Loads @library, unless it is loaded. Its functions can be called from then on; before, a call
 * ends the process. VIR_ERR_CONFIG_UNSUPPORTED names the library that is missing. Main thread,
 * before the sandbox is entered. */
bool lazy_load(LazyLibrary library, GError **err);

#endif
