/* vcpu_save.h - a virtual processor's state in the stream of a saved guest.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_LAUNCHER_VCPU_SAVE_H
#define KILN_LAUNCHER_VCPU_SAVE_H

#include "launcher/vcpu.h"

/* Appends the state of a stopped vCPU. Main thread. */
bool vcpu_save(Vcpu *vcpu, GByteArray *out, GError **err);

/* Gives a stopped vCPU, which never ran or was reset, the state that @data holds, all of it.
 * Refuses what is damaged, another processor's, or refused by KVM. After a failure the guest must
 * not run. Main thread. */
bool vcpu_load(Vcpu *vcpu, const uint8_t *data, size_t len, GError **err);

#endif
