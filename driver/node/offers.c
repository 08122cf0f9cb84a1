/* offers.c - what a guest may have, found out by asking. See offers.h.
 *
 * Names, their order and their grouping are those of libvirt's domaincaps.rng of 9.0.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "driver/node/offers.h"

#include <string.h>

#include "driver/node/node_private.h"
#include "util/hyperv.h"
#include "xml/domain.h"

/* Where the XML of a probe goes. */
typedef enum { IN_DOMAIN, IN_FEATURES, IN_DEVICES } OfferPlace;

/* One enum of an element. A value is offered if any of the probes, with the value for %s, makes a
 * guest that can be started. */
typedef struct {
    const char *element; /* rows of the same one stand together */
    const char *name;
    OfferPlace place;
    const char *const *probes; /* NULL: never offered */
    const char *const *values;
} Offer;

#define TEXTS(...) ((const char *const[]){ __VA_ARGS__, NULL })
#define DISK(device, bus, more, target)                                                            \
    "<disk type='file' device='" device "'" more "><driver name='qemu' type='raw'/>"               \
    "<source file='/nonexistent'/><target dev='" target "' bus='" bus "'/></disk>"

static const Offer offers_memory[] = {
    { "memoryBacking", "sourceType", IN_DOMAIN,
      TEXTS("<memoryBacking><source type='%s'/></memoryBacking>"),
      TEXTS("file", "anonymous", "memfd") },
    { 0 },
};

static const Offer offers_devices[] = {
    { "disk", "diskDevice", IN_DEVICES,
      TEXTS(DISK("%s", "virtio", "", "vda"), DISK("%s", "sata", "", "sda"),
            DISK("%s", "ide", "", "hda"), DISK("%s", "scsi", "", "sda"),
            DISK("%s", "fdc", "", "fda")),
      TEXTS("disk", "cdrom", "floppy", "lun") },
    { "disk", "bus", IN_DEVICES,
      TEXTS(DISK("disk", "%s", "", "vda"), DISK("disk", "%s", "", "sda"),
            DISK("disk", "%s", "", "hda"), DISK("floppy", "%s", "", "fda")),
      TEXTS("fdc", "ide", "scsi", "virtio", "xen", "usb", "uml", "sata", "sd") },
    { "disk", "model", IN_DEVICES, TEXTS(DISK("disk", "virtio", " model='%s'", "vda")),
      TEXTS("virtio", "virtio-transitional", "virtio-non-transitional") },
    { "graphics", "type", IN_DEVICES,
      TEXTS("<graphics type='%s'/>", "<graphics type='%s' port='-1' autoport='yes'/>"),
      TEXTS("sdl", "vnc", "rdp", "desktop", "spice", "egl-headless", "dbus") },
    { "video", "modelType", IN_DEVICES, TEXTS("<video><model type='%s'/></video>"),
      TEXTS("vga", "cirrus", "vmvga", "xen", "vbox", "qxl", "parallels", "virtio", "gop", "none",
            "bochs", "ramfb") },
    { "hostdev", "mode", IN_DEVICES, NULL, NULL },
    { "rng", "model", IN_DEVICES,
      TEXTS("<rng model='%s'><backend model='random'>/dev/urandom</backend></rng>"),
      TEXTS("virtio", "virtio-transitional", "virtio-non-transitional") },
    { "rng", "backendModel", IN_DEVICES,
      TEXTS("<rng model='virtio'><backend model='%s'/></rng>",
            "<rng model='virtio'><backend model='%s'>/dev/urandom</backend></rng>",
            "<rng model='virtio'><backend model='%s' type='unix'><source mode='connect' "
            "path='/nonexistent'/></backend></rng>"),
      TEXTS("random", "egd", "builtin") },
    { "filesystem", "driverType", IN_DEVICES,
      TEXTS("<filesystem type='mount'><driver type='%s'/><source dir='/nonexistent'/>"
            "<target dir='probe'/></filesystem>"),
      TEXTS("path", "handle", "virtiofs") },
    { "tpm", "model", IN_DEVICES,
      TEXTS("<tpm model='%s'><backend type='emulator' version='2.0'/></tpm>"),
      TEXTS("tpm-tis", "tpm-crb", "tpm-spapr", "spapr-tpm-proxy") },
    { "tpm", "backendModel", IN_DEVICES,
      TEXTS("<tpm model='tpm-crb'><backend type='%s' version='2.0'/></tpm>"),
      TEXTS("passthrough", "emulator", "external") },
    { "redirdev", "bus", IN_DEVICES, TEXTS("<redirdev bus='%s' type='spicevmc'/>"), TEXTS("usb") },
    { "channel", "type", IN_DEVICES,
      TEXTS("<channel type='%s'><target type='virtio' name='probe'/></channel>",
            "<channel type='%s'><source path='/nonexistent'/>"
            "<target type='virtio' name='probe'/></channel>",
            "<channel type='%s'><source mode='bind' host='127.0.0.1' service='1'/>"
            "<target type='virtio' name='probe'/></channel>"),
      TEXTS("null", "vc", "pty", "dev", "file", "pipe", "stdio", "udp", "tcp", "unix", "spicevmc",
            "spiceport", "nmdm", "qemu-vdagent", "dbus") },
    { 0 },
};

static const Offer offers_features[] = {
    { "gic", NULL, IN_FEATURES, NULL, NULL },
    { "vmcoreinfo", NULL, IN_FEATURES, TEXTS("<vmcoreinfo state='on'/>"), NULL },
    { "genid", NULL, IN_DOMAIN, TEXTS("<genid/>"), NULL },
    { "backingStoreInput", NULL, IN_DEVICES,
      TEXTS("<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
            "<source file='/nonexistent'/><backingStore type='file'><format type='raw'/>"
            "<source file='/nonexistent-base'/><backingStore/></backingStore>"
            "<target dev='vda' bus='virtio'/></disk>"),
      NULL },
    { "backup", NULL, IN_FEATURES, NULL, NULL },
    { "sev", NULL, IN_FEATURES, NULL, NULL },
    { "sgx", NULL, IN_FEATURES, NULL, NULL },
    { 0 },
};

static const Offer offer_hyperv = {
    "hyperv",
    "features",
    IN_FEATURES,
    TEXTS("<hyperv mode='custom'><%s state='on'/></hyperv>"),
    TEXTS("relaxed", "vapic", "spinlocks", "vpindex", "runtime", "synic", "stimer", "reset",
          "vendor_id", "frequencies", "reenlightenment", "tlbflush", "ipi", "evmcs", "avic"),
};

static const char boot_kernel[] = "<kernel>/nonexistent</kernel>";

/* Whether a guest with @more at @place, booted as @boot says (inside <os>), could be started. */
static bool
offers_ask(const char *vmm, const NodeMachine *machine, const char *boot, OfferPlace place,
           const char *more)
{
    const DomainDefaults defaults = { .emulator = vmm, .machine = DOMAIN_DEFAULT_MACHINE };
    g_autofree char *text = g_strdup_printf(
        "<domain type='kvm'><name>probe</name><memory>65536</memory>%s<os>"
        "<type arch='" NODE_ARCH "' machine='%s'>hvm</type>%s</os><features><acpi/>%s</features>"
        "<devices>%s</devices></domain>",
        place == IN_DOMAIN ? more : "", machine->name, boot, place == IN_FEATURES ? more : "",
        place == IN_DEVICES ? more : "");
    g_autoptr(DomainDef) def = domain_def_parse(text, 0, &defaults, NULL);

    return def && domain_def_unsupported(def, NULL);
}

static bool
offers_value(const char *vmm, const NodeMachine *machine, const Offer *offer, const char *value)
{
    for (const char *const *probe = offer->probes; probe && *probe; probe++) {
        g_auto(GStrv) parts = g_strsplit(*probe, "%s", -1);
        g_autofree char *more = g_strjoinv(value ? value : "", parts);

        if (offers_ask(vmm, machine, boot_kernel, offer->place, more))
            return true;
    }
    return false;
}

/* Those of @offer's values that are offered, and NULL. */
static GPtrArray *
offer_values(const char *vmm, const NodeMachine *machine, const Offer *offer)
{
    GPtrArray *values = g_ptr_array_new();

    for (const char *const *value = offer->values; value && *value; value++)
        if (offers_value(vmm, machine, offer, *value))
            g_ptr_array_add(values, (gpointer)*value);
    g_ptr_array_add(values, NULL);
    return values;
}

/* The rows of one element. Returns the first one after them. */
static const Offer *
format_element(GString *xml, unsigned depth, const char *vmm, const NodeMachine *machine,
               const Offer *offer)
{
    const char *element = offer->element;
    g_autoptr(GString) enums = g_string_new(NULL);
    bool any = false;

    for (; offer->element && strcmp(offer->element, element) == 0; offer++) {
        g_autoptr(GPtrArray) values = NULL;

        if (!offer->name) {
            any |= offers_value(vmm, machine, offer, NULL);
            continue;
        }
        values = offer_values(vmm, machine, offer);
        xml_enum(enums, depth + 1, offer->name, (const char *const *)values->pdata);
        any |= values->len > 1;
    }
    if (!any || !enums->len) {
        xml_line(xml, depth, "<%s supported='%s'/>", element, any ? "yes" : "no");
        return offer;
    }
    xml_line(xml, depth, "<%s supported='yes'>", element);
    g_string_append_len(xml, enums->str, (gssize)enums->len);
    xml_line(xml, depth, "</%s>", element);
    return offer;
}

static void
format_rows(GString *xml, unsigned depth, const char *vmm, const NodeMachine *machine,
            const Offer *offer)
{
    while (offer->element)
        offer = format_element(xml, depth, vmm, machine, offer);
}

/* The array of values ends with NULL. */
static gboolean
offer_equal(gconstpointer a, gconstpointer b)
{
    return g_strcmp0(a, b) == 0;
}

/* What a guest may ask for, and KVM has. Those that are no bit of KVM's come with any other. */
static void
format_hyperv(GString *xml, unsigned depth, const char *vmm, const NodeMachine *machine,
              uint32_t hyperv)
{
    g_autoptr(GPtrArray) values = offer_values(vmm, machine, &offer_hyperv);

    for (int i = 0; i < HYPERV_FEATURES; i++) {
        guint at;

        if (!(hyperv & HYPERV_BIT(i)) &&
            g_ptr_array_find_with_equal_func(values, hyperv_facts[i].name, offer_equal, &at))
            g_ptr_array_remove_index(values, at);
    }
    if (!hyperv || values->len < 2) {
        xml_line(xml, depth, "<%s supported='no'/>", offer_hyperv.element);
        return;
    }
    xml_line(xml, depth, "<%s supported='yes'>", offer_hyperv.element);
    xml_enum(xml, depth + 1, offer_hyperv.name, (const char *const *)values->pdata);
    xml_line(xml, depth, "</%s>", offer_hyperv.element);
}

char *
node_format_offers(const char *vmm, const NodeMachine *machine, uint32_t hyperv)
{
    GString *xml = g_string_new(NULL);

    format_rows(xml, 1, vmm, machine, offers_memory);
    xml_line(xml, 1, "<devices>");
    format_rows(xml, 2, vmm, machine, offers_devices);
    xml_line(xml, 1, "</devices>");
    xml_line(xml, 1, "<features>");
    format_rows(xml, 2, vmm, machine, offers_features);
    format_hyperv(xml, 2, vmm, machine, hyperv);
    xml_line(xml, 1, "</features>");
    return g_string_free(xml, FALSE);
}

bool
node_offers_firmware(const char *vmm, const NodeMachine *machine)
{
    return offers_ask(vmm, machine, "<boot dev='hd'/>", IN_DOMAIN, "");
}

bool
node_offers_uefi(const char *vmm, const NodeMachine *machine)
{
    return offers_ask(vmm, machine,
                      "<loader readonly='yes' type='pflash'>/nonexistent</loader>"
                      "<nvram>/nonexistent</nvram>",
                      IN_DOMAIN, "");
}

/* The default one first. */
static const NodeMachine machines[] = {
    { "kiln-q35-1.0", "q35", "pc-q35-" },
    { "kiln-pc-1.0", "pc", "pc-i440fx-" },
};

const NodeMachine *
node_machine_find(const char *name)
{
    if (!name)
        return &machines[0];
    for (size_t i = 0; i < G_N_ELEMENTS(machines); i++)
        if (strcmp(name, machines[i].name) == 0 || strcmp(name, machines[i].alias) == 0 ||
            g_str_has_prefix(name, machines[i].prefix))
            return &machines[i];
    return NULL;
}

const NodeMachine **
node_machines(const char *vmm)
{
    const NodeMachine **list = g_new0(const NodeMachine *, G_N_ELEMENTS(machines) + 1);
    size_t n = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(machines); i++)
        if (offers_ask(vmm, &machines[i], boot_kernel, IN_DOMAIN, ""))
            list[n++] = &machines[i];
    return list;
}
