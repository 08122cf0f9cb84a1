/* memory.h - guest RAM as devices see it: bounded access by guest physical address.
 *
 * DMA reaches RAM only. An address that is not RAM, or a range that leaves it, is refused; a device
 * can therefore never be made to call another device's registers.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_CORE_MEMORY_H
#define KILN_HW_CORE_MEMORY_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct GuestMemory GuestMemory;

/* One stretch of RAM. @fd/@fd_offset name the shared file behind @host, for vhost-user and saving;
 * -1 when there is none. */
typedef struct {
    uint64_t gpa, size; /* bytes, multiples of 4096 */
    uint8_t *host;
    int fd;
    uint64_t fd_offset;
} GuestRam;

GuestMemory *guest_memory_new(void);
/* Frees the tables, not the mappings or descriptors, which stay the caller's. NULL is accepted. */
void guest_memory_free(GuestMemory *memory);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestMemory, guest_memory_free)

/* Adds a stretch of RAM, which must stay mapped for as long as @memory lives. Refuses overlap, wrap
 * and sizes that are not whole pages. Main thread; readers in other threads may be running. */
bool guest_memory_add(GuestMemory *memory, const GuestRam *ram, GError **err);

/* The stretches in order of address; valid until @memory is freed. Any thread. */
const GuestRam *guest_memory_list(const GuestMemory *memory, size_t *ret_n);

/* All of guest RAM in bytes. */
uint64_t guest_memory_size(const GuestMemory *memory);

/* Host address of [gpa, gpa+len), or NULL when any byte of it is not RAM or it crosses from one
 * stretch into another. A @len of 0 gives NULL. While writes are logged the pages count as written:
 * who holds the pointer lets go of it when the guest stops (machine_set_running()). Any thread, no
 * lock. */
void *guest_memory_pointer(const GuestMemory *memory, uint64_t gpa, uint64_t len);
/* The same for who only reads there. */
const void *guest_memory_look(const GuestMemory *memory, uint64_t gpa, uint64_t len);

/* Appends [gpa, gpa+len) to @iov as one or more pieces, at most @max. Returns how many, -EFAULT
 * when some byte is not RAM, -E2BIG when @max is too small. A @len of 0 gives 0. Logged as
 * guest_memory_pointer(). Any thread, no lock. */
int guest_memory_iov(const GuestMemory *memory, uint64_t gpa, uint64_t len, struct iovec *iov,
                     unsigned max);
/* The same for who only reads there. */
int guest_memory_look_iov(const GuestMemory *memory, uint64_t gpa, uint64_t len, struct iovec *iov,
                          unsigned max);

/* Copies; may cross stretches. Return 0, or -EFAULT with nothing copied when some byte is not RAM.
 * Any thread, no lock; the guest may change the bytes meanwhile. */
int guest_memory_read(const GuestMemory *memory, uint64_t gpa, void *buf, size_t len);
int guest_memory_write(GuestMemory *memory, uint64_t gpa, const void *buf, size_t len);
int guest_memory_zero(GuestMemory *memory, uint64_t gpa, uint64_t len);

/* The log of pages that devices have written, or hold to write: on, with nothing in it, or off. The
 * guest and its devices stand still. What vCPUs write is the host's to tell
 * (memory_layout_collect()). Main thread. */
void guest_memory_log(GuestMemory *memory, bool on);
bool guest_memory_logs(const GuestMemory *memory);
/* Enters pages. Nothing happens while the log is off, or where there is no RAM. Any thread. */
void guest_memory_mark(const GuestMemory *memory, uint64_t gpa, uint64_t len);
/* Takes out what stretch @i (of guest_memory_list()) has in the log, a bit for each page (bit 0 of
 * the first: the first page), and returns how many there are. @bitmap has guest_memory_log_words()
 * of that stretch. Main thread, the guest and its devices at rest. */
uint64_t guest_memory_log_take(GuestMemory *memory, size_t i, uint64_t *bitmap);
size_t guest_memory_log_words(const GuestRam *ram);

#endif
