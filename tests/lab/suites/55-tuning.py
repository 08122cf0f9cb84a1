#!/usr/bin/python3
"""Pinning, NUMA, huge pages, shares and CPU choices, seen on the real threads and in the guest.

# timeout: 700

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import (Daemon, check, console, define, fails, gone, guest_xml, run, test, virsh, vmm_pid,
                   wait_ready, write)  # noqa: E402


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
  <cputune>
    <shares>2048</shares>
    <period>100000</period>
    <quota>90000</quota>
    <vcpupin vcpu='0' cpuset='0'/>
    <vcpupin vcpu='1' cpuset='1'/>
    <emulatorpin cpuset='1'/>
  </cputune>
  <numatune>
    <memory mode='strict' nodeset='1'/>
  </numatune>"""

with Daemon():
    define("tuned", vcpus=2, extra=TUNING)
    virsh("start", "tuned")
    pid = vmm_pid("tuned")
    with test("vcpupin reaches the threads"):
        pins = {name: allowed(task) for task, name in threads(pid).items()}
        check(pins.get("CPU 0/KVM") == "0" and pins.get("CPU 1/KVM") == "1", str(pins))
        check("0" in virsh("vcpupin", "tuned"), "virsh vcpupin")
    with test("emulatorpin reaches the main thread"):
        check(allowed(pid) == "1", allowed(pid))
    with test("numatune places the guest's memory"):
        wait_ready("tuned")
        with open("/proc/%d/numa_maps" % pid, encoding="utf-8") as stream:
            ram = [line for line in stream if "memfd" in line and "bind" in line]
        check(ram, "no guest memory is bound")
        check(all("bind" in line and "bind:1" in line.replace("=", ":") for line in ram), str(ram))
        check(not any(re.search(r" N0=", line) for line in ram), "pages on node 0: %s" % ram)
    with test("shares and quota reach the cgroup"):
        groups = [top for top, _, _ in os.walk("/sys/fs/cgroup") if "tuned" in top]
        values = {}
        for group in groups:
            for value in ("cpu.weight", "cpu.max"):
                if os.path.exists(os.path.join(group, value)):
                    with open(os.path.join(group, value), encoding="utf-8") as stream:
                        values.setdefault(value, []).append(stream.read().strip())
        # <quota> is for each vCPU, <shares> for the whole guest; 2048 shares are twice the weight
        check(values.get("cpu.max", []).count("90000 100000") == 2, str((groups, values)))
        check(any(weight not in ("", "100") for weight in values.get("cpu.weight", [])), str(values))
    virsh("destroy", "tuned")
    virsh("undefine", "tuned")
    with test("no cgroup is left"):
        left = [top for top, _, _ in os.walk("/sys/fs/cgroup") if "tuned" in top]
        check(not left, " ".join(left))
        gone("tuned")
    with test("huge pages"):
        define("huge", memory=112, extra="<memoryBacking><hugepages/></memoryBacking>")
        virsh("start", "huge")
        with open("/proc/%d/smaps" % vmm_pid("huge"), encoding="utf-8") as stream:
            check("KernelPageSize:     2048 kB" in stream.read(), "no huge page is mapped")
        virsh("destroy", "huge")
        virsh("undefine", "huge")
    with test("topology and NUMA cells reach the guest"):
        cells = """<numa><cell id='0' cpus='0-1' memory='128' unit='MiB'/>
                   <cell id='1' cpus='2-3' memory='128' unit='MiB'/></numa>"""
        xml = guest_xml("cells", memory=256, vcpus=4).replace(
            "<cpu mode='host-passthrough'/>", "<cpu mode='host-passthrough'><topology sockets='1' "
            "dies='1' cores='2' threads='2'/>%s</cpu>" % cells)
        virsh("define", write("cells.xml", xml))
        virsh("start", "cells")
        wait_ready("cells")
        with console("cells") as terminal:
            terminal.expect("Connected to domain", 20)
            terminal.wake(30)
            answer, _ = terminal.command("ls -d /sys/devices/system/node/node*")
            check("node1" in answer, answer)
            # an AMD guest learns of threads by topoext only, which not every host has
            answer, _ = terminal.command("grep -m1 ^siblings /proc/cpuinfo")
            check(re.search(r"siblings\s*: 4", answer), answer)
            answer, _ = terminal.command("grep -c ^processor /proc/cpuinfo")
            check("4" in answer, answer)
        virsh("destroy", "cells")
        virsh("undefine", "cells")
    with test("host-model starts, and a feature the host lacks is refused by its name"):
        xml = guest_xml("model").replace("<cpu mode='host-passthrough'/>", "<cpu mode='host-model'/>")
        virsh("define", write("model.xml", xml))
        virsh("start", "model")
        wait_ready("model")
        virsh("destroy", "model")
        virsh("undefine", "model")
        xml = xml.replace("<cpu mode='host-model'/>", "<cpu mode='custom' match='exact'><model "
                          "fallback='forbid'>qemu64</model><feature policy='require' name='avx512f'/>"
                          "</cpu>")
        virsh("define", write("model.xml", xml))
        fails("virsh", "-c", "qemu:///system", "start", "model", expect="avx512f")
        virsh("undefine", "model")
        gone("model")
    with test("a guest with more than 4 GiB"):
        run("sh", "-c", "free -m")
        define("large", memory=4608)
        virsh("start", "large")
        wait_ready("large")
        with console("large") as terminal:
            terminal.expect("Connected to domain", 20)
            terminal.wake(30)
            answer, _ = terminal.command("grep MemTotal /proc/meminfo")
            check(int(re.search(r"(\d+) kB", answer).group(1)) > 4300000, answer)
        virsh("destroy", "large")
        virsh("undefine", "large")
