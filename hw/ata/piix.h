/* piix.h - inside of the PIIX3 and PIIX4 IDE controllers: channels with the registers of two
 * drives, PIO and bus-master DMA.
 *
 * Guarded by the device's lock. vCPUs write registers and move PIO data; all else is done in the
 * loop, to which a vCPU hands the channel with BSY set. What a reset finds under way ends first:
 * BSY stands until then.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_ATA_PIIX_H
#define KILN_HW_ATA_PIIX_H

#include "hw/ata/ata.h"
#include "hw/pci/pci.h"

enum {
    PIIX_CHANNELS = 2,
    PIIX_PIO_MAX = 65536, /* bytes of the largest DRQ */

    BM_START = 1,
    BM_TO_MEMORY = 8,
    BM_ACTIVE = 1,
    BM_ERROR = 2,
    BM_IRQ = 4,
    BM_CAPABLE = 0x60,

    CONTROL_NIEN = 2,
    CONTROL_SRST = 4,
    CONTROL_HOB = 0x80,
};

typedef struct Piix Piix;

/* What one drive shows; index 1 of each is the byte written before the last. */
typedef struct {
    uint8_t features[2], count[2], low[2], mid[2], high[2];
    uint8_t device, status, error;
} PiixRegs;

typedef enum { PIIX_START, PIIX_FETCH, PIIX_STORED, PIIX_DMA, PIIX_RESET } PiixWork;

typedef struct {
    Piix *piix;
    unsigned number;
    AtaBus bus;
    IoRegion ports, alternate;
    GsiSource irq;
    AtaRequest req;
    struct iovec *iov; /* of the bus master's table */
    unsigned room;
    struct iovec own; /* buffer */

    PiixRegs regs[ATA_UNITS];
    uint8_t unit, control;
    bool irq_pending;
    bool active;   /* a command has begun and not ended */
    uint8_t owner; /* of it: the unit */
    bool queued;   /* the loop has been asked */
    uint8_t work;  /* PiixWork: for what */
    bool waiting;  /* the drive is at it */
    bool fetching; /* it fills buffer */
    bool orphan;   /* reset meanwhile */
    bool resetting;
    bool dma_wanted; /* the drive waits for the bus master */
    uint32_t limit;  /* bytes of a DRQ of the packet command */
    uint8_t *buffer;
    uint32_t buffer_size;
    uint32_t pio_at, pio_len;
    bool pio_in;
    uint8_t bm_command, bm_status;
    uint32_t bm_table;

    bool restore; /* what was loaded is to begin anew */

    /* saved state's copies */
    uint8_t saved_phase, saved_packet[SCSI_CDB_MAX];
    uint64_t saved_moved;
    uint8_t saved_command;
} PiixChannel;

struct Piix {
    PciDevice pci; /* first */
    IoLoop *loop;
    PiixChannel channels[PIIX_CHANNELS];
};

/* piix_channel.c */
extern const IoOps piix_port_ops, piix_alternate_ops;
/* In the loop, without the lock. */
void piix_channel_run(void *opaque);
/* Power-on state; with the lock held, nothing runs. */
void piix_channel_power_on(PiixChannel *ch);
/* A soft reset; with the lock held. */
void piix_channel_reset(PiixChannel *ch);
void piix_channel_step(AtaRequest *req);
/* The bus master was started; with the lock held. */
void piix_channel_dma(PiixChannel *ch);
/* Begins the command that was under way when the state was saved anew; in the loop, with the lock
 * held. */
void piix_channel_restore(PiixChannel *ch);

#endif
