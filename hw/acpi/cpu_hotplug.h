/* cpu_hotplug.h - processors that come and go while the guest runs, as ACPI tells it of them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_ACPI_CPU_HOTPLUG_H
#define KILN_HW_ACPI_CPU_HOTPLUG_H

#include "hw/core/device.h"

enum { CPU_HOTPLUG_SIZE = 12, CPU_HOTPLUG_GPE = 2 };

/* Only on boards where more processors can come than there are at the start. */
extern const DeviceClass cpu_hotplug_class;

/* The port of the registers; 0: all processors of the machine are there for good. */
uint16_t cpu_hotplug_port(Machine *machine);

/* Processor @index (below config.max_cpus) is there from now on; @tell: the guest, which has its
 * tables, is told. Main thread. */
void cpu_hotplug_plug(Machine *machine, unsigned index, bool tell);

/* Asks the guest to give processor @index back. It answers with MachineOps.cpu_ejected, or says by
 * MachineOps.cpu_status that it will not; or never. Main thread. */
void cpu_hotplug_unplug(Machine *machine, unsigned index);

/* Processor @index, which the guest has ejected, has gone. Main thread. */
void cpu_hotplug_gone(Machine *machine, unsigned index);

#endif
