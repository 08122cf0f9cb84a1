/* kvm_stats.h - the counters that KVM keeps of a virtual machine and of each of its processors.
 *
 * Linux Documentation/virt/kvm/api.rst, section 4.133 (KVM_GET_STATS_FD).
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_KVM_STATS_H
#define KILN_LAUNCHER_KVM_STATS_H

#include <glib.h>
#include <stdint.h>

typedef struct {
    char *name;
    unsigned kind, unit, base; /* KVM_STATS_TYPE_…, KVM_STATS_UNIT_…, KVM_STATS_BASE_… */
    int exponent;              /* of @base: 10^-9 seconds are nanoseconds */
    unsigned bucket_size;      /* of a histogram with buckets of one size */
    unsigned n_values;         /* 1, or a histogram's buckets */
    uint64_t *values;
} KvmStat;

/* A descriptor that kvm_stats_read() reads, of a vCPU or a virtual machine (its descriptor is @fd;
 * a vCPU's answers only while it is out of the guest). -1 where KVM has none to give. The caller
 * closes it. */
int kvm_stats_open(int fd);

/* All counters as they are now: KvmStat *, in KVM's order. VIR_ERR_OPERATION_UNSUPPORTED for @fd
 * -1, VIR_ERR_SYSTEM_ERROR when they cannot be read. Any thread, also while the guest runs. */
GPtrArray *kvm_stats_read(int fd, GError **err);

#endif
