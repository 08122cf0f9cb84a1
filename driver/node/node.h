/* node.h - the host as clients see it: capabilities, domain capabilities, node info, and the
 * doctor.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_DRIVER_NODE_NODE_H
#define KILN_DRIVER_NODE_NODE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "driver/paths.h"

/* What the host is. Probed on first use and kept; all functions are safe from any thread. */
typedef struct Node Node;

enum { NODE_MAX_VCPUS = 255 }; /* most vCPUs of one guest */

/* virNodeInfo (libvirt-host.h). */
typedef struct {
    char model[32];
    uint64_t memory_kib;
    unsigned cpus, mhz, nodes, sockets, cores, threads;
} NodeInfo;

/* The CPU that <cpu mode='host-model'> stands for: a named model and the differences from it. */
typedef struct {
    const char *model, *vendor; /* vendor may be NULL */
    const char *const *require; /* features beyond the model; NULL-terminated */
    const char *const *disable; /* features of the model that this host's KVM lacks */
} NodeHostModel;

/* @paths is kept, not copied. */
Node *node_new(const DaemonPaths *paths);
void node_free(Node *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Node, node_free)

/* Fails with VIR_ERR_SYSTEM_ERROR when /proc or /sys cannot be read. */
bool node_get_info(Node *node, NodeInfo *ret, GError **err);

/* Capabilities XML; g_free() it. */
char *node_get_capabilities(Node *node, GError **err);

/* Domain capabilities for what the client asks about; each of @emulator, @arch, @machine and @virt
 * may be NULL. What Kiln does not run is refused: VIR_ERR_INVALID_ARG. g_free() the result. */
char *node_get_domain_capabilities(Node *node, const char *emulator, const char *arch,
                                   const char *machine, const char *virt, GError **err);

/* VIR_ERR_INVALID_ARG for a type that is not run here; @type may be NULL. -1 on failure. */
int node_get_max_vcpus(Node *node, const char *type, GError **err);

/* Names of the CPU models that a guest of @arch can be asked to have, as the map has them (char *,
 * owned by the array): whether this host can give one is in the domain capabilities.
 * VIR_ERR_INVALID_ARG for an architecture that is not run here. */
GPtrArray *node_get_cpu_model_names(Node *node, const char *arch, GError **err);

/* host-model of this host; owned by @node. NULL with @err: no KVM, or no CPU model map. */
const NodeHostModel *node_get_host_model(Node *node, GError **err);

/* What a hypervisor is asked about: each may be NULL. */
typedef struct {
    const char *emulator, *arch, *machine, *virt;
} NodeRequest;

/* How this host's CPU (@request NULL), or what KVM offers of it, stands to the <cpu> in @xml: a
 * virCPUCompareResult. @flags: virConnectCompareCPUFlags. VIR_CPU_COMPARE_ERROR with @err. */
int node_compare_cpu(Node *node, const NodeRequest *request, const char *xml, unsigned flags,
                     GError **err);

/* The <cpu> that each of @n hosts with the CPUs in @xml can give a guest; with @request, that KVM
 * here can give, too. @flags: virConnectBaselineCPUFlags. g_free() the text. */
char *node_baseline_cpu(Node *node, const NodeRequest *request, const char *const *xml, size_t n,
                        unsigned flags, GError **err);

/* <sysinfo> of the host's firmware; VIR_ERR_CONFIG_UNSUPPORTED without one. g_free() the text. */
char *node_get_sysinfo(Node *node, GError **err);

/* `virtkilnd --check`: writes to @out what this host can and cannot do for Kiln, each with its
 * remedy. Returns how many findings keep the main job from working. */
int node_doctor(const DaemonPaths *paths, FILE *out);

#endif
