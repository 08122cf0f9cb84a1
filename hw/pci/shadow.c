/* shadow.c - PAM and SMRAM: what the host bridge shows below 1 MiB.
 *
 * Intel 440FX (290549), section 3.2.15 and 3.2.18; Intel 3 Series Express Chipset (316966),
 * sections 5.1.20 and 5.1.32. Each range is RAM, RAM that cannot be written, or what lies on the
 * bus: there, the last 128 KiB of the system firmware answer up to 1 MiB.
 *
 * Leaves out: SMM itself, so closed SMRAM is never seen; TSEG.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/pci/shadow.h"

#include "hw/core/bytes.h"

#include <string.h>

enum {
    VIDEO_BASE = 0xa0000,
    VIDEO_SIZE = 0x20000,
    SHADOW_BASE = 0xc0000,
    SHADOW_END = 0x100000,
    SEGMENT_SIZE = 0x4000,
    LAST_SEGMENT = 0xf0000,
    ALIAS_SIZE = 0x20000, /* of the firmware, below 1 MiB */
    READ_RAM = 1,
    WRITE_RAM = 2,
};

static uint64_t
shadow_segment_base(unsigned n)
{
    return SHADOW_BASE + (uint64_t)n * SEGMENT_SIZE;
}

static uint64_t
shadow_segment_size(unsigned n)
{
    return shadow_segment_base(n) == LAST_SEGMENT ? SHADOW_END - LAST_SEGMENT : SEGMENT_SIZE;
}

/* Reached where no memory is seen, and by writes to what can only be read. */
static uint64_t
shadow_read(void *opaque, uint64_t offset, unsigned size)
{
    (void)opaque;
    (void)offset;
    return bytes_all_ones(size);
}

static void
shadow_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    Shadow *s = opaque;
    unsigned n = MIN((unsigned)(offset / SEGMENT_SIZE), SHADOW_SEGMENTS - 1);
    uint8_t bytes[8];

    if (!(__atomic_load_n(&s->attributes[n], __ATOMIC_RELAXED) & WRITE_RAM))
        return;
    bytes_store(bytes, value, size);
    (void)guest_memory_write(s->machine->memory, SHADOW_BASE + offset, bytes, size);
}

static const IoOps shadow_ops = { shadow_read, shadow_write, .sizes = 1 | 2 | 4 | 8,
                                  .unaligned = true };

/* The firmware's byte that is seen at @gpa when RAM is not, NULL for none. */
static uint8_t *
shadow_firmware_at(const Machine *machine, uint64_t gpa)
{
    uint64_t from_end = SHADOW_END - gpa;

    if (!machine->rom || from_end > ALIAS_SIZE || from_end > machine->rom_size)
        return NULL;
    return machine->rom + (machine->rom_size - from_end);
}

static void
shadow_show(Shadow *s, MemoryOverlay *overlay, uint8_t *host, bool read_only)
{
    if (overlay->host == host && overlay->read_only == read_only)
        return;
    memory_layout_remove(s->machine->layout, overlay);
    overlay->host = host;
    overlay->read_only = read_only;
    (void)memory_layout_add(s->machine->layout, overlay);
}

void
shadow_update(Shadow *s, const uint8_t pam[SHADOW_PAMS], uint8_t smram)
{
    Machine *machine = s->machine;
    bool open = (smram & SMRAM_ENABLE) && (smram & SMRAM_OPEN);

    memory_layout_begin(machine->layout);
    for (unsigned n = 0; n < SHADOW_SEGMENTS; n++) {
        /* PAM0 holds the last segment in its high half, the others two each. */
        uint8_t reg = n == SHADOW_SEGMENTS - 1 ? pam[0] >> 4 : pam[1 + n / 2] >> (n % 2 ? 4 : 0);
        MemoryOverlay *overlay = &s->segments[n];

        __atomic_store_n(&s->attributes[n], reg & 3, __ATOMIC_RELAXED);
        if (reg & READ_RAM)
            shadow_show(s, overlay,
                        guest_memory_pointer(machine->memory, overlay->gpa, overlay->size),
                        !(reg & WRITE_RAM));
        else
            shadow_show(s, overlay, shadow_firmware_at(machine, overlay->gpa), true);
    }
    if (open != s->smram_open) {
        s->smram_open = open;
        if (open)
            (void)memory_layout_add(machine->layout, &s->smram);
        else
            memory_layout_remove(machine->layout, &s->smram);
    }
    (void)memory_layout_commit(machine->layout);
}

uint8_t
shadow_smram_write(uint8_t old, uint8_t value)
{
    if (old & SMRAM_LOCKED)
        return old;
    value &= SMRAM_OPEN | SMRAM_CLOSED | SMRAM_LOCKED | SMRAM_ENABLE;
    if (value & SMRAM_LOCKED)
        value &= (uint8_t)~SMRAM_OPEN;
    return value | SMRAM_BASE;
}

void
shadow_init(Shadow *s, Machine *machine)
{
    s->machine = machine;
    memory_layout_begin(machine->layout);
    s->video = (MemoryOverlay){ .name = "video-hole",
                                .gpa = VIDEO_BASE,
                                .size = VIDEO_SIZE,
                                .priority = OVERLAY_PRIORITY_BOARD };
    s->smram =
        (MemoryOverlay){ .name = "smram",
                         .gpa = VIDEO_BASE,
                         .size = VIDEO_SIZE,
                         .host = guest_memory_pointer(machine->memory, VIDEO_BASE, VIDEO_SIZE),
                         .priority = OVERLAY_PRIORITY_SMRAM };
    (void)memory_layout_add(machine->layout, &s->video);
    for (unsigned n = 0; n < SHADOW_SEGMENTS; n++) {
        s->segments[n] = (MemoryOverlay){ .name = "shadow",
                                          .gpa = shadow_segment_base(n),
                                          .size = shadow_segment_size(n),
                                          .priority = OVERLAY_PRIORITY_BOARD };
        (void)memory_layout_add(machine->layout, &s->segments[n]);
    }
    (void)memory_layout_commit(machine->layout);
    s->region =
        (IoRegion){ "shadow", &shadow_ops, s, NULL, SHADOW_END - SHADOW_BASE, IO_PRIORITY_BOARD };
    (void)address_map_add(machine->mmio, &s->region, SHADOW_BASE);
}

void
shadow_fini(Shadow *s)
{
    if (!s->machine)
        return;
    memory_layout_begin(s->machine->layout);
    memory_layout_remove(s->machine->layout, &s->video);
    memory_layout_remove(s->machine->layout, &s->smram);
    for (unsigned n = 0; n < SHADOW_SEGMENTS; n++)
        memory_layout_remove(s->machine->layout, &s->segments[n]);
    (void)memory_layout_commit(s->machine->layout);
    address_map_remove(s->machine->mmio, &s->region);
    address_map_synchronize(s->machine->mmio);
    s->machine = NULL;
}
