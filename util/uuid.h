/* uuid.h - UUIDs: 16 bytes, their text, and tables by them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_UTIL_UUID_H
#define KILN_UTIL_UUID_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* As libvirt reads them: spaces around, and hyphens anywhere between bytes. @ret is untouched on
 * failure. */
bool kiln_uuid_parse(const char *text, uint8_t ret[16]);

/* In lower case with four hyphens; g_free() the text. */
char *kiln_uuid_format(const uint8_t uuid[16]);

/* For GHashTable: keys are pointers to 16 bytes. */
guint kiln_uuid_hash(gconstpointer key);
gboolean kiln_uuid_equal(gconstpointer a, gconstpointer b);

#endif
