#!/usr/bin/python3
"""Every virtio device of kiln-vmm under a stock kernel's drivers: with vhost and split rings, with packed
rings, and in KILN_WHOLE=1 with split rings and no vhost.

# timeout: 900

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import (TMP, VMM, Failed, check, guest_files, run, test, threads_of,  # noqa: E402
                   wait_for)
from vmm import Qmp  # noqa: E402

READY_SECONDS = 150
TAP, HOST_IP = "kvtap0", "10.77.0.1"
BLOB = os.urandom(4 << 20)

# What the guest does by itself, from its disk. Each line 'RESULT name value' is checked below.
GUEST_SCRIPT = r"""
say() { echo "RESULT $*"; }
dd if=/dev/urandom of=/mnt/data bs=64k count=128 2>/dev/null
before=$(sha256sum < /mnt/data)
sync; echo 3 > /proc/sys/vm/drop_caches
after=$(sha256sum < /mnt/data)
[ "$before" = "$after" ] && say disk-verify ok || say disk-verify differs
for i in 1 2 3 4; do dd if=/dev/vda of=/dev/null bs=4k count=500 skip=$((i * 1000)) 2>/dev/null & done
wait; say disk-parallel ok
say disk-serial "$(cat /sys/block/vda/serial)"
say disk-queues "$(ls /sys/block/vda/mq | wc -l)"
say disk-cache "$(cat /sys/block/vda/queue/write_cache)"
rm /mnt/data; sync; fstrim /mnt && say disk-trim ok
say disk2-ro "$(cat /sys/block/vdb/ro)"
say packed "$(cut -c35 /sys/bus/virtio/devices/*/features | tr -d '\n')"
say rng "$(cat /sys/class/misc/hw_random/rng_current) $(head -c 1000 /dev/hwrng | wc -c)"
say net-queues "$(ls -d /sys/class/net/eth0/queues/rx-* | wc -l)"
say net-mtu "$(cat /sys/class/net/eth0/mtu)"
ping -c 3 -i 0.2 -q HOST > /dev/null && say net-ping ok
nc HOST 9001 < /dev/null > /tmp/blob; say net-down "$(sha256sum < /tmp/blob | cut -c1-64)"
nc -w 5 HOST 9002 < /tmp/blob; say net-up done
for port in /sys/class/virtio-ports/*; do
    say port-name "$(cat $port/name 2>/dev/null)"
    [ "$(cat $port/name 2>/dev/null)" = org.kiln.test ] && node=/dev/${port##*/}
done
exec 3<> $node # opened once: the driver drops what has come when a port is closed
echo hello from the guest >&3
read -r line <&3; say port-in "$line"
exec 3>&-
dd if=/dev/zero bs=1k count=400 2>/dev/null | tr '\0' x > $node
say port-flood ok
say kernel-complaints "$(dmesg | grep -ciE 'virtio.*(error|fail|bad|invalid|broken|not supported)|blk_update_request|I/O error|hung_task|NETDEV WATCHDOG')"
dmesg | grep -iE 'virtio.*(error|fail|bad|invalid|broken)|I/O error' | head -5
say done done
while ! grep -q . /tmp/stop 2>/dev/null; do sleep 1; done
"""


class Peer:
    """What the host does on the tap: DHCP, one port that gives the blob and one that takes it."""

    def __init__(self):
        run("ip", "tuntap", "add", TAP, "mode", "tap", "vnet_hdr", "multi_queue")
        run("ip", "address", "add", HOST_IP + "/24", "dev", TAP)
        run("ip", "link", "set", TAP, "up")
        self.dnsmasq = subprocess.Popen(
            ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0",
             "--interface=" + TAP, "--bind-interfaces", "--dhcp-range=10.77.0.10,10.77.0.50",
             "--dhcp-leasefile=" + os.path.join(TMP, "leases"), "--user=root"])
        self.received = None
        for port, serve in ((9001, self.give), (9002, self.take)):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST_IP, port))
            listener.listen()
            threading.Thread(target=self.serve, args=(listener, serve), daemon=True).start()

    @staticmethod
    def serve(listener, serve):
        while True:
            client, _ = listener.accept()
            with client:
                serve(client)

    @staticmethod
    def give(client):
        client.sendall(BLOB)

    def take(self, client):
        digest = hashlib.sha256()
        client.settimeout(60)
        while True:
            data = client.recv(65536)
            if not data:
                break
            digest.update(data)
        self.received = digest.hexdigest()


class Guest:
    def __init__(self, name):
        vhost = name == "vhost"
        self.base = os.path.join(TMP, name)
        self.disk, self.serial = self.base + ".img", self.base + ".serial"
        files = guest_files()
        shutil.copy(os.path.join(files, "disk.img"), self.disk)
        script = self.base + ".sh"
        with open(script, "w") as file:
            file.write(GUEST_SCRIPT.replace("HOST", HOST_IP))
        subprocess.run(["/sbin/debugfs", "-w", "-R", "write %s test.sh" % script, self.disk],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(self.base + ".second", "wb") as file:
            file.truncate(1 << 20)
        argv = [VMM, "-name", "guest=" + name, "-nodefaults", "-m", "256", "-smp", "2",
                "-kernel", files + "/vmlinuz", "-initrd", files + "/initrd", "-append",
                'console=ttyS0 panic=-1 mitigations=off kiln.run="sh /mnt/test.sh"',
                "-chardev", "file,id=s0,path=" + self.serial,
                "-device", "isa-serial,chardev=s0",
                "-qmp", "unix:%s.qmp,server=on,wait=off" % self.base,
                "-object", "iothread,id=io1"]
        for i in range(1, 7):
            argv += ["-device", "pcie-root-port,id=pci.%d,bus=pcie.0,addr=0x1.0x%x,chassis=%d,port=%d%s"
                     % (i, i - 1, i, 7 + i, ",multifunction=on" if i == 1 else "")]
        argv += ["-blockdev", json.dumps({"driver": "file", "filename": self.disk,
                                          "node-name": "s", "discard": "unmap"}),
                 "-blockdev", json.dumps({"driver": "raw", "file": "s", "node-name": "d",
                                          "discard": "unmap"}),
                 "-device", "virtio-blk-pci,drive=d,id=disk0,bus=pci.1,addr=0x0,serial=KILN-15,"
                 "num-queues=2,iothread=io1",
                 "-blockdev", json.dumps({"driver": "file", "filename": self.base + ".second",
                                          "node-name": "r", "read-only": True}),
                 "-device", "virtio-blk-pci,drive=r,id=disk1,bus=pci.6,addr=0x0",
                 "-netdev", "tap,id=n0,ifname=%s,queues=2,script=no,downscript=no%s"
                 % (TAP, ",vhost=on" if vhost else ""),
                 "-device", "virtio-net-pci,netdev=n0,id=net0,mac=52:54:00:77:00:01,mq=on,"
                 "bus=pci.2,addr=0x0,host_mtu=1400",
                 "-device", "virtio-serial-pci,id=vs0,bus=pci.3,addr=0x0",
                 "-chardev", "socket,id=c0,path=%s.hvc,server=on,wait=off" % self.base,
                 "-device", "virtconsole,chardev=c0,id=console0",
                 "-chardev", "socket,id=c1,path=%s.port,server=on,wait=off" % self.base,
                 "-device", "virtserialport,bus=vs0.0,nr=3,chardev=c1,id=port0,name=org.kiln.test",
                 "-object", "rng-random,id=r0,filename=/dev/urandom",
                 "-device", "virtio-rng-pci,rng=r0,id=rng0,bus=pci.4,addr=0x0",
                 "-device", "virtio-balloon-pci,id=balloon0,bus=pci.5,addr=0x0,deflate-on-oom=on,"
                 "free-page-reporting=on"]
        if name == "packed":
            argv = [word + ",packed=on" if re.match("virtio-.*-pci,", word) else word for word in argv]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        text=True)
        try:
            wait_for("the QMP socket", self.has_qmp, 20)
            self.qmp = Qmp(self.base + ".qmp")
            self.port = self.connect(".port")
            self.hvc = self.connect(".hvc")
        except Exception:
            self.process.kill()
            raise

    def has_qmp(self):
        if self.process.poll() is not None:
            raise Failed("kiln-vmm ended: " + self.process.stderr.read())
        return os.path.exists(self.base + ".qmp")

    def connect(self, suffix):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(60)
        client.connect(self.base + suffix)
        return client

    def output(self):
        with open(self.serial, errors="replace") as file:
            return file.read()

    def result(self, name, timeout=READY_SECONDS):
        try:
            return self.wait_result(name, timeout)
        except Failed:
            print(self.output()[-2000:] + "\n" + threads_of(self.process.pid), flush=True)
            raise

    def wait_result(self, name, timeout):
        def find():
            check(self.process.poll() is None, "kiln-vmm ended: %s"
                  % (self.process.poll() is not None and self.process.stderr.read()))
            return re.search(r"RESULT %s ?(.*?)\r?\n" % name, self.output())
        return wait_for("the guest's result " + name, find, timeout).group(1)

    def expect(self, name, value):
        found = self.result(name)
        check(re.fullmatch(value, found), "%s is '%s', not '%s'" % (name, found, value))

    def read_until(self, client, text):
        data = b""
        while text not in data:
            piece = client.recv(4096)
            check(piece, "the socket closed after %r" % data[-200:])
            data += piece
        return data

    def rss(self):
        with open("/proc/%d/smaps_rollup" % self.process.pid) as file:
            return int(re.search(r"Rss: +(\d+)", file.read()).group(1))

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()
        shutil.copy(self.serial, os.environ["KILN_SUITE_OUT"])


def balloon(guest):
    with test("the balloon takes memory from the guest and gives it back"):
        full, before = guest.qmp.do("query-balloon")["actual"], guest.rss()
        check(full == 256 << 20, "the balloon begins at %d" % full)
        guest.qmp.do("balloon", value=128 << 20)
        wait_for("the guest has 128 MiB",
                 lambda: guest.qmp.do("query-balloon")["actual"] == 128 << 20, 60)
        check(guest.rss() < before, "the host has got nothing back")
        guest.qmp.do("balloon", value=full)
        wait_for("the guest has all its memory",
                 lambda: guest.qmp.do("query-balloon")["actual"] == full, 60)
        check(any(e["event"] == "BALLOON_CHANGE" for e in guest.qmp.events), "no event came")
    with test("the balloon's statistics come at the interval asked for"):
        path = "/machine/peripheral/balloon0"
        guest.qmp.do("qom-set", path=path, property="guest-stats-polling-interval", value=1)
        wait_for("statistics", lambda: guest.qmp.do(
            "qom-get", path=path, property="guest-stats")["last-update"] > 0, 30)
        stats = guest.qmp.do("qom-get", path=path, property="guest-stats")["stats"]
        check(100 << 20 < stats["stat-total-memory"] <= 256 << 20, repr(stats))
        check(stats["stat-free-memory"] > 0, repr(stats))


def ports(guest):
    with test("a named port carries bytes both ways"):
        guest.read_until(guest.port, b"hello from the guest\n")
        guest.port.sendall(b"hello from the host\n")
        guest.expect("port-in", "hello from the host")
        guest.qmp.do("query-status")
        check({"id": "port0", "open": True} in
              [e["data"] for e in guest.qmp.events if e["event"] == "VSERPORT_CHANGE"],
              "no event told that the guest opened it")
    with test("a port's writer waits for a slow reader, and nothing is lost"):
        count = 0
        while count < 400 * 1024:
            data = guest.port.recv(65536)
            check(data and set(data) == {ord("x")}, "other bytes came: %r" % data[:50])
            count += len(data)
        guest.expect("port-flood", "ok")
    with test("hvc0 has a shell"):
        guest.hvc.sendall(b"echo hvc-$((6 * 7))\n")
        guest.read_until(guest.hvc, b"hvc-42")


def whole_guest(name):
    kind = {"plain": "without vhost", "vhost": "with vhost", "packed": "packed rings"}[name]
    vhost = name == "vhost"
    peer.received = None
    with Guest(name) as guest:
        with test("a disk holds what was written, on all its queues (%s)" % kind):
            guest.expect("disk-verify", "ok")
            guest.expect("disk-parallel", "ok")
            guest.expect("disk-serial", "KILN-15")
            guest.expect("disk-queues", "2")
            guest.expect("disk-cache", "write back")
        with test("a disk gives discarded space back to the host (%s)" % kind):
            guest.expect("disk-trim", "ok")
            used = os.stat(guest.disk).st_blocks * 512
            check(used < 16 << 20, "the image still takes %d bytes" % used)
            guest.expect("disk2-ro", "1")
        with test("the rings are as they were asked for (%s)" % kind):
            guest.expect("packed", "1{6}" if name == "packed" else "0{6}")
        with test("the entropy device serves (%s)" % kind):
            guest.expect("rng", r"virtio_rng\.\d+ 1000")
        with test("the card has two queue pairs and reaches the host (%s)" % kind):
            guest.expect("net-queues", "2")
            guest.expect("net-mtu", "1400")
            guest.expect("net-ping", "ok")
        with test("4 MiB go both ways over TCP whole (%s)" % kind):
            want = hashlib.sha256(BLOB).hexdigest()
            guest.expect("net-down", want)
            guest.expect("net-up", "done")
            check(wait_for("the host has it", lambda: peer.received, 60) == want,
                  "what came up differs")
        if vhost:
            with test("it is the kernel that moves the packets"):
                check(subprocess.run(["pgrep", "-f", "vhost-%d" % guest.process.pid],
                                     stdout=subprocess.DEVNULL, check=False).returncode == 0,
                      "there is no vhost worker")
        ports(guest)
        with test("the kernel's drivers complain of nothing (%s)" % kind):
            guest.expect("kernel-complaints", "0")
            guest.expect("done", "done")
        if not vhost:
            balloon(guest)
        with test("the link goes down and up (%s)" % kind):
            guest.qmp.do("set_link", name="n0", up=False)
            guest.hvc.sendall(b"sleep 1; echo carrier-$(cat /sys/class/net/eth0/carrier)\n")
            guest.read_until(guest.hvc, b"carrier-0")
            guest.qmp.do("set_link", name="n0", up=True)
            guest.hvc.sendall(b"sleep 2; ping -c 2 -q %s > /dev/null && echo pong-$((1 + 1))\n"
                              % HOST_IP.encode())
            guest.read_until(guest.hvc, b"pong-2")


peer = Peer()
if "KILN_WHOLE" in os.environ:
    whole_guest("plain")
whole_guest("vhost")
whole_guest("packed")
peer.dnsmasq.terminate()
run("ip", "link", "del", TAP)
