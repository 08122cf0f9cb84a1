/* usb_driver.h - the driver's side of an xHCI controller: rings in the fake machine's RAM.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef KILN_TESTS_HW_USB_DRIVER_H
#define KILN_TESTS_HW_USB_DRIVER_H

#include "tests/unit/hw/fake_machine.h"

#include "hw/pci/pci.h"

/* Where things lie in RAM. */
enum {
    XD_DCBAA = 0x10000,
    XD_COMMANDS = 0x11000,
    XD_SEGMENTS = 0x12000,
    XD_EVENTS = 0x13000,
    XD_EVENT_TRBS = 64,
    XD_INPUT = 0x14000,
    XD_CONTEXTS = 0x20000, /* 0x1000 for each slot */
    XD_RINGS = 0x40000,    /* 0x1000 for each endpoint of a slot, 0x20000 for each slot */
    XD_RING_TRBS = 64,     /* the last is a link */
    XD_BUFFER = 0x200000,
    XD_RAM = 16 << 20,
};
#define XD_BAR UINT64_C(0xe0000000)

typedef struct {
    uint64_t parameter;
    uint32_t status, control;
} XdTrb;

typedef struct {
    uint64_t base;
    unsigned at;
    bool cycle;
} XdRing;

typedef struct {
    FakeMachine *fake;
    XdRing commands, rings[8][32];
    unsigned event_at;
    bool event_cycle;
} XhciDriver;

void xd_init(XhciDriver *xd, FakeMachine *fake, Device *dev);
/* Resets the controller and starts it anew. */
void xd_start(XhciDriver *xd);
uint32_t xd_read(XhciDriver *xd, unsigned offset);
void xd_write(XhciDriver *xd, unsigned offset, uint32_t value);

/* Puts one TRB on a ring; the cycle bit is added. Returns its address. */
uint64_t xd_push(XhciDriver *xd, XdRing *ring, uint64_t parameter, uint32_t status,
                 uint32_t control);
void xd_doorbell(XhciDriver *xd, unsigned slot, unsigned target);
/* The next event; false when there is none within @ms milliseconds. */
bool xd_event(XhciDriver *xd, unsigned ms, XdTrb *ret);
/* Expects an event of @type; returns its completion code. */
unsigned xd_expect(XhciDriver *xd, unsigned type, XdTrb *ret);
/* A command and its completion code; *ret_slot may be NULL. */
unsigned xd_command(XhciDriver *xd, uint64_t parameter, uint32_t control, unsigned *ret_slot);

/* Resets port @port (from 1), gives its device a slot and an address. Returns the slot. */
unsigned xd_attach(XhciDriver *xd, unsigned port, uint32_t route);
/* Sets configuration 1 and starts endpoint @at (2 n + IN) of @type. */
void xd_configure(XhciDriver *xd, unsigned slot, unsigned at, unsigned type);
/* A control transfer with data at XD_BUFFER. Returns the completion code; *ret_len may be NULL. */
unsigned xd_control(XhciDriver *xd, unsigned slot, const uint8_t *setup, uint32_t *ret_len);
/* Queues a transfer of @len bytes at @address. */
void xd_queue(XhciDriver *xd, unsigned slot, unsigned at, uint64_t address, uint32_t len);
/* The same, awaited. Returns the code; *ret_left may be NULL. */
unsigned xd_transfer(XhciDriver *xd, unsigned slot, unsigned at, uint64_t address, uint32_t len,
                     uint32_t *ret_left);

#endif
