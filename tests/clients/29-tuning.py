#!/usr/bin/python3
"""29-tuning - what clients ask of the host before they tune guests, through stock virsh and
python3-libvirt: CPUs compared and brought to one, firmware, pages, memory sharing.

Changes nothing of the host: parameters are set to what they are.
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import xml.etree.ElementTree as ElementTree

import libvirt

from daemon import Daemon, run

MODEL = "<cpu match='%s'><model>%s</model>%s</cpu>"


def refused(code, call, *args):
    try:
        call(*args)
    except libvirt.libvirtError as err:
        assert err.get_error_code() == code, err
        return str(err)
    raise AssertionError("not refused: %s" % call)


def compare():
    """The host has its own CPU, and not one of another vendor."""
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        cpu = ElementTree.fromstring(conn.getCapabilities()).find("host/cpu")
        if cpu.find("model") is None:
            return "no model of the CPU map describes this host"
        text = ElementTree.tostring(cpu, encoding="unicode")
        assert conn.compareCPU(text) in (libvirt.VIR_CPU_COMPARE_IDENTICAL,
                                         libvirt.VIR_CPU_COMPARE_SUPERSET)
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
        assert "identical to host CPU" in out or "is a superset of CPU" in out, out
        out = daemon.virsh("cpu-baseline", path, scheme="qemu")
        assert "<cpu mode='custom' match='exact'>" in out, out
        conn.close()
    return None


def baseline():
    """What is common to models is what they share, and fits libvirt's schema of <cpu>."""
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        text = conn.baselineCPU([MODEL % ("exact", "Westmere", ""),
                                 MODEL % ("exact", "SandyBridge", "")])
        cpu = ElementTree.fromstring(text)
        assert cpu.get("mode") == "custom" and cpu.find("model").text == "Westmere", text
        full = conn.baselineCPU([MODEL % ("exact", "Westmere", ""),
                                 MODEL % ("exact", "SandyBridge", "")],
                                libvirt.VIR_CONNECT_BASELINE_CPU_EXPAND_FEATURES)
        names = {each.get("name") for each in ElementTree.fromstring(full).iter("feature")}
        assert {"sse4.2", "aes", "lm"} <= names and "avx" not in names, names
        refused(libvirt.VIR_ERR_OPERATION_FAILED, conn.baselineCPU,
                [MODEL % ("exact", "Westmere", ""), MODEL % ("exact", "EPYC", "")])
        refused(libvirt.VIR_ERR_INVALID_ARG, conn.baselineCPU, ["<cpu/>"])
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


if __name__ == "__main__":
    run([compare, baseline, firmware, memory])
