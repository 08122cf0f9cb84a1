/* e1000.c - Intel's gigabit cards as PCI functions: e1000 (82540EM) and e1000e (82574L).
 *
 * The 82574's option ROM flash is empty, its wake-up and manageability are absent, and so is
 * IEEE 1588.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/net/e1000.h"

#include <string.h>

#include "hw/core/bytes.h"
#include "util/error.h"

enum {
    IO_SIZE_82540 = 64,
    IO_SIZE_82574 = 32,
    IO_ADDRESS = 0,
    IO_DATA = 4,
    FLASH_SIZE = 0x20000,
    MSIX_SIZE = 0x4000,
    MSIX_PBA = 0x2000,
    MSIX_VECTORS = 5,
};

/* ---- the I/O window (SDM 13.2.2) ---- */

static uint64_t
window_read(void *opaque, uint64_t offset, unsigned size)
{
    E1000 *card = opaque;

    if (offset == IO_ADDRESS)
        return card->io_address;
    if (offset == IO_DATA && card->io_address < E1000_BAR_SIZE)
        return e1000_register_ops.read(card, card->io_address & ~UINT64_C(3), size);
    return 0;
}

static void
window_write(void *opaque, uint64_t offset, uint64_t value, unsigned size)
{
    E1000 *card = opaque;

    if (offset == IO_ADDRESS)
        card->io_address = value;
    else if (offset == IO_DATA && card->io_address < E1000_BAR_SIZE)
        e1000_register_ops.write(card, card->io_address & ~UINT64_C(3), value, size);
}

static const IoOps window_ops = { .read = window_read, .write = window_write, .sizes = 4 };

/* ---- the device ---- */

static void
card_turn_ended(Nic *nic)
{
    E1000 *card = e1000_of(nic);
    uint32_t causes = card->causes;

    card->causes = 0;
    if (causes)
        e1000_interrupt(card, causes);
}

static void
card_link_changed(Nic *nic)
{
    e1000_link_update(e1000_of(nic), true);
}

static const NicOps card_nic_ops = {
    .transmit = e1000_transmit,
    .can_receive = e1000_can_receive,
    .receive = e1000_receive,
    .turn_ended = card_turn_ended,
    .link_changed = card_link_changed,
};

static void
card_start(E1000 *card)
{
    e1000_nvm_init(card);
    e1000_phy_reset(card);
    e1000_registers_reset(card);
}

static bool
card_realize(E1000 *card, const E1000Kind *kind, GError **err)
{
    Device *device = &card->pci.device;

    card->kind = kind;
    if (!nic_init(&card->nic, device, &card_nic_ops, err))
        return false;
    card->frame = g_malloc(E1000_FRAME_MAX);
    card->piece = g_malloc(E1000_PIECE_MAX);
    e1000_registers_init(card);
    pci_bar_add(&card->pci, 0, PCI_BAR_MEM32, false, E1000_BAR_SIZE);
    pci_bar_add_region(&card->pci, 0, 0, E1000_BAR_SIZE, &e1000_register_ops, card, &device->lock,
                       device->class->name);
    pci_intx_init(&card->pci);
    return true;
}

static bool
e1000_realize(Device *device, GError **err)
{
    static const E1000Kind kind = {
        .model = MODEL_82540,
        .phy_id = { 0x0141, 0x0c20 },
        .queues = 1,
        .eecd = 1 << 8, /* present */
        .eerd_done = 1 << 4,
        .eerd_shift = 8,
    };
    E1000 *card = (E1000 *)device;

    if (!card_realize(card, &kind, err))
        return false;
    pci_bar_add(&card->pci, 1, PCI_BAR_IO, false, IO_SIZE_82540);
    pci_bar_add_region(&card->pci, 1, 0, IO_SIZE_82540, &window_ops, card, &device->lock,
                       "e1000-io");
    card_start(card);
    return true;
}

/* The MAC as EUI-64, the vendor's part first (82574 datasheet, section 9.2 of revision 3.4; PCI
 * Express Base 4.0, section 7.9.3.2). */
static uint64_t
card_serial(const E1000 *card)
{
    const uint8_t *mac = card->nic.mac;
    const uint8_t bytes[8] = { mac[5], mac[4], mac[3], 0xff, 0xff, mac[2], mac[1], mac[0] };

    return bytes_load64(bytes);
}

static bool
e1000e_realize(Device *device, GError **err)
{
    static const E1000Kind kind = {
        .model = MODEL_82574,
        .phy_id = { 0x0141, 0x0cb1 },
        .queues = 2,
        .eecd = 1 << 8 | 1 << 9, /* present, and read at the start */
        .eerd_done = 1 << 1,
        .eerd_shift = 2,
    };
    E1000 *card = (E1000 *)device;

    if (!card_realize(card, &kind, err))
        return false;
    pci_bar_add(&card->pci, 1, PCI_BAR_MEM32, false, FLASH_SIZE);
    pci_bar_add(&card->pci, 2, PCI_BAR_IO, false, IO_SIZE_82574);
    pci_bar_add_region(&card->pci, 2, 0, IO_SIZE_82574, &window_ops, card, &device->lock,
                       "e1000e-io");
    pci_bar_add(&card->pci, 3, PCI_BAR_MEM32, false, MSIX_SIZE);
    pci_express_add(&card->pci, PCI_EXP_TYPE_ENDPOINT, 0);
    pci_msi_init(&card->pci, 1);
    if (!pci_msix_init(&card->pci, MSIX_VECTORS, 3, 0, MSIX_PBA, err))
        return false;
    pci_power_add(&card->pci, PCI_PM_1_1 | PCI_PM_OWN_INIT,
                  PCI_PM_CONTROL_STATE | PCI_PM_CONTROL_PME | PCI_PM_CONTROL_DATA);
    pci_extended_add_errors(&card->pci);
    pci_extended_add_serial(&card->pci, card_serial(card));
    for (unsigned i = 0; i < MSIX_VECTORS; i++) {
        int r = pci_msix_use(&card->pci, i);

        if (r < 0)
            return device_error(device, err, VIR_ERR_OPERATION_FAILED,
                                "no event descriptor for interrupt vector %u: %s", i,
                                g_strerror(-r));
        card->vectors++;
    }
    card_start(card);
    return true;
}

static void
card_function_reset(PciDevice *dev)
{
    E1000 *card = (E1000 *)dev;

    card->io_address = 0;
    e1000_phy_reset(card);
    e1000_registers_reset(card);
}

static void
card_reset(Device *device)
{
    g_mutex_lock(&device->lock);
    card_function_reset(pci_device(device));
    g_mutex_unlock(&device->lock);
}

static void
card_set_running(Device *device, bool running)
{
    nic_set_running(&((E1000 *)device)->nic, running);
}

static void
card_unrealize(Device *device)
{
    E1000 *card = (E1000 *)device;

    nic_fini(&card->nic);
    while (card->vectors > 0)
        pci_msix_unuse(&card->pci, --card->vectors);
    g_clear_pointer(&card->frame, g_free);
    g_clear_pointer(&card->piece, g_free);
}

/* ---- state ---- */

static const SavedField sum_fields[] = {
    SAVED(FrameSum, start, 1),
    SAVED(FrameSum, at, 1),
    SAVED(FrameSum, end, 1),
};

static const SavedTable sum_saved = {
    .name = "sum",
    .version = 1,
    .oldest = 1,
    .fields = sum_fields,
    .n_fields = G_N_ELEMENTS(sum_fields),
};

static const SavedField offload_fields[] = {
    SAVED_STRUCT(FrameOffload, ip, sum_saved, 1),
    SAVED_STRUCT(FrameOffload, payload, sum_saved, 1),
    SAVED(FrameOffload, tcp, 1),
    SAVED(FrameOffload, ipv4, 1),
    SAVED(FrameOffload, header, 1),
    SAVED(FrameOffload, mss, 1),
};

static const SavedTable offload_saved = {
    .name = "offload",
    .version = 1,
    .oldest = 1,
    .fields = offload_fields,
    .n_fields = G_N_ELEMENTS(offload_fields),
};

static const SavedField context_fields[] = {
    SAVED_STRUCT(E1000TxContext, tso, offload_saved, 1),
    SAVED_STRUCT(E1000TxContext, sum, offload_saved, 1),
    SAVED(E1000TxContext, discard, 1),
};

static const SavedTable context_saved = {
    .name = "context",
    .version = 1,
    .oldest = 1,
    .fields = context_fields,
    .n_fields = G_N_ELEMENTS(context_fields),
};

static const SavedField card_fields[] = {
    SAVED_ARRAY(E1000, words, 1),
    SAVED_BYTES(E1000, phy, 1),
    SAVED(E1000, wire.lines, 1),
    SAVED(E1000, wire.out, 1),
    SAVED(E1000, wire.shifted, 1),
    SAVED(E1000, wire.n_in, 1),
    SAVED(E1000, wire.reading, 1),
    SAVED(E1000, wire.position, 1),
    SAVED_STRUCTS(E1000, context, context_saved, 1),
    SAVED(E1000, causes, 1),
    SAVED(E1000, io_address, 1),
};

/* Whatever the registers say is checked where it is used, as it is the guest's word anyway. */
static bool
card_after_load(void *state, GError **err)
{
    E1000 *card = state;

    (void)err;
    card->wire.n_in &= 7;
    e1000_link_update(card, false);
    e1000_interrupt_update(card, 0);
    return true;
}

static const SavedTable card_saved = {
    .name = "e1000",
    .version = 1,
    .oldest = 1,
    .fields = card_fields,
    .n_fields = G_N_ELEMENTS(card_fields),
    .after_load = card_after_load,
};

static char *
card_firmware_node(Device *device)
{
    (void)device;
    return g_strdup("ethernet-phy@0");
}

static const DeviceProp card_props[] = { NIC_PROPS(E1000, nic) };

static const PciDetails e1000_details = {
    .vendor = 0x8086,
    .device = 0x100e,
    .class_code = 0x020000,
    .revision = 3,
    .rom = "efi-e1000.rom",
};

const DeviceClass e1000_class = {
    .name = "e1000",
    .aliases = (const char *const[]){ "e1000-82540em", NULL },
    .description = "gigabit network card (Intel 82540EM)",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .hotpluggable = true,
    .state_size = sizeof(E1000),
    .props = card_props,
    .n_props = G_N_ELEMENTS(card_props),
    .saved = &card_saved,
    .realize = e1000_realize,
    .reset = card_reset,
    .unrealize = card_unrealize,
    .set_running = card_set_running,
    .firmware_node = card_firmware_node,
    .details = &e1000_details,
};

static const PciDetails e1000e_details = {
    .vendor = 0x8086,
    .device = 0x10d3,
    .subsystem_vendor = 0x8086,
    .class_code = 0x020000,
    .rom = "efi-e1000e.rom",
    .function_reset = card_function_reset,
};

const DeviceClass e1000e_class = {
    .name = "e1000e",
    .description = "PCI Express gigabit network card (Intel 82574L)",
    .base = &pci_device_class,
    .bus = BUS_PCI,
    .hotpluggable = true,
    .state_size = sizeof(E1000),
    .props = card_props,
    .n_props = G_N_ELEMENTS(card_props),
    .saved = &card_saved,
    .realize = e1000e_realize,
    .reset = card_reset,
    .unrealize = card_unrealize,
    .set_running = card_set_running,
    .firmware_node = card_firmware_node,
    .details = &e1000e_details,
};
