/* test_xml_domain_bad.c - domain XML that must be refused, with libvirt's code and a message that
 * names the thing; and what is read but refused when the guest is to be started.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later */
#include "util/error.h"
#include "xml/domain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define OS "<os><type>hvm</type><kernel>/k</kernel></os>"
#define BASE "<memory>65536</memory>" OS
#define DISK(inside) "<disk type='file'><source file='/a'/>" inside "</disk>"

typedef struct {
    const char *inside; /* of <domain type='kvm'><name>n</name> */
    int code;
    const char *part;
} Bad;

static void
check(const char *xml, unsigned flags, int code, const char *part)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(DomainDef) def = domain_def_parse(xml, flags, NULL, &err);

    if (def)
        fail_msg("accepted: %s", xml);
    if (!strstr(err->message, part))
        fail_msg("'%s' lacks '%s'", err->message, part);
    assert_int_equal(err->domain, KILN_ERROR);
    if (err->code != code)
        fail_msg("code %d: %s", err->code, err->message);
}

static void
check_all(const Bad *bad, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        g_autofree char *xml =
            g_strdup_printf("<domain type='kvm'><name>n</name>%s</domain>", bad[i].inside);

        check(xml, 0, bad[i].code, bad[i].part);
    }
}

static void
test_identity(void **state)
{
    static const Bad bad[] = {
        { OS, 27, "./memory[1]" },
        { "<memory>0</memory>" OS, 27, "Memory size must be specified" },
        { "<memory unit='EiB'>9</memory>" OS, 27, "'9 EiB'" },
        { "<memory>65536</memory>", 27, "<type> must be specified" },
        { "<memory>65536</memory><os><type arch='aarch64'>hvm</type></os>", 8, "arch=aarch64" },
        { "<memory>65536</memory><os><type>xen</type></os>", 8, "ostype=xen" },
        { BASE "<uuid>x</uuid>", 27, "UUID" },
        { BASE "<vcpu>0</vcpu>", 27, "from 1 to 65535" },
        { BASE "<vcpu current='3'>2</vcpu>", 27, "maxvcpus must not be less" },
        { BASE "<currentMemory>65537</currentMemory>", 67, "exceeds maximum" },
        { BASE "<title>a\nb</title>", 27, "single line" },
        { BASE "<on_crash>explode</on_crash>", 27, "'explode' is not one of 'destroy'" },
        { BASE "<clock offset='utx'/>", 27, "did you mean 'utc'?" },
        { BASE "<clock offset='absolute'/>", 27, "'start'" },
        { BASE "<clock><timer name='rtc'/><timer name='rtc'/></clock>", 27, "more than once" },
        { BASE "<features><ioapic/></features>", 27, "'driver'" },
        { BASE "<os/><bootloader/><cpu mode='host'/>", 27, "host-passthrough" },
    };

    (void)state;
    check_all(bad, G_N_ELEMENTS(bad));
    check("<domain type='kvm'>" BASE "</domain>", 0, 27, "element 'name'");
    check("<domain type='kvm'><name></name>" BASE "</domain>", 0, 27, "element 'name'");
    check("<domain type='kvm'><name>  </name>" BASE "</domain>", 0, 27, "name is empty");
    check("<domain type='kvm'><name>a/b</name>" BASE "</domain>", 0, 27, "without '/'");
    check("<domain type='kvm'><name>a\nb</name>" BASE "</domain>", 0, 27, "line ends");
    check("<domain><name>a</name>" BASE "</domain>", 0, 27, "'type'");
    check("<domain type='kwm'><name>a</name>" BASE "</domain>", 0, 27, "did you mean 'kvm'?");
    check("<domain type='qemu'><name>a</name>" BASE "</domain>", 0, 8, "domaintype=qemu");
    check("<network/>", 0, 27, "unexpected root element <network>");
    check("<domain type='kvm'", 0, 35, "(domain_definition):1: ");
}

static void
test_long_name(void **state)
{
    g_autofree char *name = g_strnfill(241, 'x');
    g_autofree char *xml =
        g_strdup_printf("<domain type='kvm'><name>%s</name>" BASE "</domain>", name);

    (void)state;
    check(xml, 0, 27, "at most 240");
}

static void
test_processors(void **state)
{
    static const Bad bad[] = {
        { BASE "<vcpu>2</vcpu><cpu><topology sockets='1' cores='1' threads='1'/></cpu>", 67,
          "doesn't match maximum vcpu count" },
        { BASE "<cpu><topology sockets='65535' cores='65535' threads='2'/></cpu>", 27,
          "more than" },
        { BASE "<cpu mode='host-model'><feature name='a'/><feature name='a'/></cpu>", 27,
          "specified more than once" },
        { BASE
          "<cpu><numa><cell cpus='0' memory='1024'/><cell cpus='0' memory='1024'/></numa></cpu>",
          27, "overlapping" },
        { BASE "<cpu><numa><cell cpus='0-1' memory='1024'/></numa></cpu>", 67, "has vCPU 1" },
        { BASE "<cpu><numa><cell id='1' memory='1024'/></numa></cpu>", 27, "non-contiguous" },
        { BASE "<cpu><numa></numa></cpu>", 27, "element 'cell'" },
        { BASE
          "<cpu><numa><cell memory='1'><distances><sibling id='3' value='10'/></distances></cell>"
          "</numa></cpu>",
          27, "is no cell" },
        { BASE "<cputune><vcpupin vcpu='0' cpuset='x'/></cputune>", 27, "'0-3,^2,8'" },
        { BASE "<cputune><vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='0' cpuset='2'/></cputune>",
          27, "duplicate vcpupin" },
        { BASE "<cputune><period>5</period></cputune>", 27, "from 1000 to 1000000" },
        { BASE "<cputune><quota>5</quota></cputune>", 27, "[1000, 17592186044415]" },
        { BASE "<cputune><iothreadpin iothread='1' cpuset='1'/></cputune>", 27, "Cannot find" },
        { BASE "<cputune><vcpusched scheduler='rr'/></cputune>", 27, "'priority'" },
        { BASE "<numatune><memnode cellid='0' nodeset='0'/></numatune>", 27, "does not have" },
        { BASE
          "<memoryBacking><hugepages><page size='2048' nodeset='1'/></hugepages></memoryBacking>",
          67, "node 1 not found" },
        { BASE
          "<vcpu>2</vcpu><vcpus><vcpu id='0' enabled='no'/><vcpu id='1' enabled='yes'/></vcpus>",
          27, "vcpu 0 can't be offline" },
        { BASE "<vcpu>2</vcpu><vcpus><vcpu id='1' enabled='yes'/></vcpus>", 27,
          "vcpu 0 can't be offline" },
        { BASE "<iothreads>513</iothreads>", 27, "from 0 to 512" },
        { BASE "<iothreadids><iothread id='1'/><iothread id='1'/></iothreadids>", 27, "duplicate" },
    };

    (void)state;
    check_all(bad, G_N_ELEMENTS(bad));
}

static void
test_devices(void **state)
{
    static const Bad bad[] = {
        { DISK(""), 27, "missing <target" },
        { DISK("<target bus='virtio'/>"), 27, "'dev'" },
        { DISK("<target dev='/dev/vda'/>"), 27, "'/dev/vda' is not a device name" },
        { DISK("<target dev='vda'/>") DISK("<target dev='vda'/>"), 27, "target 'vda' duplicated" },
        { DISK("<target dev='vda'/><driver cache='writebak'/>"), 27, "did you mean 'writeback'?" },
        { DISK("<target dev='vda'/><driver iothread='1'/>"), 67, "not defined in iothreadid" },
        { DISK("<target dev='sda' bus='sata'/><address type='drive' unit='0'/>")
              DISK("<target dev='sdb' bus='sata'/><address type='drive' unit='0'/>"),
          27, "duplicate drive address" },
        { DISK("<target dev='vda'/><serial>a'b</serial>"), 27, "element 'serial'" },
        { "<disk type='file'><target dev='vda'/></disk>", 27, "has no <source file=" },
        { "<disk type='file' device='lun'><source file='/a'/><target dev='sda'/></disk>", 27,
          "lun" },
        { DISK("<target dev='vda'/><iotune><total_iops_sec>1</total_iops_sec><read_iops_sec>1"
               "</read_iops_sec></iotune>"),
          27, "total and read/write iops_sec" },
        { "<disk type='file'><source file='/a'/><target dev='hdfda'/></disk>", 27,
          "beyond the limit of 99" },
        { "<interface type='network'/>", 27, "<source network=" },
        { "<interface type='bridge'><source/></interface>", 27, "<source bridge=" },
        { "<interface type='nework'/>", 27, "did you mean 'network'?" },
        { "<interface><source network='a'/></interface>", 27, "'type'" },
        { "<interface type='user'><mac address='ff:ff:ff:ff:ff:ff'/></interface>", 27, "unicast" },
        { "<interface type='user'><mac address='52:54:00:00:00:01'/></interface>"
          "<interface type='user'><mac address='52:54:00:00:00:01'/></interface>",
          27, "given to two interfaces" },
        { "<interface type='user'><mtu size='60'/></interface>", 27, "below the least one" },
        { "<interface type='user'><driver rx_queue_size='100'/></interface>", 67, "powers of two" },
        { "<serial type='file'/>", 27, "<source path=" },
        { "<serial type='pyt'/>", 27, "did you mean 'pty'?" },
        { "<serial><target port='0'/></serial><serial><target port='0'/></serial>", 27,
          "target port [0]" },
        { "<console/><console><target type='serial'/></console>", 67, "Only the first console" },
        { "<channel type='pty'/>", 27, "<target" },
        { "<channel type='pty'><target type='virtio' name='a'/></channel>"
          "<channel type='pty'><target type='virtio' name='a'/></channel>",
          27, "two channels" },
        { "<channel type='pty'><target type='virtio'/><address type='virtio-serial' controller='0' "
          "port='3'/></channel><channel type='pty'><target type='virtio'/><address "
          "type='virtio-serial' controller='0' port='3'/></channel>",
          27, "already occupied" },
        { "<controller type='pci'/>", 27, "'model'" },
        { "<controller type='pci' model='pcie-root-port' index='0'/>", 27,
          "must be model='pcie-root'" },
        { "<controller type='sata' index='1'/><controller type='sata' index='1'/>", 27,
          "Multiple" },
        { "<rng model='virtio'/>", 27, "missing <backend" },
        { "<memballoon model='virtio'/><memballoon model='virtio'/>", 27, "only one element" },
        { "<rng model='virtio'><backend model='builtin'/><address type='pci' slot='0x20'/></rng>",
          27, "from 0 to 31" },
        { "<rng model='virtio'><backend model='builtin'/><address type='pci' domain='1' "
          "slot='1'/></rng>",
          27, "Only PCI domain 0" },
        { "<rng model='virtio'><backend model='builtin'/><address type='pci' slot='3'/></rng>"
          "<rng model='virtio'><backend model='builtin'/><address type='pci' slot='3'/></rng>",
          27, "double use of PCI Address 0000:00:03.0" },
        { "<rng model='virtio'><backend model='builtin'/><address type='pci' bus='1' "
          "slot='1'/></rng>",
          27, "slot 0 only" },
        { "<rng model='virtio'><backend model='builtin'/><address type='pci' slot='0x1f'/></rng>",
          27, "board's own" },
        { "<rng model='virtio'><backend model='builtin'/><alias name='ua-x'/></rng>"
          "<rng model='virtio'><backend model='builtin'/><alias name='ua-x'/></rng>",
          27, "non unique alias" },
        { DISK("<target dev='vda'/><boot order='1'/>") DISK("<target dev='vdb'/><boot order='1'/>"),
          27, "boot order '1' used" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *xml = g_strdup_printf("<domain type='kvm'><name>n</name>" BASE
                                               "<devices>%s</devices></domain>",
                                               bad[i].inside);

        check(xml, 0, bad[i].code, bad[i].part);
    }
    check("<domain type='kvm'><name>n</name><memory>65536</memory><os><type>hvm</type><boot "
          "dev='hd'/>"
          "</os><devices>" DISK("<target dev='vda'/><boot order='1'/>") "</devices></domain>",
          0, 67, "cannot be used together");
}

/* What the screens, the boards and the smaller devices may not say. */
static void
test_more_devices(void **state)
{
    static const Bad bad[] = {
        { "<graphics/>", 27, "Missing required attribute 'type' in element 'graphics' at line 1" },
        { "<graphics type='vnc' port='65536'/>", 27,
          "attribute 'port' in element 'graphics' at line 1: '65536' is not a whole number from -1 "
          "to 65535" },
        { "<graphics type='vnc' sharePolicy='shared'/>", 27, "one of 'allow-exclusive'" },
        { "<graphics type='vnc' passwdValidTo='tomorrow'/>", 27, "a time like 2026-" },
        { "<graphics type='vnc' keymap='../de'/>", 27, "the name of a keymap" },
        { "<graphics type='vnc' socket='vnc.sock'/>", 27, "an absolute path" },
        { "<graphics type='vnc'><listen type='adress'/></graphics>", 27,
          "did you mean 'address'?" },
        { "<graphics type='vnc'><listen type='network'/></graphics>", 27, "'network'" },
        { "<graphics type='vnc' listen='1.1.1.1'><listen type='address' address='2.2.2.2'/>"
          "</graphics>",
          27, "must match 'address' attribute" },
        { "<graphics type='vnc'><listen type='socket'/><listen type='none'/></graphics>", 27,
          "stands alone" },
        { "<graphics type='spice'><image compression='zip'/></graphics>", 27, "'zip' is not" },
        { "<sound model='ich8'/>", 27, "did you mean 'ich" },
        { "<audio id='0' type='none'/>", 27, "from 1 to 255" },
        { "<video><model type='vesa'/></video>", 27, "'vesa' is not one of 'vga'" },
        { "<video><model type='vga'><resolution x='1'/></model></video>", 27, "attribute 'y'" },
        { "<input type='mouse' bus='ps/2'/>", 27, "did you mean 'ps2'?" },
        { "<watchdog/>", 27, "'model'" },
        { "<watchdog model='ib700'/><watchdog model='ib700'/>", 27, "at most 1 elements" },
        { "<panic model='pc'/>", 27, "'pc' is not one of 'isa'" },
        { "<vsock><cid address='2'/></vsock>", 27, "from 3 to 4294967295" },
        { "<vsock/><vsock/>", 27, "only one element 'devices/vsock'" },
        { "<hub type='pci'/>", 27, "'pci' is not one of 'usb'" },
        { "<tpm><backend type='emulated'/></tpm>", 27, "did you mean 'emulator'?" },
        { "<controller type='usb' model='none'/><input type='tablet' bus='usb'/>", 27,
          "USB is disabled for this domain" },
        { "<controller type='usb' model='qemu-xhci' ports='1'/><hub type='usb'/>"
          "<redirdev bus='usb' type='spicevmc'/>"
          "<input type='mouse' bus='usb'><address type='usb' bus='0' port='1'/></input>",
          27, "No free USB port for <hub>" },
        { "<input type='mouse' bus='usb'><address type='usb' bus='0' port='1'/></input>"
          "<input type='tablet' bus='usb'><address type='usb' bus='0' port='1'/></input>",
          27, "Duplicate USB address bus 0 port 1" },
        { "<controller type='pci' model='pci-root'/>", 27, "must be model='pcie-root'" },
        { "<memballoon model='virtio'><address type='pci' bus='0' slot='31' function='1'/>"
          "</memballoon>",
          27, "0000:00:1f.1 is the board's own" },
    };
    static const Bad whole[] = {
        { BASE "<sysinfo type='smbios'><bios><entry name='maker'>x</entry></bios></sysinfo>", 27,
          "one of vendor|version|date|release" },
        { BASE "<sysinfo type='fwcfg'><entry name='etc/x'>y</entry></sysinfo>", 27,
          "must begin with 'opt/'" },
        { BASE "<sysinfo type='fwcfg'><entry name='opt/x'/></sysinfo>", 27,
          "either a value or 'file'" },
        { "<memory>65536</memory><os><type machine='pc'>hvm</type></os><devices>"
          "<controller type='pci' model='pcie-root'/></devices>",
          27, "must be model='pci-root'" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *xml = g_strdup_printf("<domain type='kvm'><name>n</name>" BASE
                                               "<devices>%s</devices></domain>",
                                               bad[i].inside);

        check(xml, 0, bad[i].code, bad[i].part);
    }
    check_all(whole, G_N_ELEMENTS(whole));
}

/* Many optional attributes do not take many steps, as they would with libxml2's validator. */
static void
test_validate_is_quick(void **state)
{
    static const char xml[] =
        "<domain type='kvm'><name>n</name>" BASE "<devices><disk type='file'>"
        "<driver name='qemu' type='raw' cache='none' error_policy='stop' rerror_policy='report' "
        "io='io_uring' ioeventfd='on' event_idx='on' copy_on_read='off' discard='unmap' "
        "detect_zeroes='off' queues='2' queue_size='64' iommu='off' ats='off' packed='off' "
        "page_per_vq='off'/><source file='/a'/><target dev='vda'/></disk></devices></domain>";
    g_autoptr(GError) err = NULL;
    g_autoptr(DomainDef) def = domain_def_parse(xml, DOMAIN_PARSE_VALIDATE, NULL, &err);

    (void)state;
    assert_non_null(def);
}

static void
test_many(void **state)
{
    g_autoptr(GString) xml = g_string_new("<domain type='kvm'><name>n</name>" BASE "<devices>");

    (void)state;
    for (unsigned i = 0; i < 20000; i++)
        g_string_append(xml, "<channel type='pty'><target type='virtio'/></channel>");
    g_string_append(xml, "</devices></domain>");
    check(xml->str, 0, 27, "at most 512 elements 'channel'");
}

static void
test_validate(void **state)
{
    (void)state;
    check("<domain type='kvm'><name>n</name>" BASE "<vcpus>2</vcpus><memroy/></domain>",
          DOMAIN_PARSE_VALIDATE, 92,
          "element 'memroy' is not allowed in element 'domain' at line 1; did "
          "you mean 'memory'?");
    check("<domain type='kvm'><name>n</name>" BASE "<vcpu curent='1'>2</vcpu></domain>",
          DOMAIN_PARSE_VALIDATE, 92, "did you mean 'current'?");
    check("<domain type='kvm'><name>n</name>" BASE "<vcpu current='x'>2</vcpu></domain>",
          DOMAIN_PARSE_VALIDATE, 92, "'x' is not a whole number");
    {
        g_autoptr(GError) err = NULL;
        g_autoptr(DomainDef) def = domain_def_parse(
            "<domain type='kvm'><name>n</name>" BASE "<memroy/></domain>", 0, NULL, &err);

        assert_non_null(def);
    }
}

static void
test_start(void **state)
{
    static const struct {
        const char *inside, *devices, *part;
    } cases[] = {
        { BASE, "<hostdev mode='subsystem' type='usb'/>", "<hostdev> is not supported" },
        { BASE, "<graphics type='spice'/>", "graphics type 'spice' (use 'vnc')" },
        { BASE, "<graphics type='sdl'/>", "graphics type 'sdl'" },
        { BASE, "<sound model='ich9'/>", "sound model 'ich9'" },
        { BASE, "<audio id='1' type='alsa'/>", "audio type 'alsa'" },
        { BASE, "<redirdev bus='usb' type='spicevmc'/>", "<redirdev>" },
        { BASE, "<channel type='spicevmc'><target type='virtio'/></channel>",
          "type 'spicevmc' of a channel" },
        { BASE, "<watchdog model='ib700'/>", "watchdog model 'ib700' (device 'ib700')" },
        { BASE, "<panic model='hyperv'/>", "panic model 'hyperv'" },
        { BASE, "<filesystem type='mount'><source dir='/a'/><target dir='b'/></filesystem>",
          "<filesystem>" },
        { BASE, "<shmem name='a'/>", "<shmem>" },
        { BASE, "<smartcard mode='host'/>", "<smartcard>" },
        { BASE, "<memory model='dimm'><target><size>1</size></target></memory>", "<memory>" },
        { BASE, "<tpm/>", "<tpm>" },
        { BASE, "<video><model type='qxl'/></video>", "video model 'qxl' (device 'qxl-vga')" },
        { BASE, "<video><model type='vga'><acceleration accel3d='yes'/></model></video>", "3D" },
        { BASE, "<controller type='usb' model='pci-ohci'/><input type='tablet' bus='usb'/>",
          "controller type 'usb' model 'pci-ohci' (device 'pci-ohci')" },
        { BASE, "<controller type='scsi' model='lsilogic'/>",
          "controller type 'scsi' model 'lsilogic' (device 'lsi')" },
        { BASE, DISK("<target dev='hda' bus='ide'/>"), "controller type 'ide'" },
        { BASE, DISK("<target dev='sda' bus='sd'/>"), "bus 'sd' of disk 'sda'" },
        { BASE, DISK("<target dev='vda'/><driver type='qed'/>"), "'qed' of a writable disk 'vda'" },
        { BASE, DISK("<target dev='vda'/><encryption format='luks'/>"),
          "<encryption> of disk 'vda' wants one <secret>, not 0" },
        { BASE, DISK("<target dev='vda'/><encryption format='qcow'/>"),
          "<encryption format='qcow'> of disk 'vda'" },
        { BASE,
          "<disk type='network'><source protocol='rbd' name='a/b'/><target dev='vda'/></disk>",
          "protocol 'rbd' of disk 'vda'" },
        { BASE, "<interface type='user'><model type='igb'/></interface>", "model 'igb'" },
        { BASE, "<interface type='direct' trustGuestRxFilters='yes'><source dev='e'/></interface>",
          "trustGuestRxFilters='yes'" },
        { BASE, "<interface type='vdpa'><source dev='/dev/vhost-vdpa-0'/></interface>",
          "type 'vdpa'" },
        { BASE, "<interface type='user'><virtualport type='midonet'/></interface>",
          "<virtualport>" },
        { BASE, "<serial type='vc'/>", "type 'vc' of a serial" },
        { BASE, "<parallel type='dev'><source path='/dev/parport0'/></parallel>",
          "type 'dev' of a parallel" },
        { BASE "<memtune><min_guarantee>500</min_guarantee></memtune>", "", "<min_guarantee>" },
        { BASE, DISK("<target dev='vda'/><driver ats='on'/>"), "ats='on' of disk 'vda'" },
        { BASE, "<video><driver iommu='on'/><model type='virtio'/></video>",
          "iommu='on' of video model 'virtio'" },
        { BASE, "<serial type='udp'><source mode='bind' host='::' service='9'/></serial>",
          "type 'udp' without <source mode='connect' service='…'> of a serial" },
        { BASE,
          "<serial type='tcp'><source mode='bind' host='::' service='9'>"
          "<reconnect enabled='yes' timeout='1'/></source></serial>",
          "<reconnect> of a serial that listens" },
        { "<memory>65536</memory><os><type>hvm</type><loader secure='yes'/></os>", "",
          "<loader secure='yes'>" },
        { "<memory>65536</memory><os firmware='efi'><type>hvm</type><kernel>/k</kernel></os>", "",
          "<loader> together with <kernel>" },
        { BASE "<launchSecurity type='sev'><policy>1</policy></launchSecurity>", "",
          "<launchSecurity>" },
        { BASE "<features><kvm><dirty-ring state='on' size='4096'/></kvm></features>", "",
          "<dirty-ring state='on'/> of feature kvm" },
        { BASE "<clock offset='utc'><timer name='tsc' mode='native'/></clock>", "",
          "mode of timer 'tsc'" },
        { BASE "<features><viridian/></features>", "", "<viridian> in <features>" },
        { BASE "<cpu mode='host-passthrough'><cache mode='emulate' level='3'/></cpu>", "",
          "<cache mode='emulate'>" },
        { BASE "<cpu mode='host-passthrough'><cache mode='passthrough' level='3'/></cpu>", "",
          "level of <cache mode='passthrough'>" },
        { BASE "<features><gic version='2'/></features>", "", "<gic> in <features>" },
        { BASE "<q:commandline xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'/>", "",
          "<qemu:commandline>" },
        { "<memory>65536</memory><os><type machine='pc'>hvm</type></os>",
          "<watchdog model='itco'/>", "watchdog model 'itco' on machine type 'pc'" },
        { "<memory>65536</memory><os><type machine='microvm'>hvm</type></os>", "",
          "machine type 'microvm'" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *xml =
            g_strdup_printf("<domain type='kvm'><name>n</name>%s<devices>%s</devices></domain>",
                            cases[i].inside, cases[i].devices);
        g_autoptr(GError) err = NULL;
        g_autoptr(DomainDef) def = domain_def_parse(xml, 0, NULL, &err);

        if (!def)
            fail_msg("%s: %s", xml, err->message);
        assert_false(domain_def_unsupported(def, &err));
        if (!strstr(err->message, cases[i].part))
            fail_msg("'%s' lacks '%s'", err->message, cases[i].part);
        assert_int_equal(err->code, VIR_ERR_CONFIG_UNSUPPORTED);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_processors),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_validate),
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_more_devices),
        cmocka_unit_test(test_validate_is_quick),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
