#!/usr/bin/python3
"""Guests with every kind of disk and card, consoles, entropy, balloon, watchdog, inputs, virtio sockets
and screens are saved and restored on both machines while a stock kernel uses all of them at once: what it
wrote and sent before is there after, each of them goes on, and none is complained about. One set only:
    run-suites 57-save-devices -- --env KILN_ONLY=pc

# timeout: 1200

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import hashlib
import os
import re
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import PROJECT, TMP, check, run, test, wait_for  # noqa: E402
from vmm import Guest, initrd_with  # noqa: E402

ONLY = os.environ.get("KILN_ONLY", "")
MIB = 1 << 20
SECONDS = 240                       # of a guest, on a busy host
ROUNDS = 3 if "KILN_WHOLE" in os.environ else 2     # of saving and restoring
PART = 128 << 10                    # what is written, or sent, at a time
ECHO_PORT = 5700
VSOCK_CID, VSOCK_GUEST_PORT, VSOCK_HOST_PORT = 57, 5701, 5702
COMPLAINT = (r"(ata[0-9]|scsi|sd |sr |usb|xhci|ehci|uhci|e1000|8139|virtio|drm|i6300|hid|I/O|NETDEV)"
             r".*(error|fail|time.?out|timed out|exception|hang|not respond|cannot|unable|reset)"
             r"|BUG:|WARNING:|Oops|lockup|hung_task|blocked for more")
# Every device has a loop of its own, which counts its turns. Disks are told by their size, cards by the
# last byte of their address.
SCRIPT = r"""
for module in /extra/*.ko; do insmod $module 2> /dev/null; done
killall udhcpc 2> /dev/null
tries=0
while [ $(ls -d /sys/block/[sv][dr]* 2> /dev/null | wc -l) -lt %(disks)d ] && [ $tries -lt 300 ]; do
    sleep 0.2
    tries=$((tries + 1))
done
mkdir /tmp/turns
dd if=/dev/urandom of=/tmp/random bs=1M count=8 2> /dev/null
bad() { echo "BAD $*"; }
turn() { echo $2 > /tmp/turns/$1.new; mv /tmp/turns/$1.new /tmp/turns/$1; }

disk() {
    size=$(cat /sys/block/$1/size)
    n=0
    while :; do
        dd if=/tmp/random of=/tmp/part.$1 bs=4096 skip=$((n * 7 %% 2000)) count=32 2> /dev/null
        dd if=/tmp/part.$1 of=/dev/$1 bs=4096 seek=$((n %% 60 * 32)) oflag=direct 2> /dev/null ||
            bad write $1
        dd if=/dev/$1 of=/tmp/back.$1 bs=4096 skip=$((n %% 60 * 32)) count=32 iflag=direct 2> /dev/null ||
            bad read $1
        cmp -s /tmp/part.$1 /tmp/back.$1 || bad compare $1
        n=$((n + 1))
        turn disk$size $n
    done
}
cd_drive() {
    size=$(cat /sys/block/$1/size)
    n=0
    while :; do
        found=$(dd if=/dev/$1 bs=65536 iflag=direct 2> /dev/null | md5sum | cut -d' ' -f1)
        grep -q $found /extra/digests || bad read $1
        n=$((n + 1))
        turn disk$size $n
    done
}
# The host forgets whom it cannot reach: who was connecting when the guest was saved may be reset.
card() {
    n=0
    while :; do
        dd if=/tmp/random of=/tmp/sent.$1 bs=4096 skip=$((n * 5 %% 2000)) count=32 2> /dev/null
        nc 10.57.$1.1 %(port)d < /tmp/sent.$1 > /tmp/echo.$1 2> /dev/null
        came=$(wc -c < /tmp/echo.$1)
        head -c $came /tmp/sent.$1 | cmp -s - /tmp/echo.$1 || bad echo $1
        [ $came = $((32 * 4096)) ] || { sleep 0.1; continue; }
        n=$((n + 1))
        turn card$1 $n
    done
}
# The other end is gone for a while when the guest is saved.
port() {
    exec 3<> $1
    n=0
    while :; do
        while ! { echo "line $n of the guest" >&3; }; do sleep 1; done
        read -t 20 -r line <&3 || sleep 1
        case "$line" in
        "answer to line "[0-9]*" of the guest") n=$((n + 1)); turn port $n ;;
        "") ;;
        *) bad port "$line" ;;
        esac
        line=
    done
}
entropy() {
    n=0
    while [ "$(dd if=/dev/hwrng bs=64 count=1 2> /dev/null | wc -c)" = 64 ]; do
        n=$((n + 1))
        turn entropy $n
    done
    bad entropy
}

# The host's end of a connection is gone when the guest is saved.
vsock() {
    cp /extra/vsock /tmp/vsock
    chmod 755 /tmp/vsock
    n=0
    while :; do
        if /tmp/vsock %(guest_port)d %(host_port)d > /dev/null 2>&1; then
            n=$((n + 1))
            turn vsock $n
        else
            sleep 0.1
        fi
    done
}
screen() {
    echo 0,0 > /sys/class/graphics/$1/pan    # one that has no console is not shown before
    n=0
    while :; do
        dd if=/tmp/random of=/dev/$1 bs=65536 skip=$((n %% 120)) seek=$((n * 5 %% 17)) count=1 \
            conv=notrunc 2> /dev/null || bad draw $1
        n=$((n + 1))
        turn $1 $n
        sleep 0.1
    done
}

for name in /sys/block/[sv]d*; do disk ${name##*/} & done
for name in /sys/block/sr*; do [ -e $name ] && cd_drive ${name##*/} & done
for name in /sys/class/net/eth*; do
    number=$(sed 's/.*://' $name/address)
    ip address flush dev ${name##*/}
    ip link set ${name##*/} up
    ip address add 10.57.$number.2/24 dev ${name##*/}
    card $number &
done
for name in /sys/class/virtio-ports/*; do
    [ "$(cat $name/name)" = org.kiln.test ] && port /dev/${name##*/} &
done
entropy &
[ -e /extra/vsock ] && vsock &
for name in /sys/class/input/event*; do
    cat /dev/input/${name##*/} >> "/tmp/events-$(tr ' ' - < $name/device/name)" &
done
{ while echo >&4; do sleep 2; done; bad watchdog; } 4> /dev/watchdog &
for name in /sys/class/graphics/fb[0-9]; do screen ${name##*/} & done
memory=$(md5sum < /tmp/random)
dmesg -c > /dev/null
while :; do
    sleep 2
    [ "$(md5sum < /tmp/random)" = "$memory" ] || bad memory
    dmesg -c | grep -iE "$(cat /extra/complaint)" | sed 's/^/BAD dmesg /'
    cd /tmp/turns
    turns=$(for name in *; do [ -f $name ] && echo "$name=$(cat $name)"; done | grep -v new | tr '\n' ' ')
    cd /tmp
    echo "TURNS $turns$(for name in events-*; do echo "$name=$(wc -c < $name)"; done | tr '\n' ' ')."
done
"""


def receive(peer, length):
    data = b""
    while len(data) < length:
        more = peer.recv(length - len(data))
        if not more:
            break
        data += more
    return data


def echo():
    """Sends back what guests send, once it has all of a part."""
    def serve(peer):
        with peer:
            try:
                peer.sendall(receive(peer, PART))
            except OSError:
                pass                        # the guest sees it by what it has back

    server = socket.create_server(("", ECHO_PORT))
    while True:
        peer, _ = server.accept()
        threading.Thread(target=serve, args=(peer,), daemon=True).start()


def answer(path):
    """The other end of the guest's port, until there is none."""
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        try:
            for line in peer.makefile("rb"):
                peer.sendall(b"answer to " + line)
        except OSError:
            pass


class Vsock:
    """The host's end of virtio sockets: talks to the guest, and lets itself be greeted, again and again."""

    def __init__(self):
        run("modprobe", "vhost_vsock")
        self.program = os.path.join(TMP, "vsock")
        run("cc", "-static", "-O1", "-o", self.program, os.path.join(PROJECT, "tests/lab/vsock.c"))
        self.wrong = []                     # what came and should not
        self.data = os.urandom(PART)
        self.expected = bytes((byte + 1) & 0xff for byte in self.data)
        for loop in self.talk, self.listen:
            threading.Thread(target=loop, daemon=True).start()

    def talk(self):
        while True:
            got = b""
            try:
                with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as peer:
                    peer.settimeout(20)
                    peer.connect((VSOCK_CID, VSOCK_GUEST_PORT))
                    for at in range(0, PART, 4096):
                        peer.sendall(self.data[at:at + 4096])
                        got += receive(peer, 4096)
            except OSError:
                time.sleep(0.1)             # nobody is there yet, or no more
            if got != self.expected[:len(got)]:
                self.wrong.append("another answer than what was sent")

    def listen(self):
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as listener:
            listener.bind((socket.VMADDR_CID_ANY, VSOCK_HOST_PORT))
            listener.listen(2)
            while True:
                peer, _ = listener.accept()
                with peer:
                    peer.settimeout(20)
                    try:
                        said = receive(peer, 21)
                    except OSError:
                        continue
                    if said != b"hello from the guest\n"[:len(said)]:
                        self.wrong.append("greeted by %r" % said)


class Setup:
    """A guest's devices: the options of each process that has it."""

    next_card = 10

    def __init__(self, label, machine, modules, options, disks, drives, cards, screens, vsock=None):
        """@disks, @drives (of CDs): -device with the node's name missing, @cards: with the card's."""
        self.label, self.vsock, self.turns = label, vsock, ["port", "entropy"]
        self.place, self.pointer = 0, "Tablet" if any("tablet" in option for option in options) else "Mouse"
        self.screens = ["screen%d" % number for number in range(len(screens))]
        self.turns += ["fb%d" % number for number in range(len(screens))]
        self.argv = ["-machine", machine, "-smp", "2", "-sandbox", "off", *options]
        for name, screen in zip(self.screens, screens):
            self.argv += ["-device", "%s,id=%s" % (screen, name)]
        files = {"complaint": COMPLAINT.encode()}
        if vsock:
            self.turns.append("vsock")
            self.argv += ["-device", "vhost-vsock-pci,guest-cid=%d" % VSOCK_CID]
            with open(vsock.program, "rb") as file:
                files["vsock"] = file.read()
        digests = ""
        for number, device in enumerate(disks + drives):
            is_disk = number < len(disks)
            path = os.path.join(TMP, "%s-%d.img" % (label, number))
            data = bytes((8 + number) * MIB) if is_disk else os.urandom(MIB + number * 65536)
            with open(path, "wb") as file:
                file.write(data)
            digests += "" if is_disk else hashlib.md5(data).hexdigest() + "\n"
            read_only = "off" if is_disk else "on"
            self.argv += ["-blockdev", "driver=file,node-name=f%d,filename=%s,read-only=%s"
                          % (number, path, read_only),
                          "-blockdev", "driver=raw,node-name=d%d,file=f%d,read-only=%s"
                          % (number, number, read_only),
                          "-device", "%s,drive=d%d" % (device, number)]
            self.turns.append("disk%d" % (len(data) // 512))
        for number, card in enumerate(cards, Setup.next_card):
            Setup.next_card += 1
            name = "save%d" % number
            run("ip", "tuntap", "add", name, "mode", "tap", "vnet_hdr")
            run("ip", "address", "add", "10.57.%d.1/24" % number, "dev", name)
            run("ip", "link", "set", name, "up")
            self.argv += ["-netdev", "tap,id=n%d,ifname=%s,script=no,downscript=no,vhost=off" % (number, name),
                          "-device", "%s,netdev=n%d,mac=52:54:00:57:00:%d" % (card, number, number)]
            self.turns.append("card%d" % number)
        script = SCRIPT % {"disks": len(disks + drives), "port": ECHO_PORT,
                           "guest_port": VSOCK_GUEST_PORT, "host_port": VSOCK_HOST_PORT}
        self.initrd = initrd_with(os.path.join(TMP, "initrd-" + label), modules,
                                  {"run": script.encode(), "digests": digests.encode(), **files})

    def guest(self, *options):
        path = os.path.join(TMP, "port%d" % Guest.count)
        guest = Guest(*self.argv, "-chardev", "socket,id=port,path=%s,server=on,wait=off" % path,
                      "-device", "virtserialport,chardev=port,name=org.kiln.test,nr=3", *options,
                      initrd=self.initrd, cmdline='kiln.run="sh /extra/run"', sandbox=False)
        threading.Thread(target=answer, args=(path,), daemon=True).start()
        return guest


def turns_of(guest):
    """What the guest told last, by name."""
    lines = re.findall(r"^TURNS (.*) \.\r?$", guest.output(), re.M)
    return {name: int(count) for name, count in re.findall(r"(\S+)=(\d+)", lines[-1])} if lines else {}


def no_complaint(setup, guest):
    bad = re.findall(r"^BAD (.*)", guest.output(), re.M) + (setup.vsock.wrong if setup.vsock else [])
    check(not bad, "the guest found: " + " | ".join(bad[:5]))


def goes_on(guest, setup, before):
    """Each of its loops does two turns more than @before has, at least."""
    missing = setup.turns

    def on():
        nonlocal missing
        no_complaint(setup, guest)
        check(guest.process.poll() is None, "kiln-vmm ended")
        now = turns_of(guest)
        missing = [name for name in setup.turns if now.get(name, 0) < before.get(name, 0) + 2]
        return not missing

    try:
        wait_for("the guest's loops", on, SECONDS)
    except Exception as error:
        raise type(error)("%s; still where they were: %s" % (error, missing)) from error
    return turns_of(guest)


def pictures(setup, guest):
    data = []
    for name in setup.screens:
        path = os.path.join(TMP, "screen.ppm")
        guest.qmp.do("screendump", filename=path, device=name)
        with open(path, "rb") as file:
            data.append(file.read())
    return data


def goes_to(guest, kind, *events):
    """Events reach the guest, by an input device of that kind."""
    def count():
        return sum(n for name, n in turns_of(guest).items() if name.startswith("events-") and kind in name)

    before = count()
    guest.qmp.do("input-send-event", events=list(events))
    wait_for("events by " + kind, lambda: count() > before, 60)


def used_inputs(setup, guest):
    goes_to(guest, "eyboard", *({"type": "key", "data": {"down": down, "key": {"type": "qcode", "data": "shift"}}}
                                for down in (True, False)))
    kind = "abs" if setup.pointer == "Tablet" else "rel"
    setup.place += 1000                     # the kernel does not tell of a tablet that stays where it is
    goes_to(guest, setup.pointer, *({"type": kind, "data": {"axis": axis, "value": setup.place}} for axis in "xy"))


def migrated(guest):
    def done():
        status = guest.qmp.do("query-migrate").get("status")
        check(status != "failed", guest.qmp.do("query-migrate"))
        return status == "completed"
    wait_for("the saving or restoring", done, 120)


def save_and_restore(setup, guest, turns, number):
    """Returns the guest's next process, and what its loops have done."""
    path = os.path.join(TMP, "saved")
    guest.qmp.do("balloon", value=(224 + number * 8) * MIB)
    wait_for("the balloon", lambda: guest.qmp.do("query-balloon")["actual"] == (224 + number * 8) * MIB, 60)
    time.sleep(number * 0.7)
    guest.qmp.do("migrate", uri="file:" + path)
    migrated(guest)
    seen = pictures(setup, guest)
    no_complaint(setup, guest)
    check("WATCHDOG" not in guest.qmp.names(), "the watchdog was not fed")
    guest.qmp.do("quit")
    guest.end()
    following = setup.guest("-S", "-incoming", "file:" + path)
    try:
        migrated(following)
        check(pictures(setup, following) == seen, "what a screen shows is something else")
        check(following.qmp.do("query-balloon")["actual"] == (224 + number * 8) * MIB, "the balloon")
        following.qmp.do("cont")
        goes_on(following, setup, turns)
        used_inputs(setup, following)
    except BaseException:
        time.sleep(1)                       # of one that dies, its last words
        following.__exit__()
        raise
    return following, turns_of(following)


def try_devices(*words):
    if not words[0].startswith(ONLY):
        return
    setup, turns = Setup(*words), None
    guest = setup.guest()
    try:
        with test("%s: all devices are used at once" % setup.label):
            guest.wait_output("KILN-RUN-BEGIN", timeout=SECONDS)
            turns = goes_on(guest, setup, {})
            used_inputs(setup, guest)
        with test("%s: saved and restored %d times, each goes on" % (setup.label, ROUNDS)):
            check(turns, "they are not all used")
            for number in range(ROUNDS):
                previous = guest
                guest, turns = save_and_restore(setup, guest, turns, number)
                previous.__exit__()
    finally:
        guest.__exit__()


threading.Thread(target=echo, daemon=True).start()
OTHERS = ["-device", "virtio-serial-pci", "-device", "virtio-rng-pci", "-device", "virtio-balloon-pci,id=balloon0",
          "-device", "i6300esb", "-action", "watchdog=none", "-device", "virtio-keyboard-pci", "-device", "vmgenid"]
Q35_MODULES = ["ahci", "virtio_scsi", "xhci_pci", "ehci_pci", "uhci_hcd", "e1000", "e1000e", "virtio_gpu"]
COMMON = ["sd_mod", "sr_mod", "usb_storage", "usbhid", "hid_generic", "virtio_input", "psmouse", "virtio_rng",
          "virtio_balloon", "i6300esb"]
try_devices(
    "q35", "q35", Q35_MODULES + COMMON,
    ["-device", "virtio-scsi-pci,id=scsi0", "-device", "qemu-xhci,id=usb0", "-device", "usb-hub,bus=usb0.0,port=3",
     "-device", "usb-kbd,bus=usb0.0,port=2", "-device", "usb-tablet,bus=usb0.0,port=3.1",
     "-device", "ich9-usb-ehci1,id=usb1,addr=0x1d.7",
     "-device", "ich9-usb-uhci1,masterbus=usb1.0,firstport=0,addr=0x1d.0,multifunction=on",
     "-device", "usb-mouse,bus=usb1.0,port=2", "-device", "virtio-tablet-pci", "-device", "pvpanic", *OTHERS],
    ["ide-hd,bus=ide.0", "scsi-hd,bus=scsi0.0,scsi-id=1", "usb-storage,bus=usb0.0,port=1",
     "usb-storage,bus=usb1.0,port=1", "virtio-blk-pci"],
    ["ide-cd,bus=ide.1", "scsi-cd,bus=scsi0.0,scsi-id=2"],
    ["e1000e", "virtio-net-pci"], ["virtio-vga"])
try_devices(
    "pc", "pc", ["ata_piix", "uhci_hcd", "e1000", "8139cp", "cirrus"] + COMMON,
    ["-device", "piix3-usb-uhci,id=usb0", "-device", "usb-tablet,bus=usb0.0,port=2", "-device", "virtio-tablet-pci",
     "-device", "pvpanic", *OTHERS],
    ["ide-hd,bus=ide.0,unit=0", "usb-storage,bus=usb0.0,port=1", "virtio-blk-pci"],
    ["ide-cd,bus=ide.1,unit=0"], ["e1000", "rtl8139", "virtio-net-pci"], ["cirrus-vga"])
try_devices(
    "the others", "q35", ["xhci_pci", "bochs", "virtio_gpu", "vmw_vsock_virtio_transport"] + COMMON,
    ["-device", "nec-usb-xhci,id=usb0", "-device", "usb-mouse,bus=usb0.0,port=2", "-device", "virtio-mouse-pci",
     "-device", "pvpanic-pci", *OTHERS],
    ["usb-storage,bus=usb0.0,port=1"], [], ["virtio-net-pci"], ["VGA", "bochs-display", "virtio-gpu-pci"], Vsock())
