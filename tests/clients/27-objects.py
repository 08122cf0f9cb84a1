#!/usr/bin/python3
"""Networks, pools, volumes, secrets and the connection: flags, states and arguments with the codes that libvirt
9.0.0 answers with, and what it prints of definitions.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import glob
import os
import re
import subprocess
import sys

import libvirt as L

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from daemon import BUILD, Daemon, refused, run, wait_for  # noqa: E402

MIB = 1 << 20
INVALID, ARGUMENT, XML_ERROR = L.VIR_ERR_OPERATION_INVALID, L.VIR_ERR_INVALID_ARG, L.VIR_ERR_XML_ERROR
UNSUPPORTED, CONFIG = L.VIR_ERR_OPERATION_UNSUPPORTED, L.VIR_ERR_CONFIG_UNSUPPORTED
FAILED = L.VIR_ERR_OPERATION_FAILED
NETWORK = """<network><name>n</name><bridge name='nbr0'/>
<ip address='192.168.83.1' netmask='255.255.255.0'>
<dhcp><range start='192.168.83.2' end='192.168.83.9'/></dhcp></ip></network>"""
IP = "<ip address='192.168.83.1' prefix='24'/>"
ADD, MODIFY, DELETE = (L.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, L.VIR_NETWORK_UPDATE_COMMAND_MODIFY,
                       L.VIR_NETWORK_UPDATE_COMMAND_DELETE)
HOST, RANGE = L.VIR_NETWORK_SECTION_IP_DHCP_HOST, L.VIR_NETWORK_SECTION_IP_DHCP_RANGE
DNS_HOST, DNS_TXT = L.VIR_NETWORK_SECTION_DNS_HOST, L.VIR_NETWORK_SECTION_DNS_TXT

# command, section, index of the parent, element, code
UPDATES = (
    (MODIFY, RANGE, -1, "<host/>", XML_ERROR),
    (MODIFY, RANGE, 1, "<range start='192.168.83.2' end='192.168.83.9'/>", INVALID),
    (MODIFY, RANGE, -1, "<range start='192.168.83.2' end='192.168.83.9'/>", UNSUPPORTED),
    (0, RANGE, -1, "<host/>", XML_ERROR),
    (0, HOST, -1, "<host/>", UNSUPPORTED),
    (MODIFY, DNS_TXT, -1, "<host/>", UNSUPPORTED),
    (MODIFY, HOST, -1, "<host/>", XML_ERROR),
    (MODIFY, HOST, -1, "<host mac='52:54:00:00:00:ad'/>", XML_ERROR),
    (DELETE, HOST, -1, "<host/>", XML_ERROR),
    (ADD, DNS_HOST, -1, "<host ip='192.168.83.77'/>", L.VIR_ERR_XML_DETAIL),
)

# definition without its name, what the XML then has (None: the code that refuses it)
NETWORKS = (
    (IP.replace("/>", "></ip>"), "  <ip address='192.168.83.1' prefix='24'>\n  </ip>\n"),
    ("<portgroup name='a'/>", "  <portgroup name='a'>\n  </portgroup>\n"),
    ("<forward mode='none'/>" + IP, "</uuid>\n  <bridge "),
    ("<forward mode='bridge'/><bridge name='b'/><virtualport type='openvswitch'><parameters profileid='p' "
     "interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport>",
     "<parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f' profileid='p'/>"),
    ("<ip address='192.168.83.1' prefix='24'><dhcp><host mac='00:16:3E:77:E2:ED' ip='192.168.83.7'/></dhcp></ip>",
     "<host mac='00:16:3E:77:E2:ED' ip='192.168.83.7'/>"),
    ("<forward mode='sideways'/>", CONFIG),
    ("<forward mode='private'><interface dev='e'/></forward><bandwidth><inbound average='1'/></bandwidth>", CONFIG),
    ("<forward mode='bridge'><interface dev='e'/></forward><portgroup name='a'><bandwidth><inbound average='1'/>"
     "</bandwidth></portgroup>", CONFIG),
)
TARGET = "<target><path>/nowhere</path></target>"
NETFS = "<source><host name='h'/><dir path='/e'/>%s</source>" + TARGET
POOLS = (
    ("dir", TARGET, "  <source>\n  </source>\n  <target>"),
    ("dir", TARGET.replace("</path>", "</path><permissions><owner>-1</owner></permissions>"),
     "<path>/nowhere</path>\n  </target>"),
    ("netfs", NETFS % "<auth type='chap' username='u'><secret usage='s'/></auth>",
     "    <auth type='chap' username='u'>\n      <secret usage='s'/>\n    </auth>\n  </source>"),
    ("netfs", "<refresh><volume allocation='capacity'/></refresh>" + NETFS % "",
     "  </target>\n  <refresh>\n    <volume allocation='capacity'/>\n  </refresh>\n</pool>"),
    ("disk", "<source><device path='/dev/zz'><freeExtent start='0' end='9'/></device></source>" + TARGET,
     "<device path='/dev/zz'/>"),
    ("netfs", NETFS % "<auth type='sealed' username='u'><secret usage='s'/></auth>", CONFIG),
    ("netfs", NETFS % "<auth type='chap'><secret usage='s'/></auth>", XML_ERROR),
    ("netfs", NETFS % "<auth type='chap' username='u'/>", XML_ERROR),
    ("netfs", NETFS % "<format type='9p'/>", CONFIG),
)
THREADS = (
    ("<defaultiothread/>", "</vcpu>\n  <os>"),
    ("<defaultiothread thread_pool_max='4'/>", "  <defaultiothread thread_pool_max='4'/>\n"),
    ("<defaultiothread thread_pool_min='2' thread_pool_max='4'/>",
     "  <defaultiothread thread_pool_min='2' thread_pool_max='4'/>\n"),
    ("<iothreadids><iothread id='5' thread_pool_min='0' thread_pool_max='8'/></iothreadids>",
     "<iothread id='5' thread_pool_min='0' thread_pool_max='8'/>"),
    ("<defaultiothread thread_pool_min='4'/>", CONFIG),
    ("<defaultiothread thread_pool_max='0'/>", CONFIG),
    ("<iothreadids><iothread id='5' thread_pool_min='9' thread_pool_max='8'/></iothreadids>", CONFIG),
    ("<iothreadids><iothread id='5' thread_pool_min='1'/></iothreadids>", CONFIG),
)


def printed(define, text, expected):
    """@expected: what the definition has when read back, or the code that refuses it."""
    if isinstance(expected, int):
        refused(expected, define, text, 0)
        return None
    made = define(text, 0)
    xml = made.XMLDesc(0)
    assert expected in xml, "%s: no %r in %s" % (text, expected, xml)
    assert define(xml, 0).XMLDesc(0) == xml, text
    return made


def networks():
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        for inner, expected in NETWORKS:
            net = printed(conn.networkDefineXMLFlags, "<network><name>d</name>%s</network>" % inner, expected)
            if net:
                net.undefine()
        net = conn.networkDefineXML("<network connections='3'><name>d</name></network>")
        assert "connections" not in net.XMLDesc(0), net.XMLDesc(0)
        net.undefine()
        refused(L.VIR_ERR_NO_NAME, conn.networkDefineXML, "<network/>")
        refused(L.VIR_ERR_XML_DETAIL, conn.networkDefineXML, "<network><name>a/b</name></network>")
        net = conn.networkDefineXML(NETWORK)
        refused(INVALID, net.listAllPorts, 0)
        refused(L.VIR_ERR_NO_NETWORK_PORT, net.portLookupByUUIDString, "99999999-0000-4000-8000-000000000009")
        for command, section, parent, element, code in UPDATES:
            refused(code, net.update, command, section, parent, element, 0)
        net.update(ADD, HOST, -1, "<host mac='52:54:00:AA:00:01' ip='192.168.83.5'/>", 0)
        net.update(DELETE, HOST, -1, "<host mac='52:54:00:aa:00:01'/>", 0)
        net.undefine()
        # flags that are not known, before what is not there
        for call, *given in ((net.XMLDesc, 2), (net.listAllPorts, 1), (net.DHCPLeases, None, 1),
                             (net.update, ADD, HOST, -1, "<host/>", 4)):
            refused(ARGUMENT, call, *given)
        conn.close()


def pools(daemon, conn):
    for kind, inner, expected in POOLS:
        pool = printed(conn.storagePoolDefineXML, "<pool type='%s'><name>d</name>%s</pool>" % (kind, inner), expected)
        if pool:
            if "<auth" in inner:
                refused(CONFIG, "<auth>", pool.create, 0)
            pool.undefine()
    pool = conn.storagePoolDefineXML("<pool type='dir'><name>p</name><target><path>%s/p</path></target></pool>" %
                                     daemon.root, 0)
    # there is nothing to format in a directory
    for flags in (L.VIR_STORAGE_POOL_BUILD_OVERWRITE, L.VIR_STORAGE_POOL_BUILD_NO_OVERWRITE):
        refused(INVALID, pool.build, flags)
    refused(INVALID, pool.create, L.VIR_STORAGE_POOL_CREATE_WITH_BUILD_OVERWRITE)
    pool.create(L.VIR_STORAGE_POOL_CREATE_WITH_BUILD)
    refused(INVALID, pool.build, 1 << 10)
    refused(INVALID, pool.delete, 1 << 10)
    return pool


def volume(name, capacity=MIB, form="raw", more="", target=""):
    return "<volume><name>%s</name><capacity>%d</capacity>%s<target><format type='%s'/>%s</target></volume>" % (
        name, capacity, more, form, target)


def volumes(pool, root):
    vol = pool.createXML(volume("odd", 1001), 0)
    assert vol.info()[1] == os.stat(vol.path()).st_size == 1001 and "<source" not in vol.XMLDesc(0)
    vol.resize(MIB + 1)
    assert vol.info()[1] == os.stat(vol.path()).st_size == MIB + 1
    refused(L.VIR_ERR_ARGUMENT_UNSUPPORTED, vol.wipePattern, L.VIR_STORAGE_VOL_WIPE_ALG_TRIM, 0)
    image = pool.createXML(volume("image", form="qcow2"), 0)
    image.resize(MIB + 1)
    assert image.info()[1] == MIB + 512
    refused(ARGUMENT, image.resize, 0, L.VIR_STORAGE_VOL_RESIZE_SHRINK)
    copy = pool.createXMLFrom(volume("copy"), vol, 0)
    assert copy.info()[2] >= MIB, copy.info()
    assert pool.createXML(volume("disc", form="iso"), 0).info()[1] == MIB
    beside = "<backingStore><path>image</path><format type='qcow2'/></backingStore>"
    top = pool.createXML(volume("top", form="qcow2", more=beside), 0)
    assert "<path>%s/p/image</path>" % root in top.XMLDesc(0), top.XMLDesc(0)
    for code, text, flags in (
            (CONFIG, volume("x", form="qcow"), 0), (CONFIG, volume("x", form="none"), 0), (CONFIG, volume("x", form="tape"), 0),
            (CONFIG, volume("x", form="qcow2", target="<features><speed/></features>"), 0),
            (CONFIG, volume("x").replace("<volume>", "<volume type='tape'>"), 0),
            (CONFIG, volume("x", form="qcow2", more=beside), L.VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA),
            (L.VIR_ERR_NO_SUPPORT, volume("x", more=beside), 0),
            (ARGUMENT, volume("x", form="dir"), L.VIR_STORAGE_VOL_CREATE_PREALLOC_METADATA)):
        refused(code, pool.createXML, text, flags)
    pool.destroy()
    # flags that are not known, before what is not there
    for call, *given in ((vol.XMLDesc, 1), (vol.wipe, 1), (vol.resize, MIB, 8), (vol.infoFlags, 2),
                         (pool.listAllVolumes, 1), (pool.createXML, volume("x"), 8)):
        refused(ARGUMENT, call, *given)
    pool.undefine()
    for call, *given in ((pool.XMLDesc, 2), (pool.create, 8), (pool.refresh, 1)):
        refused(ARGUMENT, call, *given)


def storage():
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        for source, code in ((None, ARGUMENT), ("<source/>", CONFIG),
                             ("<source><host name='a'/><host name='b'/></source>", CONFIG),
                             ("<source><host name='127.0.0.1'/></source>", FAILED)):
            refused(code, conn.findStoragePoolSources, "netfs", source, 0)
        volumes(pools(daemon, conn), daemon.root)
        conn.close()


def domain_of(call, *given):
    try:
        call(*given)
    except L.libvirtError as err:
        return err.get_error_domain()
    raise AssertionError("not refused")


def connection():
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        secret = conn.secretDefineXML("<secret><usage type='volume'><volume>/v</volume></usage></secret>")
        refused(ARGUMENT, secret.setValue, b"", 0)
        refused(CONFIG, conn.secretDefineXML, "<secret><usage type='song'/></secret>")
        secret.undefine()
        refused(ARGUMENT, secret.XMLDesc, 1)
        for call, wanted in ((conn.listAllNetworks, L.VIR_FROM_NETWORK), (conn.listAllStoragePools, L.VIR_FROM_STORAGE),
                             (conn.listAllSecrets, L.VIR_FROM_SECRET), (conn.listAllInterfaces, L.VIR_FROM_INTERFACE),
                             (conn.listAllDevices, L.VIR_FROM_NODEDEV), (conn.listAllDomains, L.VIR_FROM_QEMU),
                             (conn.getSysinfo, L.VIR_FROM_QEMU)):
            assert domain_of(call, 1 << 28) == wanted, (call, wanted)
        assert domain_of(conn.secretDefineXML, "<secret><foo/></secret>", 1) == L.VIR_FROM_XML
        # the whole host, and what lies past its last node
        whole = conn.getFreePages([4], -1, 1)
        assert len(whole) == 1 and conn.getFreePages([4], 0, 9)
        for xml, code in (("<cpu><arch>abacus</arch><model>qemu64</model></cpu>", CONFIG),
                          ("<cpu><arch>x86_64</arch></cpu>", XML_ERROR)):
            refused(code, conn.compareCPU, xml, 0)
            refused(code, conn.baselineCPU, [xml], 0)
        conn.close()


def thread_pools():
    text = "<domain type='kvm'><name>t</name><memory>65536</memory>%s<os><type machine='q35'>hvm</type></os></domain>"
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        for inner, expected in THREADS:
            dom = printed(conn.defineXMLFlags, text % inner, expected)
            if dom:
                dom.undefine()
        dom = conn.defineXML(text % "<iothreads>1</iothreads>")
        refused(INVALID, dom.setIOThreadParams, 1, {"thread_pool_min": 4}, L.VIR_DOMAIN_AFFECT_CONFIG)
        refused(INVALID, dom.setIOThreadParams, 1, {"thread_pool_min": 9, "thread_pool_max": 4},
                L.VIR_DOMAIN_AFFECT_CONFIG)
        refused(CONFIG, dom.setIOThreadParams, 1, {"thread_pool_min": -2}, L.VIR_DOMAIN_AFFECT_CONFIG)
        dom.setIOThreadParams(1, {"thread_pool_min": 2, "thread_pool_max": 4}, L.VIR_DOMAIN_AFFECT_CONFIG)
        assert "<iothread id='1' thread_pool_min='2' thread_pool_max='4'/>" in dom.XMLDesc(0), dom.XMLDesc(0)
        dom.undefine()
        conn.close()
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "no /dev/kvm for this user"
    for given, words in (("thread-pool-max=0", "wants at least 1"), ("thread-pool-min=65", "is more than thread-pool-max=64"),
                         ("thread-pool-min=-1", "is not a number"), ("poll-grow=2", "poll-grow=2 is not supported"),
                         ("poll-shrink=2", "poll-shrink=2 is not"), ("aio-max-batch=1", "aio-max-batch=1 is not")):
        done = subprocess.run([BUILD + "/launcher/kiln-vmm", "-nodefaults", "-display", "none", "-S", "-object",
                               "iothread,id=a," + given], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 1 and words in done.stderr, done
    return None


POOLED = """<domain type='kvm'><name>pooled</name><memory>65536</memory>
<iothreadids><iothread id='4' thread_pool_min='2' thread_pool_max='4'/><iothread id='5'/></iothreadids>
<defaultiothread thread_pool_min='3' thread_pool_max='3'/><os><type machine='q35'>hvm</type></os><devices>%s</devices></domain>"""
DISK = """<disk type='file'><driver name='qemu' type='raw' io='threads'%s/><source file='%s'/><target dev='%s' bus='virtio'/>
</disk>"""


def sizes_of_a_running_guest():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "no /dev/kvm for this user"
    with Daemon() as daemon:
        disks = ""
        for target, thread in (("vda", 4), ("vdb", 5), ("vdc", 0)):
            path = os.path.join(daemon.root, target)
            with open(path, "wb") as stream:
                stream.truncate(MIB)
            os.chmod(path, 0o666)
            disks += DISK % (" iothread='%d'" % thread if thread else "", path, target)
        conn = L.open(daemon.uri("qemu"))
        dom = conn.defineXML(POOLED % disks)
        dom.createWithFlags(L.VIR_DOMAIN_START_PAUSED)
        with open(daemon.root + "/run/kiln/domain/pooled.status", encoding="utf-8") as stream:
            pid = re.search(r"<process pid='(\d+)'", stream.read())[1]

        def workers():
            names = []
            for path in glob.glob("/proc/%s/task/*/comm" % pid):
                with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as stream:
                    names.append(stream.read().strip())
            return names.count("block-worker")

        def resize(least, most):
            dom.setIOThreadParams(4, {"thread_pool_min": least, "thread_pool_max": most}, L.VIR_DOMAIN_AFFECT_LIVE)
            want = "<iothread id='4' thread_pool_min='%d' thread_pool_max='%d'/>" % (least, most)
            assert want in dom.XMLDesc(0) and want not in dom.XMLDesc(L.VIR_DOMAIN_XML_INACTIVE), dom.XMLDesc(0)

        # those of the I/O thread, none of the other, and the main loop's; then each size first
        assert workers() == 2 + 3, workers()
        resize(6, 8)
        assert workers() == 6 + 3, workers()
        resize(1, 1)
        wait_for("threads to end", lambda: workers() == 1 + 3)
        resize(0, 5)
        for params, code in (({"thread_pool_min": 6}, INVALID), ({"thread_pool_max": -1}, INVALID),
                             ({"thread_pool_min": -1}, INVALID), ({"thread_pool_max": 0}, CONFIG)):
            refused(code, dom.setIOThreadParams, 4, params, L.VIR_DOMAIN_AFFECT_LIVE)
        dom.setIOThreadParams(4, {"thread_pool_min": 5}, L.VIR_DOMAIN_AFFECT_LIVE)
        assert workers() == 5 + 3, workers()
        dom.destroy()
        conn.close()
    return None


if __name__ == "__main__":
    L.registerErrorHandler(lambda *_: None, None)
    run([networks, storage, connection, thread_pools, sizes_of_a_running_guest])
