/* hmp_info.c - what the human monitor tells ("info TOPIC"), made from QMP's answers and the tree of
 * devices. Wording: as near to QEMU 7.2's as programs that read it need.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "hw/core/device.h"
#include "hw/pci/pci.h"
#include "launcher/hmp.h"
#include "net/net.h"

typedef struct {
    const char *name, *help;
    void (*run)(HmpCall *call);
    bool takes_word; /* behind its name; run judges it */
} InfoTopic;

static const char *
text_of(JsonObject *object, const char *name)
{
    JsonNode *node = json_object_get_member(object, name);

    return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == G_TYPE_STRING
               ? json_node_get_string(node)
               : "";
}

static gint64
number_of(JsonObject *object, const char *name)
{
    return json_object_has_member(object, name) ? json_object_get_int_member(object, name) : 0;
}

static void
info_status(HmpCall *call)
{
    g_autoptr(JsonNode) value = hmp_qmp(call, "query-status", NULL);
    JsonObject *object = value ? json_node_get_object(value) : NULL;
    const char *status = object ? text_of(object, "status") : "";
    bool plain = strcmp(status, "running") == 0 || strcmp(status, "paused") == 0;

    if (object)
        g_string_append_printf(call->out, "VM status: %s%s%s%s\n",
                               json_object_get_boolean_member(object, "running") ? "running"
                                                                                 : "paused",
                               plain ? "" : " (", plain ? "" : status, plain ? "" : ")");
}

static void
info_version(HmpCall *call)
{
    g_string_append(call->out, "7.2.0 (kiln-" KILN_VERSION ")\n");
}

static void
info_kvm(HmpCall *call)
{
    g_string_append(call->out, "kvm support: enabled\n");
}

static void
info_name(HmpCall *call)
{
    const Vm *vm = qmp_session_vm(call->session);

    if (vm->name)
        g_string_append_printf(call->out, "%s\n", vm->name);
}

static void
info_uuid(HmpCall *call)
{
    g_autoptr(JsonNode) value = hmp_qmp(call, "query-uuid", NULL);

    if (value)
        g_string_append_printf(call->out, "%s\n", text_of(json_node_get_object(value), "UUID"));
}

static void
block_one(HmpCall *call, JsonObject *disk)
{
    JsonObject *inserted = json_object_has_member(disk, "inserted")
                               ? json_object_get_object_member(disk, "inserted")
                               : NULL;
    const char *name = text_of(disk, "device");

    g_string_append_printf(call->out, "%s", *name ? name : text_of(disk, "qdev"));
    if (inserted)
        g_string_append_printf(call->out, " (%s): %s (%s%s)\n", text_of(inserted, "node-name"),
                               text_of(inserted, "file"), text_of(inserted, "drv"),
                               json_object_get_boolean_member(inserted, "ro") ? ", read-only" : "");
    else
        g_string_append(call->out, ": [not inserted]\n");
    g_string_append_printf(call->out, "    Attached to:      %s\n", text_of(disk, "qdev"));
    if (json_object_get_boolean_member(disk, "removable"))
        g_string_append_printf(call->out, "    Removable device: %slocked, tray %s\n",
                               json_object_get_boolean_member(disk, "locked") ? "" : "not ",
                               json_object_get_boolean_member(disk, "tray_open") ? "open"
                                                                                 : "closed");
}

static void
info_block(HmpCall *call)
{
    g_autoptr(JsonNode) value = hmp_qmp(call, "query-block", NULL);
    JsonArray *list = value ? json_node_get_array(value) : NULL;

    for (guint i = 0; list && i < json_array_get_length(list); i++)
        block_one(call, json_array_get_object_element(list, i));
}

static void
info_chardev(HmpCall *call)
{
    g_autoptr(JsonNode) value = hmp_qmp(call, "query-chardev", NULL);
    JsonArray *list = value ? json_node_get_array(value) : NULL;

    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonObject *one = json_array_get_object_element(list, i);

        g_string_append_printf(call->out, "%s: filename=%s\n", text_of(one, "label"),
                               text_of(one, "filename"));
    }
}

static void
network_one(const char *id, void *object, void *opaque)
{
    g_autofree char *text = net_backend_describe(object);
    const char *type = net_backend_type(object);
    bool more = text && *text && strcmp(text, type) != 0;

    g_string_append_printf(((HmpCall *)opaque)->out, "%s: type=%s,%s%slink=%s\n", id, type,
                           more ? text : "", more ? "," : "",
                           net_backend_link(object) ? "up" : "down");
}

static void
info_network(HmpCall *call)
{
    machine_object_visit(qmp_session_vm(call->session)->machine, OBJECT_NETDEV, network_one, call);
}

static void
info_cpus(HmpCall *call)
{
    g_autoptr(JsonNode) value = hmp_qmp(call, "query-cpus-fast", NULL);
    JsonArray *list = value ? json_node_get_array(value) : NULL;

    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonObject *cpu = json_array_get_object_element(list, i);

        g_string_append_printf(
            call->out, "%c CPU #%" G_GINT64_FORMAT ": thread_id=%" G_GINT64_FORMAT "\n",
            i == 0 ? '*' : ' ', number_of(cpu, "cpu-index"), number_of(cpu, "thread-id"));
    }
}

/* Of the first processor, or with -a of all. */
static void
info_registers(HmpCall *call)
{
    Vm *vm = qmp_session_vm(call->session);
    bool all = call->n_words > 2 && !strcmp(call->words[2], "-a");
    g_autoptr(GError) err = NULL;

    if (call->n_words > 2 && !all) {
        g_string_append(call->out, "usage: info registers [-a]\n");
        return;
    }
    vm_hold_vcpus(vm);
    for (guint i = 0; i < (all ? vm->vcpus->len : 1) && !err; i++) {
        Vcpu *vcpu = g_ptr_array_index(vm->vcpus, i);

        g_string_append_printf(call->out, "\nCPU#%u\n", vcpu_index(vcpu));
        if (!vcpu_show(vcpu, call->out, &err))
            g_string_append_printf(call->out, "Error: %s\n", err->message);
    }
    vm_release_vcpus(vm);
}

static void
info_balloon(HmpCall *call)
{
    g_autoptr(JsonNode) value = hmp_qmp(call, "query-balloon", NULL);

    if (value)
        g_string_append_printf(call->out, "balloon: actual=%" G_GINT64_FORMAT "\n",
                               number_of(json_node_get_object(value), "actual") >> 20);
}

static void
info_mice(HmpCall *call)
{
    g_autoptr(JsonNode) value = hmp_qmp(call, "query-mice", NULL);
    JsonArray *list = value ? json_node_get_array(value) : NULL;

    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonObject *mouse = json_array_get_object_element(list, i);

        g_string_append_printf(call->out, "%c Mouse #%" G_GINT64_FORMAT ": %s%s\n",
                               json_object_get_boolean_member(mouse, "current") ? '*' : ' ',
                               number_of(mouse, "index"), text_of(mouse, "name"),
                               json_object_get_boolean_member(mouse, "absolute") ? " (absolute)"
                                                                                 : "");
    }
}

static void
pci_one(PciDevice *dev, void *opaque)
{
    GString *out = ((HmpCall *)opaque)->out;

    g_string_append_printf(
        out,
        "  Bus %2d, device %3u, function %u:\n    Class %04x: PCI device "
        "%04x:%04x\n",
        pci_bus_number(dev->bus), PCI_SLOT((unsigned)dev->devfn),
        PCI_FUNCTION((unsigned)dev->devfn), pci_config_get(dev, PCI_CLASS_DEVICE, 2),
        pci_config_get(dev, PCI_VENDOR_ID, 2), pci_config_get(dev, PCI_DEVICE_ID, 2));
    for (unsigned n = 0; n < PCI_BARS; n++) {
        const PciBar *bar = &dev->bars[n];

        if (bar->kind != PCI_BAR_NONE && bar->mapped)
            g_string_append_printf(
                out, "      BAR%u: %s at 0x%" G_GINT64_MODIFIER "x [0x%" G_GINT64_MODIFIER "x].\n",
                n, bar->kind == PCI_BAR_IO ? "I/O" : "memory", bar->address,
                bar->address + bar->size - 1);
    }
    g_string_append_printf(out, "      id \"%s\"\n", dev->device.id ? dev->device.id : "");
}

static void
info_pci(HmpCall *call)
{
    PciRoot *root = qmp_session_vm(call->session)->machine->pci;

    g_mutex_lock(&root->lock);
    pci_visit(root, pci_one, call);
    g_mutex_unlock(&root->lock);
}

static void
tree_level(HmpCall *call, const Device *owner, unsigned depth)
{
    const GPtrArray *devices = qmp_session_vm(call->session)->machine->devices;
    const char *bus = NULL;

    for (guint i = 0; i < devices->len; i++) {
        const Device *dev = g_ptr_array_index(devices, i);

        if (owner ? !dev->bus || dev->bus->owner != owner : dev->bus && dev->bus->owner)
            continue;
        if (dev->bus && g_strcmp0(bus, dev->bus->name) != 0)
            g_string_append_printf(call->out, "%*sbus: %s\n", (int)depth, "", dev->bus->name);
        bus = dev->bus ? dev->bus->name : NULL;
        g_string_append_printf(call->out, "%*sdev: %s, id \"%s\"\n", (int)depth + 2, "",
                               dev->class->name, dev->id ? dev->id : "");
        tree_level(call, dev, depth + 4);
    }
}

static void
info_qtree(HmpCall *call)
{
    tree_level(call, NULL, 0);
}

static void
info_block_jobs(HmpCall *call)
{
    g_autoptr(JsonNode) value = hmp_qmp(call, "query-block-jobs", NULL);
    JsonArray *list = value ? json_node_get_array(value) : NULL;

    if (list && json_array_get_length(list) == 0)
        g_string_append(call->out, "No active jobs\n");
    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonObject *job = json_array_get_object_element(list, i);

        g_string_append_printf(
            call->out,
            "Type %s, device %s: Completed %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT
            " bytes, speed limit %" G_GINT64_FORMAT " bytes/s\n",
            text_of(job, "type"), text_of(job, "device"), number_of(job, "offset"),
            number_of(job, "len"), number_of(job, "speed"));
    }
}

static void
info_iothreads(HmpCall *call)
{
    g_autoptr(JsonNode) value = hmp_qmp(call, "query-iothreads", NULL);
    JsonArray *list = value ? json_node_get_array(value) : NULL;

    for (guint i = 0; list && i < json_array_get_length(list); i++) {
        JsonObject *thread = json_array_get_object_element(list, i);

        g_string_append_printf(call->out, "%s:\n  thread_id=%" G_GINT64_FORMAT "\n",
                               text_of(thread, "id"), number_of(thread, "thread-id"));
    }
}

static void
info_memory_size(HmpCall *call)
{
    g_autoptr(JsonNode) value = hmp_qmp(call, "query-memory-size-summary", NULL);

    if (value)
        g_string_append_printf(call->out, "base memory: %" G_GINT64_FORMAT "\n",
                               number_of(json_node_get_object(value), "base-memory"));
}

static void
info_vnc(HmpCall *call)
{
    g_autoptr(JsonNode) value = hmp_qmp(call, "query-vnc", NULL);
    JsonObject *object = value ? json_node_get_object(value) : NULL;

    if (object && json_object_get_boolean_member(object, "enabled"))
        g_string_append_printf(call->out, "Server: %s:%s (auth: %s)\n", text_of(object, "host"),
                               text_of(object, "service"), text_of(object, "auth"));
    else if (object)
        g_string_append(call->out, "None\n");
}

static const InfoTopic info_topics[] = {
    { "status", "whether it runs", info_status },
    { "block", "disks", info_block },
    { "network", "network back ends", info_network },
    { "chardev", "character back ends", info_chardev },
    { "cpus", "processors and their threads", info_cpus },
    { "registers", "of the first processor, or with -a of all", info_registers, true },
    { "pci", "PCI functions", info_pci },
    { "qtree", "devices and their buses", info_qtree },
    { "mtree", "memory as processors see it", hmp_memory_tree },
    { "usb", "USB devices", hmp_usb },
    { "roms", "firmware of the system and of PCI functions", hmp_roms },
    { "block-jobs", "copies of disks that go on", info_block_jobs },
    { "iothreads", "I/O threads", info_iothreads },
    { "memory_size_summary", "memory the machine has", info_memory_size },
    { "balloon", "memory the guest has", info_balloon },
    { "mice", "pointers", info_mice },
    { "vnc", "the server of screens", info_vnc },
    { "name", "the guest's name", info_name },
    { "uuid", "its identifier", info_uuid },
    { "kvm", "whether KVM runs it", info_kvm },
    { "version", "this program's version", info_version },
    { NULL },
};

void
hmp_info_help(GString *out)
{
    for (const InfoTopic *t = info_topics; t->name; t++)
        g_string_append_printf(out, "info %s -- %s\n", t->name, t->help);
}

void
hmp_info(HmpCall *call)
{
    if (call->n_words < 2) {
        hmp_info_help(call->out);
        return;
    }
    for (const InfoTopic *t = info_topics; t->name; t++) {
        if (strcmp(t->name, call->words[1]) == 0) {
            if (call->n_words > 2 && !t->takes_word)
                g_string_append_printf(call->out, "usage: info %s\n", t->name);
            else
                t->run(call);
            return;
        }
    }
    g_string_append_printf(call->out,
                           "unknown command: 'info %s': not offered here; see 'help "
                           "info'\n",
                           call->words[1]);
}
