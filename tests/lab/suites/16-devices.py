#!/usr/bin/python3
"""The PC's other disks, network cards and USB under the drivers of a stock kernel: what they read is
what the images hold, what they write arrives, and the kernel complains about none of them.

Those that begin with some word:
    run-suites 16-devices -- --env KILN_ONLY=EHCI

# timeout: 1200

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import hashlib
import http.server
import os
import re
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import TMP, check, test, wait_for  # noqa: E402
from vmm import Guest, initrd_with  # noqa: E402

ONLY = os.environ.get("KILN_ONLY", "")
MIB = 1 << 20
SECONDS = 300                       # of a guest, on a busy host
PATTERN = os.urandom(MIB)
WRITE_AT = 2 * MIB
DOWNLOAD = os.urandom(6 * MIB + 123)
# What a guest's kernel says when it is unhappy with a device.
COMPLAINT = re.compile(r"(?i)\b(ata\d|scsi|sd |sr |usb|xhci|ehci(-pci|_hcd)?|uhci(_hcd)?|e1000e?|ahci|i8042|hid)\b.*"
                       r"(error|fail|time.?out|timed out|exception|hang|not respond|cannot|unable)")

SCRIPT = """
for module in /extra/*.ko; do insmod $module 2> /dev/null; done
tries=0
while [ $(ls -d /sys/block/s[dr]* 2> /dev/null | wc -l) -lt %(disks)d ] && [ $tries -lt 150 ]; do
    sleep 0.2
    tries=$((tries + 1))
done
for disk in /sys/block/s[dr]*; do
    name=${disk##*/}
    echo "DISK $name $(cat $disk/size) $(md5sum < /dev/$name | cut -d' ' -f1)"
done
for disk in /sys/block/sd*; do
    dd if=/extra/pattern of=/dev/${disk##*/} bs=65536 seek=32 conv=fsync,notrunc 2> /dev/null &&
        echo "WRITTEN ${disk##*/}"
done
for card in /sys/class/net/eth*; do
    name=${card##*/}
    driver=$(basename $(readlink $card/device/driver))
    ip link set $name up
    udhcpc -n -q -t 30 -T 1 -i $name -s /etc/udhcpc.script > /dev/null
    wget -q -O /tmp/got http://10.0.2.2:%(port)d/
    echo "GOT $driver $(md5sum < /tmp/got | cut -d' ' -f1)"
    nc 10.0.2.2 %(sink)d < /tmp/got
    ip address flush dev $name
    ip link set $name down
done
for input in /sys/class/input/input*; do echo "INPUT $(cat $input/name)"; done
echo DMESG-BEGIN
dmesg
echo DMESG-END
"""


class Download(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(DOWNLOAD)))
        self.end_headers()
        self.wfile.write(DOWNLOAD)

    def log_message(self, *unused):
        pass


class Sink:
    """Takes what guests send: the digest of each connection's bytes."""

    def __init__(self):
        self.digests = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            peer, _ = self.socket.accept()
            digest = hashlib.md5()
            while data := peer.recv(65536):
                digest.update(data)
            peer.close()
            self.digests.append(digest.hexdigest())


def image(name, mib):
    """An image of its own size, by which the guest tells it from others."""
    path = os.path.join(TMP, name)
    data = os.urandom(mib * MIB)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, 0o666)
    return path, mib * 2048, hashlib.md5(data).hexdigest()


def check_written(path):
    with open(path, "rb") as file:
        file.seek(WRITE_AT)
        check(file.read(MIB) == PATTERN, os.path.basename(path) + " lacks what the guest wrote")


def drive(ident, path, read_only=False):
    return ["-blockdev", "driver=file,node-name=%s-file,filename=%s,read-only=%s"
            % (ident, path, "on" if read_only else "off"),
            "-blockdev", "driver=raw,node-name=%s,file=%s-file,read-only=%s"
            % (ident, ident, "on" if read_only else "off")]


def netdev(ident, driver):
    return ["-netdev", "user,id=" + ident, "-device", "%s,netdev=%s" % (driver, ident)]


def try_machine(machine, modules, disks, cards, options, inputs, label=None):
    """@disks: name, MiB, -device with the node's name missing, whether it can be written."""
    label = label or machine
    if not label.startswith(ONLY):
        return
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Download)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    sink = Sink()
    script = SCRIPT % {"disks": len(disks), "port": web.server_port, "sink": sink.port}
    initrd = initrd_with(os.path.join(TMP, "initrd-" + label), modules,
                         {"pattern": PATTERN, "run": script.encode()})
    argv, images = ["-machine", machine, "-smp", "2"], {}
    argv += options
    for number, (name, mib, device, writable) in enumerate(disks):
        images[name] = image("%s-%s.img" % (label, name), mib)
        argv += drive("d%d" % number, images[name][0], not writable)
        argv += ["-device", "%s,drive=d%d" % (device, number)]
    for number, card in enumerate(cards):
        argv += netdev("n%d" % number, card)
    with Guest(*argv, initrd=initrd, cmdline='kiln.run="sh /extra/run"') as guest:
        guest.wait_output("KILN-RUN-END", timeout=SECONDS)
        out = guest.output()
        guest.qmp.do("system_powerdown")
        guest.qmp.drain()
        status = guest.end()
    web.shutdown()
    for name, _, _, writable in disks:
        path, sectors, digest = images[name]
        with test("%s: %s" % (label, name)):
            check("%d %s" % (sectors, digest) in out, "the guest did not read what the image holds")
            if writable:
                check_written(path)
    for number, card in enumerate(cards):
        with test("%s: %s" % (label, card)):
            digest = hashlib.md5(DOWNLOAD).hexdigest()
            check("GOT %s %s" % (card, digest) in out, "the guest did not get what was sent")
            check(len(sink.digests) == len(cards) and sink.digests[number] == digest,
                  "what the guest sent did not arrive: %r" % sink.digests)
    with test("%s: input devices" % label):
        for name in inputs:
            check(re.search("INPUT .*" + name, out), "the guest has no %r" % name)
    with test("%s: the kernel complains about no device" % label):
        lines = out.split("DMESG-BEGIN")[1].split("DMESG-END")[0].splitlines()
        check(len(lines) > 50, "there is no kernel log")
        bad = [line for line in lines if COMPLAINT.search(line)]
        check(not bad, " | ".join(bad))
        check(status == (0, ""), "kiln-vmm ended with %r" % (status,))


try_machine(
    "q35", ["ahci", "sd_mod", "sr_mod", "virtio_scsi", "xhci_pci", "usb_storage", "usbhid",
            "hid_generic", "virtio_input", "psmouse", "e1000", "e1000e"],
    [("SATA disk", 11, "ide-hd,bus=ide.0,serial=sata0", True),
     ("SATA CD", 12, "ide-cd,bus=ide.1", False),
     ("SCSI disk", 13, "scsi-hd,bus=scsi0.0,scsi-id=1", True),
     ("SCSI CD", 14, "scsi-cd,bus=scsi0.0,scsi-id=2", False),
     ("USB disk", 15, "usb-storage,bus=usb0.0,port=1", True)],
    ["e1000", "e1000e"],
    ["-device", "virtio-scsi-pci,id=scsi0", "-device", "qemu-xhci,id=usb0",
     "-device", "usb-hub,bus=usb0.0,port=3", "-device", "usb-kbd,bus=usb0.0,port=2",
     "-device", "usb-tablet,bus=usb0.0,port=3.1", "-device", "virtio-mouse-pci"],
    ["USB Keyboard", "USB Tablet", "[Vv]irtio Mouse", "AT Translated Set 2"])
try_machine(
    "pc", ["ata_piix", "sd_mod", "sr_mod", "uhci_hcd", "usbhid", "hid_generic", "psmouse", "e1000"],
    [("IDE disk", 11, "ide-hd,bus=ide.0,unit=0", True),
     ("IDE CD", 12, "ide-cd,bus=ide.1,unit=0", False)],
    ["e1000"],
    ["-device", "piix3-usb-uhci,id=usb0", "-device", "usb-mouse,bus=usb0.0"],
    ["USB Mouse", "AT Translated Set 2"])
# What virt-install gives a guest of an unknown system: EHCI and its companions, which have what
# knows no high speed.
EHCI = ["-device", "ich9-usb-ehci1,id=usb0,addr=0x1d.7"]
for number in range(3):
    EHCI += ["-device", "ich9-usb-uhci%d,masterbus=usb0.0,firstport=%d,addr=0x1d.%d,multifunction=on"
             % (number + 1, 2 * number, number)]
try_machine(
    "q35", ["ehci_pci", "uhci_hcd", "sd_mod", "usb_storage", "usbhid", "hid_generic"],
    [("EHCI disk", 14, "usb-storage,bus=usb0.0,port=2", True)],
    [],
    EHCI + ["-device", "usb-kbd,bus=usb0.0,port=1,usb_version=1",
            "-device", "usb-tablet,bus=usb0.0,port=3,usb_version=1",
            "-device", "usb-mouse,bus=usb0.0,port=5"],
    ["USB Keyboard", "USB Tablet", "USB Mouse"], label="EHCI")

# A disk that comes and goes while it is read.
ROUNDS = "1234" if "KILN_WHOLE" in os.environ else "12"
REPLUG = """
for module in /extra/*.ko; do insmod $module 2> /dev/null; done
for round in ROUNDS; do
    until [ -e /sys/block/sd?/size ]; do sleep 0.2; done
    disk=$(echo /sys/block/sd?)
    disk=/dev/${disk##*/}
    until [ -b $disk ]; do sleep 0.1; done
    echo "DISK $round $(md5sum < $disk | cut -d' ' -f1)"
    while dd if=$disk of=/dev/null bs=65536 iflag=direct 2> /dev/null; do :; done
    while [ -e /sys/block/${disk##*/} ]; do sleep 0.2; done
done
dmesg | grep -E "BUG:|Oops|fatal error|HC died"
"""
path, _, md5 = image("replug.img", 3)
with test("EHCI: a disk is unplugged while it is read and plugged in again"), \
        Guest(*EHCI, *drive("d0", path, True),
              "-device", "usb-storage,bus=usb0.0,port=4,drive=d0,id=u",
              initrd=initrd_with(os.path.join(TMP, "initrd-replug"),
                                 ["ehci_pci", "uhci_hcd", "sd_mod", "usb_storage"],
                                 {"run": REPLUG.replace("ROUNDS", " ".join(ROUNDS)).encode()}),
              cmdline='kiln.run="sh /extra/run"') as guest:
    for number in map(int, ROUNDS):
        guest.wait_output("DISK %d %s" % (number, md5), timeout=SECONDS)
        time.sleep(1)
        guest.qmp.do("device_del", id="u")
        wait_for("DEVICE_DELETED", lambda: (guest.qmp.do("query-status"),
                                            guest.qmp.names().count("DEVICE_DELETED"))[1] >= number,
                 100)
        if number < len(ROUNDS):
            guest.qmp.do("device_add", driver="usb-storage", bus="usb0.0", port="4", drive="d0",
                         id="u")
    guest.wait_output("KILN-RUN-END", timeout=SECONDS)
    said = guest.output().split("KILN-RUN-BEGIN")[1].split("DISK " + ROUNDS[-1])[1].splitlines()
    check(said[-1].startswith("KILN-RUN-END 1"), "the kernel complains: %r" % said[-5:])
    guest.qmp.do("quit")
