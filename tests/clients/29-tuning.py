#!/usr/bin/python3
"""29-tuning - what clients ask of the host before they tune guests, and small things of guests,
through stock virsh and python3-libvirt: CPUs compared and brought to one, firmware, pages, memory
sharing; what follows a guest's end, its NUMA nodes, its processor time.

Changes nothing of the host: parameters are set to what they are. Skips the parts with a guest
where there is no /dev/kvm.
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import xml.etree.ElementTree as ElementTree

import libvirt

from daemon import BUILD, Daemon, refused, run

BARE = os.path.abspath(BUILD + "/tests/unit/launcher/bare_guest")
DOMAIN = """<domain type='kvm'>
  <name>tuned</name>
  <memory unit='MiB'>32</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>%s</kernel>
    <cmdline>plug</cmdline>
  </os>
  <features><acpi/></features>
  <devices><memballoon model='none'/></devices>
</domain>
"""
LIVE, CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG

MODEL = "<cpu match='%s'><model>%s</model>%s</cpu>"
HOST = "<cpu><arch>x86_64</arch><model>%s</model></cpu>"


def compare():
    """The host has its own CPU, and not one of another vendor."""
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        cpu = ElementTree.fromstring(conn.getCapabilities()).find("host/cpu")
        if cpu.find("model") is None:
            return "no model of the CPU map describes this host"
        text = ElementTree.tostring(cpu, encoding="unicode")
        assert conn.compareCPU(text) == libvirt.VIR_CPU_COMPARE_IDENTICAL, text
        for every in ("<cpu/>", "<cpu mode='host-model'/>", "<cpu mode='host-passthrough'/>"):
            assert conn.compareCPU(every) == libvirt.VIR_CPU_COMPARE_SUPERSET, every
        own, vendor = cpu.find("model").text, cpu.find("vendor").text
        other = "AMD" if vendor == "Intel" else "Intel"
        foreign = MODEL % ("exact", own, "<vendor>%s</vendor>" % other)
        assert conn.compareCPU(foreign) == libvirt.VIR_CPU_COMPARE_INCOMPATIBLE
        message = refused(libvirt.VIR_ERR_CPU_INCOMPATIBLE, conn.compareCPU, foreign,
                          libvirt.VIR_CONNECT_COMPARE_CPU_FAIL_INCOMPATIBLE)
        assert "host CPU vendor does not match required CPU vendor " + other in message, message
        assert conn.compareHypervisorCPU(None, None, None, None, foreign) == \
            libvirt.VIR_CPU_COMPARE_INCOMPATIBLE
        refused(libvirt.VIR_ERR_INVALID_ARG, conn.compareHypervisorCPU, None, "sparc", None, None,
                foreign)
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, conn.compareCPU, MODEL % ("exact", "none", ""))
        refused(libvirt.VIR_ERR_XML_ERROR, conn.compareCPU, "<disk/>")
        refused(libvirt.VIR_ERR_INVALID_ARG, conn.compareCPU, text, 1 << 10)
        path = os.path.join(daemon.root, "cpu.xml")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        out = daemon.virsh("cpu-compare", path, scheme="qemu")
        assert "identical to host CPU" in out, out
        out = daemon.virsh("cpu-baseline", path, scheme="qemu")
        assert "<cpu mode='custom' match='exact'>" in out and "disable" not in out and "osxsave" not in out, out
        assert "<model fallback='forbid'>%s</model>" % own in out, out
        if os.access("/dev/kvm", os.R_OK | os.W_OK):
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(conn.getDomainCapabilities())
            out = daemon.virsh("hypervisor-cpu-compare", path, scheme="qemu")
            assert "is identical to the CPU provided by hypervisor" in out, out
        conn.close()
    return None


def baseline():
    """What is common to models is what they share, and fits libvirt's schema of <cpu>."""
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        text = conn.baselineCPU([HOST % "Westmere",
                                 HOST % "SandyBridge"])
        cpu = ElementTree.fromstring(text)
        assert cpu.get("mode") == "custom" and cpu.find("model").text == "Westmere", text
        full = conn.baselineCPU([HOST % "Westmere",
                                 HOST % "SandyBridge"],
                                libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES)
        names = {each.get("name") for each in ElementTree.fromstring(full).iter("feature")}
        assert {"sse4.2", "aes", "lm"} <= names and "avx" not in names, names
        refused(libvirt.VIR_ERR_OPERATION_FAILED, conn.baselineCPU,
                [HOST % "Westmere", HOST % "EPYC"])
        sorted_names = re.findall("<feature policy='require' name='([^']*)'/>", full)
        assert sorted_names == sorted(sorted_names), full
        refused(libvirt.VIR_ERR_XML_ERROR, "Missing CPU architecture", conn.baselineCPU, ["<cpu/>"])
        refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, "Attribute mode", conn.baselineCPU,
                ["<cpu mode='custom'><model>Westmere</model></cpu>"])
        conn.close()


def firmware():
    """sysinfo is the host's SMBIOS, where it has one."""
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        if not os.path.isdir("/sys/class/dmi/id"):
            refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, conn.getSysinfo, 0)
            conn.close()
            return
        root = ElementTree.fromstring(conn.getSysinfo(0))
        assert root.tag == "sysinfo" and root.get("type") == "smbios"
        assert "<sysinfo" in daemon.virsh("sysinfo")
        conn.close()


def memory():
    """Memory sharing and pools of pages can be set; to what they are, here."""
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        now = conn.getMemoryParameters(0)
        if "shm_pages_to_scan" in now and os.geteuid() == 0:
            conn.setMemoryParameters({"shm_pages_to_scan": now["shm_pages_to_scan"]}, 0)
            assert conn.getMemoryParameters(0)["shm_pages_to_scan"] == now["shm_pages_to_scan"]
        refused(libvirt.VIR_ERR_INVALID_ARG, conn.setMemoryParameters, {"shm_pages_to_scan": 1}, 1)
        refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, conn.setMemoryParameters,
                {"shm_full_scans": 1}, 0)
        refused(libvirt.VIR_ERR_OPERATION_INVALID, conn.allocPages, {4: 1}, 0, 1, 0)
        refused(libvirt.VIR_ERR_OPERATION_FAILED, conn.allocPages, {3: 1}, 0, 1, 0)
        sizes = [int(size) for size in re.findall(r"<pages unit='KiB' size='(\d+)'/>",
                                                  conn.getCapabilities())]
        huge = [size for size in sizes if size > 4]
        if huge and os.geteuid() == 0:
            assert conn.allocPages({huge[0]: 0}, 0, 1, 0) == 1
        conn.close()


def configured():
    """What follows a guest's end and where its memory is, in the definition of one that is off."""
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.defineXML(DOMAIN % BARE)
        dom.setLifecycleAction(libvirt.VIR_DOMAIN_LIFECYCLE_POWEROFF,
                               libvirt.VIR_DOMAIN_LIFECYCLE_ACTION_RESTART, 0)
        daemon.virsh("set-lifecycle-action", "tuned", "crash", "coredump-destroy", "--config",
                     scheme="qemu")
        text = dom.XMLDesc()
        assert "<on_poweroff>restart</on_poweroff>" in text, text
        assert "<on_crash>coredump-destroy</on_crash>" in text, text
        refused(libvirt.VIR_ERR_XML_ERROR, dom.setLifecycleAction,
                libvirt.VIR_DOMAIN_LIFECYCLE_REBOOT,
                libvirt.VIR_DOMAIN_LIFECYCLE_ACTION_COREDUMP_RESTART, CONFIG)
        refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.setLifecycleAction,
                libvirt.VIR_DOMAIN_LIFECYCLE_REBOOT, libvirt.VIR_DOMAIN_LIFECYCLE_ACTION_DESTROY,
                LIVE)
        refused(libvirt.VIR_ERR_INVALID_ARG, dom.setLifecycleAction,
                libvirt.VIR_DOMAIN_LIFECYCLE_REBOOT, libvirt.VIR_DOMAIN_LIFECYCLE_ACTION_DESTROY,
                1 << 8)
        refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.getCPUStats, True)
        assert dom.launchSecurityInfo() == {}
        if os.geteuid() == 0:
            dom.setNumaParameters({"numa_mode": libvirt.VIR_DOMAIN_NUMATUNE_MEM_PREFERRED,
                                   "numa_nodeset": "0"}, CONFIG)
            assert dom.numaParameters(CONFIG) == {
                "numa_mode": libvirt.VIR_DOMAIN_NUMATUNE_MEM_PREFERRED, "numa_nodeset": "0"}
            assert "<memory mode='preferred' nodeset='0'/>" in dom.XMLDesc(), dom.XMLDesc()
            refused(libvirt.VIR_ERR_INVALID_ARG, dom.setNumaParameters, {"numa_nodeset": "x"},
                    CONFIG)
            refused(libvirt.VIR_ERR_INVALID_ARG, dom.setNumaParameters, {"numa_mode": 17}, CONFIG)
            refused(libvirt.VIR_ERR_INVALID_ARG, dom.setNumaParameters, {"numa_mode": 0}, 1 << 8)
        conn.close()


def native():
    """The command line that a definition comes to, which opens and makes nothing."""
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        text = DOMAIN.replace("<memballoon model='none'/>", """
            <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/nowhere.raw'/>
            <target dev='vda' bus='virtio'/></disk>""") % BARE
        line = conn.domainXMLToNative("qemu-argv", text, 0)
        assert re.match(r"\S*kiln-vmm \\\n-name guest=tuned", line), line
        assert "virtio-blk-pci" in line and "-m size=32768k" in line, line
        assert not conn.listAllDomains()
        refused(libvirt.VIR_ERR_INVALID_ARG, "unsupported config type xen-xm", conn.domainXMLToNative,
                "xen-xm", text, 0)
        refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, conn.domainXMLToNative, "qemu-argv",
                text.replace("type='raw'", "type='ploop'"), 0)
        refused(libvirt.VIR_ERR_NO_SUPPORT, conn.domainXMLFromNative, "qemu-argv", line, 0)
        conn.defineXML(text)
        assert daemon.virsh("domxml-to-native", "qemu-argv", "--domain", "tuned",
                            scheme="qemu").split()[0].endswith("kiln-vmm")
        conn.close()


def running():
    """The same of a guest that runs, and its processor time."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "no /dev/kvm here"
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.createXML(DOMAIN % BARE)
        for action, word in ((libvirt.VIR_DOMAIN_LIFECYCLE_ACTION_DESTROY, "destroy"),
                             (libvirt.VIR_DOMAIN_LIFECYCLE_ACTION_RESTART, "restart")):
            dom.setLifecycleAction(libvirt.VIR_DOMAIN_LIFECYCLE_REBOOT, action, LIVE)
            assert "<on_reboot>%s</on_reboot>" % word in dom.XMLDesc()
        dom.setLifecycleAction(libvirt.VIR_DOMAIN_LIFECYCLE_CRASH,
                               libvirt.VIR_DOMAIN_LIFECYCLE_ACTION_COREDUMP_DESTROY, LIVE)
        assert "<on_crash>coredump-destroy</on_crash>" in dom.XMLDesc()
        refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, dom.setLifecycleAction,
                libvirt.VIR_DOMAIN_LIFECYCLE_CRASH,
                libvirt.VIR_DOMAIN_LIFECYCLE_ACTION_RESTART_RENAME, LIVE)
        assert "rename-restart" not in dom.XMLDesc()
        total = dom.getCPUStats(True)[0]
        assert set(total) == {"cpu_time", "user_time", "system_time"} and total["cpu_time"] > 0
        assert "cpu_time" in daemon.virsh("cpu-stats", "tuned", "--total", scheme="qemu")
        refused(libvirt.VIR_ERR_OPERATION_UNSUPPORTED, dom.getCPUStats, False)
        stats = conn.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_CPU_TOTAL)[0][1]
        assert {"cpu.time", "cpu.user", "cpu.system", "cpu.cache.monitor.count"} <= set(stats), stats
        if os.geteuid() == 0:
            refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.setNumaParameters,
                    {"numa_mode": libvirt.VIR_DOMAIN_NUMATUNE_MEM_INTERLEAVE}, LIVE)
        dom.destroy()
        conn.close()
    return None


if __name__ == "__main__":
    run([compare, baseline, firmware, memory, configured, native, running])
