/* state_zstd.h - unpacking a stream that was packed on its way into a file.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_STATE_ZSTD_H
#define KILN_LAUNCHER_STATE_ZSTD_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct StateUnzstd StateUnzstd;

/* Whether these 4 bytes begin a Zstandard frame (RFC 8878, 3.1.1). */
bool state_is_zstd(const uint8_t *data);

/* Unpacks @len bytes of @data (copied; up to 1 MiB) and what @read(@opaque) gives behind them: up
 * to so many bytes, 0 at the end, or -errno. NULL with @err. */
StateUnzstd *state_unzstd_new(const uint8_t *data, size_t len,
                              ssize_t (*read)(void *opaque, uint8_t *data, size_t len),
                              void *opaque, GError **err);
void state_unzstd_free(StateUnzstd *unzstd);

/* Up to @len bytes, 0 at the end, or -errno: -EBADMSG for what cannot be unpacked. */
ssize_t state_unzstd_read(StateUnzstd *unzstd, uint8_t *data, size_t len);

#endif
