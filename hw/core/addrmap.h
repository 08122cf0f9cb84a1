/* addrmap.h - which device answers at which port or memory address.
 *
 * The map is an immutable table that is replaced as a whole: readers (vCPU threads) look up without
 * a lock, so a reconfiguration never stops them. Each reader owns an AddressReader, which announces
 * the table it is using (a hazard pointer); a replaced table is freed when no reader announces it.
 *
 * Rules of an access: it lies wholly inside one region or is refused as a whole (a read gives all
 * ones, a write is ignored), and so is one whose size or alignment the region does not take, and
 * one where nothing answers.
 *
 * Order of locks: region's lock (the device's), then the map's own. Regions' callbacks may change
 * any map.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_CORE_ADDRMAP_H
#define KILN_HW_CORE_ADDRMAP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct AddressMap AddressMap;
typedef struct AddressReader AddressReader;

/* What a region does. Values are little-endian numbers of @size bytes; @offset is from the region's
 * start, and offset + size never exceeds its size. Called with the region's lock held, in the
 * accessing thread. A NULL read gives all ones, a NULL write ignores. */
typedef struct {
    uint64_t (*read)(void *opaque, uint64_t offset, unsigned size);
    void (*write)(void *opaque, uint64_t offset, uint64_t value, unsigned size);
    uint8_t sizes;  /* sizes taken, or-ed: 1|2|4|8; 0 means 1|2|4 */
    bool split;     /* a wider access is cut into the widest size taken */
    bool unaligned; /* accesses need not be naturally aligned */
} IoOps;

/* A stretch of registers. It belongs to its device and lives in the device's state. */
typedef struct {
    const char *name; /* for listings; must outlive the region */
    const IoOps *ops;
    void *opaque;
    GMutex *lock;  /* taken around each access; NULL when ops lock by themselves */
    uint64_t size; /* bytes, at least 1 */
    int priority;  /* of two regions at one address the higher answers, then the
                    * later added; board registers IO_PRIORITY_BOARD, BARs 0 */
} IoRegion;

enum { IO_PRIORITY_BAR = 0, IO_PRIORITY_BOARD = 10 };

/* @limit: addresses are 0 to limit - 1; 0 means the whole 64-bit space. */
AddressMap *address_map_new(const char *name, uint64_t limit);
const char *address_map_name(const AddressMap *map);
/* All readers must be gone. NULL is accepted. */
void address_map_free(AddressMap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AddressMap, address_map_free)

/* Puts @region at @base. Returns 0; -ERANGE when it does not fit below the limit; -EEXIST when this
 * region is in the map already. Any thread. */
int address_map_add(AddressMap *map, IoRegion *region, uint64_t base);

/* Takes @region out; nothing happens when it is not there. An access that another thread has begun
 * may still be in the region's callbacks: call address_map_synchronize() before freeing what they
 * use. Any thread, also from a region's own callback. */
void address_map_remove(AddressMap *map, IoRegion *region);

/* Between begin and commit additions and removals do not build a table each; the commit builds one.
 * May nest. Changes of other threads are published with it. */
void address_map_begin(AddressMap *map);
void address_map_commit(AddressMap *map);

/* Waits until no reader is inside an access that began before the call. Must not be called from
 * inside an access, nor with a region's lock held. */
void address_map_synchronize(AddressMap *map);

/* One per thread that accesses; owned by the caller, used by one thread at a time. */
AddressReader *address_reader_new(AddressMap *map);
void address_reader_free(AddressReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AddressReader, address_reader_free)

/* One access of @size 1, 2, 4 or 8 bytes. Return false when it was refused: address_read() has then
 * set *ret to all ones. No lock but the region's. */
bool address_read(AddressReader *reader, uint64_t addr, unsigned size, uint64_t *ret);
bool address_write(AddressReader *reader, uint64_t addr, unsigned size, uint64_t value);

/* Calls @fn for each piece of the current table in order of address. Any thread. */
typedef void (*AddressMapVisit)(uint64_t base, uint64_t size, const IoRegion *region, void *opaque);
void address_map_visit(AddressMap *map, AddressMapVisit fn, void *opaque);

#endif
