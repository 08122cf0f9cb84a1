#!/usr/bin/python3
"""33-limits - what a guest may use of the host's memory and block devices, its I/O threads, and what is
counted of it: through stock virsh and python3-libvirt, of definitions and of a guest that runs.

Control groups are the host's own; what it lacks has to be refused. The parts with a guest are skipped
where there is no /dev/kvm.
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import glob
import os
import stat

import libvirt

from daemon import BUILD, Daemon, refused, run, wait_for

BARE = os.path.abspath(BUILD + "/tests/unit/launcher/bare_guest")
DOMAIN = """<domain type='kvm'>
  <name>limited</name>
  <memory unit='MiB'>32</memory>%s
  <vcpu>1</vcpu>%s
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>%s</kernel>
    <cmdline>plug</cmdline>
  </os>
  <features><acpi/></features>
  <devices>%s<memballoon model='none'/></devices>
</domain>
"""
LIVE, CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
UNLIMITED = (1 << 53) - 1  # VIR_DOMAIN_MEMORY_PARAM_UNLIMITED
ROOT = os.geteuid() == 0
KVM = os.access("/dev/kvm", os.R_OK | os.W_OK)


def domain(limits="", threads="", devices=""):
    return DOMAIN % (limits, threads, BARE, devices)


def group_file(dom, *names):
    """The file of the guest's control group that is there under one of these names, or None."""
    for name in names:
        for top in ("", "/memory", "/blkio"):
            found = glob.glob("/sys/fs/cgroup%s/kiln/%d-%s/%s" % (top, dom.ID(), dom.name(), name))
            if found:
                return found[0]
    return None


def content(path):
    with open(path, encoding="ascii") as stream:
        return stream.read().strip()


def definitions():
    """Limits of a guest that is off are in its definition, and read back."""
    if not ROOT:
        return "a session has no control groups"
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.defineXML(domain("<memtune><hard_limit unit='MiB'>256</hard_limit></memtune>"))
        assert dom.memoryParameters(CONFIG) == {
            "hard_limit": 262144, "soft_limit": UNLIMITED, "swap_hard_limit": UNLIMITED}
        dom.setMemoryParameters({"soft_limit": 131072, "swap_hard_limit": 524288}, CONFIG)
        text = dom.XMLDesc()
        for name, value in (("hard", 262144), ("soft", 131072), ("swap_hard", 524288)):
            assert "<%s_limit unit='KiB'>%d</%s_limit>" % (name, value, name) in text, text
        refused(libvirt.VIR_ERR_INVALID_ARG, "must be lower than or equal to swap_hard_limit",
                dom.setMemoryParameters, {"hard_limit": 524289}, CONFIG)
        refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.setMemoryParameters, {"hard_limit": 1}, LIVE)
        refused(libvirt.VIR_ERR_INVALID_ARG, dom.memoryParameters, 1 << 10)
        daemon.virsh("memtune", "limited", "--hard-limit", "-1", "--soft-limit", "-1",
                     "--swap-hard-limit", "-1", "--config", scheme="qemu")
        assert "<memtune>" not in dom.XMLDesc(), dom.XMLDesc()

        dom.setBlkioParameters({"weight": 500, "device_weight": "/dev/sda,300,/dev/sdb,0",
                                "device_read_bytes_sec": "/dev/sda,1000"}, CONFIG)
        assert dom.blkioParameters(CONFIG) == {
            "weight": 500, "device_weight": "/dev/sda,300", "device_read_iops_sec": "",
            "device_write_iops_sec": "", "device_read_bytes_sec": "/dev/sda,1000",
            "device_write_bytes_sec": ""}, dom.blkioParameters(CONFIG)
        out = daemon.virsh("blkiotune", "limited", scheme="qemu")
        assert "weight         : 500" in out and "/dev/sda,300" in out, out
        daemon.virsh("blkiotune", "limited", "--device-weights", "/dev/sda,0",
                     "--device-read-bytes-sec", "/dev/sda,0", "--config", scheme="qemu")
        assert "<device>" not in dom.XMLDesc() and "<weight>500</weight>" in dom.XMLDesc()
        for words in ("/dev/sda", "/dev/sda,x", "sda,1", "/dev/sda,1,"):
            refused(libvirt.VIR_ERR_INVALID_ARG, dom.setBlkioParameters, {"device_weight": words},
                    CONFIG)
        conn.close()
    return None


def of_a_running_guest():
    """Limits reach the guest's control group, at its start and while it runs."""
    if not ROOT or not KVM:
        return "wants root and /dev/kvm"
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.defineXML(domain("<memtune><hard_limit unit='MiB'>512</hard_limit></memtune>"))
        try:
            dom.create()
        except libvirt.libvirtError as err:
            assert err.get_error_code() == libvirt.VIR_ERR_CONFIG_UNSUPPORTED, err
            dom.undefine()
            dom = conn.defineXML(domain())
            dom.create()
            refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.memoryParameters, LIVE)
            refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.setMemoryParameters,
                    {"hard_limit": 262144}, LIVE)
            dom.destroy()
            conn.close()
            return "no memory controller for control groups here"
        hard = group_file(dom, "memory.max", "memory.limit_in_bytes")
        assert content(hard) == str(512 << 20), content(hard)
        daemon.virsh("memtune", "limited", "--hard-limit", "409600", "--soft-limit", "204800", "--live",
                     "--config", scheme="qemu")
        assert content(hard) == str(400 << 20), content(hard)
        soft = group_file(dom, "memory.high", "memory.soft_limit_in_bytes")
        assert content(soft) == str(200 << 20), content(soft)
        for flags in (LIVE, CONFIG):
            assert dom.memoryParameters(flags)["hard_limit"] == 400 << 10
        dom.setMemoryParameters({"hard_limit": UNLIMITED}, LIVE)
        assert content(hard) != str(400 << 20) and "<hard_limit" not in dom.XMLDesc()
        assert "<hard_limit" in dom.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        throttles(dom)
        dom.destroy()
        conn.close()
    return None


def throttles(dom):
    """Of the first disk of the host that the kernel lets us limit, if there is one."""
    disks = [path for path in glob.glob("/dev/[sv]d[a-z]") + glob.glob("/dev/nvme?n1")
             if stat.S_ISBLK(os.stat(path).st_mode)]
    limits = group_file(dom, "io.max", "blkio.throttle.read_iops_device")
    refused(libvirt.VIR_ERR_SYSTEM_ERROR if limits else libvirt.VIR_ERR_OPERATION_INVALID,
            dom.setBlkioParameters, {"device_read_iops_sec": "/nowhere,5"}, LIVE)
    if not disks or not limits:
        return
    dom.setBlkioParameters({"device_read_iops_sec": disks[0] + ",500"}, LIVE)
    assert "500" in content(limits), content(limits)
    assert "<read_iops_sec>500</read_iops_sec>" in dom.XMLDesc(), dom.XMLDesc()
    dom.setBlkioParameters({"device_read_iops_sec": disks[0] + ",0"}, LIVE)
    assert "500" not in content(limits) and "<blkiotune>" not in dom.XMLDesc()


def iothreads():
    """They come, are pinned, change, are counted, and go; not while a disk has them."""
    disk = "<disk type='file' device='disk'><driver name='qemu' type='raw' iothread='1'/>" \
        "<source file='%s'/><target dev='vda' bus='virtio'/></disk>"
    if not KVM:
        return "no /dev/kvm here"
    with Daemon() as daemon:
        image = os.path.join(daemon.root, "disk.raw")
        with open(image, "wb") as stream:
            stream.truncate(1 << 20)
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.defineXML(domain("", "<iothreads>1</iothreads>", disk % image))
        dom.addIOThread(4, CONFIG)
        assert "<iothreads>2</iothreads>" in dom.XMLDesc(), dom.XMLDesc()
        assert "<iothread id='4'/>" in dom.XMLDesc(), dom.XMLDesc()
        dom.create()
        dom.addIOThread(7, LIVE)
        assert [thread[0] for thread in dom.ioThreadInfo(LIVE)] == [1, 4, 7]
        assert [thread[0] for thread in dom.ioThreadInfo(CONFIG)] == [1, 4]
        dom.pinIOThread(7, (True,), LIVE)
        dom.setIOThreadParams(7, {"poll_max_ns": 5000}, LIVE)
        stats = conn.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_IOTHREAD)[0][1]
        assert stats["iothread.count"] == 3 and stats["iothread.7.poll-max-ns"] == 5000, stats
        assert stats["iothread.4.poll-max-ns"] == 0, stats
        invalid = libvirt.VIR_ERR_INVALID_ARG
        refused(invalid, "already using iothread_id '7'", dom.addIOThread, 7, LIVE)
        refused(invalid, "already using iothread_id '4'", dom.addIOThread, 4, LIVE | CONFIG)
        refused(invalid, "invalid value of 0", dom.addIOThread, 0, LIVE)
        refused(invalid, "used by disk 'vda'", dom.delIOThread, 1, LIVE)
        refused(invalid, "cannot find IOThread '9'", dom.delIOThread, 9, CONFIG)
        refused(invalid, dom.delIOThread, 7, 1 << 9)
        refused(invalid, dom.setIOThreadParams, 7, {"poll_max_ns": 1 << 40}, LIVE)
        refused(libvirt.VIR_ERR_OPERATION_UNSUPPORTED, dom.setIOThreadParams, 4,
                {"poll_max_ns": 5000}, CONFIG)
        refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, dom.setIOThreadParams, 7, {"other": 1}, LIVE)
        out = daemon.virsh("iothreadinfo", "limited", scheme="qemu")
        assert len([line for line in out.splitlines() if line.strip()[:1].isdigit()]) == 3, out
        dom.delIOThread(7, LIVE)
        daemon.virsh("iothreaddel", "limited", "4", "--live", "--config", scheme="qemu")
        assert [thread[0] for thread in dom.ioThreadInfo(LIVE)] == [1]
        assert "<iothreads>1</iothreads>" in dom.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        assert "iothreadpin" not in dom.XMLDesc(), dom.XMLDesc()
        dom.destroy()
        conn.close()
    return None


def events_are_counted():
    """What the kernel counts of a guest is told; what it does not count is refused."""
    if not ROOT or not KVM:
        return "wants root and /dev/kvm"
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.defineXML(domain())
        events = dom.perfEvents(CONFIG)
        assert len(events) == 22 and not any(events.values()), events
        dom.setPerfEvents({"page_faults": True, "cpu_cycles": False}, CONFIG)
        assert "<event name='page_faults' enabled='yes'/>" in dom.XMLDesc(), dom.XMLDesc()
        dom.setPerfEvents({"page_faults": False}, CONFIG)
        dom.create()
        refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, "cmt", dom.setPerfEvents, {"cmt": True}, LIVE)
        try:
            dom.setPerfEvents({"task_clock": True}, LIVE)
        except libvirt.libvirtError as err:
            assert err.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR, err
            assert not dom.perfEvents(LIVE)["task_clock"]
            dom.destroy()
            conn.close()
            return "this host does not let us count: %s" % err
        assert dom.perfEvents(LIVE)["task_clock"] and not dom.perfEvents(CONFIG)["task_clock"]
        wait_for("time is counted", lambda: conn.getAllDomainStats(
            libvirt.VIR_DOMAIN_STATS_PERF)[0][1]["perf.task_clock"] > 0)
        daemon.virsh("perf", "limited", "--disable", "task_clock", "--live", scheme="qemu")
        assert conn.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_PERF)[0][1] == {}
        dom.destroy()
        conn.close()
    return None


def dirty_rate():
    """A guest that writes nothing changes no memory."""
    if not KVM:
        return "no /dev/kvm here"
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.createXML(domain())

        def stats():
            return conn.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_DIRTYRATE)[0][1]
        assert stats()["dirtyrate.calc_status"] == libvirt.VIR_DOMAIN_DIRTYRATE_UNSTARTED
        dom.startDirtyRateCalc(1, 0)
        wait_for("it is measured", lambda: stats()["dirtyrate.calc_status"] ==
                 libvirt.VIR_DOMAIN_DIRTYRATE_MEASURED)
        measured = stats()
        assert measured["dirtyrate.calc_period"] == 1 and measured["dirtyrate.calc_start_time"] > 0
        assert 0 <= measured["dirtyrate.megabytes_per_second"] <= 32, measured
        assert measured["dirtyrate.calc_mode"] == "page-sampling", measured
        refused(libvirt.VIR_ERR_INVALID_ARG, "within .1, 60.", dom.startDirtyRateCalc, 61, 0)
        refused(libvirt.VIR_ERR_OPERATION_UNSUPPORTED, dom.startDirtyRateCalc, 1,
                libvirt.VIR_DOMAIN_DIRTYRATE_MODE_DIRTY_RING)
        refused(libvirt.VIR_ERR_INVALID_ARG, dom.startDirtyRateCalc, 1, 1 << 7)
        out = daemon.virsh("domdirtyrate-calc", "limited", "--seconds", "1", scheme="qemu")
        assert "successfully" in out, out
        vcpu = conn.getAllDomainStats(libvirt.VIR_DOMAIN_STATS_VCPU)[0][1]
        assert {"vcpu.0.state", "vcpu.0.time", "vcpu.0.wait", "vcpu.0.delay"} <= set(vcpu), vcpu
        conn.getAllDomainStats(0x7ff, libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS)
        dom.destroy()
        conn.close()
    return None


if __name__ == "__main__":
    run([definitions, of_a_running_guest, iothreads, events_are_counted, dirty_rate])
