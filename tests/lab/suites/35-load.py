#!/usr/bin/python3
"""Disks of every kind under fio, which verifies what it wrote, and every network card under iperf3,
both ways, with the drivers of a stock kernel. More for each of them than a few MiB by
    run-suites 35-load -- --env KILN_FIO_MIB=64 --env KILN_IPERF_MIB=64

# timeout: 1200
# late:

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import TMP, check, run, test  # noqa: E402
from vmm import Guest, initrd_with  # noqa: E402

MIB = 1 << 20
SECONDS = 500                       # of a guest, on a busy host
FIO_MIB = int(os.environ.get("KILN_FIO_MIB", "1"))        # for each disk
IPERF_MIB = int(os.environ.get("KILN_IPERF_MIB", "2"))    # for each card and way
COMPLAINT = re.compile(r"(?i)(\b(ata\d|scsi|sd |usb|xhci|ehci|uhci|e1000e?|8139|virtio|blk|vd[a-z]|I/O)\b.*"
                       r"(error|fail|time.?out|timed out|exception|hang|not respond|cannot|unable)"
                       r"|NETDEV WATCHDOG|BUG:)")
JOB = """[global]
ioengine=libaio
direct=1
iodepth=16
rw=randwrite
bssplit=4k/60:512/10:64k/20:200k/10
size=%dM
verify=crc32c
verify_backlog=64
verify_fatal=1
end_fsync=1
thread=1
disable_lat=1
disable_clat=1
disable_slat=1
"""
# Disks are told by their size, cards by the last byte of their address.
SCRIPT = """
for module in /extra/*.ko; do insmod $module 2> /dev/null; done
load() { /mnt/lib/ld-linux-x86-64.so.2 --library-path /mnt/lib /mnt/$@; }
killall udhcpc 2> /dev/null
tries=0
while [ $(ls -d /sys/block/sd* 2> /dev/null | wc -l) -lt %(scsi)d ] && [ $tries -lt 150 ]; do
    sleep 0.2
    tries=$((tries + 1))
done
cat /extra/job > /tmp/job
for disk in /sys/block/sd* /sys/block/vd[b-z]; do
    [ -e $disk ] || continue
    printf '[size%%s]\nfilename=/dev/%%s\n' $(cat $disk/size) ${disk##*/}
done >> /tmp/job
load fio --output-format=terse --terse-version=3 /tmp/job > /tmp/fio.out 2> /tmp/fio.err
echo "FIO-END $?"
cut -d';' -f3,5,6,47 /tmp/fio.out
cat /tmp/fio.err
for card in /sys/class/net/eth*; do
    ip link set ${card##*/} down
done
for card in /sys/class/net/eth*; do
    name=${card##*/}
    number=$(sed 's/.*://' $card/address)
    ip address flush dev $name
    ip link set $name up
    if [ -e /extra/tap$number ]; then
        server=10.35.$number.1
        ip address add 10.35.$number.2/24 dev $name
    else
        server=10.0.2.2
        ip address add 10.0.2.15/24 dev $name
    fi
    for way in send -R; do
        load iperf3 -c $server -n %(send)dM -P 2 ${way#send} > /tmp/iperf 2>&1
        echo "IPERF $number $way $? $(grep SUM.*receiver /tmp/iperf)"
    done
    tail -n 3 /tmp/iperf
    ip link set $name down
done
echo DMESG-BEGIN
dmesg
echo DMESG-END
"""


def programs():
    """A disk with fio, iperf3 and their libraries."""
    root, disk = os.path.join(TMP, "programs"), os.path.join(TMP, "programs.img")
    os.makedirs(os.path.join(root, "lib"))
    for name in ("fio", "iperf3"):
        path = shutil.which(name)
        shutil.copy(path, root)
        libraries = subprocess.run(["ldd", path], stdout=subprocess.PIPE, text=True, check=True).stdout
        for library in re.findall(r"(/\S+) \(0x", libraries):
            shutil.copy(library, os.path.join(root, "lib"))
    run("mke2fs", "-q", "-t", "ext4", "-d", root, disk, "160M")
    os.chmod(disk, 0o666)
    return disk


def drive(ident, path):
    return ["-blockdev", "driver=file,node-name=%s-file,filename=%s" % (ident, path),
            "-blockdev", "driver=raw,node-name=%s,file=%s-file" % (ident, ident)]


def tap(number, vhost):
    """A tap with an address of the lab's; what -netdev says of it."""
    name = "load%d" % number
    run("ip", "tuntap", "add", name, "mode", "tap", "vnet_hdr")
    run("ip", "address", "add", "10.35.%02d.1/24" % number, "dev", name)
    run("ip", "link", "set", name, "up")
    return "tap,id=n%d,ifname=%s,script=no,downscript=no,vhost=%s" % (number, name, vhost)


def try_machine(machine, modules, options, disks, cards):
    """@disks: name, MiB by which it is told from others, -device with the node's name missing.
    @cards: name, -device, and vhost's on or off where a tap takes the place of user networking."""
    files = {"job": (JOB % FIO_MIB).encode()}
    # First, hence /dev/vda, which the test guest mounts.
    argv = ["-machine", machine, "-smp", "2", *drive("programs", PROGRAM_DISK),
            "-device", "virtio-blk-pci,drive=programs", *options]
    for number, (_, mib, device) in enumerate(disks):
        path = os.path.join(TMP, "%s-%d.img" % (machine, number))
        with open(path, "wb") as file:
            file.truncate(mib * MIB)
        os.chmod(path, 0o666)
        argv += drive("d%d" % number, path) + ["-device", "%s,drive=d%d" % (device, number)]
    for number, (_, card, vhost) in enumerate(cards, 10):
        if vhost:
            files["tap%d" % number] = b""
        argv += ["-netdev", tap(number, vhost) if vhost else "user,id=n%d" % number,
                 "-device", "%s,netdev=n%d,mac=52:54:00:35:00:%d" % (card, number, number)]
    files["run"] = (SCRIPT % {"scsi": sum("virtio-blk" not in disk[2] for disk in disks),
                              "send": IPERF_MIB}).encode()
    initrd = initrd_with(os.path.join(TMP, "initrd-" + machine), modules, files)
    with Guest(*argv, initrd=initrd, cmdline='kiln.run="sh /extra/run"', sandbox=False) as guest:
        with test(machine + ": the guest does all of it"):
            guest.wait_output("KILN-RUN-END", timeout=SECONDS)
            guest.qmp.do("quit")
            check(guest.end() == (0, ""), "it did not end well")
        out = guest.output()
    for name, mib, _ in disks:
        with test("%s, %s: fio finds again what it wrote" % (machine, name)):
            result = re.search(r"^size%d;(\d+);(\d+);(\d+)" % (mib * 2048), out, re.M)
            check(result, "fio says nothing of it")
            check(result[1] == "0", "fio ended with error " + result[1])
            check(int(result[2]) >= FIO_MIB * 1024 and int(result[3]) >= FIO_MIB * 1024,
                  "it was not read or written whole: " + result[0])
    for number, (name, _, _) in enumerate(cards, 10):
        with test("%s, %s: iperf3 both ways" % (machine, name)):
            for way in ("send", "-R"):
                check(re.search(r"IPERF %d %s 0 \S*SUM" % (number, way), out), way + " does not end well")
    with test("%s: the kernel complains about nothing under load" % machine):
        check("FIO-END 0" in out, "fio did not end well")
        bad = [line for line in out.split("DMESG-BEGIN")[1].split("\n") if COMPLAINT.search(line)]
        check(not bad, " | ".join(bad))


PROGRAM_DISK = programs()
with subprocess.Popen(["iperf3", "-s"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as server:
    try_machine(
        "q35", ["ahci", "sd_mod", "virtio_scsi", "xhci_pci", "usb_storage", "e1000e"],
        ["-device", "virtio-scsi-pci,id=scsi0", "-device", "qemu-xhci,id=usb0"],
        [("AHCI", 41, "ide-hd,bus=ide.0"), ("virtio-scsi", 42, "scsi-hd,bus=scsi0.0"),
         ("virtio-blk", 43, "virtio-blk-pci"), ("USB by xHCI", 44, "usb-storage,bus=usb0.0")],
        [("virtio-net, tap, vhost", "virtio-net-pci", "on"), ("virtio-net, tap", "virtio-net-pci", "off"),
         ("virtio-net, user", "virtio-net-pci", None), ("e1000e", "e1000e", None)])
    try_machine(
        "pc", ["ata_piix", "sd_mod", "ehci_pci", "usb_storage", "e1000", "8139cp"],
        ["-device", "usb-ehci,id=usb0"],
        [("IDE", 41, "ide-hd,bus=ide.0"), ("USB by EHCI", 42, "usb-storage,bus=usb0.0")],
        [("e1000", "e1000", None), ("rtl8139", "rtl8139", None)])
    server.terminate()
