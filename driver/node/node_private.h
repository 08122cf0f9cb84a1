/* node_private.h - the inside of Node, for driver/node and its tests.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_NODE_NODE_PRIVATE_H
#define KILN_DRIVER_NODE_NODE_PRIVATE_H

#include "driver/node/cpu.h"
#include "driver/node/node.h"
#include "driver/node/offers.h"

#define NODE_ARCH "x86_64"

/* Where the facts come from. Tests give a fake tree and fake processors. */
typedef struct {
    const char *root; /* before /proc, /sys, /etc; "" on a real host */
    const char *cpu_map_dir;
    CpuFacts *(*read_host)(const CpuMap *map);
    CpuFacts *(*read_kvm)(const CpuMap *map, GError **err);
} NodeSource;

extern const NodeSource node_source_real;

/* As node_new(); @source is kept, not copied. */
Node *node_new_from(const DaemonPaths *paths, const NodeSource *source);

const DaemonPaths *node_paths(const Node *node);
const NodeSource *node_source(const Node *node);

/* The CPU model map, and what KVM offers: read on the first call that succeeds, then kept until the
 * node goes. NULL with @err. Any thread. */
const CpuMap *node_get_map(Node *node, GError **err);
const CpuFacts *node_get_kvm(Node *node, GError **err);

/* node_format_offers() for @machine, kept likewise. */
const char *node_get_offers(Node *node, const NodeMachine *machine);

/* The firmware's UUID, unless it is one of the two that mean none; else one made from
 * machine-id(5), which itself is not to be shown to others. NULL when there is neither. */
char *node_host_uuid(const char *root);

/* Refuses emulators, architectures, machines and domain types that are not run here. */
bool node_check_request(const Node *node, const NodeRequest *request, GError **err);

/* --- writing XML ------------------------------------------------------------------------------ */

/* Appends a line of two blanks per @depth, the text of @format with its %s arguments escaped for
 * XML, and the end of line. */
void xml_line(GString *xml, unsigned depth, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* <enum name='NAME'> of domain capabilities with a <value> for each of @values. */
void xml_enum(GString *xml, unsigned depth, const char *name, const char *const *values);

#endif
