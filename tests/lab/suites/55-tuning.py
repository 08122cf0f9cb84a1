#!/usr/bin/python3
"""Pinning, NUMA, huge pages, shares and CPU choices, seen on the real threads and in the guest.

# timeout: 700
# processors: 2

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import (Daemon, check, console, define, fails, gone, guest_xml, run, test, virsh, vmm_pid,
                   wait_for, wait_ready, write)  # noqa: E402


def threads(pid):
    """Thread id → name."""
    names = {}
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/comm" % (pid, task), encoding="utf-8") as stream:
            names[int(task)] = stream.read().strip()
    return names


def allowed(task):
    with open("/proc/%d/status" % task, encoding="utf-8") as stream:
        return re.search(r"Cpus_allowed_list:\s*(\S+)", stream.read()).group(1)


TUNING = """
  <iothreads>2</iothreads>
  <cputune>
    <shares>2048</shares>
    <period>100000</period>
    <quota>90000</quota>
    <emulator_period>100000</emulator_period>
    <emulator_quota>80000</emulator_quota>
    <iothread_period>100000</iothread_period>
    <iothread_quota>70000</iothread_quota>
    <vcpupin vcpu='0' cpuset='0'/>
    <vcpupin vcpu='1' cpuset='1'/>
    <emulatorpin cpuset='1'/>
    <iothreadpin iothread='2' cpuset='0'/>
  </cputune>
  <numatune>
    <memory mode='strict' nodeset='1'/>
  </numatune>"""


def values(top, guest, *files):
    """What the files of these names say in the guest's control group and those below it."""
    found = {}
    for folder, _, names in os.walk(top):
        for name in names:
            if guest in folder and name in files:
                with open(os.path.join(folder, name), encoding="ascii") as stream:
                    found.setdefault(name, []).append(stream.read().strip())
    print(found, flush=True)
    return found


def cgroups_of(top, guest):
    return [folder for folder, _, _ in os.walk(top) if guest in folder]


def tuned():
    xml = guest_xml("tuned", vcpus=2, extra=TUNING).replace(
        "<cpu mode='host-passthrough'/>", "<cpu mode='host-model'/>")
    virsh("define", write("tuned.xml", xml))
    virsh("start", "tuned")
    pid = vmm_pid("tuned")
    names = {name: task for task, name in threads(pid).items()}
    with test("vcpupin, iothreadpin and emulatorpin reach the threads"):
        pins = {name: allowed(task) for name, task in names.items()}
        check(pins.get("CPU 0/KVM") == "0" and pins.get("CPU 1/KVM") == "1", str(pins))
        check(pins.get("iothread2") == "0" and pins.get("iothread1") == "0-1", str(pins))
        check(allowed(pid) == "1", allowed(pid))
    with test("virsh vcpupin and emulatorpin show the pins and move the threads"):
        check(re.search(r"0\s+0\s+1\s+1", virsh("vcpupin", "tuned")), "virsh vcpupin")
        virsh("vcpupin", "tuned", "0", "1", "--live")
        virsh("emulatorpin", "tuned", "0", "--live")
        check(allowed(names["CPU 0/KVM"]) == "1" and allowed(pid) == "0", "they did not move")
        check("<vcpupin vcpu='0' cpuset='1'/>" in virsh("dumpxml", "tuned"), "live XML")
        check("<vcpupin vcpu='0' cpuset='0'/>" in virsh("dumpxml", "tuned", "--inactive"), "definition")
    with test("shares and quotas reach the cgroup"):
        found = values("/sys/fs/cgroup", "tuned", "cpu.weight", "cpu.max", "cpuset.mems")
        limits = found.get("cpu.max", [])
        check([limits.count("%d000 100000" % n) for n in (90, 80, 70)] == [2, 1, 2], str(limits))
        check("2048" in found.get("cpu.weight", []), str(found))
        check("1" in found.get("cpuset.mems", []), str(found))
    with test("numatune places the memory of a guest with a host-model processor"):
        wait_ready("tuned")
        with open("/proc/%d/numa_maps" % pid, encoding="utf-8") as stream:
            ram = [line for line in stream if "memfd" in line and "bind" in line]
        check(ram, "no guest memory is bound")
        check(all("bind:1" in line.replace("=", ":") for line in ram), str(ram))
        check(not any(re.search(r" N0=", line) for line in ram), "pages on node 0: %s" % ram)
    virsh("destroy", "tuned")
    with test("no cgroup is left"):
        check(not cgroups_of("/sys/fs/cgroup", "tuned"), "/sys/fs/cgroup")
        gone("tuned")


def tuned_v1():
    """The same with cgroup v1, whose controllers are free while no v2 group uses them."""
    top = "/sys/fs/cgroup"
    os.rmdir(top + "/kiln")
    with open(top + "/cgroup.subtree_control", "w", encoding="ascii") as stream:
        stream.write("-cpuset -cpu")
    run("umount", top)
    run("mount", "-t", "tmpfs", "tmpfs", top)
    try:
        for names in ("cpu,cpuacct", "cpuset"):
            path = "%s/%s" % (top, names)
            os.mkdir(path)
            # the kernel lets go of a removed v2 group only after a while
            wait_for("cgroup v1 has " + names, lambda where=path, what=names: subprocess.run(
                ["mount", "-t", "cgroup", "-o", what, "cgroup", where], check=False,
                stderr=subprocess.DEVNULL).returncode == 0, 30)
        with Daemon():
            with test("cgroup v1: shares, quotas and nodes"):
                virsh("start", "tuned", "--paused")
                found = values(top, "tuned", "cpu.shares", "cpu.cfs_quota_us", "cpuset.mems")
                quotas = found.get("cpu.cfs_quota_us", [])
                check([quotas.count("%d000" % n) for n in (90, 80, 70)] == [2, 1, 2], str(quotas))
                check("2048" in found.get("cpu.shares", []), str(found))
                check("1" in found.get("cpuset.mems", []), str(found))
            with test("cgroup v1: no group is left"):
                virsh("destroy", "tuned")
                check(not cgroups_of(top, "tuned"), " ".join(cgroups_of(top, "tuned")))
    finally:
        for names in ("cpu,cpuacct", "cpuset"):
            for folder, _, _ in list(os.walk("%s/%s/kiln" % (top, names), topdown=False)):
                os.rmdir(folder)
            run("umount", "%s/%s" % (top, names), check_status=False)
        run("umount", top)
        run("mount", "-t", "cgroup2", "cgroup2", top)
        with open(top + "/cgroup.subtree_control", "w", encoding="ascii") as stream:
            stream.write("+cpuset +cpu +io +memory +pids")


def cells():
    numa = """<numa><cell id='0' cpus='0-1' memory='2304' unit='MiB'/>
              <cell id='1' cpus='2-3' memory='2304' unit='MiB'/></numa>"""
    xml = guest_xml("cells", memory=4608, vcpus=4).replace(
        "<cpu mode='host-passthrough'/>", "<cpu mode='host-passthrough'><topology sockets='1' "
        "dies='1' cores='2' threads='2'/>%s</cpu>" % numa)
    virsh("define", write("cells.xml", xml))
    virsh("start", "cells")
    with console("cells") as terminal:
        terminal.expect("Connected to domain", 20)
        terminal.wake(300)
        with test("topology and NUMA cells reach the guest"):
            answer, _ = terminal.command("ls -d /sys/devices/system/node/node*")
            check("node1" in answer, answer)
            # an AMD guest learns of threads by topoext only, which not every host has
            answer, _ = terminal.command("grep -m1 ^siblings /proc/cpuinfo")
            check(re.search(r"siblings\s*: 4", answer), answer)
            answer, _ = terminal.command("grep -c ^processor /proc/cpuinfo")
            check(answer.strip() == "4", answer)
        with test("a guest has more than 4 GiB"):
            answer, _ = terminal.command("grep MemTotal /proc/meminfo")
            check(int(re.search(r"(\d+) kB", answer).group(1)) > 4300000, answer)
    virsh("destroy", "cells")
    virsh("undefine", "cells")


with Daemon():
    tuned()
    with test("huge pages"):
        define("huge", memory=112, extra="<memoryBacking><hugepages/></memoryBacking>")
        virsh("start", "huge", "--paused")
        with open("/proc/%d/smaps" % vmm_pid("huge"), encoding="utf-8") as stream:
            check("KernelPageSize:     2048 kB" in stream.read(), "no huge page is mapped")
        virsh("destroy", "huge")
        virsh("undefine", "huge")
    with test("a feature the host lacks is refused by its name"):
        model = guest_xml("model").replace(
            "<cpu mode='host-passthrough'/>", "<cpu mode='custom' match='exact'><model "
            "fallback='forbid'>qemu64</model><feature policy='require' name='avx512f'/></cpu>")
        virsh("define", write("model.xml", model))
        fails("virsh", "-c", "qemu:///system", "start", "model", expect="avx512f")
        virsh("undefine", "model")
        gone("model")
    cells()
tuned_v1()
