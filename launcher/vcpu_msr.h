/* vcpu_msr.h - model-specific registers that KVM leaves to its user.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_VCPU_MSR_H
#define KILN_LAUNCHER_VCPU_MSR_H

#include "launcher/vcpu.h"

/* Asks KVM to leave to us the registers that vcpu_msr() knows, as far as @cpu has them, and with
 * @ignore_unknown also those that KVM does not know. VIR_ERR_CONFIG_UNSUPPORTED when the latter is
 * asked for and KVM cannot. Before the first vCPU. Main thread. */
bool vcpu_msr_filter(Kvm *kvm, const CpuDefinition *cpu, bool ignore_unknown, GError **err);

/* What a guest reads that is not of KVM, on a package of @topology; false: there is no such
 * register.
 */
bool vcpu_msr_read(const Topology *topology, uint32_t index, uint64_t *ret);

#endif
