/* objects.h - what --object describes: TLS credentials and secrets, by id.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_BLOCK_TOOLS_OBJECTS_H
#define KILN_BLOCK_TOOLS_OBJECTS_H

#include "block/nbd/tls.h"

typedef struct ToolObjects ToolObjects;
ToolObjects *tool_objects_new(void);
void tool_objects_free(ToolObjects *objects);
/* One "tls-creds-x509,id=…,dir=…", "tls-creds-psk,…" or "secret,…"; or JSON. With "help" among the
 * words what there is is printed instead, and *ret_told is true. */
bool tool_objects_add(ToolObjects *objects, const char *text, bool *ret_told, GError **err);
/* New credentials, for the @server or a client, from object @id. The caller frees them. */
NbdTls *tool_objects_tls(const ToolObjects *objects, const char *id, bool server,
                         const char *hostname, GError **err);
/* As block_secrets_get(). */
uint8_t *tool_objects_secret(const ToolObjects *objects, const char *id, size_t *ret_len,
                             GError **err);

#endif
