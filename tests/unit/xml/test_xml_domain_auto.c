/* test_xml_domain_auto.c - automatic choices that no golden file can hold (random ones, stability
 * across edits), aliases, the console that mirrors a serial port, and the ABI check of whole
 * definitions.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/error.h"
#include "xml/domain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const DomainDefaults defaults = { .emulator = "/vmm", .machine = "kiln-q35-1.0" };

#define HEAD                                                                                       \
    "<domain type='kvm'><name>n</name><memory>65536</memory><os><type>hvm</type>"                  \
    "<kernel>/k</kernel></os>"
#define NIC                                                                                        \
    "<interface type='network'><source network='default'/><model type='virtio'/></interface>"
#define DISK "<disk type='file'><source file='/a'/><target dev='vda'/></disk>"

static DomainDef *
parse(const char *rest)
{
    g_autofree char *xml = g_strconcat(HEAD, rest, "</domain>", NULL);
    g_autoptr(GError) err = NULL;
    DomainDef *def = domain_def_parse(xml, 0, &defaults, &err);

    if (!def)
        fail_msg("%s", err->message);
    return def;
}

static void
test_random(void **state)
{
    g_autoptr(DomainDef) a = parse("<genid/><devices>" NIC "</devices>");
    g_autoptr(DomainDef) b = parse("<genid/><devices>" NIC "</devices>");
    const DomainInterface *x = a->interfaces->pdata[0], *y = b->interfaces->pdata[0];
    uint8_t uuid[16];

    (void)state;
    assert_string_not_equal(a->uuid, b->uuid);
    assert_string_not_equal(a->genid, b->genid);
    assert_true(g_str_has_prefix(x->mac, "52:54:00:"));
    assert_string_not_equal(x->mac, y->mac);
    assert_string_equal(x->model, "virtio");
    assert_string_equal(a->emulator, "/vmm");
    domain_def_uuid(a, uuid);
    assert_int_equal(uuid[6] >> 4, 4);
    assert_int_equal(domain_def_vcpus_current(a), 1);
}

/* What is said in other words than libvirt's own, or says nothing. */
static void
test_other_words(void **state)
{
    g_autoptr(DomainDef) def =
        parse("<blkiotune><device><path>/dev/sda</path></device></blkiotune>"
              "<memtune><hard_limit unit='MiB'>1</hard_limit><soft_limit>0</soft_limit></memtune>"
              "<numatune><memory mode='strict' placement='static' nodeset='0'/></numatune>"
              "<clock offset='localtime' adjustment='60'/><devices>"
              "<disk type='file' device='cdrom'><target dev='sda' bus='sata' tray='closed'/></disk>"
              "<serial type='pty'><target port='1'/></serial></devices>");
    g_autofree char *xml = domain_def_format(def, DOMAIN_FORMAT_INACTIVE);

    (void)state;
    assert_null(strstr(xml, "<blkiotune>"));
    assert_non_null(strstr(xml, "<hard_limit unit='KiB'>1024</hard_limit>\n  </memtune>"));
    assert_non_null(strstr(xml, "<memory mode='strict' nodeset='0'/>"));
    assert_non_null(strstr(xml, "<clock offset='variable' adjustment='60' basis='localtime'/>"));
    assert_non_null(strstr(xml, "<target dev='sda' bus='sata'/>"));
    assert_non_null(strstr(xml, "<target type='serial' port='1'/>"));
}

static void
test_ports_of_a_switch(void **state)
{
    g_autoptr(DomainDef) def =
        parse("<devices><controller type='pci' index='0' model='pcie-root'/>"
              "<controller type='pci' index='1' model='pcie-root-port'/>"
              "<controller type='pci' index='2' model='pcie-switch-upstream-port'/>"
              "<controller type='pci' index='3' model='pcie-switch-downstream-port'/>"
              "<controller type='pci' index='4' model='pcie-switch-downstream-port'/></devices>");

    (void)state;
    for (unsigned i = 3; i <= 4; i++) {
        const DomainController *port = domain_def_controller(def, DOMAIN_CONTROLLER_PCI, i);

        assert_int_equal(port->info.address->bus, 2);
        assert_int_equal(port->info.address->slot, i - 3);
    }
}

static void
test_addresses_stay(void **state)
{
    g_autoptr(DomainDef) def = parse("<devices>" DISK NIC "</devices>");
    const DomainDisk *disk = def->disks->pdata[0];
    uint64_t bus = disk->info.address->bus;
    DomainInterface *net = xml_type_new(&domain_interface_type);
    unsigned before = def->controllers->len;

    (void)state;
    net->type = DOMAIN_NET_USER;
    net->model = g_strdup("virtio");
    g_ptr_array_insert(def->interfaces, 0, net);
    assert_true(domain_def_complete(def, &defaults, NULL));
    assert_int_equal(disk->info.address->bus, bus);
    assert_non_null(net->info.address);
    assert_int_not_equal(net->info.address->bus, bus);
    /* the spare port is for this */
    assert_int_equal(def->controllers->len, before);
}

static void
test_many_ports(void **state)
{
    g_autoptr(GString) devices = g_string_new("<devices>");
    g_autoptr(DomainDef) def = NULL;
    const DomainController *last;

    (void)state;
    for (unsigned i = 0; i < 20; i++)
        g_string_append(devices, NIC);
    g_string_append(devices, "</devices>");
    def = parse(devices->str);
    /* 20 interfaces, USB, the balloon, a spare: slots 1 and 2 are full, the rest is in slot 3. */
    last = domain_def_controller(def, DOMAIN_CONTROLLER_PCI, 23);
    assert_non_null(last);
    assert_null(domain_def_controller(def, DOMAIN_CONTROLLER_PCI, 24));
    assert_int_equal(last->info.address->slot, 3);
    assert_int_equal(last->info.address->function, 6);
    assert_int_equal(last->port, 3 * 8 + 6);
    assert_int_equal(
        domain_def_controller(def, DOMAIN_CONTROLLER_PCI, 9)->info.address->multifunction,
        TRISTATE_ON);
}

static void
test_console(void **state)
{
    g_autoptr(DomainDef) def = parse("<devices><console type='pty'/></devices>");
    DomainChar *serial = def->serials->pdata[0], *console = def->consoles->pdata[0];
    g_autofree char *live = NULL, *inactive = NULL;

    (void)state;
    assert_true(domain_def_console_is_serial(def, 0));
    assert_false(domain_def_console_is_serial(def, 1));
    def->id = 3;
    serial->source.path = g_strdup("/dev/pts/8");
    domain_def_assign_aliases(def);
    assert_string_equal(serial->info.alias, "serial0");
    assert_string_equal(console->info.alias, "serial0");
    live = domain_def_format(def, 0);
    inactive = domain_def_format(def, DOMAIN_FORMAT_INACTIVE);
    assert_non_null(strstr(live, "<domain type='kvm' id='3'>"));
    assert_non_null(strstr(live, "<console type='pty' tty='/dev/pts/8'>\n"
                                 "      <source path='/dev/pts/8'/>\n"
                                 "      <target type='serial' port='0'/>\n"
                                 "      <alias name='serial0'/>\n"));
    assert_null(strstr(inactive, "/dev/pts"));
    assert_null(strstr(inactive, "alias"));
    assert_null(strstr(inactive, " id='3'"));
}

static void
test_aliases(void **state)
{
    g_autoptr(DomainDef) def =
        parse("<devices>" DISK "<disk type='file'><source file='/b'/><target dev='vdc'/>"
              "<alias name='ua-b'/></disk>" NIC NIC
              "<channel type='unix'><target type='virtio'/></channel>"
              "<console type='pty'/><console type='pty'><target type='virtio'/></console>"
              "<rng model='virtio'><backend model='builtin'/></rng></devices>");

    (void)state;
    domain_def_assign_aliases(def);
#define ALIAS(list, i, T) (((T *)def->list->pdata[i])->info.alias)
    assert_string_equal(ALIAS(disks, 0, DomainDisk), "virtio-disk0");
    assert_string_equal(ALIAS(disks, 1, DomainDisk), "ua-b");
    assert_string_equal(ALIAS(interfaces, 1, DomainInterface), "net1");
    assert_string_equal(ALIAS(channels, 0, DomainChar), "channel0");
    assert_string_equal(ALIAS(consoles, 0, DomainChar), "serial0");
    assert_string_equal(ALIAS(consoles, 1, DomainChar), "console1");
    assert_string_equal(ALIAS(controllers, 0, DomainController), "usb");
    assert_string_equal(ALIAS(controllers, 1, DomainController), "ide");
    assert_string_equal(ALIAS(controllers, 2, DomainController), "pcie.0");
    assert_string_equal(ALIAS(controllers, 3, DomainController), "pci.1");
    assert_string_equal(ALIAS(inputs, 0, DomainInput), "input0");
    assert_string_equal(ALIAS(rngs, 0, DomainRng), "rng0");
    assert_string_equal(def->balloon->info.alias, "balloon0");
    assert_string_equal(domain_def_controller(def, DOMAIN_CONTROLLER_VIRTIO_SERIAL, 0)->info.alias,
                        "virtio-serial0");
}

static void
test_iothreads(void **state)
{
    g_autoptr(DomainDef) plain = parse("<iothreads>3</iothreads>");
    g_autoptr(DomainDef) named = parse("<iothreadids><iothread id='4'/></iothreadids>");
    g_autofree char *a = domain_def_format(plain, 0), *b = domain_def_format(named, 0);

    (void)state;
    assert_int_equal(plain->iothread_ids->len, 3);
    assert_non_null(domain_def_iothread(plain, 3));
    assert_null(strstr(a, "iothreadids"));
    assert_int_equal(named->iothreads, 1);
    assert_non_null(strstr(b, "<iothread id='4'/>"));
}

static void
test_abi(void **state)
{
    g_autoptr(DomainDef) a = parse("<devices>" DISK NIC "</devices>"), b = domain_def_copy(a);
    g_autoptr(GError) err = NULL;
    DomainDisk *disk = b->disks->pdata[0];

    (void)state;
    g_free(disk->file);
    disk->file = g_strdup("/elsewhere");
    disk->cache = DOMAIN_CACHE_NONE;
    b->current_memory = 1024;
    assert_true(domain_def_abi_check(a, b, &err));
    b->vcpus = 2;
    assert_false(domain_def_abi_check(a, b, &err));
    assert_int_equal(err->code, VIR_ERR_CONFIG_UNSUPPORTED);
    assert_non_null(strstr(err->message, "<vcpu> would change for the guest from '1' to '2'"));
    b->vcpus = 1;
    g_clear_error(&err);
    disk->info.address->slot = 1;
    assert_false(domain_def_abi_check(a, b, &err));
    assert_non_null(strstr(err->message, "'slot' of <address>"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_addresses_stay),
        cmocka_unit_test(test_many_ports),
        cmocka_unit_test(test_console),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_iothreads),
        cmocka_unit_test(test_abi),
        cmocka_unit_test(test_other_words),
        cmocka_unit_test(test_ports_of_a_switch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
