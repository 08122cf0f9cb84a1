/* topology.h - how the guest's processors are grouped, and the APIC ids that follow from it.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_TOPOLOGY_H
#define KILN_LAUNCHER_TOPOLOGY_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

enum { TOPOLOGY_MAX_CPUS = 255 };

typedef struct {
    unsigned cpus, max_cpus; /* present at start; sockets * dies * cores * threads */
    unsigned sockets, dies, cores, threads;
} Topology;

/* Where one processor sits. */
typedef struct {
    unsigned socket, die, core, thread;
} TopologyPlace;

/* Reads -smp (NULL: one processor). What is not given is worked out as qemu(1) does: sockets first.
 * Refuses numbers that do not fit together, naming them. */
bool topology_parse(JsonObject *smp, Topology *ret, GError **err);

TopologyPlace topology_place(const Topology *t, unsigned index);

/* APIC id of processor @index: a field for each level, as wide as its count needs (Intel SDM vol.
 * 3, 9.9.3). */
uint32_t topology_apic_id(const Topology *t, unsigned index);

/* Bits of the id below the core, the die and the package. */
unsigned topology_thread_bits(const Topology *t);
unsigned topology_core_bits(const Topology *t);
unsigned topology_package_bits(const Topology *t);

#endif
