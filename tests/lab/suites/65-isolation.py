#!/usr/bin/python3
"""What a running guest's process may do, read from /proc.

# timeout: 700

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import pwd
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import (Daemon, INTERFACE, TMP, check, define, guest_files, run, test, virsh, vmm_pid,
                   wait_ready)  # noqa: E402


def status(pid, task=None):
    path = "/proc/%d/%sstatus" % (pid, "task/%d/" % task if task else "")
    with open(path, encoding="utf-8") as stream:
        return dict(line.rstrip("\n").split(":\t", 1) for line in stream if ":\t" in line)


try:
    pwd.getpwnam("kiln")
except KeyError:
    run("useradd", "--system", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", "kiln")

with Daemon():
    disk = os.path.join(TMP, "disk.img")
    run("cp", os.path.join(guest_files(), "disk.img"), disk)
    os.chmod(disk, 0o600)            # the daemon opens it; the guest's user could not
    layers = os.path.join(TMP, "layers.qcow2")    # a format whose work threads do
    run("qemu-img", "create", "-q", "-f", "qcow2", layers, "64M")
    define("caged", disk=disk, vcpus=2, devices=INTERFACE + """
      <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='%s'/>
        <target dev='vdb' bus='virtio'/></disk>""" % layers)
    virsh("start", "caged")
    wait_ready("caged")
    pid = vmm_pid("caged")
    kiln = pwd.getpwnam("kiln")
    tasks = [int(t) for t in os.listdir("/proc/%d/task" % pid)]
    with test("own user, no groups"):
        for task in tasks:
            s = status(pid, task)
            check(set(s["Uid"].split()) == {str(kiln.pw_uid)}, "Uid " + s["Uid"])
            check(set(s["Gid"].split()) == {str(kiln.pw_gid)}, "Gid " + s["Gid"])
            check(set(s["Groups"].split()) <= {str(kiln.pw_gid)}, "Groups " + s["Groups"])
    with test("no capability in any set of any thread"):
        for task in tasks:
            s = status(pid, task)
            for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                check(int(s[caps], 16) == 0, "thread %d has %s %s" % (task, caps, s[caps]))
    with test("no new privileges"):
        check(all(status(pid, t)["NoNewPrivs"] == "1" for t in tasks), "a thread may gain some")
    with test("every thread is under a seccomp filter"):
        modes = {t: status(pid, t)["Seccomp"] for t in tasks}
        check(set(modes.values()) == {"2"}, str(modes))
    with test("vCPU, I/O and main threads have filters of their own"):
        # a filter per kind shows as different sets; the count of filters is all that /proc tells
        names = {open("/proc/%d/task/%d/comm" % (pid, t), encoding="utf-8").read().strip()
                 for t in tasks}
        check(any(n.startswith("CPU ") for n in names) and len(names) > 2, str(names))
        check(all(int(status(pid, t).get("Seccomp_filters", "1")) >= 1 for t in tasks), "no filter")
    with test("its root is empty"):
        left = os.listdir("/proc/%d/root" % pid)
        check(left == [], "it sees " + ", ".join(left))
    with test("its network namespace is its own and has no interface but a dead lo"):
        for task in tasks:
            check(os.readlink("/proc/%d/task/%d/ns/net" % (pid, task)) != os.readlink("/proc/self/ns/net"),
                  "thread %d is in the host's network namespace" % task)
        with open("/proc/%d/net/dev" % pid, encoding="utf-8") as stream:
            names = re.findall(r"^\s*(\S+):", stream.read(), re.M)
        check(names == ["lo"], "it sees " + ", ".join(names))
    with test("its mount namespace is its own"):
        check(os.readlink("/proc/%d/ns/mnt" % pid) != os.readlink("/proc/self/ns/mnt"), "shared")
    with test("it holds no descriptor of a directory or of /dev/kvm's neighbours"):
        for fd in os.listdir("/proc/%d/fd" % pid):
            target = os.readlink("/proc/%d/fd/%s" % (pid, fd))
            check(not os.path.isdir(target) or not target.startswith("/"), "fd %s is %s" % (fd, target))
            check(not target.startswith("/dev/") or re.match(
                r"/dev/(kvm|net/tun|vhost-net|null|urandom|pts/ptmx|ptmx|shm/|zero|hugepages)", target),
                "fd %s is %s" % (fd, target))
    with test("it has no child and no shell"):
        children = subprocess.run(["ps", "--ppid", str(pid), "-o", "pid="], capture_output=True,
                                  text=True, check=False).stdout.split()
        check(not children, "children: " + " ".join(children))
    with test("it cannot be traced or dumped by its own user"):
        check(os.stat("/proc/%d/mem" % pid).st_uid == 0, "its /proc belongs to its user")
    virsh("destroy", "caged")
    virsh("undefine", "caged")
