/* layout.h - what a guest reaches without leaving it: RAM, and what lies over RAM or beside it.
 *
 * Firmware, flash, option ROMs, frame buffers and the PC's holes below 1 MiB are overlays. The one
 * with the highest priority is seen; where it has no memory, accesses go to the machine's address
 * map. The outcome is cut into memory slots of the host, and only slots that differ are replaced:
 * several changes between begin and commit cost one exchange, during which no vCPU is in the guest
 * if anything that one could reach goes away for a moment.
 *
 * Devices' DMA does not pass through here: it reaches RAM (memory.h), whatever lies over it.
 *
 * Any thread, with device locks held. Order of locks: the root's, devices', this one's; only where
 * no vCPU runs may others be taken between begin and commit.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_CORE_LAYOUT_H
#define KILN_HW_CORE_LAYOUT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Machine Machine;
typedef struct MemoryLayout MemoryLayout;

/* Who wins where several lie. */
enum {
    OVERLAY_PRIORITY_BAR = 0, /* BARs of PCI functions */
    OVERLAY_PRIORITY_FIRMWARE = 5,
    OVERLAY_PRIORITY_BOARD = 10, /* the chipset's hole for VGA, shadow RAM */
    OVERLAY_PRIORITY_VGA = 15,   /* video memory that is mapped as it lies into that hole */
    OVERLAY_PRIORITY_SMRAM = 20,
};

/* Belongs to its device and lives in the device's state; it must not change while it is placed. */
typedef struct {
    const char *name;   /* for listings */
    uint64_t gpa, size; /* bytes, whole pages */
    uint8_t *host;      /* what is seen; NULL: nothing, the address map answers */
    bool read_only;     /* writes go to the address map */
    bool log;           /* the host notes which pages are written */
    int priority;
} MemoryOverlay;

/* Made and freed by machine_new() and machine_free(). */
MemoryLayout *memory_layout_new(Machine *machine);
void memory_layout_free(MemoryLayout *layout);

/* Between the two, which one thread calls, changes are collected and other threads wait; they may
 * nest. commit returns 0, or the first -errno with which the host refused a slot: what it held then
 * reads as all ones. A commit without changes also takes in RAM that was added. */
void memory_layout_begin(MemoryLayout *layout);
int memory_layout_commit(MemoryLayout *layout);

/* Places @overlay. Returns 0, -EEXIST when it is placed already, -EINVAL when it is not whole pages
 * or wraps, or what commit returns. */
int memory_layout_add(MemoryLayout *layout, MemoryOverlay *overlay);
/* Takes it away; nothing happens when it is not placed. Its memory may be freed afterwards (outside
 * begin and commit). */
void memory_layout_remove(MemoryLayout *layout, MemoryOverlay *overlay);

/* For an overlay with @log: sets a bit in @bitmap for each 4 KiB page of it that the guest has
 * written since the last call (bit 0 of byte 0: the first), and forgets them. @bitmap has a byte
 * for each 8 pages, rounded up to 8 bytes; bits are only added. False, with nothing set, when it is
 * not placed or the host cannot tell: then everything may have been written. */
bool memory_layout_dirty(MemoryLayout *layout, const MemoryOverlay *overlay, uint8_t *bitmap);

/* From now on (or no longer) the host notes which pages of RAM vCPUs write. Returns 0 or the first
 * -errno. Main thread, no vCPU in the guest. */
int memory_layout_log(MemoryLayout *layout, bool on);
/* Enters what vCPUs have written since the last call into the log of guest RAM
 * (guest_memory_log()); all of a slot where the host cannot tell. */
void memory_layout_collect(MemoryLayout *layout);

/* What the guest sees now, in order of address, for listings and tests. */
typedef void (*MemoryLayoutVisit)(uint64_t gpa, uint64_t size, const uint8_t *host, bool read_only,
                                  void *opaque);
void memory_layout_visit(MemoryLayout *layout, MemoryLayoutVisit fn, void *opaque);

#endif
