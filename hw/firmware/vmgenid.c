/* vmgenid.c - an identifier that changes whenever the guest goes on from an older state
 * (Microsoft's "Virtual Machine Generation ID"; QEMU's published interface of the same name).
 *
 * The guest finds it in its memory, by the DSDT. It is written anew, and a general purpose event
 * raised, after saved state was loaded.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "hw/firmware/vmgenid.h"

#include "hw/core/bytes.h"
#include "hw/isa/fw_cfg.h"
#include "hw/pci/board.h"
#include "util/error.h"

#include <string.h>

enum { VMGENID_FILE_SIZE = 4096 };

typedef struct {
    Device device;
    char *guid;
    uint8_t bytes[16];  /* as they lie in memory */
    uint8_t address[8]; /* of the page, as firmware has written it */
} VmGenId;

/* The first three fields are little-endian. */
static void
vmgenid_swap(uint8_t to[16], const uint8_t from[16])
{
    static const uint8_t order[16] = { 3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15 };

    for (unsigned i = 0; i < 16; i++)
        to[i] = from[order[i]];
}

static bool
vmgenid_read(VmGenId *v, GError **err)
{
    g_autofree char *made = NULL;
    const char *text = v->guid;
    uint8_t raw[16] = { 0 };

    if (!strcmp(text, "auto"))
        text = made = g_uuid_string_random();
    if (!g_uuid_string_is_valid(text))
        return device_error(&v->device, err, VIR_ERR_CONFIG_UNSUPPORTED,
                            "guid=%s is neither a UUID nor 'auto'", text);
    for (unsigned i = 0, nibble = 0; text[i]; i++) {
        if (text[i] == '-')
            continue;
        raw[nibble / 2] |= (uint8_t)(g_ascii_xdigit_value(text[i]) << (nibble % 2 ? 0 : 4));
        nibble++;
    }
    vmgenid_swap(v->bytes, raw);
    return true;
}

static void
vmgenid_address_written(void *opaque)
{
    (void)opaque; /* it is read when it is needed */
}

static bool
vmgenid_realize(Device *dev, GError **err)
{
    VmGenId *v = (VmGenId *)dev;
    FwCfg *cfg = dev->machine->fw_cfg;
    uint8_t page[VMGENID_FILE_SIZE] = { 0 };
    Device *other;

    g_mutex_lock(&dev->machine->devices_lock);
    other = vmgenid_find(dev->machine);
    g_mutex_unlock(&dev->machine->devices_lock);
    if (other)
        return device_error(dev, err, VIR_ERR_CONFIG_UNSUPPORTED, "there can be only one");
    if (!vmgenid_read(v, err))
        return false;
    memcpy(page + VMGENID_OFFSET, v->bytes, sizeof(v->bytes));
    return fw_cfg_add_file(cfg, VMGENID_FILE, page, sizeof(page), err) &&
           fw_cfg_add_writable(cfg, VMGENID_ADDRESS_FILE, v->address, sizeof(v->address),
                               vmgenid_address_written, v, err);
}

/* Firmware writes the address again. */
static void
vmgenid_reset(Device *dev)
{
    VmGenId *v = (VmGenId *)dev;

    memset(v->address, 0, sizeof(v->address));
}

/* The guest has gone back in time: this is another life of it. */
static bool
vmgenid_after_load(void *state, GError **err)
{
    VmGenId *v = state;
    Machine *machine = v->device.machine;
    uint64_t page = bytes_load64(v->address);

    (void)err;
    if (page == 0 ||
        guest_memory_write(machine->memory, page + VMGENID_OFFSET, v->bytes, sizeof(v->bytes)) < 0)
        return true;
    acpi_pm_gpe(machine->board->pm(machine), VMGENID_GPE);
    return true;
}

static const SavedField vmgenid_fields[] = {
    SAVED_BYTES(VmGenId, address, 1),
};

static const SavedTable vmgenid_saved = {
    .name = "vmgenid",
    .version = 1,
    .oldest = 1,
    .fields = vmgenid_fields,
    .n_fields = G_N_ELEMENTS(vmgenid_fields),
    .after_load = vmgenid_after_load,
};

static const DeviceProp vmgenid_props[] = {
    { "guid", PROP_STRING, offsetof(VmGenId, guid), "auto",
      .help = "the identifier: a UUID, or auto" },
};

const DeviceClass vmgenid_class = {
    .name = "vmgenid",
    .description = "VM generation identifier",
    .bus = BUS_SYSTEM,
    .state_size = sizeof(VmGenId),
    .props = vmgenid_props,
    .n_props = G_N_ELEMENTS(vmgenid_props),
    .saved = &vmgenid_saved,
    .realize = vmgenid_realize,
    .reset = vmgenid_reset,
};

Device *
vmgenid_find(Machine *machine)
{
    for (guint i = 0; i < machine->devices->len; i++) {
        Device *dev = g_ptr_array_index(machine->devices, i);

        if (dev->class == &vmgenid_class && dev->realized)
            return dev;
    }
    return NULL;
}

void
vmgenid_place(Machine *machine)
{
    size_t len;
    const uint8_t *page = fw_cfg_file(machine->fw_cfg, VMGENID_FILE, &len);
    Device *dev = vmgenid_find(machine);

    if (!dev || !page || guest_memory_write(machine->memory, VMGENID_PAGE, page, len) < 0)
        return;
    bytes_store(((VmGenId *)dev)->address, VMGENID_PAGE, 8);
}
