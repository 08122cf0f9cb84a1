/* test_xml_domain_new.c - what is added to, and refused of, definitions that clients give: values
 * that libvirt 9.0.0 with QEMU 7.2 wrote for the same definitions.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/error.h"
#include "xml/domain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEAD(machine)                                                                              \
    "<domain type='kvm'><name>n</name><memory>65536</memory><os><type machine='" machine           \
    "'>hvm</type></os>"

static DomainDef *
parse(const char *head, const char *rest)
{
    g_autofree char *xml = g_strconcat(head, rest, "</domain>", NULL);
    g_autoptr(GError) err = NULL;
    DomainDef *def = domain_def_parse(xml, 0, NULL, &err);

    if (!def)
        fail_msg("%s: %s", rest, err->message);
    return def;
}

static void
test_processor(void **state)
{
    static const char *const without[] = {
        "",
        "<cpu/>",
        "<cpu mode='custom'/>",
        "<cpu match='exact' check='partial'/>",
        "<cpu><topology sockets='1' cores='1' threads='1'/></cpu>",
        "<cpu><numa><cell cpus='0' memory='65536'/></numa></cpu>",
    };
    static const char *const with[] = {
        "<cpu mode='host-passthrough'/>",
        "<cpu mode='host-model'/>",
        "<cpu mode='maximum'/>",
        "<cpu><model>Nehalem</model></cpu>",
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(without); i++) {
        g_autoptr(DomainDef) def = parse(HEAD("q35"), without[i]);
        g_autofree char *xml = NULL;

        /* what is stored stays without one */
        assert_false(domain_def_names_cpu(def));
        assert_true(domain_def_as_new(def, true, NULL));
        assert_false(domain_def_names_cpu(def));
        assert_true(domain_def_as_new(def, false, NULL));
        assert_true(domain_def_names_cpu(def));
        xml = domain_def_format(def, 0);
        assert_non_null(strstr(xml, "<cpu mode='custom' match='exact' check='none'>\n"
                                    "    <model fallback='forbid'>qemu64</model>\n"));
        assert_true(domain_def_complete(def, NULL, NULL));
        assert_string_equal(def->cpu->model, "qemu64");
    }
    for (size_t i = 0; i < G_N_ELEMENTS(with); i++) {
        g_autoptr(DomainDef) def = parse(HEAD("pc"), with[i]);
        g_autoptr(DomainDef) before = domain_def_copy(def);

        assert_true(domain_def_as_new(def, false, NULL));
        assert_true(domain_def_equal(def, before));
    }
}

static void
test_refused(void **state)
{
    static const struct {
        const char *head, *rest;
        int code;
        const char *says;
    } cases[] = {
        { HEAD("q35"), "<cpu><feature name='vmx' policy='require'/></cpu>", VIR_ERR_XML_ERROR,
          "without CPU model" },
        { HEAD("q35"),
          "<devices><disk type='file' device='cdrom'><target dev='hda'/></disk></devices>",
          VIR_ERR_CONFIG_UNSUPPORTED, "bus='sata'" },
        { HEAD("pc"), "<maxMemory slots='4'>262144</maxMemory>", VIR_ERR_CONFIG_UNSUPPORTED,
          "numa node" },
        { HEAD("q35"), "<devices><redirdev type='spicevmc' bus='usb'/></devices>",
          VIR_ERR_CONFIG_UNSUPPORTED, "spicevmc" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(DomainDef) def = parse(cases[i].head, cases[i].rest);
        g_autoptr(GError) err = NULL;

        assert_false(domain_def_as_new(def, false, &err));
        assert_int_equal(err->code, cases[i].code);
        assert_non_null(strstr(err->message, cases[i].says));
    }
}

static unsigned
count_ports(const DomainDef *def)
{
    unsigned n = 0;

    for (guint i = 0; i < def->controllers->len; i++) {
        const DomainController *c = def->controllers->pdata[i];

        n += c->type == DOMAIN_CONTROLLER_PCI && c->pci_model == DOMAIN_PCIE_ROOT_PORT;
    }
    return n;
}

/* USB, the balloon, and one for what may come: but only where the client left the ports to us. */
static void
test_spare_port(void **state)
{
    g_autoptr(DomainDef) def = parse(HEAD("q35"), "");
    g_autoptr(DomainDef) own =
        parse(HEAD("q35"), "<devices><controller type='pci' model='pcie-root'/>"
                           "<controller type='pci' model='pcie-root-port'/></devices>");
    g_autoptr(DomainDef) none = parse(HEAD("q35"), "<devices><controller type='usb' model='none'/>"
                                                   "<memballoon model='none'/></devices>");

    (void)state;
    assert_int_equal(count_ports(def), 3);
    assert_int_equal(def->balloon->info.address->bus, 2);
    assert_true(domain_def_complete(def, NULL, NULL));
    assert_int_equal(count_ports(def), 3);
    assert_int_equal(count_ports(own), 2);
    assert_int_equal(count_ports(none), 0);
}

/* Bridges come before the devices that need ports, though a device made them necessary. */
static void
test_old_card(void **state)
{
    g_autoptr(DomainDef) q35 =
        parse(HEAD("q35"), "<devices><interface type='user'/>"
                           "<watchdog model='i6300esb'/><rng model='virtio'>"
                           "<backend model='random'/></rng><graphics type='vnc'/></devices>");
    g_autoptr(DomainDef) pc = parse(HEAD("pc"), "<devices><interface type='user'/></devices>");
    const DomainInterface *net = q35->interfaces->pdata[0];
    const DomainController *usb = domain_def_controller(q35, DOMAIN_CONTROLLER_USB, 0);
    const DomainController *bridge = domain_def_controller(q35, DOMAIN_CONTROLLER_PCI, 2);
    const DomainWatchdog *watchdog = q35->watchdogs->pdata[0];

    (void)state;
    assert_string_equal(net->model, "rtl8139");
    assert_int_equal(bridge->pci_model, DOMAIN_PCIE_TO_PCI_BRIDGE);
    assert_int_equal(bridge->info.address->bus, 1);
    assert_int_equal(net->info.address->bus, 2);
    assert_int_equal(net->info.address->slot, 1);
    assert_int_equal(watchdog->info.address->bus, 2);
    assert_int_equal(watchdog->info.address->slot, 2);
    assert_int_equal(usb->info.address->bus, 3);
    assert_string_equal(((DomainRng *)q35->rngs->pdata[0])->path, "/dev/random");
    assert_int_equal(((DomainVideo *)q35->videos->pdata[0])->model, DOMAIN_VIDEO_CIRRUS);

    net = pc->interfaces->pdata[0];
    assert_int_equal(net->info.address->slot, 2);
    assert_int_equal(pc->balloon->info.address->slot, 3);
}

/* Bridges to conventional PCI take no cards while a q35 guest runs. */
static void
test_plugged_card(void **state)
{
    g_autoptr(DomainDef) pc = parse(HEAD("pc"), "");
    g_autoptr(DomainDef) q35 = parse(HEAD("q35"), "");
    g_autoptr(DomainDef) bridged =
        parse(HEAD("q35"), "<devices><controller type='pci' model='pcie-to-pci-bridge' index='1'/>"
                           "</devices>");
    const struct {
        const DomainDef *running;
        const char *model;
    } cases[] = {
        { NULL, "rtl8139" }, { pc, "rtl8139" }, { q35, "virtio" }, { bridged, "virtio" }
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        DomainInterface *net = xml_type_new(&domain_interface_type);

        net->type = DOMAIN_NET_USER;
        domain_interface_give_model(net, cases[i].running);
        assert_string_equal(net->model, cases[i].model);
        xml_type_free(&domain_interface_type, net);
    }
}

/* What says nothing, or the same in other words. */
static void
test_words(void **state)
{
    g_autoptr(DomainDef) def =
        parse("<domain type='kvm'><name>n</name><memory>65536</memory><os><type>hvm</type>"
              "<loader>/bios</loader></os>",
              "<features/><cpu mode='maximum'/><devices><disk type='file'><source file='/a'>"
              "<encryption format='luks'><secret type='passphrase' usage='u'/></encryption>"
              "</source><target dev='vda'/></disk><controller type='scsi'/>"
              "<channel type='unix'><source mode='bind'/>"
              "<target type='virtio' name='a.b'/></channel></devices>");
    g_autofree char *xml = domain_def_format(def, 0);

    (void)state;
    assert_null(strstr(xml, "<features"));
    assert_null(strstr(xml, "<source mode='bind'/>"));
    assert_non_null(strstr(xml, "<loader type='rom'>/bios</loader>"));
    assert_non_null(strstr(xml, "<cpu mode='maximum' check='none'/>"));
    assert_non_null(strstr(xml, "<encryption format='luks' engine='qemu'>"));
    assert_non_null(strstr(xml, "<controller type='scsi' index='0' model='virtio-scsi'>"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_processor),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_spare_port),   cmocka_unit_test(test_old_card),
        cmocka_unit_test(test_plugged_card), cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
