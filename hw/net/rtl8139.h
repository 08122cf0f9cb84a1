/* rtl8139.h - Realtek's RTL8139C+ (rtl8139): registers and state.
 *
 * "RTL8139C(L)" and "RTL8139C+(L)" datasheets, called DS in these files.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_NET_RTL8139_H
#define KILN_HW_NET_RTL8139_H

#include "hw/core/bytes.h"
#include "hw/core/timer.h"
#include "hw/net/nic.h"
#include "hw/pci/pci.h"
#include "net/frame.h"

/* Offsets of registers (DS 6, C+ DS 7). */
enum {
    RTL_IDR = 0x00,
    RTL_MAR = 0x08,
    RTL_TSD = 0x10,  /* four; C+: address and command of a counters' dump */
    RTL_TSAD = 0x20, /* four; C+: normal ring (64 bits), ring of high priority (64 bits) */
    RTL_RBSTART = 0x30,
    RTL_CR = 0x37,
    RTL_CAPR = 0x38,
    RTL_CBR = 0x3a,
    RTL_IMR = 0x3c,
    RTL_ISR = 0x3e,
    RTL_TCR = 0x40,
    RTL_RCR = 0x44,
    RTL_TCTR = 0x48,
    RTL_MPC = 0x4c,
    RTL_9346CR = 0x50,
    RTL_CONFIG0 = 0x51,
    RTL_CONFIG1 = 0x52,
    RTL_TIMERINT = 0x54,
    RTL_MSR = 0x58,
    RTL_CONFIG3 = 0x59,
    RTL_RERID = 0x5e,
    RTL_TSAD_ALL = 0x60,
    RTL_BMCR = 0x62,
    RTL_BMSR = 0x64,
    RTL_ANAR = 0x66,
    RTL_ANLPAR = 0x68,
    RTL_ANER = 0x6a,
    RTL_CONFIG5 = 0xd8,
    RTL_TPPOLL = 0xd9,
    RTL_CPCR = 0xe0,
    RTL_RDSAR = 0xe4,
    RTL_SIZE = 0x100,
};

/* Bits of registers. */
enum {
    TSD_SIZE = 0x1fff,
    TSD_OWN = 1 << 13,
    TSD_TUN = 1 << 14,
    TSD_TOK = 1 << 15,
    TSD_ABORTED = 1 << 30,
    CR_BUFFER_EMPTY = 1 << 0,
    CR_TE = 1 << 2,
    CR_RE = 1 << 3,
    CR_RST = 1 << 4,
    ISR_ROK = 1 << 0,
    ISR_TOK = 1 << 2,
    ISR_TER = 1 << 3,
    ISR_RX_FULL = 1 << 4, /* C+: no descriptor */
    ISR_LINK = 1 << 5,
    ISR_TDU = 1 << 7,
    ISR_TIMEOUT = 1 << 14,
    TCR_LOOPBACK = 3 << 17,
    RCR_ALL = 1 << 0,
    RCR_OWN = 1 << 1,
    RCR_MULTICAST = 1 << 2,
    RCR_BROADCAST = 1 << 3,
    RCR_WRAP = 1 << 7,
    CPCR_TX = 1 << 0,
    CPCR_RX = 1 << 1,
    CPCR_RX_VLAN = 1 << 6,
    TPPOLL_NORMAL = 1 << 6,
    TPPOLL_HIGH = 1 << 7,
    MSR_NO_LINK = 1 << 2,
};

enum {
    RTL_TX_SLOTS = 4,
    RTL_RINGS = 2, /* C+: normal, high priority */
    RTL_RING_MAX = 64,
    RTL_DESCRIPTOR = 16,
    RTL_FRAME_MAX = 65536 + 256,
    RTL_NVM_WORDS = 64,
};

/* What the card has counted since it was reset (C+ DS, tally counters). */
typedef struct {
    uint64_t sent, received;
    uint32_t send_errors;
    uint16_t missed;
    uint64_t unicasts, broadcasts;
    uint32_t multicasts;
} RtlTally;

/* The 93C46's pins. */
typedef struct {
    uint8_t lines;
    bool out;
    uint16_t shifted; /* bits since select, newest lowest */
    uint8_t n_in;
    bool reading;
    uint16_t position; /* of the next bit to put out */
} RtlWire;

typedef struct {
    PciDevice pci; /* first */
    Nic nic;
    uint8_t regs[RTL_SIZE]; /* as they are read, but for what rtl_refresh() makes */
    DeviceTimer *timer;     /* NULL once the card is about to go */
    int64_t timer_base;     /* clock at which TCTR was zero */
    uint64_t timer_passed;  /* the same in saved state: nanoseconds since */
    uint8_t tx_slot;        /* of the four, the next to be sent */
    uint8_t tx_index[RTL_RINGS], rx_index;
    bool starved; /* C+: the driver was told that there is no descriptor */
    RtlTally tally;
    RtlWire wire;
    uint16_t nvm[RTL_NVM_WORDS];
    uint8_t *frame, *piece;
    bool have_frame;
    FrameOffload offload; /* of @frame */
    size_t frame_len;
    unsigned next_piece;
    bool tagged;
    uint16_t tag;
} Rtl8139;

static inline Rtl8139 *
rtl_of(Nic *nic)
{
    return (Rtl8139 *)((char *)nic - offsetof(Rtl8139, nic));
}

static inline uint32_t
rtl_get(const Rtl8139 *card, unsigned at, unsigned size)
{
    return (uint32_t)bytes_load(card->regs + at, size);
}

static inline void
rtl_put(Rtl8139 *card, unsigned at, unsigned size, uint32_t value)
{
    bytes_store(card->regs + at, value, size);
}

/* Adds to ISR and drives the line. Card's lock held, as for all of these. */
void rtl_interrupt(Rtl8139 *card, uint16_t causes);

/* rtl8139_tx.c */
bool rtl_transmit(Nic *nic, unsigned budget);

/* rtl8139_rx.c */
bool rtl_can_receive(Nic *nic);
void rtl_receive(Nic *nic, const uint8_t *frame, size_t len);
/* No bytes wait in the ring buffer. */
bool rtl_buffer_empty(const Rtl8139 *card);

/* rtl8139_regs.c */
extern const IoOps rtl_register_ops;
void rtl_registers_reset(Rtl8139 *card);
void rtl_nvm_init(Rtl8139 *card);
/* The cable's state goes into the registers; @tell: with an interrupt when it changed. */
void rtl_link_update(Rtl8139 *card, bool tell);
void rtl_timer_update(Rtl8139 *card);
void rtl_timer_expired(void *opaque);

#endif
