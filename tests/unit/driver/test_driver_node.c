/* test_driver_node.c - the host as clients see it. Golden files are in tests/golden/node; write
 * them anew with KILN_GOLDEN_WRITE=1 and read the difference. libvirt's own schemas judge the XML.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <libvirt/libvirt.h>
#include <string.h>

#include "driver/node/firmware.h"
#include "driver/node/interfaces.h"
#include "driver/node/offers.h"
#include "driver/node/suspend.h"
#include "driver/node/sysfs.h"
#include "driver/node/topology.h"
#include "tests/unit/driver/node_fixture.h"
#include "tests/unit/golden.h"
#include "util/error.h"

static void
assert_golden(const char *name, const char *text)
{
    g_autofree char *path =
        g_build_filename(g_getenv("KILN_SOURCE_ROOT"), "tests/golden/node", name, NULL);

    golden_check(path, text);
}

static void
test_lists_and_lines(void **state)
{
    g_autoptr(GArray) list = sysfs_parse_list("0-2,8\n");
    g_autoptr(GArray) none = sysfs_parse_list("x");
    g_autoptr(GArray) huge = sysfs_parse_list("0-18446744073709551615");
    g_autofree char *value = sysfs_find_line("MemTotalX: 1\nMemTotal:   7 kB\n", "MemTotal");

    (void)state;
    assert_int_equal(list->len, 4);
    assert_int_equal(g_array_index(list, unsigned, 3), 8);
    assert_int_equal(none->len, 0);
    assert_int_equal(huge->len, 65536);
    assert_string_equal(value, "7 kB");
    assert_null(sysfs_find_line("MemTotalX: 1\n", "MemTotal"));
}

static void
test_info(void **state)
{
    FakeHost *host = fake_host_new(false);
    g_autoptr(Node) node = node_new_from(&host->paths, &host->source);
    NodeInfo info;

    (void)state;
    assert_true(node_get_info(node, &info, NULL));
    assert_string_equal(info.model, "x86_64");
    assert_int_equal(info.memory_kib, 8388608);
    assert_int_equal(info.cpus, 8);
    assert_int_equal(info.mhz, 2596);
    assert_int_equal(info.nodes, 2);
    assert_int_equal(info.sockets, 1);
    assert_int_equal(info.cores, 2);
    assert_int_equal(info.threads, 2);
    fake_host_free(host);
}

/* The product counts processors that are off; one more that is in no node makes it wrong. */
static void
test_info_fallback(void **state)
{
    FakeHost *host = fake_host_new(true);
    g_autoptr(Node) node = node_new_from(&host->paths, &host->source);
    NodeInfo info;

    (void)state;
    assert_true(node_get_info(node, &info, NULL));
    assert_int_equal(info.cpus, 7);
    assert_int_equal(info.nodes * info.sockets * info.cores * info.threads, 8);
    assert_int_equal(info.threads, 2);
    fake_host_write(host, "/sys/devices/system/cpu/present", "0-8\n");
    assert_true(node_get_info(node, &info, NULL));
    assert_int_equal(info.nodes, 1);
    assert_int_equal(info.sockets, 1);
    assert_int_equal(info.cores, 9);
    assert_int_equal(info.threads, 1);
    fake_host_free(host);
}

static void
test_info_unreadable(void **state)
{
    FakeHost *host = fake_host_new(false);
    g_autoptr(Node) node = node_new_from(&host->paths, &host->source);
    g_autoptr(GError) err = NULL;
    NodeInfo info;

    (void)state;
    fake_host_write(host, "/proc/meminfo", "nothing\n");
    assert_false(node_get_info(node, &info, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_SYSTEM_ERROR);
    assert_non_null(strstr(err->message, "/proc/meminfo"));
    fake_host_free(host);
}

/* libvirt's schema, which takes no name of a host's feature with a dot; libvirt writes such names.
 */
static void
check_capabilities(const char *xml)
{
    g_auto(GStrv) parts = g_strsplit(xml, "<feature name='sse4.", -1);
    g_autofree char *without = g_strjoinv("<feature name='sse4-", parts);

    golden_check_schema("capability.rng", "capability.rng", without);
}

static void
test_capabilities(void **state)
{
    FakeHost *host = fake_host_new(false);
    g_autoptr(Node) node = node_new_from(&host->paths, &host->source);
    g_autofree char *xml = node_get_capabilities(node, NULL);

    (void)state;
    assert_non_null(xml);
    check_capabilities(xml);
    assert_golden("capabilities.xml", xml);
    fake_host_free(host);
}

static CpuFacts *
no_kvm(const CpuMap *map, GError **err)
{
    (void)map;
    kiln_error_set(err, VIR_ERR_CONFIG_UNSUPPORTED, "there is no KVM in this test");
    return NULL;
}

static void
check_refused(bool done, GError **err, int code, const char *says)
{
    assert_false(done);
    assert_int_equal(kiln_error_code(*err), code);
    assert_non_null(strstr((*err)->message, says));
    g_clear_error(err);
}

static void
put_interface(FakeHost *host, const char *name, const char *state, const char *mac)
{
    g_autofree char *dir = g_strdup_printf("/sys/class/net/%s", name);
    const struct {
        const char *file, *text;
    } files[] = { { "ifindex", "3\n" },
                  { "operstate", state },
                  { "address", mac },
                  { "mtu", "1500\n" },
                  { "speed", "1000\n" } };

    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_strdup_printf("%s/%s", dir, files[i].file);

        fake_host_write(host, path, "%s", files[i].text);
    }
}

static char *
names_of(GPtrArray *all)
{
    g_autoptr(GPtrArray) owned = all;
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = 0; i < owned->len; i++)
        g_string_append_printf(text, "%s ", ((NodeInterface *)owned->pdata[i])->name);
    return g_string_free(g_steal_pointer(&text), FALSE);
}

static void
test_interfaces(void **state)
{
    FakeHost *host = fake_host_new(false);
    g_autofree char *none = names_of(host_interfaces(host->root, true, true)), *on = NULL;
    g_autofree char *off = NULL, *eth = NULL, *bridge = NULL, *bond = NULL, *vlan = NULL;
    g_autoptr(GError) err = NULL;

    (void)state;
    assert_string_equal(none, "");
    put_interface(host, "eth0", "up\n", "52:54:00:00:00:01\n");
    put_interface(host, "eth1", "up\n", "52:54:00:00:00:02\n");
    put_interface(host, "lan", "up\n", "52:54:00:00:00:02\n");
    put_interface(host, "pair", "down\n", "52:54:00:00:00:03\n");
    put_interface(host, "eth0.7", "up\n", "52:54:00:00:00:01\n");
    put_interface(host, "tap0", "up\n", "52:54:00:00:00:04\n");
    fake_host_write(host, "/sys/class/net/eth1/brport/state", "3\n");
    fake_host_write(host, "/sys/class/net/lan/bridge/stp_state", "1\n");
    fake_host_write(host, "/sys/class/net/lan/bridge/forward_delay", "150\n");
    fake_host_write(host, "/sys/class/net/lan/brif/eth1/state", "3\n");
    fake_host_write(host, "/sys/class/net/pair/bonding/mode", "active-backup 1\n");
    fake_host_write(host, "/sys/class/net/pair/bonding/slaves", "pair eth0\n");
    fake_host_write(host, "/sys/class/net/tap0/tun_flags", "0x1002\n");
    fake_host_write(host, "/sys/class/net/bonding_masters", "pair\n");
    fake_host_write(host, "/proc/net/vlan/eth0.7",
                    "eth0.7  VID: 7\t REORDER_HDR: 1  dev->priv_flags: 1021\nDevice: eth0\n");
    on = names_of(host_interfaces(host->root, true, false));
    off = names_of(host_interfaces(host->root, false, true));
    assert_string_equal(on, "eth0 eth0.7 lan ");
    assert_string_equal(off, "pair ");
    eth = host_interface_xml(host->root, "eth0", &err);
    assert_string_equal(eth, "<interface type='ethernet' name='eth0'>\n"
                             "  <mtu size='1500'/>\n"
                             "  <link speed='1000' state='up'/>\n"
                             "  <mac address='52:54:00:00:00:01'/>\n"
                             "</interface>\n");
    golden_check_schema("interface.rng", "eth0", eth);
    bridge = host_interface_xml(host->root, "lan", &err);
    assert_non_null(strstr(bridge, "  <bridge stp='on' delay='1.5'>\n"
                                   "    <interface type='ethernet' name='eth1'>\n"
                                   "      <link speed='1000' state='up'/>\n"
                                   "      <mac address='52:54:00:00:00:02'/>\n"
                                   "    </interface>\n"
                                   "  </bridge>\n"));
    /* one that says that it is its own member ends somewhere */
    bond = host_interface_xml(host->root, "pair", &err);
    assert_non_null(strstr(bond, "<bond mode='active-backup'>"));
    assert_non_null(strstr(bond, "<link state='down'/>"));
    vlan = host_interface_xml(host->root, "eth0.7", &err);
    assert_non_null(strstr(vlan, "  <vlan tag='7'>\n    <interface name='eth0'/>\n  </vlan>\n"));
    check_refused(host_interface_xml(host->root, "bonding_masters", &err) != NULL, &err,
                  VIR_ERR_NO_INTERFACE, "'bonding_masters'");
    check_refused(host_interface_xml(host->root, "../net/eth0", &err) != NULL, &err,
                  VIR_ERR_NO_INTERFACE, "couldn't find interface named");
    fake_host_free(host);
}

/* What the host was told, once it was. */
static void
wait_text(FakeHost *host, const char *path, const char *want)
{
    g_autofree char *full = g_strconcat(host->root, path, NULL);

    for (int i = 0; i < 10000; i++) {
        g_autofree char *text = NULL;

        assert_true(g_file_get_contents(full, &text, NULL, NULL));
        if (g_str_has_prefix(text, want))
            return;
        g_usleep(1000);
    }
    fail_msg("%s does not begin with '%s'", path, want);
}

static void
test_suspend(void **state)
{
    FakeHost *host = fake_host_new(false);
    Node *node = node_new_from(&host->paths, &host->source);
    g_autofree char *without = node_get_capabilities(node, NULL), *with = NULL;
    g_autoptr(GError) err = NULL;

    (void)state;
    assert_non_null(strstr(without, "    <power_management/>\n    <iommu support='no'/>\n"));
    check_refused(node_suspend(node, VIR_NODE_SUSPEND_TARGET_MEM, 60, &err), &err,
                  VIR_ERR_ARGUMENT_UNSUPPORTED, "Suspend-to-RAM");
    check_refused(node_suspend(node, 3, 60, &err), &err, VIR_ERR_INVALID_ARG, "target: 3");
    fake_host_write(host, "/sys/power/state", "freeze mem disk\n");
    fake_host_write(host, "/sys/power/disk", "[platform] shutdown reboot suspend\n");
    fake_host_write(host, "/sys/kernel/iommu_groups/0/type", "DMA\n");
    with = node_get_capabilities(node, NULL);
    assert_non_null(strstr(with, "<power_management>\n      <suspend_mem/>\n"
                                 "      <suspend_disk/>\n      <suspend_hybrid/>\n"));
    assert_non_null(strstr(with, "<iommu support='yes'/>"));
    check_refused(node_suspend(node, VIR_NODE_SUSPEND_TARGET_MEM, 59, &err), &err,
                  VIR_ERR_INVALID_ARG, "too short");
    check_refused(node_suspend(node, VIR_NODE_SUSPEND_TARGET_MEM, 60, &err), &err,
                  VIR_ERR_SYSTEM_ERROR, "wakealarm");
    fake_host_write(host, "/sys/class/rtc/rtc0/wakealarm", "....");
    assert_true(node_suspend(node, VIR_NODE_SUSPEND_TARGET_HYBRID, 7200, &err));
    wait_text(host, "/sys/class/rtc/rtc0/wakealarm", "+7200");
    wait_text(host, "/sys/power/disk", "suspend");
    wait_text(host, "/sys/power/state", "disk");
    node_free(node);
    fake_host_free(host);
}

/* A host without KVM is described, but runs no guests; the firmware's UUID is taken if it is one.
 */
static void
test_capabilities_without_kvm(void **state)
{
    FakeHost *host = fake_host_new(false);
    g_autoptr(Node) node = NULL;
    g_autoptr(GError) err = NULL;
    g_autofree char *xml = NULL;

    (void)state;
    host->source.read_kvm = no_kvm;
    fake_host_write(host, "/sys/class/dmi/id/product_uuid",
                    "C4271571-D892-4EC0-9034-EF2EBC38C943\n");
    node = node_new_from(&host->paths, &host->source);
    xml = node_get_capabilities(node, NULL);
    check_capabilities(xml);
    assert_null(strstr(xml, "<guest>"));
    assert_non_null(strstr(xml, "<uuid>c4271571-d892-4ec0-9034-ef2ebc38c943</uuid>"));
    assert_null(node_get_domain_capabilities(node, NULL, NULL, NULL, NULL, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_INVALID_ARG);
    assert_non_null(strstr(err->message, "no KVM in this test"));
    assert_int_equal(node_get_max_vcpus(node, NULL, NULL), -1);
    g_clear_pointer(&xml, g_free);
    fake_host_write(host, "/sys/class/dmi/id/product_uuid",
                    "ffffffff-ffff-ffff-ffff-ffffffffffff\n");
    xml = node_get_capabilities(node, NULL);
    assert_null(strstr(xml, "ffffffff-ffff"));
    fake_host_free(host);
}

/* What is offered follows xml's rules, which grow: the rest stands in a golden file. */
static char *
cut_offers(const char *xml)
{
    static const char *const parts[][2] = { { "  <os", "</os>\n" },
                                            { "  <devices>", "</features>\n" } };
    char *text = g_strdup(xml);

    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
        char *begin = strstr(text, parts[i][0]);
        char *end = begin ? strstr(begin, parts[i][1]) : NULL;

        assert_non_null(end);
        end += strlen(parts[i][1]);
        memmove(begin, end, strlen(end) + 1);
    }
    return text;
}

/* Whether <enum name='NAME'> of <ELEMENT> has @value. */
static bool
offers(const char *xml, const char *element, const char *name, const char *value)
{
    g_autofree char *begin = g_strdup_printf("<%s supported='yes'>", element);
    g_autofree char *end = g_strdup_printf("</%s>", element);
    g_autofree char *list = g_strdup_printf("<enum name='%s'>", name);
    g_autofree char *entry = g_strdup_printf("<value>%s</value>", value);
    const char *at = strstr(xml, begin);
    const char *stop = at ? strstr(at, end) : NULL;

    at = stop ? g_strstr_len(at, stop - at, list) : NULL;
    stop = at ? g_strstr_len(at, stop - at, "</enum>") : NULL;
    return stop && g_strstr_len(at, stop - at, entry);
}

static void
test_domain_capabilities(void **state)
{
    FakeHost *host = fake_host_new(false);
    g_autoptr(Node) node = node_new_from(&host->paths, &host->source);
    g_autofree char *xml = node_get_domain_capabilities(node, NULL, NULL, NULL, NULL, NULL);
    g_autofree char *echo = node_get_domain_capabilities(node, "/usr/bin/qemu-system-x86_64",
                                                         "x86_64", "pc-q35-7.2", "kvm", NULL);
    g_autofree char *without_offers = cut_offers(xml);

    (void)state;
    golden_check_schema("domaincaps.rng", "domaincaps.rng", xml);
    assert_golden("domcaps.xml", without_offers);
    assert_non_null(strstr(echo, "<path>/usr/bin/qemu-system-x86_64</path>"));
    assert_non_null(strstr(echo, "<machine>kiln-q35-1.0</machine>"));
    fake_host_free(host);
}

static void
test_domain_capabilities_refused(void **state)
{
    static const struct {
        const char *emulator, *arch, *machine, *virt, *named;
    } cases[] = {
        { NULL, NULL, "microvm", NULL, "'microvm'" },
        { NULL, NULL, "pcx", NULL, "'pcx'" },
        { NULL, "aarch64", NULL, NULL, "'aarch64'" },
        { NULL, NULL, NULL, "qemu", "'qemu'" },
        { "/bin/true", NULL, NULL, NULL, "'/bin/true'" },
        { "qemu-system-x86_64", NULL, NULL, NULL, "'qemu-system-x86_64'" },
    };
    FakeHost *host = fake_host_new(false);
    g_autoptr(Node) node = node_new_from(&host->paths, &host->source);

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;

        assert_null(node_get_domain_capabilities(node, cases[i].emulator, cases[i].arch,
                                                 cases[i].machine, cases[i].virt, &err));
        assert_int_equal(kiln_error_code(err), VIR_ERR_INVALID_ARG);
        assert_non_null(strstr(err->message, cases[i].named));
    }
    fake_host_free(host);
}

/* Offered is what a guest with it can be started as, on every board there is. */
static void
test_offers(void **state)
{
    FakeHost *host = fake_host_new(false);
    g_autoptr(Node) node = node_new_from(&host->paths, &host->source);
    g_autofree const NodeMachine **machines = node_machines(host->paths.vmm);
    g_autofree char *capabilities = node_get_capabilities(node, NULL);

    (void)state;
    assert_string_equal(machines[0]->name, "kiln-q35-1.0");
    for (const NodeMachine **machine = machines; *machine; machine++) {
        g_autofree char *caps =
            node_get_domain_capabilities(node, NULL, NULL, (*machine)->alias, NULL, NULL);
        g_autofree char *line = g_strdup_printf(">%s</machine>", (*machine)->alias);
        g_autofree char *own = g_strdup_printf("<machine>%s</machine>", (*machine)->name);

        golden_check_schema("domaincaps.rng", "domaincaps.rng", caps);
        assert_non_null(strstr(caps, own));
        assert_non_null(strstr(capabilities, line));
        assert_true(offers(caps, "disk", "diskDevice", "disk"));
        assert_true(offers(caps, "disk", "bus", "virtio"));
        assert_false(offers(caps, "disk", "bus", "xen"));
        assert_true(offers(caps, "video", "modelType", "none"));
        assert_false(offers(caps, "video", "modelType", "qxl"));
        assert_true(offers(caps, "rng", "backendModel", "random"));
        assert_true(offers(caps, "channel", "type", "unix"));
        assert_false(offers(caps, "channel", "type", "spicevmc"));
        assert_true(offers(caps, "memoryBacking", "sourceType", "memfd"));
        assert_non_null(strstr(caps, "<hostdev supported='no'/>"));
        assert_true(offers(caps, "hyperv", "features", "relaxed"));
        assert_true(offers(caps, "hyperv", "features", "spinlocks"));
        assert_false(offers(caps, "hyperv", "features", "vpindex"));
    }
    assert_ptr_equal(node_machine_find(NULL), machines[0]);
    assert_ptr_equal(node_machine_find("pc-q35-7.2"), machines[0]);
    assert_string_equal(node_machine_find("pc-i440fx-2.11")->name, "kiln-pc-1.0");
    assert_null(node_machine_find("virt"));
    fake_host_free(host);
}

/* Firmware descriptors: the administrator's hide the packages', the order of names is kept, and
 * those whose images are missing or that are for other machines are passed over. */
static void
test_firmware(void **state)
{
    static const char flash[] =
        "{\"interface-types\":[\"uefi\"],\"mapping\":{\"device\":\"flash\","
        "\"executable\":{\"filename\":\"%s\",\"format\":\"raw\"},"
        "\"nvram-template\":{\"filename\":\"/fw/vars\",\"format\":\"raw\"}},"
        "\"targets\":[{\"architecture\":\"%s\",\"machines\":[\"pc-q35-*\"]}],"
        "\"features\":[%s]}";
    FakeHost *host = fake_host_new(false);
    g_autoptr(GPtrArray) list = NULL;
    const HostFirmware *first, *second;

    (void)state;
    fake_host_write(host, "/fw/code", "x");
    fake_host_write(host, "/fw/secure", "x");
    fake_host_write(host, "/fw/vars", "x");
    fake_host_write(host, "/usr/share/qemu/firmware/60-b.json", flash, "/fw/code", "x86_64", "");
    fake_host_write(host, "/usr/share/qemu/firmware/50-a.json", flash, "/fw/secure", "x86_64",
                    "\"requires-smm\",\"enrolled-keys\"");
    fake_host_write(host, "/usr/share/qemu/firmware/40-gone.json", flash, "/fw/none", "x86_64", "");
    fake_host_write(host, "/usr/share/qemu/firmware/30-arm.json", flash, "/fw/code", "aarch64", "");
    fake_host_write(host, "/usr/share/qemu/firmware/20-hidden.json", flash, "/fw/code", "x86_64",
                    "");
    fake_host_write(host, "/etc/qemu/firmware/20-hidden.json", "%s", "");
    fake_host_write(host, "/usr/share/qemu/firmware/10-odd.json", "[1, {\"mapping\": 3}");
    fake_host_write(host, "/usr/share/qemu/firmware/11-odd.json", "{\"targets\": [7, {}]}");
    fake_host_write(host, "/usr/share/qemu/firmware/readme", "no descriptor");
    list = host_firmware_list(host->root, "x86_64");
    assert_int_equal(list->len, 2);
    first = list->pdata[0];
    second = list->pdata[1];
    assert_string_equal(first->code, "/fw/secure");
    assert_true(first->secure_boot && first->enrolled_keys && first->uefi && !first->bios);
    assert_string_equal(second->code, "/fw/code");
    assert_string_equal(second->nvram_template, "/fw/vars");
    assert_false(second->secure_boot);
    assert_true(host_firmware_fits(second, "pc-q35-7.2"));
    assert_false(host_firmware_fits(second, "pc-i440fx-7.2"));
    fake_host_free(host);
}

/* The signature decides for Zebra, though it has svm, which KVM does not give; invtsc would tie the
 * guest to this host. */
static void
test_host_model(void **state)
{
    FakeHost *host = fake_host_new(false);
    g_autoptr(Node) node = node_new_from(&host->paths, &host->source);
    const NodeHostModel *model = node_get_host_model(node, NULL);

    (void)state;
    assert_string_equal(model->model, "Zebra");
    assert_string_equal(model->vendor, "AMD");
    assert_true(g_strv_contains(model->require, "x2apic"));
    assert_true(g_strv_contains(model->require, "hypervisor"));
    assert_false(g_strv_contains(model->require, "invtsc"));
    assert_string_equal(model->disable[0], "svm");
    assert_null(model->disable[1]);
    assert_ptr_equal(node_get_host_model(node, NULL), model);
    fake_host_free(host);
}

/* Of the host: fpu sse2 sse4.1 aes lm svm invtsc; KVM has no svm, but x2apic, hypervisor, rdctl-no.
 */
static void
test_compare_cpu(void **state)
{
    static const char zebra[] = "<cpu><model>Zebra</model></cpu>";
    static const NodeRequest kvm = { 0 }, xen = { .virt = "xen" };
    static const struct {
        const char *xml;
        const NodeRequest *request;
        int result;
        const char *why; /* with FAIL_INCOMPATIBLE */
    } cases[] = {
        { zebra, NULL, VIR_CPU_COMPARE_SUPERSET, NULL },
        { "<cpu/>", NULL, VIR_CPU_COMPARE_SUPERSET, NULL },
        { "<cpu mode='host-model'/>", &kvm, VIR_CPU_COMPARE_SUPERSET, NULL },
        { zebra, &kvm, VIR_CPU_COMPARE_INCOMPATIBLE,
          "Host CPU does not provide required features: svm" },
        { "<cpu><model>Zebra</model><feature policy='disable' name='svm'/></cpu>", &kvm,
          VIR_CPU_COMPARE_SUPERSET, NULL },
        { "<cpu><arch>x86_64</arch><model>Zebra</model><vendor>AMD</vendor>"
          "<signature family='1' model='2' stepping='3'/><feature name='sse4.1'/>"
          "<feature name='invtsc'/></cpu>",
          NULL, VIR_CPU_COMPARE_IDENTICAL, NULL },
        { "<cpu match='strict'><model>Zebra</model></cpu>", NULL, VIR_CPU_COMPARE_INCOMPATIBLE,
          "Host CPU does not strictly match guest CPU: Extra features: sse4.1, invtsc" },
        { "<cpu match='strict'><model>Zebra</model><feature policy='optional' name='sse4.1'/>"
          "<feature policy='force' name='invtsc'/></cpu>",
          NULL, VIR_CPU_COMPARE_IDENTICAL, NULL },
        { "<cpu><model>Zebra</model><feature policy='forbid' name='invtsc'/></cpu>", NULL,
          VIR_CPU_COMPARE_INCOMPATIBLE, "Host CPU provides forbidden features: invtsc" },
        { "<cpu><model>old64</model><vendor>Intel</vendor></cpu>", NULL,
          VIR_CPU_COMPARE_INCOMPATIBLE,
          "host CPU vendor does not match required CPU vendor Intel" },
    };
    static const struct {
        const char *xml;
        const NodeRequest *request;
        int code;
    } wrong[] = {
        { "<cpu><model>Nonsense</model></cpu>", NULL, VIR_ERR_INTERNAL_ERROR },
        { "<cpu><model>Zebra</model><feature name='nonsense'/></cpu>", NULL,
          VIR_ERR_INTERNAL_ERROR },
        { "<cpu><feature policy='require' name='aes'/></cpu>", NULL, VIR_ERR_XML_ERROR },
        { "<cpu match='exact'><arch>x86_64</arch><model>Zebra</model></cpu>", NULL,
          VIR_ERR_XML_ERROR },
        { "<cpu mode='custom'><arch>x86_64</arch><model>Zebra</model></cpu>", NULL,
          VIR_ERR_CONFIG_UNSUPPORTED },
        { "<domain/>", NULL, VIR_ERR_XML_ERROR },
        { "<cpu", NULL, VIR_ERR_XML_DETAIL },
        { zebra, &xen, VIR_ERR_INVALID_ARG },
    };
    FakeHost *host = fake_host_new(false);
    g_autoptr(Node) node = node_new_from(&host->paths, &host->source);

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) err = NULL;
        int result = node_compare_cpu(node, cases[i].request, cases[i].xml, 0, &err);

        if (err)
            fail_msg("case %zu: %s", i, err->message);
        assert_int_equal(result, cases[i].result);
        result = node_compare_cpu(node, cases[i].request, cases[i].xml,
                                  VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE, &err);
        assert_int_equal(result, cases[i].why ? VIR_CPU_COMPARE_ERROR : cases[i].result);
        if (cases[i].why) {
            assert_int_equal(kiln_error_code(err), VIR_ERR_CPU_INCOMPATIBLE);
            assert_string_equal(err->message, cases[i].why);
        }
    }
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) err = NULL;

        assert_int_equal(node_compare_cpu(node, wrong[i].request, wrong[i].xml, 0, &err),
                         VIR_CPU_COMPARE_ERROR);
        assert_int_equal(kiln_error_code(err), wrong[i].code);
    }
    fake_host_free(host);
}

static void
test_baseline_cpu(void **state)
{
    static const char *const zebras[] = {
        "<cpu><arch>x86_64</arch><model>Zebra</model><vendor>AMD</vendor>"
        "<feature name='sse4.1'/><feature name='invtsc'/></cpu>",
        "<cpu match='strict'><arch>x86_64</arch><model>Zebra</model><vendor>AMD</vendor>"
        "<feature name='invtsc'/><feature policy='disable' name='sse4.1'/></cpu>",
    };
    static const char *const guests[] = {
        "<cpu><model>Zebra</model><vendor>AMD</vendor><feature name='invtsc'/></cpu>",
        "<cpu><model>Zebra</model><vendor>AMD</vendor><feature name='invtsc'/>"
        "<feature policy='disable' name='aes'/></cpu>",
    };
    static const char *const mixed[] = {
        "<cpu><arch>x86_64</arch><model>Zebra</model></cpu>",
        "<cpu><arch>x86_64</arch><model>old64</model></cpu>",
    };
    static const char *const enemies[] = {
        "<cpu><arch>x86_64</arch><model>Zebra</model></cpu>",
        "<cpu><arch>x86_64</arch><model>Lake</model></cpu>",
    };
    static const struct {
        const char *xml;
        int code;
    } wrong[] = {
        { "<cpu><model>Zebra</model></cpu>", VIR_ERR_XML_ERROR },
        { "<cpu mode='custom'><model>Zebra</model></cpu>", VIR_ERR_CONFIG_UNSUPPORTED },
    };
    static const NodeRequest kvm = { 0 };
    FakeHost *host = fake_host_new(false);
    g_autoptr(Node) node = node_new_from(&host->paths, &host->source);
    g_autoptr(GError) err = NULL;
    char *xml;

    (void)state;
    xml = node_baseline_cpu(node, NULL, zebras, 2, 0, NULL);
    assert_string_equal(xml, "<cpu mode='custom' match='exact'>\n"
                             "  <model fallback='forbid'>Zebra</model>\n"
                             "  <vendor>AMD</vendor>\n"
                             "  <feature policy='require' name='sse4.1'/>\n"
                             "  <feature policy='require' name='invtsc'/>\n"
                             "</cpu>\n");
    g_free(xml);
    xml = node_baseline_cpu(node, &kvm, guests, 2, VIR_CONNECT_BASELINE_CPU_MIGRATABLE, NULL);
    assert_string_equal(xml, "<cpu mode='custom' match='exact'>\n"
                             "  <model fallback='forbid'>Zebra</model>\n"
                             "  <vendor>AMD</vendor>\n"
                             "  <feature policy='disable' name='aes'/>\n"
                             "  <feature policy='disable' name='svm'/>\n"
                             "</cpu>\n");
    g_free(xml);
    xml = node_baseline_cpu(node, NULL, mixed, 2, VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES, NULL);
    assert_string_equal(xml, "<cpu mode='custom' match='exact'>\n"
                             "  <model fallback='allow'>old64</model>\n"
                             "  <feature policy='require' name='fpu'/>\n"
                             "  <feature policy='require' name='lm'/>\n"
                             "  <feature policy='require' name='sse2'/>\n"
                             "</cpu>\n");
    g_free(xml);
    assert_null(node_baseline_cpu(node, NULL, enemies, 2, 0, &err));
    assert_string_equal(err->message, "CPU vendors do not match");
    g_clear_error(&err);
    assert_null(node_baseline_cpu(node, NULL, NULL, 0, 0, &err));
    assert_int_equal(kiln_error_code(err), VIR_ERR_INVALID_ARG);
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_clear_error(&err);
        assert_null(node_baseline_cpu(node, NULL, &wrong[i].xml, 1, 0, &err));
        assert_int_equal(kiln_error_code(err), wrong[i].code);
    }
    fake_host_free(host);
}

static void
test_sysinfo(void **state)
{
    FakeHost *host = fake_host_new(false);
    g_autoptr(Node) node = node_new_from(&host->paths, &host->source);
    g_autofree char *xml = NULL;

    (void)state;
    fake_host_write(host, "/sys/class/dmi/id/bios_vendor", "Maker & Sons \n");
    fake_host_write(host, "/sys/class/dmi/id/bios_version", "\n");
    fake_host_write(host, "/sys/class/dmi/id/board_name", "B1\001\n");
    fake_host_write(host, "/sys/class/dmi/id/chassis_serial", "\377\n");
    fake_host_write(host, "/sys/class/dmi/id/product_uuid",
                    "4c4c4544-0042-3510-8054-b7c04f4c3132\n");
    xml = node_get_sysinfo(node, NULL);
    assert_string_equal(xml, "<sysinfo type='smbios'>\n"
                             "  <bios>\n"
                             "    <entry name='vendor'>Maker &amp; Sons</entry>\n"
                             "  </bios>\n"
                             "  <system>\n"
                             "    <entry name='uuid'>4c4c4544-0042-3510-8054-b7c04f4c3132</entry>\n"
                             "  </system>\n"
                             "  <baseBoard>\n"
                             "    <entry name='product'>B1</entry>\n"
                             "  </baseBoard>\n"
                             "</sysinfo>\n");
    fake_host_free(host);
}

static void
test_max_vcpus(void **state)
{
    FakeHost *host = fake_host_new(false);
    g_autoptr(Node) node = node_new_from(&host->paths, &host->source);
    g_autoptr(GError) err = NULL;

    (void)state;
    assert_int_equal(node_get_max_vcpus(node, NULL, NULL), 255);
    assert_int_equal(node_get_max_vcpus(node, "KVM", NULL), 255);
    assert_int_equal(node_get_max_vcpus(node, "xen", &err), -1);
    assert_int_equal(kiln_error_code(err), VIR_ERR_INVALID_ARG);
    fake_host_free(host);
}

/* This very host, whatever it is. */
static void
test_real_host(void **state)
{
    const DaemonPaths paths = { .vmm = (char *)"/usr/bin/kiln-vmm" };
    g_autoptr(Node) node = node_new(&paths);
    g_autofree char *xml = node_get_capabilities(node, NULL);
    g_autofree char *dom = node_get_domain_capabilities(node, NULL, NULL, NULL, NULL, NULL);
    NodeInfo info;

    (void)state;
    check_capabilities(xml);
    assert_true(node_get_info(node, &info, NULL));
    assert_true(info.cpus > 0 &&
                info.nodes * info.sockets * info.cores * info.threads >= info.cpus);
    if (dom)
        golden_check_schema("domaincaps.rng", "domaincaps.rng", dom);
    else
        print_message("no domain capabilities checked: this host has no usable /dev/kvm\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_and_lines),
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_info_fallback),
        cmocka_unit_test(test_info_unreadable),
        cmocka_unit_test(test_capabilities),
        cmocka_unit_test(test_interfaces),
        cmocka_unit_test(test_suspend),
        cmocka_unit_test(test_capabilities_without_kvm),
        cmocka_unit_test(test_domain_capabilities),
        cmocka_unit_test(test_domain_capabilities_refused),
        cmocka_unit_test(test_offers),
        cmocka_unit_test(test_firmware),
        cmocka_unit_test(test_host_model),
        cmocka_unit_test(test_compare_cpu),
        cmocka_unit_test(test_baseline_cpu),
        cmocka_unit_test(test_sysinfo),
        cmocka_unit_test(test_max_vcpus),
        cmocka_unit_test(test_real_host),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
