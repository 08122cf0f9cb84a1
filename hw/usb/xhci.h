/* xhci.h - the xHCI controller's own parts, shared by its files.
 *
 * eXtensible Host Controller Interface 1.1 ("xHCI"); section numbers in the sources are its.
 *
 * Everything here is used with the controller's lock held. Registers are answered by vCPUs; rings
 * are walked in the I/O loop only, so that no vCPU waits for a device.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_HW_USB_XHCI_H
#define KILN_HW_USB_XHCI_H

#include "hw/pci/pci.h"
#include "hw/usb/usb.h"

enum {
    XHCI_SLOTS = 64,
    XHCI_INTERRUPTERS = 16,
    XHCI_ENDPOINTS = 31,
    XHCI_PORTS_MAX = 2 * USB_PORTS_MAX,
    XHCI_TRB = 16,           /* bytes */
    XHCI_TD_TRBS = 1024,     /* most in one transfer */
    XHCI_TD_BYTES = 4 << 20, /* most data of one transfer */
    XHCI_LINKS = 16,         /* most link TRBs one after another */
    XHCI_SEGMENTS = 16,      /* of an event ring */
};

/* TRB types (6.4.6) */
enum {
    TRB_NORMAL = 1,
    TRB_SETUP,
    TRB_DATA,
    TRB_STATUS,
    TRB_ISOCH,
    TRB_LINK,
    TRB_EVENT_DATA,
    TRB_NOOP,
    TRB_ENABLE_SLOT,
    TRB_DISABLE_SLOT,
    TRB_ADDRESS_DEVICE,
    TRB_CONFIGURE_ENDPOINT,
    TRB_EVALUATE_CONTEXT,
    TRB_RESET_ENDPOINT,
    TRB_STOP_ENDPOINT,
    TRB_SET_DEQUEUE,
    TRB_RESET_DEVICE,
    TRB_NOOP_COMMAND = 23,
    TRB_TRANSFER_EVENT = 32,
    TRB_COMMAND_EVENT = 33,
    TRB_PORT_EVENT = 34,
    TRB_MFINDEX_EVENT = 39,
    TRB_NEC_EVENT = 48,
    TRB_NEC_FIRMWARE = 49,
};

/* Bits of a TRB's control word */
enum {
    TRB_CYCLE = 1 << 0,
    TRB_TOGGLE = 1 << 1, /* link */
    TRB_EVAL_NEXT = 1 << 1,
    TRB_ISP = 1 << 2, /* interrupt on short packet */
    TRB_EVENT_ED = 1 << 2,
    TRB_CHAIN = 1 << 4,
    TRB_IOC = 1 << 5, /* interrupt on completion */
    TRB_IDT = 1 << 6, /* immediate data */
    TRB_BSR = 1 << 9, /* Address Device: no SET_ADDRESS; Configure: deconfigure */
    TRB_DIR_IN = 1 << 16,
};

/* Completion codes (6.4.5) */
enum {
    CC_SUCCESS = 1,
    CC_DATA_BUFFER = 2,
    CC_BABBLE = 3,
    CC_TRANSACTION = 4,
    CC_TRB = 5,
    CC_STALL = 6,
    CC_NO_SLOTS = 9,
    CC_SLOT_NOT_ENABLED = 11,
    CC_ENDPOINT_NOT_ENABLED = 12,
    CC_SHORT_PACKET = 13,
    CC_PARAMETER = 17,
    CC_CONTEXT_STATE = 19,
    CC_STOPPED = 26,
};

typedef struct {
    uint64_t parameter;
    uint32_t status, control;
    uint64_t address; /* where it was read */
} XhciTrb;

/* A ring that the guest fills. */
typedef struct {
    uint64_t dequeue;
    bool cycle;
} XhciRing;

typedef enum { EP_DISABLED, EP_RUNNING, EP_HALTED, EP_STOPPED, EP_ERROR } XhciEndpointState;

typedef struct {
    uint8_t state; /* XhciEndpointState */
    uint8_t type;  /* of the endpoint context: 2 bulk out … 4 control … */
    bool waiting;  /* the device had nothing to say */
    XhciRing ring;
    uint64_t context; /* guest physical */
    uint32_t edtla;   /* bytes since the last event data TRB */
} XhciEndpoint;

typedef struct {
    bool enabled;
    bool addressed; /* has contexts */
    uint8_t port;   /* of the root hub, from 1 */
    uint32_t route;
    uint64_t context; /* output device context */
    uint32_t kicked;  /* endpoints to look at; bit 0 is endpoint 1 (control) */
    XhciEndpoint endpoints[XHCI_ENDPOINTS];
} XhciSlot;

typedef struct {
    uint32_t iman, imod, erstsz;
    uint64_t erstba, erdp;
    /* the event ring as the controller sees it */
    bool ready; /* segment table read */
    uint32_t n_segments, segment, index;
    bool cycle;
    uint64_t bases[XHCI_SEGMENTS];
    uint32_t sizes[XHCI_SEGMENTS]; /* TRBs */
} XhciInterrupter;

typedef struct {
    uint32_t portsc;
    bool super; /* a USB 3 port */
    bool event; /* a port status change event is due */
    UsbPort *port;
} XhciPort;

typedef struct {
    PciDevice pci; /* first */
    UsbBus bus;
    uint32_t p2, p3; /* properties */
    bool nec;

    uint32_t usbcmd, usbsts, dnctrl, config;
    uint64_t crcr, dcbaap;
    XhciRing commands;
    bool command_running, command_kicked;
    int64_t mfindex_start;
    XhciInterrupter interrupters[XHCI_INTERRUPTERS];
    XhciSlot slots[XHCI_SLOTS]; /* slot n is n - 1 */
    XhciPort ports[XHCI_PORTS_MAX];
    unsigned n_ports;

    bool scheduled; /* the loop will look */
    bool starved;   /* something waits for room in an event ring */
    bool paused;
    /* of the loop: one transfer being built */
    XhciTrb trbs[XHCI_TD_TRBS];
    struct iovec iov[XHCI_TD_TRBS + 16];
} Xhci;

/* ---- xhci_ring.c ---- */

/* Reads the TRB at the ring's dequeue pointer, following links, and moves on. 1 when there was one,
 * 0 when the ring is empty, -EPROTO when it loops or leaves RAM. */
int xhci_ring_fetch(Xhci *xhci, XhciRing *ring, XhciTrb *ret);
/* One transfer: all TRBs up to the one without the chain bit, in xhci->trbs; the ring moves only
 * when it is whole. Returns their number, 0, or -EPROTO. */
int xhci_ring_fetch_td(Xhci *xhci, XhciRing *ring);

/* Events that the ring of @interrupter still takes. */
unsigned xhci_event_room(Xhci *xhci, unsigned interrupter);
void xhci_event_post(Xhci *xhci, unsigned interrupter, uint64_t parameter, uint32_t status,
                     uint32_t control);
/* Reads the segment table again. */
void xhci_interrupter_restart(Xhci *xhci, unsigned interrupter);
void xhci_interrupts_update(Xhci *xhci);

/* ---- xhci_command.c ---- */

/* Carries out commands until the ring is empty or has no room for answers. */
void xhci_commands_run(Xhci *xhci);
void xhci_slot_clear(XhciSlot *slot);
/* The device a slot is about; NULL when it is gone. */
UsbDevice *xhci_slot_device(Xhci *xhci, const XhciSlot *slot);
/* Writes state and dequeue pointer into the endpoint's context. */
void xhci_endpoint_store(Xhci *xhci, XhciEndpoint *ep);

/* ---- xhci_transfer.c ---- */

void xhci_endpoint_run(Xhci *xhci, unsigned slot, unsigned endpoint);
/* Tells the guest how far a stopped endpoint had come. */
void xhci_endpoint_tell_stopped(Xhci *xhci, unsigned slot, unsigned endpoint);

/* ---- xhci_port.c ---- */

extern const UsbBusOps xhci_bus_ops;
void xhci_ports_init(Xhci *xhci);
void xhci_ports_reset(Xhci *xhci);
uint32_t xhci_port_read(Xhci *xhci, unsigned port, unsigned offset);
void xhci_port_write(Xhci *xhci, unsigned port, unsigned offset, uint32_t value);
/* Posts the events that are due and for which there is room. */
void xhci_ports_post(Xhci *xhci);

/* ---- xhci.c ---- */

/* Has the loop look at what was kicked. */
void xhci_schedule(Xhci *xhci);
/* Nonsense from the guest: the controller stops (HCE) until it is reset. */
void xhci_fail(Xhci *xhci);
bool xhci_running(const Xhci *xhci);

#endif
