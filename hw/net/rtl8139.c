/* rtl8139.c - Realtek's RTL8139C+ as a PCI function.
 *
 * Leaves out wake-up, the flash behind the expansion ROM, and power management.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/net/rtl8139.h"

#include <string.h>

#include "util/error.h"

static void
card_turn_ended(Nic *nic)
{
    (void)nic; /* interrupts are raised as their causes come */
}

static void
card_link_changed(Nic *nic)
{
    rtl_link_update(rtl_of(nic), true);
}

static const NicOps card_nic_ops = {
    .transmit = rtl_transmit,
    .can_receive = rtl_can_receive,
    .receive = rtl_receive,
    .turn_ended = card_turn_ended,
    .link_changed = card_link_changed,
};

static bool
card_realize(Device *device, GError **err)
{
    Rtl8139 *card = (Rtl8139 *)device;

    if (!nic_init(&card->nic, device, &card_nic_ops, err))
        return false;
    card->frame = g_malloc(RTL_FRAME_MAX);
    card->piece = g_malloc(RTL_FRAME_MAX + 4); /* with a tag */
    card->timer = device_timer_new(device->machine, &device->lock, rtl_timer_expired, card);
    pci_bar_add(&card->pci, 0, PCI_BAR_IO, false, RTL_SIZE);
    pci_bar_add_region(&card->pci, 0, 0, RTL_SIZE, &rtl_register_ops, card, &device->lock,
                       "rtl8139-io");
    pci_bar_add(&card->pci, 1, PCI_BAR_MEM32, false, RTL_SIZE);
    pci_bar_add_region(&card->pci, 1, 0, RTL_SIZE, &rtl_register_ops, card, &device->lock,
                       "rtl8139");
    pci_intx_init(&card->pci);
    rtl_nvm_init(card);
    memcpy(card->regs + RTL_IDR, card->nic.mac, 6);
    rtl_registers_reset(card);
    return true;
}

static void
card_reset(Device *device)
{
    Rtl8139 *card = (Rtl8139 *)device;

    g_mutex_lock(&device->lock);
    memcpy(card->regs + RTL_IDR, card->nic.mac, 6);
    rtl_registers_reset(card);
    g_mutex_unlock(&device->lock);
}

static void
card_set_running(Device *device, bool running)
{
    nic_set_running(&((Rtl8139 *)device)->nic, running);
}

static void
card_unrealize(Device *device)
{
    Rtl8139 *card = (Rtl8139 *)device;
    DeviceTimer *timer;

    nic_fini(&card->nic);
    g_mutex_lock(&device->lock);
    timer = g_steal_pointer(&card->timer);
    g_mutex_unlock(&device->lock);
    device_timer_free(timer);
    g_clear_pointer(&card->frame, g_free);
    g_clear_pointer(&card->piece, g_free);
}

/* ---- state ---- */

static void
card_before_save(void *state)
{
    Rtl8139 *card = state;

    card->timer_passed = (uint64_t)(machine_clock_ns(card->pci.device.machine) - card->timer_base);
}

/* Registers are the guest's word and checked where they are used. */
static bool
card_after_load(void *state, GError **err)
{
    Rtl8139 *card = state;

    if (card->tx_slot >= RTL_TX_SLOTS || card->tx_index[0] >= RTL_RING_MAX ||
        card->tx_index[1] >= RTL_RING_MAX || card->rx_index >= RTL_RING_MAX ||
        card->timer_passed > INT64_MAX / 4)
        return kiln_error_set(err, VIR_ERR_OPERATION_FAILED,
                              "the saved rtl8139 points beyond its rings");
    g_mutex_lock(&card->pci.device.lock);
    card->wire.n_in &= 7;
    card->timer_base = machine_clock_ns(card->pci.device.machine) - (int64_t)card->timer_passed;
    card->have_frame = false;
    rtl_link_update(card, false);
    rtl_timer_update(card);
    rtl_interrupt(card, 0);
    g_mutex_unlock(&card->pci.device.lock);
    return true;
}

static const SavedField card_fields[] = {
    SAVED_BYTES(Rtl8139, regs, 1),        SAVED(Rtl8139, timer_passed, 1),
    SAVED(Rtl8139, tx_slot, 1),           SAVED_BYTES(Rtl8139, tx_index, 1),
    SAVED(Rtl8139, rx_index, 1),          SAVED(Rtl8139, starved, 1),
    SAVED(Rtl8139, tally.sent, 1),        SAVED(Rtl8139, tally.received, 1),
    SAVED(Rtl8139, tally.send_errors, 1), SAVED(Rtl8139, tally.missed, 1),
    SAVED(Rtl8139, tally.unicasts, 1),    SAVED(Rtl8139, tally.broadcasts, 1),
    SAVED(Rtl8139, tally.multicasts, 1),  SAVED(Rtl8139, wire.lines, 1),
    SAVED(Rtl8139, wire.out, 1),          SAVED(Rtl8139, wire.shifted, 1),
    SAVED(Rtl8139, wire.n_in, 1),         SAVED(Rtl8139, wire.reading, 1),
    SAVED(Rtl8139, wire.position, 1),
};

static const SavedTable card_saved = {
    .name = "rtl8139",
    .version = 1,
    .oldest = 1,
    .fields = card_fields,
    .n_fields = G_N_ELEMENTS(card_fields),
    .before_save = card_before_save,
    .after_load = card_after_load,
};

static char *
card_firmware_node(Device *device)
{
    (void)device;
    return g_strdup("ethernet-phy@0");
}

static const DeviceProp card_props[] = { NIC_PROPS(Rtl8139, nic) };

static const PciDetails card_details = {
    .vendor = 0x10ec,
    .device = 0x8139,
    .class_code = 0x020000,
    .revision = 0x20, /* drivers tell the C+ by it */
    .rom = "efi-rtl8139.rom",
};

const DeviceClass rtl8139_class = {
    .name = "rtl8139",
    .description = "100 Mb/s network card (Realtek RTL8139C+)",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .hotpluggable = true,
    .state_size = sizeof(Rtl8139),
    .props = card_props,
    .n_props = G_N_ELEMENTS(card_props),
    .saved = &card_saved,
    .realize = card_realize,
    .reset = card_reset,
    .unrealize = card_unrealize,
    .set_running = card_set_running,
    .firmware_node = card_firmware_node,
    .details = &card_details,
};
