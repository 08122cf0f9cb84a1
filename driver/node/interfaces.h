/* interfaces.h - the host's network interfaces as clients see them, to be looked at only.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_NODE_INTERFACES_H
#define KILN_DRIVER_NODE_INTERFACES_H

#include "driver/node/node.h"

typedef struct {
    char *name, *mac; /* @mac: "" for one without */
    bool active;
} NodeInterface;
void node_interface_free(NodeInterface *interface);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NodeInterface, node_interface_free)

/* NodeInterface *, owned by the array, by name: those that are @active, and those that are not when
 * @inactive. */
GPtrArray *node_interfaces(Node *node, bool active, bool inactive);

/* VIR_ERR_NO_INTERFACE. */
NodeInterface *node_interface_find(Node *node, const char *name, GError **err);
/* VIR_ERR_NO_INTERFACE, VIR_ERR_MULTIPLE_INTERFACES. @mac in any case of letters. */
NodeInterface *node_interface_find_mac(Node *node, const char *mac, GError **err);

/* g_free() the text. VIR_ERR_NO_INTERFACE. */
char *node_interface_xml(Node *node, const char *name, GError **err);

/* The same over a tree of /proc and /sys, for tests. */
GPtrArray *host_interfaces(const char *root, bool active, bool inactive);
char *host_interface_xml(const char *root, const char *name, GError **err);

#endif
