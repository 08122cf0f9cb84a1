/* topology.h - the host's NUMA nodes, memory and processors as /sys shows them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_NODE_TOPOLOGY_H
#define KILN_DRIVER_NODE_TOPOLOGY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    unsigned id, socket, die, core;
    char *siblings; /* kernel list of the threads of its core, itself included */
} HostCpu;

typedef struct {
    uint64_t size_kib, count;
} HostPages;

typedef struct {
    unsigned cell, value;
} HostDistance;

typedef struct {
    unsigned id;
    uint64_t memory_kib;
    GArray *pages;     /* HostPages: 4 KiB pages that are no part of hugepages, then hugepages */
    GArray *distances; /* HostDistance to each cell; empty if the kernel does not tell */
    GPtrArray *cpus;   /* HostCpu that are online */
} HostCell;

typedef struct {
    GPtrArray *cells; /* HostCell; at least one */
    unsigned cpus;    /* online */
    unsigned offline; /* present, but off */
    uint64_t memory_kib;
} HostTopology;

/* Reads it below @root ("" for the real host). A kernel without NUMA nodes is one cell.
 * VIR_ERR_SYSTEM_ERROR naming the file when the processors or the memory cannot be told. */
HostTopology *host_topology_read(const char *root, GError **err);
void host_topology_free(HostTopology *topology);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostTopology, host_topology_free)

/* Sockets of a node, cores of a socket, threads of a core: the largest of each. Where the product
 * with the number of nodes is not the number of processors, what libvirt tells then: one node, one
 * socket, as many cores as there are processors (virNodeInfo). */
void host_topology_count(const HostTopology *topology, unsigned *ret_nodes, unsigned *ret_sockets,
                         unsigned *ret_cores, unsigned *ret_threads);

#endif
