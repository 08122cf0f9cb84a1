/* ahci.h - inside of the AHCI controller: its registers and ports.
 *
 * Serial ATA AHCI 1.3.1. Registers are guarded by the device's lock. vCPUs change them; the loop
 * takes the lock when it takes a command off a port and when one ends. Nobody waits for the loop
 * with the lock held: a port that is stopped or reset says so in its registers (PxCMD.CR, PxSSTS,
 * GHC.HR) only when nothing of it is under way any more.
 *
 * What wakes somebody is done without the lock, since who is woken takes it at once: a message
 * interrupt, and calling the loop for a command. Both are noted under the lock and carried out by
 * ahci_unlock(). Interrupts of what ends in one turn of the loop become one message.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_ATA_AHCI_H
#define KILN_HW_ATA_AHCI_H

#include "hw/ata/ata.h"
#include "hw/pci/pci.h"

enum {
    AHCI_PORTS = 6,
    AHCI_SLOTS = 32,

    /* PxIS */
    PX_IS_DHRS = 1 << 0, /* D2H Register FIS */
    PX_IS_PSS = 1 << 1,  /* PIO Setup FIS */
    PX_IS_SDBS = 1 << 3, /* Set Device Bits FIS */
    PX_IS_PCS = 1 << 6,
    PX_IS_OFS = 1 << 24,  /* more data than the table had room for */
    PX_IS_HBDS = 1 << 28, /* the table points where no memory is */
    PX_IS_HBFS = 1 << 29, /* so does the command list */
    PX_IS_TFES = 1 << 30, /* the drive reports an error */

    /* PxCMD */
    PX_CMD_ST = 1 << 0,
    PX_CMD_SUD = 1 << 1,
    PX_CMD_POD = 1 << 2,
    PX_CMD_CLO = 1 << 3,
    PX_CMD_FRE = 1 << 4,
    PX_CMD_FR = 1 << 14,
    PX_CMD_CR = 1 << 15,
    PX_CMD_ATAPI = 1 << 24,

    GHC_HR = 1 << 0,
    GHC_IE = 1 << 1,
};
#define GHC_AE 0x80000000u

typedef struct Ahci Ahci;
typedef struct AhciPort AhciPort;

typedef struct {
    AtaRequest req; /* first */
    AhciPort *port;
    unsigned number;
    bool active;
    bool orphan; /* the port was reset meanwhile: nobody waits for the end */
    bool moved;  /* the data were asked for */
    uint16_t prdtl;
    uint64_t header, table; /* guest physical */
    struct iovec *iov;
    unsigned n_iov, room;
} AhciSlot;

struct AhciPort {
    Ahci *ahci;
    unsigned number;
    AtaBus bus;
    char *name;
    AhciSlot *slots[AHCI_SLOTS]; /* made when first used */

    /* the device's lock */
    uint64_t clb, fb;
    uint32_t is, ie, cmd, tfd, sig, ssts, sctl, serr, sact, ci;
    uint32_t started; /* slots that the loop has taken */
    unsigned running; /* of them, those that have not ended, orphans too */
    bool halted;      /* an error: nothing more until ST goes to 0 */
    bool resetting;   /* a reset waits for the end of what runs */
    bool soft_reset;  /* SRST is set */
    bool link_down;   /* SCTL.DET is 1 or 4 */
};

struct Ahci {
    PciDevice pci; /* first */
    IoLoop *loop;
    AhciPort ports[AHCI_PORTS];
    uint32_t ghc, is;
    uint32_t index; /* of the index-data pair */
    bool buses;
    /* the device's lock; what ahci_unlock() does */
    uint32_t called; /* ports whose commands the loop is to take, a bit each */
    bool message;    /* an MSI is due */
    /* the loop's thread */
    bool settling; /* ahci_settle() is deferred to the end of this turn */
};

/* ahci_port.c; with the device's lock held unless noted */
uint64_t ahci_port_read(AhciPort *port, unsigned offset);
void ahci_port_write(AhciPort *port, unsigned offset, uint32_t value);
/* COMRESET, or the port's part of a reset of the controller. */
void ahci_port_reset(AhciPort *port);
/* When nothing of the port runs: does what waited for that. */
void ahci_port_rest(AhciPort *port);
/* Takes commands off the port, in the loop, without the lock. */
void ahci_port_run(void *opaque);
/* Frees the slots; nothing runs. */
void ahci_port_clear(AhciPort *port);

/* ahci.c: the device's lock, and on its release what was noted under it. */
void ahci_lock(Ahci *ahci);
void ahci_unlock(Ahci *ahci);
/* In the loop: the same at the end of its turn. */
void ahci_settle_later(Ahci *ahci);

/* ahci.c: brings IS and the interrupt in step; with the lock held. @raised: a bit of a PxIS was
 * set. */
void ahci_update_irq(Ahci *ahci, bool raised);
/* A port has come to rest: a reset of the controller may be over. */
void ahci_port_rested(Ahci *ahci);

#endif
