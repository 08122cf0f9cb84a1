/* writer.c - a guest that reads, writes, zeroes, discards and flushes at random places of a virtio
 * disk, many requests at once, and keeps a journal of what it asked for and what was acknowledged.
 *
 * Drives the legacy interface (virtio 1.2, sections 2.7 and 4.1.4.10) of the first virtio-blk
 * device on PCI bus 0 by polling. A sector that a request in flight changes is in no other one, so
 * what it may have is known. Runs on any KVM: 32 bits, no FPU, no interrupts.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/crash/writer.h"

enum {
    BLOCK_ID = 0x10011af4, /* transitional: device, vendor */
    IO_BASE = 0xc100,
    REG_DRIVER_FEATURES = 4,
    REG_QUEUE_PAGE = 8,
    REG_QUEUE_SIZE = 12,
    REG_QUEUE_SELECT = 14,
    REG_QUEUE_NOTIFY = 16,
    REG_STATUS = 18,
    F_FLUSH = 1 << 9,
    F_DISCARD = 1 << 13,
    F_ZERO = 1 << 14,
    DESC_NEXT = 1,
    DESC_WRITE = 2,
    T_IN = 0,
    T_OUT = 1,
    T_FLUSH = 4,
    T_DISCARD = 11,
    T_ZERO = 13,
    SECTOR = 512,
    WORDS = SECTOR / 4,
};

typedef struct {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
} Desc;

typedef struct {
    uint32_t type, priority;
    uint64_t sector;
    uint64_t segment_sector; /* of discard and write zeroes */
    uint32_t segment_sectors, segment_flags;
    volatile uint8_t status;
    uint8_t used;
    uint32_t at, count, version;
} Slot;

static uint8_t ring[4096 * 4] __attribute__((aligned(4096)));
static uint8_t input[WRITER_DEPTH][WRITER_LARGEST * SECTOR] __attribute__((aligned(4096)));
static Slot slots[WRITER_DEPTH];
static uint8_t busy[WRITER_SECTORS_MAX]; /* readers in flight, or 255: something that changes it */
static uint32_t features, queue_size, used_seen, in_flight, random_state;
static WriterRecord *journal;

static WriterSettings *const settings = (WriterSettings *)WRITER_SETTINGS;
static uint32_t *const versions = (uint32_t *)WRITER_VERSIONS;
static uint8_t (*const output)[WRITER_LARGEST * SECTOR] = (void *)WRITER_DATA;

static void
out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" ::"a"(value), "d"(port));
}

static void
out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" ::"a"(value), "d"(port));
}

static void
out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" ::"a"(value), "d"(port));
}

static uint16_t
in16(uint16_t port)
{
    uint16_t value;

    __asm__ volatile("inw %1, %0" : "=a"(value) : "d"(port));
    return value;
}

static uint32_t
in32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "d"(port));
    return value;
}

static void
barrier(void)
{
    __asm__ volatile("" ::: "memory"); /* x86 keeps stores in order */
}

static uint32_t
pick(uint32_t n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return (uint32_t)((uint64_t)random_state * n >> 32);
}

static void
note(WriterEvent event, uint32_t slot, uint32_t type, uint32_t sector, uint32_t sectors,
     uint32_t version)
{
    WriterRecord *record = journal;

    while ((uintptr_t)(record + 2) > WRITER_JOURNAL_END)
        __asm__ volatile("pause"); /* full: nothing more is done */
    record->sector = sector;
    record->version = version;
    record->sectors = (uint16_t)sectors;
    record->slot = (uint8_t)slot;
    record->type = (uint8_t)type;
    barrier();
    record->event = event;
    barrier();
    journal = record + 1;
}

/* ---- the disk ---- */

static void
config_select(uint32_t device, uint32_t offset)
{
    out32(0xcf8, 0x80000000 | device << 11 | offset);
}

static int
disk_find(void)
{
    for (uint32_t device = 0; device < 32; device++) {
        config_select(device, 0);
        if (in32(0xcfc) != BLOCK_ID)
            continue;
        config_select(device, 0x10);
        out32(0xcfc, IO_BASE);
        config_select(device, 4);
        out32(0xcfc, 5); /* I/O, bus master */
        return 1;
    }
    return 0;
}

static Desc *
desc_of(uint32_t slot)
{
    return (Desc *)ring + slot * 3;
}

static void
disk_start(void)
{
    out8(IO_BASE + REG_STATUS, 0);
    out8(IO_BASE + REG_STATUS, 3);
    features = in32(IO_BASE) & (F_FLUSH | F_DISCARD | F_ZERO);
    out32(IO_BASE + REG_DRIVER_FEATURES, features);
    out16(IO_BASE + REG_QUEUE_SELECT, 0);
    queue_size = in16(IO_BASE + REG_QUEUE_SIZE);
    out32(IO_BASE + REG_QUEUE_PAGE, (uint32_t)(uintptr_t)ring >> 12);
    out8(IO_BASE + REG_STATUS, 7);
}

static volatile uint16_t *
avail_ring(void)
{
    return (volatile uint16_t *)(ring + queue_size * sizeof(Desc));
}

static volatile uint32_t *
used_ring(void)
{
    uint32_t end = queue_size * sizeof(Desc) + 6 + 2 * queue_size;

    return (volatile uint32_t *)(ring + ((end + 4095) & ~4095u));
}

static void
put(Desc *d, const volatile void *address, uint32_t length, uint16_t flags, uint16_t next)
{
    d->address = (uintptr_t)address;
    d->length = length;
    d->flags = flags;
    d->next = next;
}

static void
slot_send(uint32_t i)
{
    Slot *slot = &slots[i];
    Desc *d = desc_of(i);
    volatile uint16_t *avail = avail_ring();
    uint16_t first = (uint16_t)(i * 3);

    slot->status = 255;
    if (slot->type == T_FLUSH) {
        put(&d[0], slot, 16, DESC_NEXT, first + 2);
    } else if (slot->type == T_DISCARD || slot->type == T_ZERO) {
        put(&d[0], slot, 32, DESC_NEXT, first + 2);
    } else {
        put(&d[0], slot, 16, DESC_NEXT, first + 1);
        put(&d[1], slot->type == T_IN ? input[i] : output[i], slot->count * SECTOR,
            slot->type == T_IN ? DESC_NEXT | DESC_WRITE : DESC_NEXT, first + 2);
    }
    put(&d[2], &slot->status, 1, DESC_WRITE, 0);
    avail[0] = 1; /* no interrupts */
    avail[2 + avail[1] % queue_size] = first;
    barrier();
    avail[1]++;
    barrier();
    out16(IO_BASE + REG_QUEUE_NOTIFY, 0);
}

/* ---- requests ---- */

/* Whether a request may have the sectors; counts it then. */
static int
sectors_take(uint32_t at, uint32_t count, int changes)
{
    for (uint32_t i = at; i < at + count; i++)
        if (busy[i] == 255 || (changes && busy[i]))
            return 0;
    for (uint32_t i = at; i < at + count; i++)
        busy[i] = changes ? 255 : busy[i] + 1;
    return 1;
}

static void
slot_stamp(uint32_t i)
{
    const Slot *slot = &slots[i];
    uint32_t *words = (uint32_t *)output[i];

    for (uint32_t s = slot->at; s < slot->at + slot->count; s++, words += WORDS) {
        words[0] = s;
        words[1] = slot->version;
        words[WORDS - 1] = slot->version;
    }
}

static uint32_t
type_pick(void)
{
    uint32_t n = pick(256);

    if (n < settings->discards && features & F_DISCARD)
        return T_DISCARD;
    n = pick(100);
    if (n < 60)
        return n < 8 && features & F_ZERO ? T_ZERO : T_OUT;
    return n < 84 ? T_IN : T_FLUSH;
}

static void
slot_begin(uint32_t i)
{
    Slot *slot = &slots[i];
    uint32_t type = type_pick(), count = 1 + pick(pick(4) ? 8 : settings->largest);
    uint32_t at = pick(settings->sectors - count);

    if (!pick(3)) { /* whole clusters of some size */
        at &= ~7u;
        count = (count + 7) & ~7u;
        if (count > settings->largest)
            count = settings->largest;
    }
    if (type == T_FLUSH)
        count = at = 0;
    else if (at + count > settings->sectors || !sectors_take(at, count, type != T_IN))
        return;
    slot->type = type;
    slot->sector = type == T_IN || type == T_OUT ? at : 0;
    slot->segment_sector = at;
    slot->segment_sectors = count;
    slot->segment_flags = type == T_ZERO ? pick(2) : 0;
    slot->at = at;
    slot->count = count;
    slot->version = type == T_OUT ? settings->version++ : type == T_ZERO ? 0 : WRITER_UNKNOWN;
    slot->used = 1;
    if (type == T_OUT)
        slot_stamp(i);
    note(WRITER_BEGINS, i, type, at, count, slot->version);
    in_flight++;
    slot_send(i);
}

/* Looks at some words of each sector: a KVM that emulates takes microseconds for each. */
static void
slot_compare(uint32_t i)
{
    const Slot *slot = &slots[i];
    const uint32_t *words = (const uint32_t *)input[i];

    for (uint32_t s = slot->at; s < slot->at + slot->count; s++, words += WORDS) {
        uint32_t v = versions[s];

        if (v != WRITER_UNKNOWN &&
            (words[1] != v || words[WORDS - 1] != v || words[0] != (v ? s : 0)))
            note(WRITER_DIFFERS, i, 0, s, slot->count, v);
    }
}

static void
slot_end(uint32_t i)
{
    Slot *slot = &slots[i];

    note(WRITER_ENDS, i, slot->status, slot->at, slot->count, slot->version);
    if (slot->type == T_IN && slot->status == 0)
        slot_compare(i);
    for (uint32_t s = slot->at; s < slot->at + slot->count; s++) {
        if (slot->type == T_IN) {
            busy[s]--;
            continue;
        }
        versions[s] = slot->status ? WRITER_UNKNOWN : slot->version;
        busy[s] = 0;
    }
    slot->used = 0;
    in_flight--;
}

static void
disk_poll(void)
{
    volatile uint32_t *used = used_ring();

    while ((uint16_t)used_seen != (uint16_t)(used[0] >> 16)) {
        uint32_t head = used[1 + used_seen % queue_size * 2];

        used_seen++;
        if (head / 3 < WRITER_DEPTH && slots[head / 3].used)
            slot_end(head / 3);
    }
}

void writer_run(void);

void
writer_run(void)
{
    journal = (WriterRecord *)WRITER_JOURNAL;
    random_state = settings->seed | 1;
    if (!disk_find()) {
        note(WRITER_HAS_NO_DISK, 0, 0, 0, 0, 0);
        return;
    }
    disk_start();
    for (;;) {
        disk_poll();
        for (uint32_t i = 0; i < settings->depth && in_flight < settings->depth; i++)
            if (!slots[i].used)
                slot_begin(i);
    }
}
