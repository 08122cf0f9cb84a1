/* topology.c - sockets, dies, cores, threads, and the APIC ids that follow.
 *
 * Intel SDM volume 3, 9.9 (hierarchical ids); the rules of -smp are those of qemu(1). Clusters and
 * books are left out.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "launcher/topology.h"

#include "launcher/keyval.h"
#include "util/error.h"

bool
topology_parse(JsonObject *smp, Topology *ret, GError **err)
{
    uint64_t cpus = 0, max = 0, sockets = 0, dies = 1, cores = 0, threads = 0;

    if (smp && (!keyval_uint("-smp", smp, "cpus", 1, TOPOLOGY_MAX_CPUS, &cpus, err) ||
                !keyval_uint("-smp", smp, "maxcpus", 1, TOPOLOGY_MAX_CPUS, &max, err) ||
                !keyval_uint("-smp", smp, "sockets", 1, TOPOLOGY_MAX_CPUS, &sockets, err) ||
                !keyval_uint("-smp", smp, "dies", 1, TOPOLOGY_MAX_CPUS, &dies, err) ||
                !keyval_uint("-smp", smp, "cores", 1, TOPOLOGY_MAX_CPUS, &cores, err) ||
                !keyval_uint("-smp", smp, "threads", 1, TOPOLOGY_MAX_CPUS, &threads, err)))
        return false;
    /* With a number of processors known, what is missing is filled from the cores up. */
    if (cpus || max) {
        uint64_t total = max ? max : cpus;

        if (!cores && !sockets) {
            sockets = 1;
            threads = threads ? threads : 1;
            cores = MAX(total / (sockets * dies * threads), 1);
        } else if (!cores) {
            threads = threads ? threads : 1;
            cores = MAX(total / (sockets * dies * threads), 1);
        } else if (!sockets) {
            threads = threads ? threads : 1;
            sockets = MAX(total / (dies * cores * threads), 1);
        } else if (!threads) {
            threads = MAX(total / (sockets * dies * cores), 1);
        }
    }
    sockets = sockets ? sockets : 1;
    cores = cores ? cores : 1;
    threads = threads ? threads : 1;
    max = max ? max : sockets * dies * cores * threads;
    cpus = cpus ? cpus : max;
    if (sockets * dies * cores * threads != max)
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "-smp: sockets %u * dies %u * cores %u * threads %u is not maxcpus %u",
            (unsigned)sockets, (unsigned)dies, (unsigned)cores, (unsigned)threads, (unsigned)max);
    if (cpus > max || max > TOPOLOGY_MAX_CPUS)
        return kiln_error_set(
            err, VIR_ERR_CONFIG_UNSUPPORTED,
            "-smp: %u processors of at most %u, which is maxcpus or what sockets, "
            "dies, cores and threads make; the limit is %d",
            (unsigned)cpus, (unsigned)max, TOPOLOGY_MAX_CPUS);
    *ret = (Topology){
        .cpus = cpus,
        .max_cpus = max,
        .sockets = sockets,
        .dies = dies,
        .cores = cores,
        .threads = threads,
    };
    return true;
}

TopologyPlace
topology_place(const Topology *t, unsigned index)
{
    return (TopologyPlace){
        .thread = index % t->threads,
        .core = index / t->threads % t->cores,
        .die = index / t->threads / t->cores % t->dies,
        .socket = index / t->threads / t->cores / t->dies,
    };
}

static unsigned
topology_bits(unsigned count)
{
    return count > 1 ? 32 - __builtin_clz(count - 1) : 0;
}

unsigned
topology_thread_bits(const Topology *t)
{
    return topology_bits(t->threads);
}

unsigned
topology_core_bits(const Topology *t)
{
    return topology_thread_bits(t) + topology_bits(t->cores);
}

unsigned
topology_package_bits(const Topology *t)
{
    return topology_core_bits(t) + topology_bits(t->dies);
}

uint32_t
topology_apic_id(const Topology *t, unsigned index)
{
    TopologyPlace p = topology_place(t, index);

    return p.socket << topology_package_bits(t) | p.die << topology_core_bits(t) |
           p.core << topology_thread_bits(t) | p.thread;
}
