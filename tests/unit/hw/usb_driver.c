/* usb_driver.c - the driver's side of an xHCI controller.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/usb_driver.h"

#include "hw/core/bytes.h"
#include "hw/pci/regs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum {
    OPER = 0x40,
    PORTSC = OPER + 0x400,
    RUNTIME = 0x1000,
    DOORBELLS = 0x2000,
    T_SETUP = 2,
    T_DATA = 3,
    T_STATUS = 4,
    T_LINK = 6,
    T_TRANSFER = 32,
    T_COMMAND = 33,
    T_PORT = 34,
};

uint32_t
xd_read(XhciDriver *xd, unsigned offset)
{
    return (uint32_t)fake_read(xd->fake, XD_BAR + offset, 4);
}

void
xd_write(XhciDriver *xd, unsigned offset, uint32_t value)
{
    fake_write(xd->fake, XD_BAR + offset, 4, value);
}

static XdRing
ring_new(XhciDriver *xd, uint64_t base)
{
    memset(xd->fake->ram + base, 0, XD_RING_TRBS * 16);
    return (XdRing){ base, 0, true };
}

uint64_t
xd_push(XhciDriver *xd, XdRing *ring, uint64_t parameter, uint32_t status, uint32_t control)
{
    uint64_t address = ring->base + ring->at * 16;
    uint8_t *trb = xd->fake->ram + address;

    bytes_store(trb, parameter, 8);
    bytes_store(trb + 8, status, 4);
    bytes_store(trb + 12, control | ring->cycle, 4);
    if (++ring->at == XD_RING_TRBS - 1) {
        trb = xd->fake->ram + ring->base + ring->at * 16;
        bytes_store(trb, ring->base, 8);
        bytes_store(trb + 12, (uint32_t)T_LINK << 10 | 2 | (control & 16) | ring->cycle, 4);
        ring->at = 0;
        ring->cycle = !ring->cycle;
    }
    return address;
}

void
xd_doorbell(XhciDriver *xd, unsigned slot, unsigned target)
{
    xd_write(xd, DOORBELLS + slot * 4, target);
}

bool
xd_event(XhciDriver *xd, unsigned ms, XdTrb *ret)
{
    const uint8_t *trb = xd->fake->ram + XD_EVENTS + xd->event_at * 16;

    for (unsigned i = 0; i <= ms * 10; i++) {
        fake_iterate(xd->fake);
        if ((__atomic_load_n(&trb[12], __ATOMIC_ACQUIRE) & 1) == xd->event_cycle) {
            *ret = (XdTrb){ bytes_load64(trb), bytes_load32(trb + 8), bytes_load32(trb + 12) };
            if (++xd->event_at == XD_EVENT_TRBS) {
                xd->event_at = 0;
                xd->event_cycle = !xd->event_cycle;
            }
            xd_write(xd, RUNTIME + 0x20 + 0x18, (uint32_t)(XD_EVENTS + xd->event_at * 16) | 8);
            return true;
        }
        if (ms)
            g_usleep(100);
    }
    return false;
}

unsigned
xd_expect(XhciDriver *xd, unsigned type, XdTrb *ret)
{
    XdTrb event;

    do {
        if (!xd_event(xd, 5000, &event))
            fail_msg("no event of type %u came", type);
    } while ((event.control >> 10 & 63) == T_PORT && type != T_PORT);
    assert_int_equal(event.control >> 10 & 63, type);
    if (ret)
        *ret = event;
    return event.status >> 24;
}

unsigned
xd_command(XhciDriver *xd, uint64_t parameter, uint32_t control, unsigned *ret_slot)
{
    XdTrb event;
    unsigned code;

    xd_push(xd, &xd->commands, parameter, 0, control);
    xd_doorbell(xd, 0, 0);
    code = xd_expect(xd, T_COMMAND, &event);
    if (ret_slot)
        *ret_slot = event.control >> 24;
    return code;
}

void
xd_start(XhciDriver *xd)
{
    uint8_t *segment = xd->fake->ram + XD_SEGMENTS;

    xd_write(xd, OPER, 2);
    assert_false(xd_read(xd, OPER) & 2);
    memset(xd->fake->ram + XD_DCBAA, 0, 0x1000);
    memset(xd->fake->ram + XD_EVENTS, 0, XD_EVENT_TRBS * 16);
    xd->commands = ring_new(xd, XD_COMMANDS);
    xd->event_at = 0;
    xd->event_cycle = true;
    bytes_store(segment, XD_EVENTS, 8);
    bytes_store(segment + 8, XD_EVENT_TRBS, 8);
    xd_write(xd, OPER + 0x38, 64);
    xd_write(xd, OPER + 0x30, XD_DCBAA);
    xd_write(xd, OPER + 0x34, 0);
    xd_write(xd, OPER + 0x18, XD_COMMANDS | 1);
    xd_write(xd, OPER + 0x1c, 0);
    xd_write(xd, RUNTIME + 0x28, 1);
    xd_write(xd, RUNTIME + 0x38, XD_EVENTS);
    xd_write(xd, RUNTIME + 0x3c, 0);
    xd_write(xd, RUNTIME + 0x30, XD_SEGMENTS);
    xd_write(xd, RUNTIME + 0x34, 0);
    xd_write(xd, RUNTIME + 0x20, 2);
    xd_write(xd, OPER, 1 | 4);
}

void
xd_init(XhciDriver *xd, FakeMachine *fake, Device *dev)
{
    uint16_t bdf = pci_requester_id(pci_device(dev));

    memset(xd, 0, sizeof(*xd));
    xd->fake = fake;
    pci_config_write(fake->machine->pci, bdf, PCI_BASE_ADDRESS_0, 4, (uint32_t)XD_BAR);
    pci_config_write(fake->machine->pci, bdf, PCI_BASE_ADDRESS_0 + 4, 4, 0);
    pci_config_write(fake->machine->pci, bdf, PCI_COMMAND, 2, 6);
    xd_start(xd);
}

/* An input context that adds slot and endpoint @at. */
static void
put_input(XhciDriver *xd, unsigned slot, uint32_t add, unsigned port, uint32_t route, unsigned at,
          unsigned type)
{
    uint8_t *in = xd->fake->ram + XD_INPUT, *ep = in + 32 * (at + 1);

    memset(in, 0, 33 * 32);
    bytes_store(in + 4, add, 4);
    bytes_store(in + 32, route | 31u << 27, 4);
    bytes_store(in + 36, port << 16, 4);
    ep[4] = (uint8_t)(type << 3 | 3 << 1);
    bytes_store(ep + 6, 64, 2);
    xd->rings[slot][at] = ring_new(xd, XD_RINGS + slot * 0x20000 + at * 0x1000);
    bytes_store(ep + 8, xd->rings[slot][at].base | 1, 8);
}

unsigned
xd_attach(XhciDriver *xd, unsigned port, uint32_t route)
{
    unsigned slot;

    if (route == 0) {
        xd_write(xd, PORTSC + (port - 1) * 16, 1 << 9 | 1 << 4);
        assert_true(xd_read(xd, PORTSC + (port - 1) * 16) & 2);
    }
    assert_int_equal(xd_command(xd, 0, 9 << 10, &slot), 1);
    assert_in_range(slot, 1, 7);
    memset(xd->fake->ram + XD_CONTEXTS + slot * 0x1000, 0, 0x1000);
    bytes_store(xd->fake->ram + XD_DCBAA + slot * 8, XD_CONTEXTS + slot * 0x1000, 8);
    put_input(xd, slot, 3, port, route, 1, 4);
    assert_int_equal(xd_command(xd, XD_INPUT, 11 << 10 | slot << 24, NULL), 1);
    return slot;
}

void
xd_configure(XhciDriver *xd, unsigned slot, unsigned at, unsigned type)
{
    static const uint8_t set_configuration[8] = { 0, 9, 1 };
    const uint8_t *context = xd->fake->ram + XD_CONTEXTS + slot * 0x1000;

    put_input(xd, slot, 1 | 1u << at, context[6], bytes_load32(context) & 0xfffff, at, type);
    assert_int_equal(xd_command(xd, XD_INPUT, 12 << 10 | slot << 24, NULL), 1);
    assert_int_equal(xd_control(xd, slot, set_configuration, NULL), 1);
}

unsigned
xd_control(XhciDriver *xd, unsigned slot, const uint8_t *setup, uint32_t *ret_len)
{
    XdRing *ring = &xd->rings[slot][1];
    uint32_t len = bytes_load16(setup + 6);
    bool in = setup[0] & 0x80;
    unsigned code;
    XdTrb event;

    xd_push(xd, ring, bytes_load64(setup), 8,
            T_SETUP << 10 | 1 << 6 | (uint32_t)(len ? in ? 3 : 2 : 0) << 16);
    if (len)
        xd_push(xd, ring, XD_BUFFER, len, T_DATA << 10 | 1 << 5 | 1 << 2 | (uint32_t)in << 16);
    xd_push(xd, ring, 0, 0, T_STATUS << 10 | 1 << 5 | (uint32_t)(in && len ? 0 : 1) << 16);
    xd_doorbell(xd, slot, 1);
    if (len) {
        code = xd_expect(xd, T_TRANSFER, &event);
        if (ret_len)
            *ret_len = len - (event.status & 0xffffff);
        if (code != 1 && code != 13)
            return code;
    }
    return xd_expect(xd, T_TRANSFER, &event);
}

void
xd_queue(XhciDriver *xd, unsigned slot, unsigned at, uint64_t address, uint32_t len)
{
    XdRing *ring = &xd->rings[slot][at];

    while (len > 0x10000) {
        xd_push(xd, ring, address, 0x10000, 1 << 10 | 1 << 4 | 1 << 2);
        address += 0x10000;
        len -= 0x10000;
    }
    xd_push(xd, ring, address, len, 1 << 10 | 1 << 5 | 1 << 2);
    xd_doorbell(xd, slot, at);
}

unsigned
xd_transfer(XhciDriver *xd, unsigned slot, unsigned at, uint64_t address, uint32_t len,
            uint32_t *ret_left)
{
    unsigned code;
    XdTrb event;

    xd_queue(xd, slot, at, address, len);
    code = xd_expect(xd, T_TRANSFER, &event);
    assert_int_equal(event.control >> 16 & 31, at);
    if (ret_left)
        *ret_left = event.status & 0xffffff;
    return code;
}
