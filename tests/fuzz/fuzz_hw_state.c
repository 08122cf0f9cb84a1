/* fuzz_hw_state.c - the saved state of a machine, as it comes from a file or another host.
 *
 * The first byte says how the rest is taken, the second which devices the machine has beside its
 * board.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/hw/fake_net.h"

#include "hw/char/chardev.h"
#include "hw/core/bytes.h"
#include "hw/virtio/rng.h"

#include <string.h>

enum { SETS = 7 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static GHashTable *
props(const char *name, const char *value, const char *id)
{
    GHashTable *table = g_hash_table_new(g_str_hash, g_str_equal);

    g_hash_table_insert(table, (char *)name, (char *)value);
    g_hash_table_insert(table, (char *)"id", (char *)id);
    return table;
}

static void
add_chardev(FakeMachine *fake, const char *id)
{
    g_autoptr(GHashTable) table = props("backend", "null", id);

    machine_object_add(fake->machine, OBJECT_CHARDEV, id, chardev_new(fake->machine, table, NULL),
                       (GDestroyNotify)chardev_free, NULL);
}

static void
add_virtio(FakeMachine *fake)
{
    g_autoptr(GHashTable) table = props("qom-type", "rng-builtin", "r");

    rng_object_add(fake->machine, table, NULL);
    add_chardev(fake, "c");
    add_chardev(fake, "d");
    fake_net_new(fake, "n", 1, NET_CAP_HEADER);
    fake_device(fake, "virtio-rng-pci", "rng", "r", NULL);
    fake_device(fake, "virtio-balloon-pci", NULL);
    fake_device(fake, "virtio-serial-pci", "id", "s", NULL);
    fake_device(fake, "virtconsole", "chardev", "c", NULL);
    fake_device(fake, "virtserialport", "name", "port", "chardev", "d", NULL);
    fake_device(fake, "virtio-scsi-pci", "id", "h", NULL);
    fake_device(fake, "scsi-cd", "bus", "h.0", NULL);
    fake_device(fake, "virtio-tablet-pci", NULL);
    fake_device(fake, "virtio-net-pci", "netdev", "n", NULL);
}

static void
add_cards(FakeMachine *fake)
{
    static const char *const models[] = { "e1000", "e1000e", "rtl8139" };

    for (unsigned i = 0; i < G_N_ELEMENTS(models); i++) {
        fake_net_new(fake, models[i], 1, NET_CAP_HEADER);
        fake_device(fake, models[i], "netdev", models[i], NULL);
    }
}

static void
add_usb(FakeMachine *fake)
{
    fake_device(fake, "ich9-usb-ehci1", "id", "e", "addr", "1d.7", "multifunction", "on", NULL);
    fake_device(fake, "ich9-usb-uhci1", "masterbus", "e.0", "firstport", "0", "addr", "1d.0",
                "multifunction", "on", NULL);
    fake_device(fake, "qemu-xhci", "id", "x", NULL);
    fake_device(fake, "usb-tablet", "bus", "x.0", NULL);
    fake_device(fake, "usb-hub", "bus", "x.0", NULL);
    fake_device(fake, "usb-kbd", "bus", "e.0", NULL);
}

static void
add_small(FakeMachine *fake)
{
    fake_device(fake, "pcie-root-port", "id", "p", "addr", "1", NULL);
    add_chardev(fake, "c");
    fake_device(fake, "isa-serial", "chardev", "c", NULL);
    fake_device(fake, "i6300esb", NULL);
    fake_device(fake, "vmgenid", "guid", "auto", NULL);
    fake_device(fake, "ich9-ahci", "id", "a", NULL);
    fake_device(fake, "ide-cd", "bus", "a.0", NULL);
}

static FakeMachine *
new_machine(unsigned set)
{
    FakeMachine *fake = fake_machine_new_q35(2 << 20);

    switch (set) {
    case 0:
        add_small(fake);
        break;
    case 1:
        add_virtio(fake);
        break;
    case 2:
        add_cards(fake);
        break;
    case 3:
        add_usb(fake);
        break;
    case 4:
        fake_device(fake, "virtio-gpu-pci", NULL);
        break;
    case 5:
        fake_device(fake, "VGA", "vgamem_mb", "1", NULL);
        break;
    default:
        fake_device(fake, "cirrus-vga", "vgamem_mb", "4", NULL);
    }
    return fake;
}

/* Two ways in: the bytes as a stream, or as changes (position, value) to a good one. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FakeMachine *fake;
    g_autoptr(GByteArray) stream = g_byte_array_new();
    g_autoptr(GError) err = NULL;

    if (size < 2)
        return 0;
    fake = new_machine(data[1] % SETS);
    if (data[0] & 1) {
        machine_save(fake->machine, stream, NULL);
        for (size_t at = 2; at + 4 <= size; at += 4)
            stream->data[(bytes_load32(data + at) & 0xffffff) % stream->len] = data[at + 3];
    } else {
        g_byte_array_append(stream, data + 2, (guint)size - 2);
    }
    if (machine_load(fake->machine, stream->data, stream->len, &err)) {
        machine_set_running(fake->machine, true);
        for (unsigned i = 0; i < 4; i++)
            fake_advance(fake, 250000000);
        machine_set_running(fake->machine, false);
    }
    machine_reset(fake->machine);
    fake_machine_free(fake);
    return 0;
}
