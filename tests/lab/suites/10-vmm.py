#!/usr/bin/python3
"""kiln-vmm by itself: a stock kernel from its options to its end, watched over QMP and in /proc.

# timeout: 600

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import shutil
import signal
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import PROJECT, TMP, check, guest_files, run, test, wait_for  # noqa: E402
from vmm import Guest, Qmp  # noqa: E402


def status_of(path):
    with open(path) as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def threads(pid):
    """Names and status of the threads that run our code (not the kernel's I/O workers)."""
    found = {}
    for task in os.listdir("/proc/%d/task" % pid):
        status = status_of("/proc/%d/task/%s/status" % (pid, task))
        if not status["Name"].startswith("iou-"):
            found[int(task)] = status
    return found


def check_isolation(guest):
    pid = guest.process.pid
    for status in threads(pid).values():
        name = status["Name"]
        check(status["Seccomp"] == "2", name + " has no list of system calls")
        check(int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0, name + " has capabilities")
        check(int(status["CapBnd"], 16) == 0, name + " could get capabilities")
        check(status["NoNewPrivs"] == "1", name + " may gain privileges")
        check(status["Uid"].split() == ["64055"] * 4, name + " runs as " + status["Uid"])
        check(status["Gid"].split() == ["64055"] * 4, name + " runs as group " + status["Gid"])
    check(os.listdir("/proc/%d/root/" % pid) == [], "the root directory is not empty")
    for kind in ("net", "mnt", "ipc"):
        check(os.readlink("/proc/%d/ns/%s" % (pid, kind)) != os.readlink("/proc/self/ns/" + kind),
              "it shares the host's namespace: " + kind)


def main_guest():
    disk = os.path.join(TMP, "disk.img")
    shutil.copy(os.path.join(guest_files(), "disk.img"), disk)
    os.chmod(disk, 0o666)
    with Guest("-smp", "2,sockets=1,cores=2", "-object", "iothread,id=io7",
               "-drive", "file=%s,if=virtio,format=raw" % disk,
               "-object", "rng-random,id=rng0,filename=/dev/urandom",
               "-device", "virtio-rng-pci,rng=rng0", "-device", "virtio-balloon-pci,id=balloon0",
               memory="2200", cmdline='kiln.run="cat /mnt/hello.txt; echo processors $(nproc);'
               ' grep MemTotal /proc/meminfo;'
               ' cat /sys/devices/system/clocksource/clocksource0/current_clocksource"') as guest:
        qmp = guest.qmp
        with test("a stock kernel reaches its init, with two processors and memory above 4 GiB"):
            guest.wait_output("KILN-RUN-END 0")
            out = guest.output()
            for word in ("KILN-GUEST-READY", "hello from the disk", "processors 2\n", "kvm-clock"):
                check(word in out, "the console lacks %r" % word)
            memory = int(out.split("MemTotal:")[1].split()[0])
            check(memory > 2000000, "the guest sees only %d KiB" % memory)
        with test("QMP tells who the guest is"):
            cpus = qmp.do("query-cpus-fast")
            tasks = threads(guest.process.pid)
            check([tasks[cpu["thread-id"]]["Name"] for cpu in cpus] == ["CPU 0/KVM", "CPU 1/KVM"],
                  "the vCPU threads are called otherwise: %r" % cpus)
            io = qmp.do("query-iothreads")
            check([i["id"] for i in io] == ["io7"] and io[0]["thread-id"] in tasks, repr(io))
            check(qmp.do("query-status") == {"status": "running", "singlestep": False,
                                             "running": True}, "it is not running")
            check(qmp.do("query-name")["name"] == "vmm1", "its name is another")
            stats = qmp.do("query-blockstats")[0]["stats"]
            check(stats["rd_operations"] > 0, "no read was counted: %r" % stats)
            check(qmp.do("query-balloon")["actual"] == 2200 << 20, "the balloon is not empty")
        with test("nothing but its guest is left to the process"):
            check_isolation(guest)
        with test("a paused guest stands still and goes on"):
            qmp.do("stop")
            check(qmp.do("query-status")["status"] == "paused", "it is not paused")
            ticks = [vcpu_ticks(guest) for _ in (1, 2) if not run("sleep", "1")]
            check(ticks[0] == ticks[1], "a paused vCPU used processor time")
            qmp.do("cont")
            check(qmp.names()[-2:] == ["STOP", "RESUME"], repr(qmp.names()))
        with test("refusals name what is not offered"):
            reply = qmp.send("device_add", driver="qxl")
            check("qxl" in reply["error"]["desc"], repr(reply))
            reply = qmp.send("no-such-command")
            check(reply["error"]["class"] == "CommandNotFound", repr(reply))
        with test("another client can follow, and one that does not read holds nobody up"):
            qmp.close()
            stuck = Qmp(guest.qmp_path)
            for _ in range(20000):
                try:
                    stuck.socket.setblocking(False)
                    stuck.socket.send(b'{"execute":"query-commands"}\n')
                except BlockingIOError:
                    break
            stuck.close()
            qmp = guest.qmp = Qmp(guest.qmp_path)
            check(qmp.do("query-status")["running"], "the guest was held up")
        with test("a reset begins anew in the same process"):
            qmp.do("system_reset")
            check("RESET" in qmp.names(), repr(qmp.names()))
            guest.wait_output("KILN-RUN-END 0", 2)
        with test("the power button ends guest and process"):
            qmp.do("system_powerdown")
            qmp.drain()
            check(qmp.events[-1]["event"] == "SHUTDOWN", repr(qmp.names()))
            check(qmp.events[-1]["data"] == {"guest": True, "reason": "guest-shutdown"},
                  repr(qmp.events[-1]))
            ended = guest.end()
            check(ended == (0, ""), "it ended with %r" % (ended,))


def vcpu_ticks(guest):
    total = 0
    for cpu in guest.qmp.do("query-cpus-fast"):
        with open("/proc/%d/task/%d/stat" % (guest.process.pid, cpu["thread-id"])) as file:
            fields = file.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total


def pvh_guest():
    files = guest_files()
    run(os.path.join(PROJECT, "tests/lab/vmlinux"), os.path.join(files, "vmlinuz"),
        os.path.join(files, "vmlinux"))
    with Guest("-S", "-no-shutdown", kernel="vmlinux", cmdline='kiln.run="reboot -f"',
               sandbox=False) as guest:
        with test("-S waits for cont"):
            check(guest.qmp.do("query-status")["status"] == "prelaunch", "it did not wait")
            # a slow host counts what making the vCPUs took
            ticks = [vcpu_ticks(guest) for _ in (1, 2) if not run("sleep", "1")]
            check(ticks[0] == ticks[1], "a vCPU ran before cont: %r" % ticks)
            guest.qmp.do("cont")
        with test("an ELF kernel boots by its PVH entry"):
            guest.wait_output("KILN-GUEST-READY")
        with test("the guest's own reboot resets it"):
            wait_for("a RESET event", lambda: guest.qmp.read() and "RESET" in guest.qmp.names(), 60)
            reset = next(e for e in guest.qmp.events if e["event"] == "RESET")
            check(reset["data"] == {"guest": True, "reason": "guest-reset"}, repr(reset))
        with test("SIGTERM ends it cleanly"):
            guest.process.send_signal(signal.SIGTERM)
            guest.qmp.drain()
            check(guest.qmp.events[-1]["data"] == {"guest": False, "reason": "host-signal"},
                  repr(guest.qmp.events[-1]))
            check(guest.end() == (0, ""), "it did not end well")


main_guest()
pvh_guest()
