/* domcaps.c - what a guest of a given machine may have, as domain capabilities XML.
 *
 * libvirt formatdomaincaps, schema domaincaps.rng of 9.0. What devices and features are offered is
 * found out in offers.c.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "driver/node/firmware.h"
#include "driver/node/node_private.h"
#include "driver/node/sysfs.h"
#include "util/error.h"

/* Emulators by other names, which XML written for QEMU has. What runs is always kiln-vmm. */
static const char *const emulator_names[] = {
    "kiln-vmm", "qemu-system-x86_64", "qemu-kvm", "kvm", "kvm-spice", NULL,
};

/* The board a client asks about, if guests can be started on it. */
static const NodeMachine *
find_machine(const Node *node, const char *name, GError **err)
{
    const char *vmm = node_paths(node)->vmm;
    g_autofree const NodeMachine **offered = node_machines(vmm);
    const NodeMachine *machine = node_machine_find(name);
    g_autoptr(GString) names = g_string_new(NULL);

    for (const NodeMachine **each = offered; *each; each++) {
        if (*each == machine)
            return machine;
        g_string_append_printf(names, "%s'%s' ('%s')", names->len ? ", " : "", (*each)->name,
                               (*each)->alias);
    }
    kiln_error_set(err, VIR_ERR_INVALID_ARG, "machine type '%s' is not offered: Kiln has %s",
                   name ? name : machine->name, names->str);
    return NULL;
}

static bool
check_request(const Node *node, const char *emulator, const char *arch, const char *virt,
              GError **err)
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
    return true;
}

bool
node_check_request(const Node *node, const NodeRequest *request, GError **err)
{
    return check_request(node, request->emulator, request->arch, request->virt, err) &&
           (!request->machine || find_machine(node, request->machine, err));
}

/* What firmware starts guests: UEFI's images are those that the host's packages describe for QEMU's
 * boards, which ours stand for. */
static void
format_os(GString *xml, const Node *node, const NodeMachine *machine)
{
    const char *root = node_source(node)->root;
    g_autoptr(GPtrArray) list = host_firmware_list(root, NODE_ARCH);
    g_autofree char *board = g_strconcat(machine->prefix, "7.2", NULL);
    bool uefi = node_offers_uefi(node_paths(node)->vmm, machine);

    for (guint i = list->len; i > 0; i--) {
        const HostFirmware *firmware = list->pdata[i - 1];

        if (!uefi || !firmware->uefi || firmware->secure_boot || !firmware->nvram_template ||
            !host_firmware_fits(firmware, board))
            g_ptr_array_remove_index(list, i - 1);
    }
    xml_line(xml, 1, "<os supported='yes'>");
    if (list->len) {
        xml_enum(xml, 2, "firmware", (const char *const[]){ "efi", NULL });
        xml_line(xml, 2, "<loader supported='yes'>");
        for (guint i = 0; i < list->len; i++)
            xml_line(xml, 3, "<value>%s</value>", ((const HostFirmware *)list->pdata[i])->code);
        xml_enum(xml, 3, "type", (const char *const[]){ "rom", "pflash", NULL });
        xml_enum(xml, 3, "readonly", (const char *const[]){ "yes", "no", NULL });
        xml_enum(xml, 3, "secure", (const char *const[]){ "no", NULL });
        xml_line(xml, 2, "</loader>");
    } else {
        xml_enum(xml, 2, "firmware", (const char *const[]){ NULL });
        xml_line(xml, 2, "<loader supported='no'/>");
    }
    xml_line(xml, 1, "</os>");
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
    xml_enum(xml, 3, "hostPassthroughMigratable", (const char *const[]){ "on", "off", NULL });
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
    const NodeMachine *board;
    const CpuFacts *kvm;
    const CpuMap *map;
    GString *xml;

    if (!check_request(node, emulator, arch, virt, err) ||
        !(board = find_machine(node, machine, err)))
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
    xml_line(xml, 1, "<machine>%s</machine>", board->name);
    xml_line(xml, 1, "<arch>" NODE_ARCH "</arch>");
    xml_line(xml, 1, "<vcpu max='%u'/>", kvm->max_vcpus);
    xml_line(xml, 1, "<iothreads supported='yes'/>");
    format_os(xml, node, board);
    format_cpu(xml, node, kvm, map);
    g_string_append(xml, node_get_offers(node, board));
    xml_line(xml, 0, "</domainCapabilities>");
    return g_string_free(xml, FALSE);
}
