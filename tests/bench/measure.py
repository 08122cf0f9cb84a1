#!/usr/bin/python3
"""measure - measures one stack (libvirtd with QEMU, or virtkilnd with kiln-vmm) on this machine and
writes the numbers as JSON. Called in the lab by tests/bench/run.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time

import libvirt

NAME = "bench"
RAM_MIB = 256
GUEST = """<domain type='kvm'>
  <name>{name}</name>
  <memory unit='MiB'>{ram}</memory>
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{files}/vmlinuz</kernel>
    <initrd>{files}/initrd</initrd>
    <cmdline>console=ttyS0 quiet rdinit=/bench-init bench={bench} seconds={seconds}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='host-passthrough'/>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='writeback'/>
      <source file='{files}/disk.img'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='bridge'>
      <source bridge='br-bench'/>
      <model type='virtio'/>
    </interface>
    <serial type='file'><source path='{console}'/></serial>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <video><model type='none'/></video>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""


class BenchError(Exception):
    pass


class Stack:
    """A daemon, its URI and how to start it. Its log goes to a file that is shown when it dies."""

    def __init__(self, options):
        self.options = options
        self.process = None
        self.log = "/var/tmp/bench-daemon.log"

    def prepare(self):
        pass

    def start(self):
        """Seconds from exec to the first answer of a client."""
        with open(self.log, "ab") as log:
            begin = time.monotonic()
            self.process = subprocess.Popen(self.argv(), stdout=log, stderr=log, env=self.env(),
                                            stdin=subprocess.DEVNULL)
        while True:
            try:
                libvirt.open(self.uri).close()
                return time.monotonic() - begin
            except libvirt.libvirtError:
                if self.process.poll() is not None or time.monotonic() > begin + 60:
                    with open(self.log, encoding="utf-8", errors="replace") as log:
                        raise BenchError("%s does not serve: %s" % (self.argv()[0], log.read()[-2000:]))
                time.sleep(0.002)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def env(self):
        return os.environ


class LibvirtStack(Stack):
    uri = "qemu:///system"
    logs = "/var/log/libvirt/qemu"

    def prepare(self):
        os.makedirs("/etc/libvirt", exist_ok=True)
        with open("/etc/libvirt/qemu.conf", "w", encoding="ascii") as conf:
            conf.write('security_driver = "none"\n')
        # as the package libvirt-daemon-system would have done
        subprocess.run("groupadd -r libvirt-qemu; useradd -r -g libvirt-qemu -G kvm libvirt-qemu",
                       shell=True, stderr=subprocess.DEVNULL, check=False)
        os.makedirs("/var/log/libvirt/qemu", exist_ok=True)
        subprocess.Popen(["/usr/sbin/virtlogd"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def argv(self):
        return ["/usr/sbin/libvirtd"]


class KilnStack(Stack):
    uri = "kiln:///system"
    logs = "/var/log/kiln"

    def prepare(self):
        subprocess.run(["useradd", "--system", "--no-create-home", "-G", "kvm", "kiln"], check=False,
                       stderr=subprocess.DEVNULL)

    def argv(self):
        return [os.path.join(self.options.build, "driver/virtkilnd")]

    def env(self):
        return dict(os.environ, KILN_VMM=os.path.join(self.options.build, "launcher/kiln-vmm"),
                    KILN_LEASES=os.path.join(self.options.build, "network/kiln-leases"))


class Bench:
    def __init__(self, stack, options):
        self.stack = stack
        self.options = options
        self.results = {}
        self.console = "/var/tmp/bench-console.log"

    def add(self, name, value):
        self.results.setdefault(name, []).append(value)
        print("%-16s %g" % (name, value), flush=True)

    def virsh(self, *argv):
        begin = time.monotonic()
        done = subprocess.run(["virsh", "-c", self.stack.uri, *argv], capture_output=True, text=True)
        if done.returncode:
            raise BenchError("virsh %s: %s" % (" ".join(argv), done.stderr.strip()))
        return time.monotonic() - begin

    def xml(self, name, bench="none"):
        return GUEST.format(name=name, ram=RAM_MIB, files=self.options.files, console=self.console,
                            bench=bench, seconds=self.options.seconds)

    def wait_console(self, pattern, timeout=300):
        deadline = time.monotonic() + timeout
        text = ""
        while time.monotonic() < deadline:
            if os.path.exists(self.console):
                with open(self.console, encoding="utf-8", errors="replace") as stream:
                    text = stream.read()
                if re.search(pattern, text):
                    return text
            time.sleep(0.005)
        raise BenchError("no %s on the console in %d s; it has:\n%s" % (pattern, timeout, text[-1500:]))

    # what is measured

    def cold_start(self):
        for _ in range(self.options.repeat):
            self.stack.stop()
            self.add("cold_start", self.stack.start())

    def many(self):
        conn = libvirt.open(self.stack.uri)
        first = conn.defineXML(self.xml("many-0"))
        for _ in range(self.options.repeat):
            self.add("list_1", self.listing(conn))
            self.add("virsh_list_1", self.virsh("list", "--all"))
        begin = time.monotonic()
        domains = [conn.defineXML(self.xml("many-%d" % i)) for i in range(1, self.options.domains)]
        self.add("define", (time.monotonic() - begin) / max(len(domains), 1))
        for _ in range(self.options.repeat):
            self.add("list_many", self.listing(conn))
            self.add("virsh_list_many", self.virsh("list", "--all"))
        for domain in [first] + domains:
            domain.undefine()
        conn.close()

    def listing(self, conn):
        begin = time.monotonic()
        conn.listAllDomains()
        return time.monotonic() - begin

    def boot(self):
        for _ in range(self.options.repeat):
            begin = self.launch("none")
            self.wait_console("KILN-GUEST-READY")
            self.add("guest_init", time.monotonic() - begin)
            time.sleep(2)
            self.add("private_memory", self.private_memory())
            self.end()

    def launch(self, bench):
        """Defines and starts the guest; when 'virsh start' was called."""
        if os.path.exists(self.console):
            os.unlink(self.console)
        conn = libvirt.open(self.stack.uri)
        conn.defineXML(self.xml(NAME, bench))
        conn.close()
        begin = time.monotonic()
        took = self.virsh("start", NAME)
        if bench == "none":
            self.add("virsh_start", took)
        return begin

    def end(self):
        self.virsh("destroy", NAME)
        self.virsh("undefine", NAME)

    def private_memory(self):
        """Bytes of the guest's process that nobody else has, but for the guest's RAM."""
        total = 0
        with open("/proc/%d/smaps" % self.guest_pid(), encoding="utf-8") as smaps:
            skip = False
            for line in smaps:
                if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                    skip = "/memfd:" in line
                elif line.startswith(("Private_Clean:", "Private_Dirty:")) and not skip:
                    total += int(line.split()[1]) * 1024
        return total

    def guest_pid(self):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as stream:
                    words = stream.read().split(b"\0")
            except OSError:
                continue
            if b"-name" in words and any(word.startswith(b"guest=" + NAME.encode()) for word in words):
                return int(pid)
        raise BenchError("no process of the guest")

    def show_log(self):
        """What the guest's process said, for the one who must find out why."""
        path = os.path.join(self.stack.logs, NAME + ".log")
        if os.path.exists(path):
            with open(path, encoding="utf-8", errors="replace") as stream:
                print("measure: %s ends with:\n%s" % (path, stream.read()[-3000:]), file=sys.stderr)

    def load(self, bench, names):
        for _ in range(self.options.repeat):
            sink = serve = None
            if bench == "net":
                tool = os.path.join(self.options.files, "tool")
                sink = subprocess.Popen([tool, "sink", "7001"], stdout=subprocess.PIPE, text=True)
                serve = subprocess.Popen([tool, "serve", "7002", str(self.options.seconds)],
                                         stdout=subprocess.DEVNULL)
            self.launch(bench)
            text = self.wait_console("BENCH-END")
            for name in names:
                match = re.search(r"BENCH %s ([0-9.]+)" % name, text)
                if not match:
                    raise BenchError("no result '%s' on the console:\n%s" % (name, text[-1500:]))
                self.add(name, float(match.group(1)))
            if sink:
                self.add("net_out", float(sink.communicate(timeout=60)[0]))
                serve.wait(60)
            self.end()

    def run(self):
        failed = []
        self.stack.prepare()
        self.stack.start()
        for name, function in (("cold", self.cold_start), ("many", self.many), ("boot", self.boot),
                               ("blk", lambda: self.load("blk", ["blk1", "blk32"])),
                               ("net", lambda: self.load("net", ["net_in"]))):
            if self.options.only and name not in self.options.only:
                continue
            try:
                function()
            except (BenchError, libvirt.libvirtError, subprocess.TimeoutExpired, ValueError) as error:
                failed.append(name)
                print("measure: %s: %s" % (name, error), file=sys.stderr, flush=True)
                self.show_log()
                for verb in ("destroy", "undefine"):
                    subprocess.run(["virsh", "-c", self.stack.uri, verb, NAME], capture_output=True)
        self.stack.stop()
        return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stack", choices=["libvirt", "kiln"])
    parser.add_argument("--files", required=True, help="vmlinuz, initrd, disk.img, tool")
    parser.add_argument("--build", help="Kiln's build directory")
    parser.add_argument("--output", required=True)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--domains", type=int, default=1000)
    parser.add_argument("--only", action="append", default=[])
    options = parser.parse_args()
    libvirt.registerErrorHandler(lambda *unused: None, None)
    subprocess.run("ip link add br-bench type bridge 2>/dev/null; ip addr replace 10.77.0.1/24 dev br-bench;"
                   " ip link set br-bench up", shell=True, check=True)
    stack = {"libvirt": LibvirtStack, "kiln": KilnStack}[options.stack](options)
    bench = Bench(stack, options)
    failed = bench.run()
    with open(options.output, "w", encoding="ascii") as stream:
        json.dump({"results": bench.results, "failed": failed}, stream)
    sys.exit(1 if failed else 0)


main()
