/* loop.h - the I/O loop of devices that name none.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_CORE_LOOP_H
#define KILN_HW_CORE_LOOP_H

#include "hw/core/machine.h"
#include "util/ioloop.h"

/* Made at its first use as iothread "#io" of the machine. Main thread. */
IoLoop *machine_io_loop(Machine *machine, GError **err);

#endif
