/* e1000.h - Intel's gigabit cards 82540EM (e1000) and 82574L (e1000e): registers and state.
 *
 * "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual" (317453), called
 * SDM in these files; "82574 GbE Controller Family Datasheet" (317694), called DS.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_NET_E1000_H
#define KILN_HW_NET_E1000_H

#include "hw/net/nic.h"
#include "hw/pci/pci.h"
#include "net/frame.h"

/* Offsets of registers (SDM 13.3, DS 10.1). */
enum {
    E1000_CTRL = 0x0000,
    E1000_STATUS = 0x0008,
    E1000_EECD = 0x0010,
    E1000_EERD = 0x0014,
    E1000_CTRL_EXT = 0x0018,
    E1000_MDIC = 0x0020,
    E1000_VET = 0x0038,
    E1000_ICR = 0x00c0,
    E1000_ICS = 0x00c8,
    E1000_IMS = 0x00d0,
    E1000_IMC = 0x00d8,
    E1000_EIAC = 0x00dc,
    E1000_IAM = 0x00e0,
    E1000_IVAR = 0x00e4,
    E1000_RCTL = 0x0100,
    E1000_TCTL = 0x0400,
    E1000_PBA = 0x1000,
    E1000_PSRCTL = 0x2170,
    E1000_RX0 = 0x2800, /* queue 0: base low, base high, length, -, head, -, tail; queue 1 +0x100 */
    E1000_TX0 = 0x3800,
    E1000_RXCSUM = 0x5000,
    E1000_RFCTL = 0x5008,
    E1000_MTA = 0x5200,
    E1000_RA = 0x5400,
    E1000_VFTA = 0x5600,
    E1000_MRQC = 0x5818,
    E1000_SWSM = 0x5b50,
    E1000_FWSM = 0x5b54,
    E1000_RETA = 0x5c00,
    E1000_RSSRK = 0x5c80,
    E1000_EXTCNF = 0x0f00,
    E1000_QUEUE_STEP = 0x100,
    E1000_BASE_LOW = 0x00,
    E1000_BASE_HIGH = 0x04,
    E1000_LENGTH = 0x08,
    E1000_HEAD = 0x10,
    E1000_TAIL = 0x18,
    E1000_BAR_SIZE = 0x20000,
};

/* Bits of registers. */
enum {
    CTRL_GIO_MASTER_DISABLE = 1 << 2,
    CTRL_SLU = 1 << 6,
    CTRL_RST = 1 << 26,
    CTRL_VME = 1 << 30,
    STATUS_FD = 1 << 0,
    STATUS_LU = 1 << 1,
    STATUS_1000 = 1 << 7,
    STATUS_PHY_RESET = 1 << 10, /* DS: asserted by a reset, cleared by the driver */
    STATUS_GIO_MASTER = 1 << 19,
    CTRL_EXT_EIAME = 1 << 24,
    CTRL_EXT_IAME = 1 << 27,
    CTRL_EXT_PBA_CLR = 1u << 31,
    RCTL_EN = 1 << 1,
    RCTL_UPE = 1 << 3,
    RCTL_MPE = 1 << 4,
    RCTL_LPE = 1 << 5,
    RCTL_LOOPBACK = 3 << 6,
    RCTL_DTYP = 3 << 10,
    RCTL_BAM = 1 << 15,
    RCTL_VFE = 1 << 18,
    RCTL_BSEX = 1 << 25,
    RCTL_SECRC = 1 << 26,
    TCTL_EN = 1 << 1,
    TCTL_PSP = 1 << 3,
    RFCTL_EXSTEN = 1 << 15,
    RXCSUM_PCSD = 1 << 13,
};

/* Causes of interrupts (SDM 13.4.17, DS 10.2.4.1). */
enum {
    ICR_TXDW = 1 << 0,
    ICR_TXQE = 1 << 1,
    ICR_LSC = 1 << 2,
    ICR_RXDMT0 = 1 << 4,
    ICR_RXO = 1 << 6,
    ICR_RXT0 = 1 << 7,
    ICR_MDAC = 1 << 9,
    ICR_RXQ0 = 1 << 20,
    ICR_RXQ1 = 1 << 21,
    ICR_TXQ0 = 1 << 22,
    ICR_TXQ1 = 1 << 23,
    ICR_OTHER = 1 << 24,
    ICR_ASSERTED = 1u << 31,
};

/* Statistics that are counted; all of 0x4000 to 0x40fc and 0x4100 to 0x4124 clear when read. */
enum {
    STAT_MPC = 0x4010,
    STAT_PRC64 = 0x405c, /* and 127, 255, 511, 1023, 1522 in the words behind it */
    STAT_GPRC = 0x4074,
    STAT_BPRC = 0x4078,
    STAT_MPRC = 0x407c,
    STAT_GPTC = 0x4080,
    STAT_GORC = 0x4088, /* 64 bits */
    STAT_GOTC = 0x4090, /* 64 bits */
    STAT_RNBC = 0x40a0,
    STAT_RUC = 0x40a4,
    STAT_ROC = 0x40ac,
    STAT_TOR = 0x40c0, /* 64 bits */
    STAT_TOT = 0x40c8, /* 64 bits */
    STAT_TPR = 0x40d0,
    STAT_TPT = 0x40d4,
    STAT_PTC64 = 0x40d8, /* and so on */
    STAT_MPTC = 0x40f0,
    STAT_BPTC = 0x40f4,
    STAT_TSCTC = 0x40f8,
};

enum {
    E1000_QUEUES = 2, /* each way; the 82540EM has one */
    E1000_DESCRIPTOR = 16,
    E1000_WORDS = 640, /* at least the words of e1000_registers[] */
    E1000_ROWS = 128,  /* at least its rows */
    E1000_NVM_WORDS = 64,
    E1000_PHY_PAGES = 8,
    E1000_PHY_REGISTERS = 32,
    E1000_FRAME_MAX = 65536 + 256,         /* of what a driver hands over before it is segmented */
    E1000_PIECE_MAX = E1000_FRAME_MAX + 4, /* with a tag */
};

typedef enum { MODEL_82540, MODEL_82574 } E1000Model;

/* The 93C46's pins, as the driver moves them by EECD (SDM 5.3). */
typedef struct {
    uint8_t lines;    /* EECD bits 0 to 2: clock, select, data in */
    bool out;         /* data out */
    uint16_t shifted; /* bits since select, newest lowest */
    uint8_t n_in;
    bool reading;
    uint16_t position; /* of the next bit to put out */
} E1000Wire;

typedef struct {
    FrameOffload tso, sum; /* the two contexts that the card keeps (SDM 3.3.6) */
    bool discard;          /* the rest of a frame that is too long */
} E1000TxContext;

typedef struct {
    PciDevice pci; /* first */
    Nic nic;
    const struct E1000Kind *kind;
    uint32_t words[E1000_WORDS]; /* contents of the registers */
    uint16_t first[E1000_ROWS];  /* of a row of e1000_registers[] in words */
    uint16_t phy[E1000_PHY_PAGES][E1000_PHY_REGISTERS];
    uint16_t nvm[E1000_NVM_WORDS];
    E1000Wire wire;
    E1000TxContext context[E1000_QUEUES];
    uint32_t causes; /* of this turn, not yet in ICR */
    uint8_t *frame;  /* assembled from descriptors */
    uint8_t *piece;  /* of it, as it is sent; also a frame that is received */
    bool have_frame;
    FrameOffload offload; /* of @frame */
    size_t frame_len;
    unsigned next_piece;
    bool tagged; /* @frame gets @tag */
    uint16_t tag;
    uint64_t io_address; /* of the I/O window (SDM 13.2.2) */
    unsigned vectors;    /* of MSI-X in use */
} E1000;

/* What sets one model apart. */
typedef struct E1000Kind {
    E1000Model model;
    uint16_t phy_id[2];
    unsigned queues;
    uint32_t eecd; /* bits that read as one */
    uint8_t eerd_done, eerd_shift;
} E1000Kind;

/* ---- e1000_regs.c ---- */

/* Words at @offset, @offset + 4 … */
typedef struct {
    uint16_t offset, count;
    uint8_t models;    /* bits 1 << E1000Model that have it */
    uint32_t writable; /* bits a driver may set */
    uint32_t reset;
    uint32_t (*read)(E1000 *card, unsigned offset);
    void (*write)(E1000 *card, unsigned offset, uint32_t value);
} E1000Row;

/* In order of offset. */
extern const E1000Row e1000_registers[];
extern const size_t e1000_n_registers;

extern const IoOps e1000_register_ops;
/* Contents of a register; the table must have one at @offset, for any model. */
uint32_t *e1000_word(E1000 *card, unsigned offset);
uint32_t e1000_get(const E1000 *card, unsigned offset);
void e1000_count(E1000 *card, unsigned statistic, uint32_t n);
void e1000_count64(E1000 *card, unsigned statistic, uint64_t n);
/* Where each row's words lie; once at realize. */
void e1000_registers_init(E1000 *card);
/* Power-on contents, or those that CTRL.RST leaves. */
void e1000_registers_reset(E1000 *card);
/* Puts STATUS and the transceiver's status in step with the cable; with LSC when it @changed. */
void e1000_link_update(E1000 *card, bool changed);

/* ---- e1000_nvm.c: what lies beside the registers ---- */

void e1000_nvm_init(E1000 *card);
void e1000_phy_reset(E1000 *card);
/* The link as the transceiver sees it. */
void e1000_phy_link(E1000 *card, bool up);
void e1000_eecd_write(E1000 *card, uint32_t value);
uint32_t e1000_eecd_read(E1000 *card);
void e1000_eerd_write(E1000 *card, uint32_t value);
void e1000_mdic_write(E1000 *card, uint32_t value);

/* ---- e1000_irq.c ---- */

/* Sets causes, and raises what they and the masks ask for. */
void e1000_interrupt(E1000 *card, uint32_t causes);
/* Drives the line, or MSI, after a mask or cause has changed; @edges are the causes for which MSI-X
 * sends a message now, if they are set and not masked. */
void e1000_interrupt_update(E1000 *card, uint32_t edges);
uint32_t e1000_icr_read(E1000 *card);

/* ---- e1000_tx.c, e1000_rx.c: NicOps ---- */

bool e1000_transmit(Nic *nic, unsigned budget);
bool e1000_can_receive(Nic *nic);
void e1000_receive(Nic *nic, const uint8_t *frame, size_t len);

static inline E1000 *
e1000_of(Nic *nic)
{
    return (E1000 *)((char *)nic - offsetof(E1000, nic));
}

/* One ring: number of descriptors and the address of one. */
static inline uint32_t
e1000_ring_size(const E1000 *card, unsigned ring)
{
    return (e1000_get(card, ring + E1000_LENGTH) & 0xfff80) / E1000_DESCRIPTOR;
}

static inline uint64_t
e1000_ring_base(const E1000 *card, unsigned ring)
{
    return ((uint64_t)e1000_get(card, ring + E1000_BASE_HIGH) << 32 |
            e1000_get(card, ring + E1000_BASE_LOW)) &
           ~UINT64_C(15);
}

#endif
