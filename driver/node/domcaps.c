/* domcaps.c - what a guest of a given machine may have, as domain capabilities XML.
 *
 * libvirt formatdomaincaps, schema domaincaps.rng of 9.0. One table says which values of which
 * attribute are offered; what is not in it is not there.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/node/node_private.h"
#include "util/error.h"

/* One element below <devices>, <features> and so on: its enums, or none when it is not offered. */
typedef struct {
    const char *element;
    bool supported;
    struct {
        const char *name;
        const char *const *values;
    } enums[3];
} Offer;

#define VALUES(...) ((const char *const[]){ __VA_ARGS__, NULL })

static const Offer offer_memory = { "memoryBacking",
                                    true,
                                    { { "sourceType", VALUES("anonymous", "memfd") } } };

/* In the order of the schema. */
static const Offer offer_devices[] = {
    { "disk",
      true,
      { { "diskDevice", VALUES("disk") },
        { "bus", VALUES("virtio") },
        { "model", VALUES("virtio", "virtio-non-transitional") } } },
    { "graphics", false, { { 0 } } },
    { "video", true, { { "modelType", VALUES("none") } } },
    { "hostdev", false, { { 0 } } },
    { "rng",
      true,
      { { "model", VALUES("virtio", "virtio-non-transitional") },
        { "backendModel", VALUES("random", "builtin") } } },
    { "filesystem", false, { { 0 } } },
    { "tpm", false, { { 0 } } },
    { "redirdev", false, { { 0 } } },
    { "channel", true, { { "type", VALUES("null", "pty", "file", "tcp", "unix") } } },
};

static const Offer offer_features[] = {
    { "gic", false, { { 0 } } },    { "vmcoreinfo", false, { { 0 } } },
    { "genid", false, { { 0 } } },  { "backingStoreInput", false, { { 0 } } },
    { "backup", false, { { 0 } } }, { "sev", false, { { 0 } } },
    { "sgx", false, { { 0 } } },    { "hyperv", false, { { 0 } } },
};

/* Emulators by other names, which XML written for QEMU has. What runs is always kiln-vmm. */
static const char *const emulator_names[] = {
    "kiln-vmm", "qemu-system-x86_64", "qemu-kvm", "kvm", "kvm-spice", NULL,
};

static bool
check_machine(const char *machine, GError **err)
{
    if (!machine || !strcmp(machine, NODE_MACHINE) || !strcmp(machine, NODE_MACHINE_ALIAS) ||
        g_str_has_prefix(machine, "pc-q35-"))
        return true;
    return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                          "machine type '%s' is not offered: Kiln has '" NODE_MACHINE
                          "' ('" NODE_MACHINE_ALIAS "')",
                          machine);
}

static bool
check_request(const Node *node, const char *emulator, const char *arch, const char *machine,
              const char *virt, GError **err)
{
    if (arch && strcmp(arch, NODE_ARCH) != 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "architecture '%s' is not offered: Kiln runs '" NODE_ARCH "' only",
                              arch);
    if (virt && strcmp(virt, "kvm") != 0)
        return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                              "domain type '%s' is not offered: Kiln runs 'kvm' only", virt);
    if (emulator && strcmp(emulator, node_paths(node)->vmm) != 0) {
        g_autofree char *base = g_path_get_basename(emulator);

        if (!g_path_is_absolute(emulator) || !g_strv_contains(emulator_names, base))
            return kiln_error_set(err, VIR_ERR_INVALID_ARG,
                                  "emulator '%s' is none that Kiln stands in for: it runs '%s'",
                                  emulator, node_paths(node)->vmm);
    }
    return check_machine(machine, err);
}

static void
format_offer(GString *xml, unsigned depth, const Offer *offer)
{
    if (!offer->supported || !offer->enums[0].name) {
        xml_line(xml, depth, "<%s supported='%s'/>", offer->element,
                 offer->supported ? "yes" : "no");
        return;
    }
    xml_line(xml, depth, "<%s supported='yes'>", offer->element);
    for (size_t i = 0; i < G_N_ELEMENTS(offer->enums) && offer->enums[i].name; i++) {
        xml_line(xml, depth + 1, "<enum name='%s'>", offer->enums[i].name);
        for (const char *const *value = offer->enums[i].values; *value; value++)
            xml_line(xml, depth + 2, "<value>%s</value>", *value);
        xml_line(xml, depth + 1, "</enum>");
    }
    xml_line(xml, depth, "</%s>", offer->element);
}

static void
format_host_model(GString *xml, const NodeHostModel *model)
{
    if (!model) {
        xml_line(xml, 2, "<mode name='host-model' supported='no'/>");
        return;
    }
    xml_line(xml, 2, "<mode name='host-model' supported='yes'>");
    xml_line(xml, 3, "<model fallback='forbid'>%s</model>", model->model);
    if (model->vendor)
        xml_line(xml, 3, "<vendor>%s</vendor>", model->vendor);
    for (const char *const *name = model->require; *name; name++)
        xml_line(xml, 3, "<feature policy='require' name='%s'/>", *name);
    for (const char *const *name = model->disable; *name; name++)
        xml_line(xml, 3, "<feature policy='disable' name='%s'/>", *name);
    xml_line(xml, 2, "</mode>");
}

static void
format_cpu(GString *xml, Node *node, const CpuFacts *kvm, const CpuMap *map)
{
    xml_line(xml, 1, "<cpu>");
    xml_line(xml, 2, "<mode name='host-passthrough' supported='yes'>");
    xml_line(xml, 3, "<enum name='hostPassthroughMigratable'>");
    xml_line(xml, 4, "<value>on</value>");
    xml_line(xml, 4, "<value>off</value>");
    xml_line(xml, 3, "</enum>");
    xml_line(xml, 2, "</mode>");
    xml_line(xml, 2, "<mode name='maximum' supported='no'/>");
    format_host_model(xml, node_get_host_model(node, NULL));
    xml_line(xml, 2, "<mode name='custom' supported='yes'>");
    for (const CpuMapModel *const *m = cpumap_models(map); *m; m++)
        xml_line(xml, 3, "<model usable='%s' vendor='%s'>%s</model>",
                 cpu_facts_have_model(kvm, *m) ? "yes" : "no",
                 (*m)->vendor ? (*m)->vendor : "unknown", (*m)->name);
    xml_line(xml, 2, "</mode>");
    xml_line(xml, 1, "</cpu>");
}

char *
node_get_domain_capabilities(Node *node, const char *emulator, const char *arch,
                             const char *machine, const char *virt, GError **err)
{
    g_autoptr(GError) why = NULL;
    const CpuFacts *kvm;
    const CpuMap *map;
    GString *xml;

    if (!check_request(node, emulator, arch, machine, virt, err))
        return NULL;
    kvm = node_get_kvm(node, &why);
    map = kvm ? node_get_map(node, &why) : NULL;
    if (!map) {
        kiln_error_set(err, VIR_ERR_INVALID_ARG, "no guest can run on this host: %s", why->message);
        return NULL;
    }
    xml = g_string_new(NULL);
    xml_line(xml, 0, "<domainCapabilities>");
    xml_line(xml, 1, "<path>%s</path>", emulator ? emulator : node_paths(node)->vmm);
    xml_line(xml, 1, "<domain>kvm</domain>");
    xml_line(xml, 1, "<machine>" NODE_MACHINE "</machine>");
    xml_line(xml, 1, "<arch>" NODE_ARCH "</arch>");
    xml_line(xml, 1, "<vcpu max='%u'/>", kvm->max_vcpus);
    xml_line(xml, 1, "<iothreads supported='yes'/>");
    xml_line(xml, 1, "<os supported='yes'>");
    xml_line(xml, 2, "<enum name='firmware'/>");
    xml_line(xml, 2, "<loader supported='no'/>");
    xml_line(xml, 1, "</os>");
    format_cpu(xml, node, kvm, map);
    format_offer(xml, 1, &offer_memory);
    xml_line(xml, 1, "<devices>");
    for (size_t i = 0; i < G_N_ELEMENTS(offer_devices); i++)
        format_offer(xml, 2, &offer_devices[i]);
    xml_line(xml, 1, "</devices>");
    xml_line(xml, 1, "<features>");
    for (size_t i = 0; i < G_N_ELEMENTS(offer_features); i++)
        format_offer(xml, 2, &offer_features[i]);
    xml_line(xml, 1, "</features>");
    xml_line(xml, 0, "</domainCapabilities>");
    return g_string_free(xml, FALSE);
}
