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

import screen
from crowd import crowd

NAME = "bench"
RAM_MIB, FIRMWARE_RAM_MIB = 256, 512   # GRUB under OVMF has too little in 256
VIRSH_TIMEOUT = 120
PORTS = {"net_out": 7001, "net_in": 7002, "user_out": 7011, "user_in": 7012}
# what a guest has besides its console; a load gets what it needs
DISK = """
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='writeback'{thread}/>
      <source file='{files}/disk.img'/>
      <target dev='vda' bus='virtio'/>
    </disk>"""
BRIDGED = """
    <interface type='bridge'><source bridge='br-bench'/><model type='virtio'/></interface>"""
USER = """
    <interface type='user'><model type='virtio'/></interface>"""
OTHERS = """
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <memballoon model='virtio'/>"""
NONE = """
    <memballoon model='none'/>"""
# what virt-install gives a guest that it knows nothing of
DESKTOP = """
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{files}/disk.img'/>
      <target dev='sda' bus='sata'/></disk>
    <controller type='usb' model='ich9-ehci1'/>
    <controller type='usb' model='ich9-uhci1'><master startport='0'/></controller>
    <controller type='usb' model='ich9-uhci2'><master startport='2'/></controller>
    <controller type='usb' model='ich9-uhci3'><master startport='4'/></controller>
    <interface type='bridge'><source bridge='br-bench'/><model type='e1000e'/></interface>
    <input type='tablet' bus='usb'/>
    <graphics type='vnc' port='5905' listen='127.0.0.1'/>
    <memballoon model='virtio'/>"""
BUSES = """
    <controller type='scsi' model='virtio-scsi'/>
    <disk type='file' device='disk'><driver name='qemu' type='raw' cache='writeback'{thread}/>
      <source file='{files}/virtio.img'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='raw' cache='writeback'/>
      <source file='{files}/scsi.img'/><target dev='sda' bus='scsi'/></disk>
    <disk type='file' device='disk'><driver name='qemu' type='raw' cache='writeback'/>
      <source file='{files}/sata.img'/><target dev='sdb' bus='sata'/></disk>"""
# MiB, by which the guest tells them
BUS_SIZES = {"virtio": 64, "scsi": 65, "sata": 66}
CARDS = """
    <interface type='bridge'><source bridge='br-bench'/><model type='virtio'/><driver name='qemu'/>
      <address type='pci' domain='0' bus='0' slot='4' function='0'/></interface>
    <interface type='bridge'><source bridge='br-bench'/><model type='e1000e'/>
      <address type='pci' domain='0' bus='0' slot='5' function='0'/></interface>"""
NIC_PORTS = {"nic78_out": 7078, "nic78_in": 7178, "nic79_out": 7079, "nic79_in": 7179}
BOOTED = """
    <disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{files}/boot.img'/>
      <target dev='vda' bus='virtio'/></disk>"""
SCREEN = """
    <graphics type='vnc' port='5905' listen='127.0.0.1'/>"""
DEVICES = {"none": DISK + BRIDGED + OTHERS, "minimal": NONE, "blk": DISK + NONE,
           "net": BRIDGED + USER + NONE, "desktop": DESKTOP, "disks": BUSES + NONE, "nics": CARDS + NONE,
           "seabios": BOOTED + NONE, "ovmf": BOOTED + NONE, "vnc": SCREEN + NONE}
VGA = ("desktop", "vnc")
# what takes the place of a kernel; without the tick policy OVMF may hang under QEMU in the lab
FIRMWARE = {"seabios": "", "vnc": "", "ovmf": """
    <loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>
    <nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'>/var/tmp/bench-vars.fd</nvram>"""}
GUEST = """<domain type='kvm'>
  <name>{name}</name>
  <memory unit='MiB'>{ram}</memory>
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
  <vcpu>2</vcpu>
  <iothreads>1</iothreads>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{files}/vmlinuz</kernel>
    <initrd>{files}/initrd</initrd>
    <cmdline>console=ttyS0 quiet rdinit=/bench-init bench={bench} seconds={seconds} repeat={repeat}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='host-passthrough'/>
  <clock offset='utc'><timer name='pit' tickpolicy='discard'/></clock>
  <devices>{devices}
    <serial type='file'><source path='{console}'/></serial>
    <video><model type='none'/></video>
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
        """Seconds from exec until a client has the list of domains."""
        with open(self.log, "ab") as log:
            begin = time.monotonic()
            self.process = subprocess.Popen(self.argv(), stdout=log, stderr=log, env=self.env(),
                                            stdin=subprocess.DEVNULL)
        while True:
            try:
                conn = libvirt.open(self.uri)
                conn.listAllDomains()
                took = time.monotonic() - begin
                conn.close()
                return took
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
        done = subprocess.run(["virsh", "-c", self.stack.uri, *argv], capture_output=True, text=True,
                              timeout=VIRSH_TIMEOUT)
        if done.returncode:
            raise BenchError("virsh %s: %s" % (" ".join(argv), done.stderr.strip()))
        return time.monotonic() - begin

    def xml(self, name, bench="none"):
        # the disk has its own thread where I/O is measured, as both offer it
        thread = " iothread='1'" if bench in ("blk", "disks") else ""
        text = GUEST if thread else GUEST.replace("  <iothreads>1</iothreads>\n", "")
        ram = FIRMWARE_RAM_MIB if bench in FIRMWARE else RAM_MIB
        text = text.format(name=name, ram=ram, files=self.options.files, console=self.console,
                           bench=bench, seconds=self.options.seconds, repeat=self.options.repeat,
                           devices=DEVICES[bench].format(files=self.options.files, thread=thread))
        if bench in VGA:
            text = text.replace("<model type='none'/>", "<model type='vga'/>")
        if bench in FIRMWARE:
            text = re.sub(r"(?s)<kernel>.*</cmdline>", FIRMWARE[bench], text)
        return text

    def wait_console(self, pattern, timeout=300, pause=0.01):
        deadline = time.monotonic() + timeout
        text = ""
        while time.monotonic() < deadline:
            if os.path.exists(self.console):
                with open(self.console, encoding="utf-8", errors="replace") as stream:
                    text = stream.read()
                if re.search(pattern, text):
                    return text
            time.sleep(pause)
        raise BenchError("no %s on the console in %d s; it has:\n%s" % (pattern, timeout, text[-1500:]))

    # what is measured

    def cold_start(self):
        for _ in range(self.options.repeat):
            self.stack.stop()
            self.add("cold_start", self.stack.start())

    def many(self):
        conn = libvirt.open(self.stack.uri)
        conn.defineXML(self.xml("many-0"))
        for _ in range(self.options.repeat):
            self.add("list_1", self.listing(conn))
            self.add("virsh_list_1", self.virsh("list", "--all"))
        begin = time.monotonic()
        for i in range(1, self.options.domains):
            conn.defineXML(self.xml("many-%d" % i))
        self.add("define", (time.monotonic() - begin) / max(self.options.domains - 1, 1))
        for _ in range(self.options.repeat):
            self.add("list_many", self.listing(conn))
            self.add("virsh_list_many", self.virsh("list", "--all"))
        conn.close()
        self.stack.stop()
        self.add("cold_many", self.stack.start())
        conn = libvirt.open(self.stack.uri)
        domains = conn.listAllDomains()
        for domain in domains:
            domain.undefine()
        conn.close()

    def listing(self, conn):
        begin = time.monotonic()
        conn.listAllDomains()
        return time.monotonic() - begin

    def boot(self):
        for _ in range(self.options.repeat):
            self.add("virsh_uri", self.virsh("uri"))
            begin = self.launch("none", "virsh_start")
            self.wait_console("KILN-GUEST-READY")
            self.add("guest_init", time.monotonic() - begin)
            time.sleep(2)
            self.add("private_memory", self.private_memory())
            self.end()
        self.launch("minimal")
        self.wait_console("KILN-GUEST-READY")
        time.sleep(2)
        self.add("private_minimal", self.private_memory())
        self.end()

    def launch(self, bench, row=None):
        """Defines and starts the guest, which takes what @row says; when 'virsh start' was called."""
        if os.path.exists(self.console):
            os.unlink(self.console)
        conn = libvirt.open(self.stack.uri)
        conn.defineXML(self.xml(NAME, bench))
        conn.close()
        begin = time.monotonic()
        took = self.virsh("start", NAME)
        if row:
            self.add(row, took)
        return begin

    def end(self, *more):
        self.virsh("destroy", NAME)
        self.virsh("undefine", NAME, *more)

    def private_memory(self, name=NAME):
        """Bytes of the guest's process that nobody else has, but for the guest's RAM."""
        total = 0
        with open("/proc/%d/smaps" % self.guest_pid(name), encoding="utf-8") as smaps:
            skip = False
            for line in smaps:
                if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                    skip = "/memfd:" in line
                elif line.startswith(("Private_Clean:", "Private_Dirty:")) and not skip:
                    total += int(line.split()[1]) * 1024
        return total

    def guest_pid(self, name=NAME):
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as stream:
                    words = stream.read().split(b"\0")
            except OSError:
                continue
            if b"-name" in words and any(word.startswith(b"guest=" + name.encode()) for word in words):
                return int(pid)
        raise BenchError("no process of the guest '%s'" % name)

    def show_log(self):
        """What the guest's process said, for the one who must find out why."""
        for path in (os.path.join(self.stack.logs, NAME + ".log"), self.stack.log):
            if not os.path.exists(path):
                continue
            with open(path, encoding="utf-8", errors="replace") as stream:
                print("measure: %s ends with:\n%s" % (path, stream.read()[-3000:]), file=sys.stderr)

    def other_threads(self):
        """Seconds of processor time that the guest's process has used outside its vCPUs."""
        def ticks(path):
            with open(path, encoding="utf-8") as stream:
                name, fields = stream.read().split("(", 1)[1].rsplit(") ", 1)
            return name, sum(map(int, fields.split()[11:13]))
        top = "/proc/%d" % self.guest_pid()
        # of the whole process, so that threads that have ended meanwhile count
        total = ticks(top + "/stat")[1]
        for task in os.listdir(top + "/task"):
            try:
                name, used = ticks("%s/task/%s/stat" % (top, task))
            except OSError:
                continue
            if name.startswith("CPU "):
                total -= used
        return total / os.sysconf("SC_CLK_TCK")

    def blk(self):
        self.launch("blk")
        limit = 60 + 10 * self.options.seconds
        for turn in range(self.options.repeat):
            for name in ("blk1", "blk32"):
                self.wait_console(r"(?s)(BENCH-BEGIN %s.*){%d}" % (name, turn + 1),
                                  300 if turn == 0 else limit)
                before = self.other_threads()
                text = self.wait_console(r"(?s)(BENCH %s [0-9.]+\s.*){%d}" % (name, turn + 1), limit,
                                         pause=0.1)
                used = self.other_threads() - before
                rate = float(re.findall(r"BENCH %s ([0-9.]+)" % name, text)[turn])
                self.add(name, rate)
                self.add(name + "_cpu", used / (rate * self.options.seconds))
        self.end()

    def net(self):
        self.streams("net", PORTS)

    def streams(self, bench, ports):
        tool = os.path.join(self.options.files, "tool")
        sinks, servers = {}, []
        try:
            for name, port in ports.items():
                if name.endswith("_out"):
                    sinks[name] = subprocess.Popen([tool, "sink", str(port), str(self.options.repeat)],
                                                   stdout=subprocess.PIPE, text=True)
                else:
                    servers.append(subprocess.Popen([tool, "serve", str(port), str(self.options.seconds),
                                                     str(self.options.repeat)], stdout=subprocess.DEVNULL))
            self.launch(bench)
            text = self.wait_console("BENCH-END", 300 + 8 * self.options.repeat * self.options.seconds, 0.5)
            for name in ports:
                lines = sinks[name].communicate(timeout=60)[0].split() if name in sinks else \
                    re.findall(r"BENCH %s ([0-9.]+)" % name, text)
                if len(lines) != self.options.repeat:
                    raise BenchError("%d results '%s', not %d; the console has:\n%s"
                                     % (len(lines), name, self.options.repeat, text[-1500:]))
                for line in lines:
                    self.add(name, float(line))
        finally:
            for process in (*sinks.values(), *servers):
                process.kill()
                process.wait()
        self.end()

    def firmware(self):
        for _ in range(self.options.repeat):
            for name in ("seabios", "ovmf"):
                begin = self.launch(name)
                self.wait_console("KILN-GUEST-READY")
                self.add(name + "_init", time.monotonic() - begin)
                self.end("--nvram")

    def desktop(self):
        for _ in range(self.options.repeat):
            self.launch("desktop")
            self.wait_console("KILN-GUEST-READY")
            time.sleep(2)
            self.add("private_desktop", self.private_memory())
            self.end()

    def disks(self):
        for bus, mib in BUS_SIZES.items():
            subprocess.run(["dd", "if=%s/disk.img" % self.options.files, "bs=1M", "count=%d" % mib,
                            "of=%s/%s.img" % (self.options.files, bus), "status=none"], check=True)
        self.launch("disks")
        text = self.wait_console("BENCH-END", 300 + 40 * self.options.repeat * self.options.seconds, 0.5)
        for name, rate in re.findall(r"BENCH (\S+) ([0-9.]+)", text):
            self.add(name, float(rate))
        self.end()

    def nics(self):
        self.streams("nics", NIC_PORTS)

    def vnc(self):
        """What a client gets that always asks for the whole screen, from a guest at its end."""
        self.launch("vnc")
        time.sleep(5)
        for _ in range(self.options.repeat):
            for name, encoding in (("vnc_raw", 0), ("vnc_zlib", 6)):
                self.add(name, screen.updates(("127.0.0.1", 5905), encoding, self.options.seconds))
        self.end()

    def run(self):
        failed = []
        self.stack.prepare()
        self.stack.start()
        for name, function in (("cold", self.cold_start), ("many", self.many), ("boot", self.boot),
                               ("blk", self.blk), ("net", self.net), ("firmware", self.firmware),
                               ("desktop", self.desktop), ("disks", self.disks), ("nics", self.nics),
                               ("vnc", self.vnc),
                               ("crowd", lambda: crowd(self, self.options.running))):
            if self.options.only and name not in self.options.only:
                continue
            try:
                function()
            except (BenchError, libvirt.libvirtError, subprocess.SubprocessError, OSError,
                    ValueError) as error:
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
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--domains", type=int, default=1000)
    parser.add_argument("--running", type=int, default=50)
    parser.add_argument("--only", action="append", default=[])
    options = parser.parse_args()
    libvirt.registerErrorHandler(lambda *unused: None, None)
    subprocess.run("ip link add br-bench type bridge 2>/dev/null; ip addr replace 10.77.0.1/24 dev br-bench;"
                   " ip addr replace 10.78.0.1/24 dev br-bench; ip addr replace 10.79.0.1/24 dev br-bench;"
                   " ip link set br-bench up", shell=True, check=True)
    stack = {"libvirt": LibvirtStack, "kiln": KilnStack}[options.stack](options)
    bench = Bench(stack, options)
    failed = bench.run()
    with open(options.output, "w", encoding="ascii") as stream:
        json.dump({"results": bench.results, "failed": failed}, stream)
    sys.exit(1 if failed else 0)


main()
