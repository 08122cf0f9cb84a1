/* test_driver_nodedev.c - node devices over a source and a sysfs that are not there.
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <libvirt/libvirt.h>
#include <string.h>
#include <unistd.h>

#include "driver/nodedev/private.h"
#include "tests/unit/golden.h"
#include "util/error.h"
#include "util/file.h"

#define PCI "/sys/devices/pci0000:00"
#define CARD PCI "/0000:00:1c.0/0000:01:00.0"
#define CARD_NAME "pci_0000_01_00_0"

typedef struct {
    DeviceSource source;
    char *root;
    GPtrArray *all; /* DeviceFacts */
    DeviceFound found;
    void *opaque;
    GString *written;
    bool stubborn; /* vfio-pci takes no device */
} FakeSource;

typedef struct {
    FakeSource *source;
    NodeDevices *devices;
    GString *events;
} Fixture;

static void
fake_start(DeviceSource *source, DeviceFound found, void *opaque)
{
    FakeSource *self = (FakeSource *)source;

    self->found = found;
    self->opaque = opaque;
    for (guint i = 0; i < self->all->len; i++)
        found(opaque, "add", self->all->pdata[i]);
}

static DeviceFacts *
facts_copy(const DeviceFacts *from)
{
    DeviceFacts *to = device_facts_new(from->syspath);
    GHashTableIter iter;
    gpointer key, value;

    to->subsystem = g_strdup(from->subsystem);
    to->sysname = g_strdup(from->sysname);
    to->devtype = g_strdup(from->devtype);
    to->driver = g_strdup(from->driver);
    to->devnode = g_strdup(from->devnode);
    to->links = g_strdupv(from->links);
    g_hash_table_iter_init(&iter, from->properties);
    while (g_hash_table_iter_next(&iter, &key, &value))
        g_hash_table_insert(to->properties, g_strdup(key), g_strdup(value));
    return to;
}

static DeviceFacts *
fake_look(DeviceSource *source, const char *syspath)
{
    FakeSource *self = (FakeSource *)source;

    for (guint i = 0; i < self->all->len; i++)
        if (strcmp(((DeviceFacts *)self->all->pdata[i])->syspath, syspath) == 0)
            return facts_copy(self->all->pdata[i]);
    return NULL;
}

static void
fake_free(DeviceSource *source)
{
    FakeSource *self = (FakeSource *)source;
    g_autofree char *command = g_strdup_printf("rm -r '%s'", self->root);

    assert_int_equal(system(command), 0);
    g_ptr_array_unref(self->all);
    g_string_free(self->written, TRUE);
    g_free(self->root);
    g_free(self);
}

/* As the kernel does with the card. */
static int
fake_write(DeviceSource *source, const char *path, const char *text)
{
    FakeSource *self = (FakeSource *)source;
    g_autofree char *driver = g_strdup_printf("%s" CARD "/driver", self->root);
    g_autofree char *override = g_strdup_printf("%s" CARD "/driver_override", self->root);
    g_autofree char *wanted = NULL;

    g_string_append_printf(self->written, "%s %s\n", strrchr(path, '/') + 1,
                           strcmp(text, "\n") == 0 ? "-" : text);
    if (g_str_has_suffix(path, "/driver_override"))
        assert_true(g_file_set_contents(override, text, -1, NULL));
    if (g_str_has_suffix(path, "/unbind"))
        assert_int_equal(unlink(driver), 0);
    if (!g_str_has_suffix(path, "/drivers_probe"))
        return g_str_has_suffix(path, "/reset") && self->stubborn ? -ENOTTY : 0;
    assert_true(g_file_get_contents(override, &wanted, NULL, NULL));
    if (strcmp(wanted, "\n") == 0)
        assert_int_equal(symlink("../../bus/pci/drivers/fast", driver), 0);
    else if (!self->stubborn)
        assert_int_equal(symlink("../../bus/pci/drivers/vfio-pci", driver), 0);
    return 0;
}

static bool
fake_load(DeviceSource *source, const char *module)
{
    g_string_append_printf(((FakeSource *)source)->written, "load %s\n", module);
    return !((FakeSource *)source)->stubborn;
}

static void
lifecycle(void *opaque, const char *name, int event)
{
    g_string_append_printf(((Fixture *)opaque)->events, "%s %s\n",
                           event == VIR_NODE_DEVICE_EVENT_CREATED ? "created" : "deleted", name);
}

static void
updated(void *opaque, const char *name)
{
    g_string_append_printf(((Fixture *)opaque)->events, "updated %s\n", name);
}

static const NodeDeviceOps ops = { lifecycle, updated };

/* --- making devices --------------------------------------------------------------------------- */

static void
put_bytes(Fixture *f, const char *path, const void *data, size_t len)
{
    g_autofree char *full = g_strconcat(f->source->root, path, NULL);
    g_autofree char *dir = g_path_get_dirname(full);

    assert_true(file_make_dirs(dir, 0700, NULL));
    assert_true(file_write_atomic(full, data, len, 0600, NULL));
}

/* A file of the device, or with a leading '/' of the host. */
static void
put(Fixture *f, const DeviceFacts *device, const char *file, const char *text)
{
    g_autofree char *path =
        *file == '/' ? g_strdup(file) : g_strdup_printf("%s/%s", device->syspath, file);

    put_bytes(f, path, text, strlen(text));
}

static void
put_link(Fixture *f, const DeviceFacts *device, const char *file, const char *target)
{
    g_autofree char *path = g_strdup_printf("%s%s/%s", f->source->root, device->syspath, file);
    g_autofree char *dir = g_path_get_dirname(path);

    assert_true(file_make_dirs(dir, 0700, NULL));
    assert_int_equal(symlink(target, path), 0);
}

/* @properties: "KEY=value" …, NULL. */
static DeviceFacts *
add(Fixture *f, const char *path, const char *subsystem, const char *devtype, ...)
{
    DeviceFacts *device = device_facts_new(path);
    const char *word;
    va_list args;

    device->subsystem = g_strdup(subsystem);
    device->sysname = g_path_get_basename(path);
    device->devtype = g_strdup(devtype);
    va_start(args, devtype);
    while ((word = va_arg(args, const char *))) {
        g_auto(GStrv) pair = g_strsplit(word, "=", 2);

        g_hash_table_insert(device->properties, g_strdup(pair[0]), g_strdup(pair[1]));
    }
    va_end(args);
    g_ptr_array_add(f->source->all, device);
    return device;
}

/* A bridge with an express link at 2.5 of 8 GT/s, and a list of capabilities that comes back to
 * where it was. */
static void
add_bridge(Fixture *f)
{
    DeviceFacts *d = add(f, PCI "/0000:00:1c.0", "pci", NULL, "PCI_CLASS=60400", NULL);
    uint8_t config[256] = { 0 };
    g_autofree char *path = g_strdup_printf("%s/config", d->syspath);

    config[0x06] = 0x10;
    config[0x0e] = 0x81;
    config[0x34] = 0x50;
    config[0x50] = 0x05;
    config[0x51] = 0x40;
    config[0x40] = 0x10;
    config[0x41] = 0x50;
    config[0x42] = 0x42;
    memcpy(config + 0x4c, (const uint8_t[]){ 0x43, 0x00, 0x00, 0x03 }, 4);
    memcpy(config + 0x52, (const uint8_t[]){ 0x41, 0x00 }, 2);
    put_bytes(f, path, config, sizeof config);
    d->driver = g_strdup("pcieport");
    put(f, d, "vendor", "0x8086\n");
    put(f, d, "device", "0xa340\n");
    put(f, d, "numa_node", "-1\n");
    put(f, d, "/usr/share/misc/pci.ids",
        "# ids\n8085  Nobody\n\ta340  Nothing\n8086  Intel & Sons\n\t1234  Other\n"
        "\t\t8086 a340  Subsystem\n\ta340  Root Port <20>\n8087  Next\n\ta340  Wrong\n");
}

static void
add_card(Fixture *f)
{
    DeviceFacts *d = add(f, CARD, "pci", NULL, "PCI_CLASS=20000",
                         "ID_VENDOR_FROM_DATABASE=Fast Cards", "ID_MODEL_FROM_DATABASE=X5", NULL);

    put(f, d, "vendor", "0x1234\n");
    put(f, d, "device", "0x00ff\n");
    put(f, d, "numa_node", "1\n");
    put(f, d, "sriov_totalvfs", "4\n");
    put_link(f, d, "virtfn0", "../0000:01:00.4");
    put_link(f, d, "virtfn1", "../0000:01:00.5");
    put_link(f, d, "iommu_group", "../../../../kernel/iommu_groups/17");
    put(f, d, "/sys/kernel/iommu_groups/17/devices/0000:01:00.0", "");
    put(f, d, "/sys/kernel/iommu_groups/17/devices/0000:01:00.1", "");
    put(f, d, "mdev_supported_types/x-1/name", "Small\n");
    put(f, d, "mdev_supported_types/x-1/device_api", "vfio-pci\n");
    put(f, d, "mdev_supported_types/x-1/available_instances", "3\n");
    d = add(f, PCI "/0000:00:1c.0/0000:01:00.0/net/eth7", "net", NULL, "INTERFACE=eth7", NULL);
    put(f, d, "address", "52:54:00:01:02:03\n");
    put(f, d, "operstate", "up\n");
    put(f, d, "speed", "10000\n");
    add(f, "/sys/devices/virtual/net/br0", "net", "bridge", "INTERFACE=br0", NULL);
}

static void
add_usb(Fixture *f)
{
    DeviceFacts *d =
        add(f, PCI "/0000:00:14.0/usb1/1-4", "usb", "usb_device", "BUSNUM=001", "DEVNUM=007", NULL);

    d->devnode = g_strdup("/dev/bus/usb/001/007");
    put(f, d, "idVendor", "0951\n");
    put(f, d, "idProduct", "1666\n");
    put(f, d, "manufacturer", "Kingston\n");
    d = add(f, PCI "/0000:00:14.0/usb1/1-4/1-4:1.0", "usb", "usb_interface", NULL);
    put(f, d, "bInterfaceNumber", "00\n");
    put(f, d, "bInterfaceClass", "08\n");
    put(f, d, "bInterfaceSubClass", "06\n");
    put(f, d, "bInterfaceProtocol", "50\n");
}

static void
add_scsi(Fixture *f)
{
    DeviceFacts *d = add(f, PCI "/0000:00:17.0/host3", "scsi", "scsi_host", NULL);

    put(f, d, "/sys/class/scsi_host/host3/unique_id", "2\n");
    put(f, d, "/sys/class/fc_host/host3/node_name", "0x2001001b32a9da4e\n");
    put(f, d, "/sys/class/fc_host/host3/port_name", "0x2101001b32a9da4e\n");
    put(f, d, "/sys/class/fc_host/host3/fabric_name", "0x2001000dec9877c1\n");
    put(f, d, "/sys/class/fc_host/host3/vport_create", "");
    put(f, d, "/sys/class/fc_host/host3/max_npiv_vports", "127\n");
    put(f, d, "/sys/class/fc_host/host3/npiv_vports_inuse", "0\n");
    add(f, PCI "/0000:00:17.0/host3/target3:0:0", "scsi", "scsi_target", NULL);
    d = add(f, PCI "/0000:00:17.0/host3/target3:0:0/3:0:0:1", "scsi", "scsi_device", NULL);
    put(f, d, "type", "5\n");
    d = add(f, PCI "/0000:00:17.0/host3/target3:0:0/3:0:0:1/block/sr0", "block", "disk",
            "ID_TYPE=cd", "ID_CDROM_MEDIA=1", "ID_FS_LABEL=DEBIAN <12>", "ID_BUS=ata",
            "ID_SERIAL=QEMU_DVD-ROM_QM3", NULL);
    d->devnode = g_strdup("/dev/sr0");
    d->links = g_strsplit("/dev/cdrom /dev/disk/by-id/ata-QEMU", " ", 0);
    put(f, d, "removable", "1\n");
    put(f, d, "size", "1286144\n");
    put(f, d, "queue/logical_block_size", "2048\n");
    put(f, d, "device/vendor", "QEMU    \n");
    put(f, d, "device/model", "QEMU DVD-ROM    \n");
    d = add(f, PCI "/0000:00:17.0/host3/target3:0:0/3:0:0:1/scsi_generic/sg0", "scsi_generic", NULL,
            NULL);
    d->devnode = g_strdup("/dev/sg0");
}

static void
add_others(Fixture *f)
{
    DeviceFacts *d =
        add(f, PCI "/0000:00:02.0/drm/renderD128", "drm", "drm_minor", "MINOR=128", NULL);

    d->devnode = g_strdup("/dev/dri/renderD128");
    d = add(f, PCI "/0000:00:1c.0/0000:01:00.0/b1ae8bf6-38b9-4a2d-8a2c-2d6e8f4b5d63", "mdev", NULL,
            NULL);
    put_link(f, d, "mdev_type", "../mdev_supported_types/x-1");
    put_link(f, d, "iommu_group", "../../../../../kernel/iommu_groups/99");
    d = add(f, "/sys/devices/virtual/block/loop0", "block", "disk", NULL);
    d->devnode = g_strdup("/dev/loop0");
    put(f, d, "/sys/class/dmi/id/sys_vendor", "Maker\n");
    put(f, d, "/sys/class/dmi/id/product_name", "Box\n");
    put(f, d, "/sys/class/dmi/id/bios_date", "04/01/2014\n");
    put(f, d, "/sys/class/dmi/id/product_uuid", "4c4c4544-0042-3510-8054-b7c04f4c3132\n");
}

static int
setup(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->source = g_new0(FakeSource, 1);
    f->source->root = g_dir_make_tmp("kiln-nodedev-XXXXXX", NULL);
    f->source->all = g_ptr_array_new_with_free_func((GDestroyNotify)device_facts_free);
    f->source->source =
        (DeviceSource){ f->source->root, fake_start, fake_look, fake_free, fake_write, fake_load };
    f->source->written = g_string_new(NULL);
    f->events = g_string_new(NULL);
    f->devices = node_devices_new_from(&f->source->source, &ops, f);
    /* children first: the order must not matter */
    add_others(f);
    add_scsi(f);
    add_usb(f);
    add_card(f);
    add_bridge(f);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    Fixture *f = *state;

    node_devices_free(f->devices);
    g_string_free(f->events, TRUE);
    g_free(f);
    return 0;
}

/* --- the tests -------------------------------------------------------------------------------- */

static char *
join(GPtrArray *names)
{
    g_ptr_array_add(names, NULL);
    return g_strjoinv(" ", (char **)names->pdata);
}

static void
test_list(void **state)
{
    static const struct {
        unsigned flags;
        const char *names;
    } cases[] = {
        { VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV, "pci_0000_00_1c_0 pci_0000_01_00_0" },
        { VIR_CONNECT_LIST_NODE_DEVICES_CAP_SYSTEM | VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET,
          "computer net_eth7_52_54_00_01_02_03" },
        { VIR_CONNECT_LIST_NODE_DEVICES_CAP_STORAGE, "block_sr0_QEMU_DVD_ROM_QM3" },
        { VIR_CONNECT_LIST_NODE_DEVICES_CAP_FC_HOST, "scsi_host3" },
        { VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV_TYPES, "pci_0000_01_00_0" },
        { VIR_CONNECT_LIST_NODE_DEVICES_INACTIVE, "" },
        { VIR_CONNECT_LIST_NODE_DEVICES_ACTIVE | VIR_CONNECT_LIST_NODE_DEVICES_CAP_DRM,
          "drm_renderD128" },
        { 0, "block_sr0_QEMU_DVD_ROM_QM3 computer drm_renderD128 "
             "mdev_b1ae8bf6_38b9_4a2d_8a2c_2d6e8f4b5d63 net_eth7_52_54_00_01_02_03 "
             "pci_0000_00_1c_0 pci_0000_01_00_0 scsi_3_0_0_1 scsi_generic_sg0 scsi_host3 "
             "scsi_target3_0_0 usb_1_4 usb_1_4_1_0" },
    };
    Fixture *f = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GPtrArray) names = node_devices_list(f->devices, cases[i].flags);
        g_autofree char *text = join(names);

        assert_string_equal(text, cases[i].names);
    }
    assert_int_equal(node_device_cap_flag("usb"), VIR_CONNECT_LIST_NODE_DEVICES_CAP_USB_INTERFACE);
    assert_int_equal(node_device_cap_flag("mdev"), VIR_CONNECT_LIST_NODE_DEVICES_CAP_MDEV);
    assert_int_equal(node_device_cap_flag("toaster"), 0);
    /* what there is at first is no event */
    assert_string_equal(f->events->str, "");
}

static void
test_xml(void **state)
{
    Fixture *f = *state;
    g_autoptr(GPtrArray) names = node_devices_list(f->devices, 0);

    for (guint i = 0; i < names->len; i++) {
        const char *name = names->pdata[i];
        g_autofree char *xml = node_device_xml(f->devices, name, NULL);
        g_autofree char *path =
            g_strdup_printf("%s/tests/golden/nodedev/%s.xml", g_getenv("KILN_SOURCE_ROOT"), name);

        assert_non_null(xml);
        golden_check(path, xml);
        golden_check_schema("nodedev.rng", name, xml);
    }
}

static void
test_family(void **state)
{
    Fixture *f = *state;
    g_autoptr(GError) err = NULL;
    g_autofree char *parent = NULL, *found = NULL, *caps = NULL;
    g_autoptr(GPtrArray) list = NULL;

    assert_true(node_device_parent(f->devices, "computer", &parent, NULL));
    assert_null(parent);
    assert_true(node_device_parent(f->devices, "block_sr0_QEMU_DVD_ROM_QM3", &parent, NULL));
    assert_string_equal(parent, "scsi_3_0_0_1");
    found = node_devices_find_wwn(f->devices, "2001001b32a9da4e", "2101001b32a9da4e", NULL);
    assert_string_equal(found, "scsi_host3");
    assert_null(node_devices_find_wwn(f->devices, "2001001b32a9da4e", "1", &err));
    assert_int_equal(err->code, VIR_ERR_NO_NODE_DEVICE);
    g_clear_error(&err);
    list = node_device_caps(f->devices, "scsi_host3", NULL);
    caps = join(list);
    assert_string_equal(caps, "scsi_host fc_host vports");
    assert_false(node_devices_has(f->devices, "nothing", &err));
    assert_string_equal(err->message, "no node device with matching name 'nothing'");
}

static void
test_events(void **state)
{
    Fixture *f = *state;
    FakeSource *source = f->source;
    DeviceFacts *eth, *br;

    node_devices_watch(f->devices);
    eth = add(f, "/sys/devices/virtual/net/tap0", "net", NULL, "INTERFACE=tap0", NULL);
    br = add(f, "/sys/devices/virtual/net/br1", "net", "bridge", "INTERFACE=br1", NULL);
    put(f, eth, "address", "52:54:00:00:00:01\n");
    source->found(source->opaque, "add", eth);
    source->found(source->opaque, "add", br);
    source->found(source->opaque, "change", eth);
    source->found(source->opaque, "bind", eth);
    /* another address is another name: the old one goes */
    put(f, eth, "address", "52:54:00:00:00:02\n");
    source->found(source->opaque, "change", eth);
    source->found(source->opaque, "remove", br);
    source->found(source->opaque, "remove", eth);
    source->found(source->opaque, "remove", eth);
    assert_string_equal(f->events->str, "created net_tap0_52_54_00_00_00_01\n"
                                        "updated net_tap0_52_54_00_00_00_01\n"
                                        "deleted net_tap0_52_54_00_00_00_01\n"
                                        "created net_tap0_52_54_00_00_00_02\n"
                                        "deleted net_tap0_52_54_00_00_00_02\n");
}

static void
test_move(void **state)
{
    Fixture *f = *state;
    FakeSource *source = f->source;
    DeviceFacts *before, *after;

    before = add(f, "/sys/devices/virtual/net/tap0", "net", NULL, "INTERFACE=tap0", NULL);
    node_devices_watch(f->devices);
    after = add(f, "/sys/devices/virtual/net/lan", "net", NULL, "INTERFACE=lan",
                "DEVPATH_OLD=/devices/virtual/net/tap0", NULL);
    assert_string_equal(before->sysname, "tap0");
    source->found(source->opaque, "move", after);
    assert_string_equal(f->events->str, "deleted net_tap0\ncreated net_lan\n");
}

/* --- for guests ------------------------------------------------------------------------------- */

static void
check_refused(bool done, GError **err, int code, const char *says)
{
    assert_false(done);
    assert_int_equal(kiln_error_code(*err), code);
    assert_non_null(strstr((*err)->message, says));
    g_clear_error(err);
}

/* What a card needs to be taken, and its own driver. */
static DeviceFacts *
ready_card(Fixture *f)
{
    DeviceFacts *card = fake_look(&f->source->source, CARD);
    uint8_t config[64] = { 0 };

    config[0x0e] = 0x80;
    put_bytes(f, CARD "/config", config, sizeof config);
    put(f, card, "/dev/vfio/vfio", "");
    put_link(f, card, "driver", "../../bus/pci/drivers/fast");
    return card;
}

static void
check_written(Fixture *f, const char *text)
{
    assert_string_equal(f->source->written->str, text);
    g_string_truncate(f->source->written, 0);
}

static void
test_detach(void **state)
{
    Fixture *f = *state;
    g_autoptr(DeviceFacts) card = ready_card(f);
    g_autoptr(GError) err = NULL;

    assert_true(node_device_detach(f->devices, CARD_NAME, NULL, &err));
    check_written(f, "load vfio-pci\ndriver_override vfio-pci\nunbind 0000:01:00.0\n"
                     "drivers_probe 0000:01:00.0\n");
    put(f, card, "/sys/bus/pci/drivers/vfio-pci/bind", "");
    put(f, card, "reset", "");
    /* once is enough, and VFIO resets it */
    assert_true(node_device_detach(f->devices, CARD_NAME, "vfio", &err));
    assert_true(node_device_reset(f->devices, CARD_NAME, &err));
    check_written(f, "");
    assert_true(node_device_reattach(f->devices, CARD_NAME, &err));
    check_written(f, "driver_override -\nunbind 0000:01:00.0\ndrivers_probe 0000:01:00.0\n");
    assert_true(node_device_reattach(f->devices, CARD_NAME, &err));
    check_written(f, "");
    assert_true(node_device_reset(f->devices, CARD_NAME, &err));
    check_written(f, "reset 1\n");
}

static void
test_detach_refused(void **state)
{
    Fixture *f = *state;
    g_autoptr(DeviceFacts) card = ready_card(f);
    g_autoptr(GError) err = NULL;

    check_refused(node_device_detach(f->devices, CARD_NAME, "kvm", &err), &err,
                  VIR_ERR_ARGUMENT_UNSUPPORTED, "no longer supported");
    check_refused(node_device_detach(f->devices, CARD_NAME, "x", &err), &err, VIR_ERR_INVALID_ARG,
                  "unknown driver name 'x'");
    check_refused(node_device_detach(f->devices, "nothing", NULL, &err), &err,
                  VIR_ERR_NO_NODE_DEVICE, "nothing");
    check_refused(node_device_detach(f->devices, "computer", NULL, &err), &err, VIR_ERR_INVALID_ARG,
                  "device computer is not a PCI device");
    check_refused(node_device_reset(f->devices, "scsi_host3", &err), &err, VIR_ERR_INVALID_ARG,
                  "not a PCI device");
    check_refused(node_device_reset(f->devices, CARD_NAME, &err), &err, VIR_ERR_INTERNAL_ERROR,
                  "no FLR");
    check_refused(node_device_reset(f->devices, "pci_0000_00_1c_0", &err), &err,
                  VIR_ERR_INTERNAL_ERROR, "Only PCI endpoint devices");
    check_refused(node_device_detach(f->devices, "pci_0000_00_1c_0", NULL, &err), &err,
                  VIR_ERR_ARGUMENT_UNSUPPORTED, "in no IOMMU group");
    check_written(f, "");
    /* a driver that does not take it: the host has it again */
    put(f, card, "/sys/bus/pci/drivers/vfio-pci/bind", "");
    put(f, card, "reset", "");
    f->source->stubborn = true;
    check_refused(node_device_detach(f->devices, CARD_NAME, NULL, &err), &err,
                  VIR_ERR_INTERNAL_ERROR, "did not take PCI device 0000:01:00.0");
    check_written(f, "driver_override vfio-pci\nunbind 0000:01:00.0\ndrivers_probe 0000:01:00.0\n"
                     "driver_override -\ndrivers_probe 0000:01:00.0\n");
    check_refused(node_device_reset(f->devices, CARD_NAME, &err), &err, VIR_ERR_SYSTEM_ERROR,
                  "cannot write 'reset' of PCI device 0000:01:00.0");
    f->source->stubborn = false;
    assert_true(node_device_detach(f->devices, CARD_NAME, NULL, &err));
    /* who has the group cannot be asked for it */
    put(f, card, "/dev/vfio/17/open", "");
    g_string_truncate(f->source->written, 0);
    check_refused(node_device_reattach(f->devices, CARD_NAME, &err), &err,
                  VIR_ERR_OPERATION_INVALID, "in use by driver vfio-pci, through IOMMU group 17");
    check_refused(node_device_reset(f->devices, CARD_NAME, &err), &err, VIR_ERR_OPERATION_INVALID,
                  "in use");
    check_written(f, "");
}

static void
test_detach_without_iommu(void **state)
{
    Fixture *f = *state;
    g_autoptr(DeviceFacts) card = ready_card(f);
    g_autoptr(GError) err = NULL;
    g_autofree char *path = g_strconcat(f->source->root, "/dev/vfio/vfio", NULL);

    assert_int_equal(unlink(path), 0);
    check_refused(node_device_detach(f->devices, CARD_NAME, NULL, &err), &err,
                  VIR_ERR_ARGUMENT_UNSUPPORTED, "currently not supported");
    put(f, card, "/dev/vfio/vfio", "");
    f->source->stubborn = true;
    check_refused(node_device_detach(f->devices, CARD_NAME, NULL, &err), &err,
                  VIR_ERR_INTERNAL_ERROR, "Failed to load");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_list, setup, teardown),
        cmocka_unit_test_setup_teardown(test_xml, setup, teardown),
        cmocka_unit_test_setup_teardown(test_family, setup, teardown),
        cmocka_unit_test_setup_teardown(test_events, setup, teardown),
        cmocka_unit_test_setup_teardown(test_move, setup, teardown),
        cmocka_unit_test_setup_teardown(test_detach, setup, teardown),
        cmocka_unit_test_setup_teardown(test_detach_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_detach_without_iommu, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
