/* rng.h - entropy sources: what -object rng-random and rng-builtin make.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_VIRTIO_RNG_H
#define KILN_HW_VIRTIO_RNG_H

#include "hw/core/device.h"

/* Adds the entropy source that a property map (char * to char *) of -object describes to the
 * machine: "qom-type" is rng-random (with "filename", by default /dev/urandom) or rng-builtin (the
 * kernel's getrandom(2)); "id" is required. Others are refused by name. Main thread. */
bool rng_object_add(Machine *machine, GHashTable *props, GError **err);

#endif
