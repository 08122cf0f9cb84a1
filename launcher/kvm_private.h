/* kvm_private.h - between kvm.c and kvm_irq.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_KVM_PRIVATE_H
#define KILN_LAUNCHER_KVM_PRIVATE_H

#include "launcher/kvm.h"

/* Sets kvm->routes to the wiring of a PC: PIC and I/O APIC pins, no messages yet. */
bool kvm_routes_new(Kvm *kvm, GError **err);
void kvm_routes_free(KvmRoutes *routes);

#endif
