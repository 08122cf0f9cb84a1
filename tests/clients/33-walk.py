#!/usr/bin/python3
"""33-walk - a walk through python3-libvirt: every method behind which Kiln has a procedure is called with what
is right (and the type of its result looked at) and with what is wrong; the others are refused as not
supported. At the end, nothing is left out but what is named here.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import importlib.util
import inspect
import os
import re
import socket
import subprocess
import sys

import libvirt

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
from daemon import BUILD, Daemon, event_loop, run, wait_for  # noqa: E402
from walk import Book  # noqa: E402

L = libvirt
IMG = os.path.abspath(BUILD + "/block/img/kiln-img")
MAC = "52:54:00:00:00:07"
NOBODY = "00000000-1111-4222-8333-444444444444"
LIVE, CONFIG, BOTH = L.VIR_DOMAIN_AFFECT_LIVE, L.VIR_DOMAIN_AFFECT_CONFIG, 3
DOMAIN = """<domain type='kvm'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <vcpu current='1'>2</vcpu>
  <iothreads>1</iothreads>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <pm><suspend-to-mem enabled='yes'/></pm>
  <devices>
    %s
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{disk}'/>
      <target dev='vda' bus='virtio'/></disk>
    <interface type='network'><source network='walk'/><mac address='52:54:00:00:00:07'/><model type='virtio'/></interface>
    <serial type='pty'/><console type='pty'/>
    <channel type='unix'><target type='virtio' name='any'/></channel>
    <graphics type='vnc'><listen type='socket'/></graphics><video><model type='vga'/></video>
    <memballoon model='virtio'/>
  </devices>
</domain>
""" % ("<controller type='pci' model='pcie-root-port'/>" * 8)
DISK = "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='%s'/>" \
    "<target dev='%s' bus='virtio'/></disk>"
NET = "<network><name>{name}</name><bridge name='kiln{name}'/><ip address='192.168.{n}.1' prefix='24'>" \
    "<dhcp><range start='192.168.{n}.2' end='192.168.{n}.9'/></dhcp></ip></network>"
POOL = "<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>"
VOL = "<volume><name>%s</name><capacity unit='MiB'>%d</capacity><target><format type='raw'/></target></volume>"
SECRET = "<secret ephemeral='yes'><uuid>%s</uuid><usage type='volume'><volume>%s</volume></usage></secret>"
CPU = "<cpu match='exact'><model>qemu64</model></cpu>"
BOOK = Book()
right, wrong = BOOK.right, BOOK.wrong


def image(daemon, name, *more):
    path = os.path.join(daemon.root, name)
    subprocess.run([IMG, "create", "-q", "-f", "qcow2", *more, path, "8M"], check=True)
    return path


def connection_and_host():
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        for kind, call in ((str, conn.getType), (int, conn.getVersion), (int, conn.getLibVersion), (str, conn.getHostname),
                           (str, conn.getURI), (str, conn.getCapabilities), (list, conn.getInfo), (int, conn.isSecure),
                           (int, conn.getFreeMemory), (list, conn.getSecurityModel), (tuple, conn.getCPUMap),
                           (dict, conn.getMemoryParameters), (str, conn.getStoragePoolCapabilities),
                           (str, conn.getDomainCapabilities)):
            right(kind, call)
        if os.path.exists("/sys/firmware/dmi/tables/smbios_entry_point"):
            right(str, conn.getSysinfo)
        else:
            wrong(L.VIR_ERR_CONFIG_UNSUPPORTED, conn.getSysinfo)
            NOT_CALLED["virConnect.getSysinfo"] = "this host has no SMBIOS"
        right(int, conn.getMaxVcpus, "kvm")
        wrong(L.VIR_ERR_INVALID_ARG, conn.suspendForDuration, 7, 60)
        wrong(L.VIR_ERR_INVALID_ARG, conn.getMaxVcpus, "nonsense")
        right(dict, conn.getCPUStats, L.VIR_NODE_CPU_STATS_ALL_CPUS)
        wrong(L.VIR_ERR_INVALID_ARG, conn.getCPUStats, 4711)
        right(dict, conn.getMemoryStats, L.VIR_NODE_MEMORY_STATS_ALL_CELLS)
        wrong(L.VIR_ERR_INVALID_ARG, conn.getMemoryStats, 4711)
        right(list, conn.getCellsFreeMemory, 0, 1)
        wrong(L.VIR_ERR_INTERNAL_ERROR, conn.getCellsFreeMemory, 4711, 1)
        right(dict, conn.getFreePages, [4], 0, 1)
        right(list, conn.getCPUModelNames, "x86_64")
        wrong(L.VIR_ERR_INVALID_ARG, conn.getCPUModelNames, "nonsense")
        right(str, conn.baselineCPU, ["<cpu><arch>x86_64</arch><model>qemu64</model></cpu>"])
        wrong(L.VIR_ERR_XML_ERROR, conn.baselineCPU, ["<cpu/>"])
        right(str, conn.baselineHypervisorCPU, None, None, None, None, [CPU])
        right(int, conn.compareCPU, CPU)
        right(int, conn.compareHypervisorCPU, None, None, None, None, CPU)
        wrong(L.VIR_ERR_NO_SUPPORT, conn.findStoragePoolSources, "dir", None)
        right(list, conn.getAllDomainStats)
        for call in (conn.listAllDomains, conn.listAllNetworks, conn.listAllStoragePools, conn.listAllSecrets,
                     conn.listAllDevices):
            right(list, call)
        for call in (conn.listDefinedDomains, conn.listNetworks, conn.listDefinedNetworks, conn.listStoragePools,
                     conn.listDefinedStoragePools, conn.listSecrets):
            right(list, call)
        for call in (conn.numOfDomains, conn.numOfDefinedDomains, conn.numOfNetworks, conn.numOfDefinedNetworks,
                     conn.numOfStoragePools, conn.numOfDefinedStoragePools, conn.numOfSecrets):
            right(int, call)
        right(list, conn.listDevices, None)
        right(int, conn.numOfDevices, None)
        right((int, None), conn.registerCloseCallback, lambda *_: None, None)
        wrong(L.VIR_ERR_OPERATION_INVALID, conn.registerCloseCallback, lambda *_: None, None)
        right((int, None), conn.unregisterCloseCallback)
        right((int, None), conn.close)
    BOOK.settle("connection and host")


def events():
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        for register, deregister, number in (
                (conn.domainEventRegisterAny, conn.domainEventDeregisterAny, L.VIR_DOMAIN_EVENT_ID_REBOOT),
                (conn.networkEventRegisterAny, conn.networkEventDeregisterAny, 0),
                (conn.storagePoolEventRegisterAny, conn.storagePoolEventDeregisterAny, 0),
                (conn.nodeDeviceEventRegisterAny, conn.nodeDeviceEventDeregisterAny, 0),
                (conn.secretEventRegisterAny, conn.secretEventDeregisterAny, 0)):
            number = right(int, register, None, number, lambda *_: None, None)
            right((int, None), deregister, number)
            wrong(L.VIR_ERR_INVALID_ARG, deregister, 4711)
        taker = lambda *_: None  # noqa: E731
        right((int, None), conn.domainEventRegister, taker, None)
        right((int, None), conn.domainEventDeregister, taker)
        conn.close()
    BOOK.settle("events")


def domains_that_are_off():
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        xml = DOMAIN.format(name="walk", disk=image(daemon, "walk.qcow2"))
        dom = right(L.virDomain, conn.defineXML, xml)
        wrong(L.VIR_ERR_XML_DETAIL, conn.defineXML, "<domain")
        right(L.virDomain, conn.defineXMLFlags, dom.XMLDesc(), 0)
        right(L.virDomain, conn.lookupByName, "walk")
        wrong(L.VIR_ERR_NO_DOMAIN, conn.lookupByName, "nobody")
        right(L.virDomain, conn.lookupByUUID, dom.UUID())
        wrong(L.VIR_ERR_NO_DOMAIN, conn.lookupByUUID, bytes(16))
        for kind, call in ((str, dom.OSType), (str, dom.XMLDesc), (int, dom.autostart), (list, dom.info), (list, dom.state),
                           (int, dom.isActive), (int, dom.isPersistent), (int, dom.isUpdated), (int, dom.maxMemory),
                           (list, dom.securityLabelList), (list, dom.messages),
                           (list, dom.vcpuPinInfo), (tuple, dom.emulatorPinInfo), (list, dom.ioThreadInfo),
                           (dict, dom.numaParameters), (int, dom.hasManagedSaveImage), (int, dom.hasCurrentSnapshot),
                           (dict, dom.launchSecurityInfo)):
            right(kind, call)
        right((int, None), dom.setAutostart, 0)
        right((int, None), dom.setMaxMemory, 65536)
        right((int, None), dom.setMemoryFlags, 65536, CONFIG)
        right((int, None), dom.setMemoryStatsPeriod, 5, CONFIG)
        right((int, None), dom.setVcpusFlags, 1, CONFIG)
        right(int, dom.vcpusFlags, CONFIG)
        right((int, None), dom.setVcpu, "1", 1, CONFIG)
        right((int, None), dom.pinVcpuFlags, 0, (True,), CONFIG)
        right((int, None), dom.pinEmulator, (True,), CONFIG)
        right((int, None), dom.pinIOThread, 1, (True,), CONFIG)
        right((int, None), dom.setMetadata, L.VIR_DOMAIN_METADATA_TITLE, "walked", None, None, CONFIG)
        right(str, dom.metadata, L.VIR_DOMAIN_METADATA_TITLE, None, CONFIG)
        right((int, None), dom.setLifecycleAction, L.VIR_DOMAIN_LIFECYCLE_REBOOT, L.VIR_DOMAIN_LIFECYCLE_ACTION_DESTROY,
              CONFIG)
        right((int, None), dom.setNumaParameters, {"numa_mode": 0, "numa_nodeset": "0"}, CONFIG)
        right(dict, dom.blockIoTune, "vda", CONFIG)
        right((int, None), dom.setBlockIoTune, "vda", {"total_iops_sec": 1000}, CONFIG)
        right(dict, dom.interfaceParameters, MAC, CONFIG)
        more = DISK % (image(daemon, "more.qcow2"), "vdb")
        right((int, None), dom.attachDeviceFlags, more, CONFIG)
        right((int, None), dom.updateDeviceFlags, more, CONFIG)
        right((int, None), dom.detachDeviceFlags, more, CONFIG)
        right((int, None), dom.attachDeviceFlags, more.replace("<target", "<alias name='ua-more'/><target"), CONFIG)
        right((int, None), dom.detachDeviceAlias, "ua-more", CONFIG)
        wrong(L.VIR_ERR_OPERATION_INVALID, dom.attachDevice, more)
        wrong(L.VIR_ERR_OPERATION_INVALID, dom.detachDevice, more)
        right((int, None), dom.rename, "walked")
        right((int, None), dom.rename, "walk")
        stale = conn.defineXML(DOMAIN.format(name="gone", disk=daemon.root + "/gone"))
        right((int, None), stale.undefine)
        stale = conn.defineXML(DOMAIN.format(name="gone", disk=daemon.root + "/gone"))
        right((int, None), stale.undefineFlags, 0)
        conn.close()
    BOOK.settle("domains that are off")


def domains_that_run():
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        conn.networkCreateXML(NET.format(name="walk", n=232))
        disk = image(daemon, "walk.qcow2")
        xml = DOMAIN.format(name="walk", disk=disk)
        dom = right(L.virDomain, conn.createXML, xml, L.VIR_DOMAIN_START_PAUSED)
        conn.defineXML(dom.XMLDesc(L.VIR_DOMAIN_XML_INACTIVE))
        right(L.virDomain, conn.lookupByID, dom.ID())
        wrong(L.VIR_ERR_NO_DOMAIN, conn.lookupByID, 4711)
        for kind, call, *args in (
                (list, dom.controlInfo), (list, dom.getCPUStats, True), (dict, dom.diskErrors), (int, dom.maxVcpus),
                (tuple, dom.vcpus), (dict, dom.memoryStats), (list, dom.jobInfo), (dict, dom.jobStats),
                (list, dom.securityLabel), (tuple, dom.blockStats, "vda"), (dict, dom.blockStatsFlags, "vda"),
                (list, dom.blockInfo, "vda"), (tuple, dom.interfaceStats, MAC),
                (dict, dom.interfaceAddresses, L.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE), (bytes, dom.memoryPeek, 0, 16, 2),
                (int, dom.openGraphicsFD, 0)):
            right(kind, call, *args)
        wrong(L.VIR_ERR_NO_HOSTNAME, dom.hostname, L.VIR_DOMAIN_GET_HOSTNAME_LEASE)
        mine, theirs = socket.socketpair()
        right((int, None), dom.openGraphics, 0, theirs.fileno())
        wrong(L.VIR_ERR_INTERNAL_ERROR, dom.openGraphics, 7, theirs.fileno())
        BOOK.kept = mine, theirs  # for what is called again
        right((int, None), dom.resume)
        right((int, None), dom.suspend)
        right((int, None), dom.injectNMI)
        right((int, None), dom.sendKey, 0, 50, [1], 1)
        right((int, None), dom.setMemory, 32768)
        right((int, None), dom.setVcpus, 1)
        right((int, None), dom.pinVcpu, 0, (True,))
        right((int, None), dom.setInterfaceParameters, MAC, {"inbound.average": 100}, CONFIG)
        more = DISK % (image(daemon, "more.qcow2"), "vdb")
        right((int, None), dom.attachDevice, more)
        right((int, None), dom.detachDevice, more)
        right((int, None), dom.openConsole, None, conn.newStream())
        right((int, None), dom.openChannel, "any", conn.newStream())
        stream = conn.newStream()
        right(str, dom.screenshot, stream, 0)
        stream.abort()
        right((int, None), dom.reset)
        right((int, None), dom.coreDump, daemon.root + "/core", L.VIR_DUMP_MEMORY_ONLY | L.VIR_DUMP_LIVE)
        right((int, None), dom.coreDumpWithFormat, daemon.root + "/core2", 0, L.VIR_DUMP_MEMORY_ONLY | L.VIR_DUMP_LIVE)
        wrong(L.VIR_ERR_OPERATION_INVALID, dom.abortJob)
        wrong(L.VIR_ERR_OPERATION_INVALID, dom.abortJobFlags, 0)
        right((int, None), dom.blockResize, "vda", 16 << 10)
        jobs_of_images(daemon, conn, dom)
        scheduling(dom)
        right((int, None), dom.destroyFlags, 0)
        right((int, None), dom.createWithFlags, L.VIR_DOMAIN_START_PAUSED)
        right((int, None), dom.destroy)
        right((int, None), dom.create)
        right((int, None), dom.shutdown)
        right((int, None), dom.shutdownFlags, L.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
        right((int, None), dom.reboot, L.VIR_DOMAIN_REBOOT_ACPI_POWER_BTN)
        wrong(L.VIR_ERR_INTERNAL_ERROR, dom.pMWakeup)
        dom.destroy()
        conn.close()
    BOOK.settle("domains that run")


def jobs_of_images(daemon, conn, dom):
    """On the disk vda of a guest that is paused; and on those of another, whose images lie on each other."""
    copy = "<disk type='file'><driver type='qcow2'/><source file='%s'/></disk>" % (daemon.root + "/copy.qcow2")
    right((int, None), dom.blockCopy, "vda", copy, {}, L.VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB)
    right(dict, dom.blockJobInfo, "vda")
    right((int, None), dom.blockJobSetSpeed, "vda", 64)
    right((int, None), dom.blockJobAbort, "vda")
    low = image(daemon, "low.qcow2")
    middle = image(daemon, "middle.qcow2", "-b", low, "-F", "qcow2")
    top = image(daemon, "top.qcow2", "-b", middle, "-F", "qcow2")
    raw = daemon.root + "/raw"
    with open(raw, "wb") as stream:
        stream.truncate(1 << 20)
    text = DOMAIN.format(name="layers", disk=top).replace("<serial", DISK.replace("qcow2", "raw") % (raw, "vdb") + "<serial", 1)
    layers = conn.createXML(text, L.VIR_DOMAIN_START_PAUSED)
    right(bytes, layers.blockPeek, "vdb", 0, 16)
    seen = []
    number = conn.domainEventRegisterAny(layers, L.VIR_DOMAIN_EVENT_ID_BLOCK_JOB_2,
                                         lambda conn, dom, disk, kind, status, _: seen.append(status), None)
    for i, call in enumerate((lambda: right((int, None), layers.blockCommit, "vda", low, middle),
                              lambda: right((int, None), layers.blockRebase, "vda", None),
                              lambda: right((int, None), layers.blockPull, "vda"))):
        call()
        wait_for("the end of a block job", lambda: len(seen) > i)  # pylint: disable=cell-var-from-loop
    assert seen == [L.VIR_DOMAIN_BLOCK_JOB_COMPLETED] * 3, seen
    conn.domainEventDeregisterAny(number)
    layers.destroy()


def scheduling(dom):
    """Of a guest that runs."""
    methods = (dom.schedulerType, dom.schedulerParameters, dom.schedulerParametersFlags, dom.setSchedulerParameters,
               dom.setSchedulerParametersFlags)
    if BOOK.code(dom.schedulerType) == L.VIR_ERR_OPERATION_INVALID:
        NOT_CALLED.update({BOOK.name(method): "no cgroup CPU controller here; 55-tuning of the lab" for method in methods})
        NOT_WRONG.update({BOOK.name(method): "as above" for method in methods})
        return
    right((list, tuple), dom.schedulerType)
    right(dict, dom.schedulerParameters)
    right(dict, dom.schedulerParametersFlags)
    right((int, None), dom.setSchedulerParameters, {"cpu_shares": 1024})
    right((int, None), dom.setSchedulerParametersFlags, {"cpu_shares": 1024})


def saved_and_restored():
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        conn.networkCreateXML(NET.format(name="walk", n=232))
        dom = conn.defineXML(DOMAIN.format(name="walk", disk=image(daemon, "walk.qcow2")))
        file = daemon.root + "/saved"

        def started():
            if not dom.isActive():
                dom.createWithFlags(L.VIR_DOMAIN_START_PAUSED)
        started()
        right((int, None), dom.save, file)
        right(str, conn.saveImageGetXMLDesc, file)
        right((int, None), conn.saveImageDefineXML, file, dom.XMLDesc(), L.VIR_DOMAIN_SAVE_PAUSED)
        # without the processor that the daemon put in, and with another one
        bare = re.sub(r"<cpu .*?</cpu>", "", dom.XMLDesc(), flags=re.S)
        assert bare != dom.XMLDesc()
        right((int, None), conn.saveImageDefineXML, file, bare, L.VIR_DOMAIN_SAVE_PAUSED)
        assert "qemu64" in conn.saveImageGetXMLDesc(file)
        wrong(L.VIR_ERR_CONFIG_UNSUPPORTED, conn.saveImageDefineXML, file,
              dom.XMLDesc().replace("qemu64", "kvm64"), L.VIR_DOMAIN_SAVE_PAUSED)
        right((int, None), conn.restore, file)
        wrong(L.VIR_ERR_SYSTEM_ERROR, conn.restore, daemon.root + "/none")
        right((int, None), dom.saveFlags, file, None, L.VIR_DOMAIN_SAVE_PAUSED)
        right((int, None), conn.restoreFlags, file, None, L.VIR_DOMAIN_SAVE_PAUSED)
        right((int, None), dom.saveParams, {L.VIR_DOMAIN_SAVE_PARAM_FILE: file}, L.VIR_DOMAIN_SAVE_PAUSED)
        right((int, None), conn.restoreParams, {L.VIR_DOMAIN_SAVE_PARAM_FILE: file}, L.VIR_DOMAIN_SAVE_PAUSED)
        right((int, None), dom.managedSave, L.VIR_DOMAIN_SAVE_PAUSED)
        right(str, dom.managedSaveGetXMLDesc)
        right((int, None), dom.managedSaveDefineXML, dom.XMLDesc(), L.VIR_DOMAIN_SAVE_PAUSED)
        right((int, None), dom.managedSaveRemove)
        conn.close()
    BOOK.settle("saved and restored")


def snapshots():
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        dom = conn.defineXML(DOMAIN.format(name="walk", disk=image(daemon, "walk.qcow2")))
        one = right(L.virDomainSnapshot, dom.snapshotCreateXML, "<domainsnapshot><name>one</name></domainsnapshot>", 0)
        two = dom.snapshotCreateXML("<domainsnapshot><name>two</name></domainsnapshot>", 0)
        wrong(L.VIR_ERR_XML_DETAIL, dom.snapshotCreateXML, "<domainsnapshot")
        right(int, dom.snapshotNum)
        right(list, dom.snapshotListNames)
        right(list, dom.listAllSnapshots)
        right(L.virDomainSnapshot, dom.snapshotLookupByName, "one")
        wrong(L.VIR_ERR_NO_DOMAIN_SNAPSHOT, dom.snapshotLookupByName, "none")
        right(L.virDomainSnapshot, dom.snapshotCurrent)
        right((int, None), dom.revertToSnapshot, two)
        right(L.virDomainSnapshot, two.getParent)
        wrong(L.VIR_ERR_NO_DOMAIN_SNAPSHOT, one.getParent)
        for kind, call in ((str, one.getXMLDesc), (int, one.hasMetadata), (int, one.isCurrent), (int, one.numChildren),
                           (list, one.listChildrenNames), (list, one.listAllChildren)):
            right(kind, call)
        right((int, None), two.delete)
        wrong(L.VIR_ERR_NO_DOMAIN_SNAPSHOT, dom.revertToSnapshot, two)
        one.delete()
        conn.close()
    BOOK.settle("snapshots")


def agent():
    """With the guest of 70-agent."""
    spec = importlib.util.spec_from_file_location("agent", os.path.join(HERE, "70-agent.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.guest() as one:
        dom = one.dom
        right((int, None), dom.agentSetResponseTimeout, 30, 0)
        right(list, dom.authorizedSSHKeysGet, "root")
        right((int, None), dom.authorizedSSHKeysSet, "root", ["a"])
        right(list, dom.fsInfo)
        right(int, dom.fsFreeze)
        right(int, dom.fsThaw)
        right((int, None), dom.fSTrim, None, 0)
        right(dict, dom.getTime)
        right((int, None), dom.setTime, {"seconds": 5, "nseconds": 6})
        right(dict, dom.guestInfo)
        right(str, dom.hostname, L.VIR_DOMAIN_GET_HOSTNAME_AGENT)
        right(dict, dom.guestVcpus)
        right((int, None), dom.setGuestVcpus, "1", 1)
        right((int, None), dom.setUserPassword, "root", "secret")
        right((int, None), dom.pMSuspendForDuration, L.VIR_NODE_SUSPEND_TARGET_DISK, 0)
    BOOK.settle("agent")


def networks():
    if os.geteuid() != 0:
        return "networks need root"
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        for call, args in ((conn.networkCreateXML, ()), (conn.networkCreateXMLFlags, (0,))):
            net = right(L.virNetwork, call, NET.format(name="now", n=231), *args)
            net.destroy()
        wrong(L.VIR_ERR_XML_DETAIL, conn.networkCreateXML, "<network")
        net = right(L.virNetwork, conn.networkDefineXML, NET.format(name="walk", n=232))
        wrong(L.VIR_ERR_XML_DETAIL, conn.networkDefineXML, "<network")
        right(L.virNetwork, conn.networkDefineXMLFlags, net.XMLDesc(), 0)
        right(L.virNetwork, conn.networkLookupByName, "walk")
        wrong(L.VIR_ERR_NO_NETWORK, conn.networkLookupByName, "nobody")
        right(L.virNetwork, conn.networkLookupByUUID, net.UUID())
        wrong(L.VIR_ERR_NO_NETWORK, conn.networkLookupByUUID, bytes(16))
        for kind, call in ((str, net.XMLDesc), (int, net.autostart), (str, net.bridgeName), (int, net.isActive),
                           (int, net.isPersistent)):
            right(kind, call)
        right((int, None), net.setAutostart, 0)
        right((int, None), net.create)
        right(list, net.DHCPLeases)
        host = "<host mac='52:54:00:00:00:09' ip='192.168.232.7'/>"
        right((int, None), net.update, L.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST, L.VIR_NETWORK_SECTION_IP_DHCP_HOST, -1, host,
              L.VIR_NETWORK_UPDATE_AFFECT_LIVE)
        right((int, None), net.destroy)
        right((int, None), net.undefine)
        conn.close()
    BOOK.settle("networks")
    return None


def ports():
    """A guest's interface on a network is a port of it."""
    if os.geteuid() != 0:
        return "networks need root"
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        net = conn.networkCreateXML(NET.format(name="walk", n=232))
        assert right(list, net.listAllPorts) == []
        dom = conn.createXML(DOMAIN.format(name="walk", disk=image(daemon, "walk.qcow2")), L.VIR_DOMAIN_START_PAUSED)
        port, = net.listAllPorts()
        assert "portid='%s'" % port.UUIDString() in dom.XMLDesc()
        xml = right(str, port.XMLDesc)
        for text in ("<uuid>%s</uuid>" % port.UUIDString(), "<name>walk</name>", "<uuid>%s</uuid>" % dom.UUIDString(),
                     "<mac address='%s'/>" % MAC, "<plug type='network' bridge='kilnwalk'/>"):
            assert text in xml, xml
        assert right(L.virNetworkPort, net.portLookupByUUID, port.UUID()).UUID() == port.UUID()
        assert port.network().name() == "walk"
        assert port.UUIDString() in daemon.virsh("net-port-list", "walk", scheme="qemu")
        wrong(L.VIR_ERR_NO_NETWORK_PORT, net.portLookupByUUID, bytes(16))
        for call in (port.delete, port.parameters):
            wrong(L.VIR_ERR_NO_SUPPORT, call)
        dom.destroy()
        wait_for("the port to go", lambda: net.listAllPorts() == [])
        wrong(L.VIR_ERR_NO_NETWORK_PORT, port.XMLDesc)
        net.destroy()
        conn.close()
    BOOK.settle("ports")
    return None


def pools_and_volumes():
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        path = daemon.root + "/pool"
        pool = right(L.virStoragePool, conn.storagePoolDefineXML, POOL.format(name="walk", path=path))
        wrong(L.VIR_ERR_XML_DETAIL, conn.storagePoolDefineXML, "<pool")
        right((int, None), pool.build)
        right((int, None), pool.create)
        other = right(L.virStoragePool, conn.storagePoolCreateXML, POOL.format(name="now", path=daemon.root))
        wrong(L.VIR_ERR_XML_DETAIL, conn.storagePoolCreateXML, "<pool")
        other.destroy()
        right(L.virStoragePool, conn.storagePoolLookupByName, "walk")
        wrong(L.VIR_ERR_NO_STORAGE_POOL, conn.storagePoolLookupByName, "nobody")
        right(L.virStoragePool, conn.storagePoolLookupByUUID, pool.UUID())
        wrong(L.VIR_ERR_NO_STORAGE_POOL, conn.storagePoolLookupByUUID, bytes(16))
        right(L.virStoragePool, conn.storagePoolLookupByTargetPath, path)
        wrong(L.VIR_ERR_NO_STORAGE_POOL, conn.storagePoolLookupByTargetPath, "/nonexistent")
        vol = right(L.virStorageVol, pool.createXML, VOL % ("one", 1))
        wrong(L.VIR_ERR_XML_DETAIL, pool.createXML, "<volume")
        right(L.virStorageVol, pool.createXMLFrom, VOL % ("two", 1), vol)
        for kind, call in ((str, pool.XMLDesc), (int, pool.autostart), (list, pool.info), (int, pool.isActive),
                           (int, pool.isPersistent), (list, pool.listVolumes), (int, pool.numOfVolumes),
                           (list, pool.listAllVolumes), (str, vol.XMLDesc), (list, vol.info), (list, vol.infoFlags),
                           (str, vol.path), (L.virStoragePool, vol.storagePoolLookupByVolume)):
            right(kind, call)
        right((int, None), pool.setAutostart, 0)
        right((int, None), pool.refresh)
        right(L.virStorageVol, pool.storageVolLookupByName, "one")
        wrong(L.VIR_ERR_NO_STORAGE_VOL, pool.storageVolLookupByName, "none")
        right(L.virStorageVol, conn.storageVolLookupByPath, vol.path())
        wrong(L.VIR_ERR_NO_STORAGE_VOL, conn.storageVolLookupByPath, "/nonexistent")
        right(L.virStorageVol, conn.storageVolLookupByKey, vol.key())
        wrong(L.VIR_ERR_NO_STORAGE_VOL, conn.storageVolLookupByKey, "/nonexistent")
        for call in (vol.upload, vol.download):
            stream = conn.newStream()
            right((int, None), call, stream, 0, 512)
            stream.abort()
            # the daemon lets go of the volume a moment later
            wait_for("the volume", lambda: BOOK.code(vol.resize, 1 << 20) != L.VIR_ERR_OPERATION_INVALID)
        right((int, None), vol.resize, 2 << 20)
        right((int, None), vol.wipe)
        right((int, None), vol.wipePattern, L.VIR_STORAGE_VOL_WIPE_ALG_ZERO)
        right((int, None), vol.delete)
        pool.storageVolLookupByName("two").delete()
        right((int, None), pool.destroy)
        right((int, None), pool.delete)
        right((int, None), pool.undefine)
        wrong(L.VIR_ERR_NO_STORAGE_POOL, vol.storagePoolLookupByVolume)
        conn.close()
    BOOK.settle("pools and volumes")


def devices_and_secrets():
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        root = right(L.virNodeDevice, conn.nodeDeviceLookupByName, "computer")
        wrong(L.VIR_ERR_NO_NODE_DEVICE, conn.nodeDeviceLookupByName, "nobody")
        wrong(L.VIR_ERR_NO_NODE_DEVICE, conn.nodeDeviceLookupSCSIHostByWWN, "2000000000000001", "1000000000000001")
        for kind, call in ((str, root.XMLDesc), ((str, type(None)), root.parent), (int, root.numOfCaps), (list, root.listCaps),
                           (int, root.isActive), (int, root.isPersistent), (int, root.autostart)):
            right(kind, call)
        for call in (root.dettach, root.reAttach, root.reset):
            wrong(L.VIR_ERR_INVALID_ARG, call)
        wrong(L.VIR_ERR_INVALID_ARG, root.detachFlags, "toaster", 0)
        lo = right(L.virInterface, conn.interfaceLookupByName, "lo")
        wrong(L.VIR_ERR_NO_INTERFACE, conn.interfaceLookupByName, "nobody")
        wrong(L.VIR_ERR_NO_INTERFACE, conn.interfaceLookupByMACString, MAC)
        for kind, call in ((list, conn.listAllInterfaces), (list, conn.listInterfaces), (int, conn.numOfInterfaces),
                           (list, conn.listDefinedInterfaces), (int, conn.numOfDefinedInterfaces), (int, lo.isActive),
                           (str, lo.XMLDesc)):
            right(kind, call)
        secret = right(L.virSecret, conn.secretDefineXML, SECRET % (NOBODY, "/a"))
        right(L.virSecret, conn.secretLookupByUUID, secret.UUID())
        wrong(L.VIR_ERR_NO_SECRET, conn.secretLookupByUUID, bytes(16))
        right(L.virSecret, conn.secretLookupByUsage, L.VIR_SECRET_USAGE_TYPE_VOLUME, "/a")
        wrong(L.VIR_ERR_NO_SECRET, conn.secretLookupByUsage, L.VIR_SECRET_USAGE_TYPE_VOLUME, "/b")
        right((int, None), secret.setValue, b"open")
        right(bytes, secret.value)
        right(str, secret.XMLDesc)
        right((int, None), secret.undefine)
        conn.close()
    BOOK.settle("devices and secrets")


# What calls that Kiln does not have are given, by the names of their parameters.
GIVEN = {"iothread_id": 1, "backupXML": "<domainbackup/>", "checkpointXML": None, "xmlDesc": "<x/>", "xml": "<x/>",
         "xmldesc": "<x/>", "name": "x", "cacheSize": 1, "downtime": 1, "bandwidth": 1, "pid_value": 1, "signum": 1,
         "dev": "vda", "threshold": 1, "iothread_val": 1, "seconds": 1, "files": [0], "uuid": bytes(16),
         "nativeFormat": "qemu-argv", "nativeConfig": "x", "domainXml": "<domain/>", "macstr": "52:54:00:00:00:07",
         "portdev": "x", "target": 0, "duration": 60, "driverName": None, "autostart": 0, "flags": 0,
         "params": {"weight": 100}}


def what_is_not_there_is_refused():
    """Methods of filters and checkpoints need an object that nothing makes here."""
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        things = {"virConnect": conn, "virDomain": conn.defineXML(DOMAIN.format(name="walk", disk=daemon.root + "/a")),
                  "virNodeDevice": conn.nodeDeviceLookupByName("computer"),
                  "virNetwork": conn.networkDefineXML(NET.format(name="walk", n=232)) if os.geteuid() == 0 else None}
        for name, (built, _) in sorted(BOOK.methods.items()):
            kind, method = name.split(".")
            if not built and things.get(kind):
                call = getattr(things[kind], method)
                wrong(L.VIR_ERR_NO_SUPPORT, call, *[GIVEN[one] for one in inspect.signature(call).parameters])
        conn.close()
    BOOK.settle("not there")


def what_is_gone_is_refused():
    """All that was called so far, of things that the daemon knows no more."""
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        dom = conn.defineXML(DOMAIN.format(name="walk", disk=image(daemon, "walk.qcow2")))
        snap = dom.snapshotCreateXML("<domainsnapshot><name>one</name></domainsnapshot>", 0)
        snap.delete()
        BOOK.stale(snap)
        dom.undefine()
        pool = conn.storagePoolLookupByName("default")
        vol = pool.createXML(VOL % ("one", 1))
        vol.delete()
        BOOK.stale(vol)
        pool.destroy()
        pool.undefine()
        secret = conn.secretDefineXML(SECRET % (NOBODY, "/a"))
        secret.undefine()
        BOOK.stale(dom, pool, secret)
        if os.geteuid() == 0:
            net = conn.networkDefineXML(NET.format(name="walk", n=232))
            net.undefine()
            BOOK.stale(net)
        conn.close()
    BOOK.settle("gone")


# What the walk does not call rightly, and why.
NOT_CALLED = {
    "virConnect.allocPages": "it would change this host; 29-tuning",
    "virConnect.setMemoryParameters": "it would change this host; 29-tuning",
    "virConnect.findStoragePoolSources": "it needs servers or volume groups; 67-storage",
    "virConnect.nodeDeviceLookupSCSIHostByWWN": "no fibre channel here",
    "virConnect.suspendForDuration": "this host would sleep",
    "virDomain.abortJob": "it needs a job that lasts; 57-save of the lab",
    "virDomain.abortJobFlags": "it needs a job that lasts; 57-save of the lab",
    "virDomain.pMWakeup": "it needs a guest that sleeps; 74-sleep",
}
# Nothing that is given to these can be wrong, and their object cannot be gone; or the bindings look first.
NOT_WRONG = {
    "virConnect.allocPages": "not called", "virConnect.setMemoryParameters": "not called",
    "virDomain.diskErrors": "the bindings pass no flags on",
    **{"virConnect.%sEvent%s" % (what, call): "the bindings look first" for what in (
        "domain", "network", "storagePool", "nodeDevice", "secret") for call in ("RegisterAny", "Register", "Deregister")},
    **{"virNodeDevice." + name: "a host is always a computer" for name in (
        "autostart", "isActive", "isPersistent", "listCaps", "numOfCaps", "parent")},
    **{"virConnect." + name: "it is given nothing" for name in dir(L.virConnect) if not name.startswith("_") and
       len(inspect.signature(getattr(L.virConnect, name)).parameters) == 1},
}


# Procedures of everyday clients, by number: none of these may be left out. What is built of the rest is told.
EVERYDAY = (
    "1-19 21-55 59-60 64-66 70-95 97-100 103-104 110-115 118-122 125 141-142 144 146 149-155 157 159-164 "
    "174-175 177-194 196 199 201 204 207-209 211-212 220-222 231 234-236 242-243 245 249 251 254-258 264-265 "
    "271 273-274 281-283 285-286 291 301-303 305-308 313-318 328 331 333 338 341-344 348 350 353-354 360-362 "
    "368-370 373-377 379 394 426 432 436-437 ")


def everyday(name):
    number = BOOK.methods[name][1]
    return any(int(part.split("-")[0]) <= number <= int(part.split("-")[-1]) for part in EVERYDAY.split())


def nothing_is_left_out():
    built = {name for name, (there, _) in BOOK.methods.items() if there}
    elsewhere = {name for name in built if name.startswith(("virDomain.migrate", "virNodeDevice.")) and
                 name not in BOOK.good}  # these take two hosts, or devices from this one
    left = sorted(built - set(BOOK.good) - set(NOT_CALLED) - elsewhere)
    never = sorted(built - BOOK.bad - set(NOT_WRONG) - elsewhere)
    print("# not walked: " + (" ".join(sorted(elsewhere | set(left) | set(NOT_CALLED)))))
    left, never = [one for one in left if everyday(one)], [one for one in never if everyday(one)]
    print("# %d methods: %d called rightly, %d wrongly" % (len(built), len(built & set(BOOK.good)), len(built & BOOK.bad)))
    assert not left and not never, "never called: %s; never wrongly: %s" % (" ".join(left), " ".join(never))


if __name__ == "__main__":
    L.registerErrorHandler(lambda *_: None, None)
    with event_loop():
        run([connection_and_host, events, domains_that_are_off, domains_that_run, saved_and_restored, snapshots, agent,
             networks, ports, pools_and_volumes, devices_and_secrets, what_is_not_there_is_refused,
             what_is_gone_is_refused, nothing_is_left_out])
