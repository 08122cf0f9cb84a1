#!/usr/bin/python3
"""A stock kernel that never stops to check its disks, its memory and its network is saved and
restored by the stock virsh, and never finds anything wrong.

# timeout: 900

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import (Daemon, TMP, check, console, fails, gone, guest_files, guest_xml, run, state, test,
                   virsh, vmm_pid, wait_for, write)  # noqa: E402
from vmm import initrd_with  # noqa: E402

MIB = 1 << 20
DISKS = (("virtio", "vda"), ("virtio", "vdb"), ("scsi", "sda"), ("sata", "sdb"))
PLACE = os.path.join(TMP, "place")      # a file system that takes O_DIRECT
SAVED = os.path.join(PLACE, "guest.save")
# One turn is: 2 MiB of new bytes on each disk, read back past the cache; 24 MiB of memory; a ping.
LOOP = """
for module in /extra/*.ko; do insmod $module 2> /dev/null; done
tries=0
while [ $(ls -d /sys/block/sd* 2> /dev/null | wc -l) -lt 2 ] && [ $tries -lt 150 ]; do
    sleep 0.2
    tries=$((tries + 1))
done
dd if=/dev/urandom of=/tmp/memory bs=1M count=24 2> /dev/null
memory=$(md5sum < /tmp/memory)
turn=0
bad() { echo "$turn $*" >> /tmp/bad; }
while :; do
    for disk in vdb sda sdb; do
        dd if=/tmp/memory of=/tmp/part bs=65536 skip=$((turn % 300)) count=32 2> /dev/null
        dd if=/tmp/part of=/dev/$disk bs=65536 seek=$((turn % 64 * 2)) oflag=direct 2> /dev/null ||
            bad write $disk
        dd if=/dev/$disk of=/tmp/back bs=65536 skip=$((turn % 64 * 2)) count=32 iflag=direct 2> /dev/null ||
            bad read $disk
        cmp -s /tmp/part /tmp/back || bad compare $disk
    done
    [ "$(md5sum < /tmp/memory)" = "$memory" ] || bad memory
    ping -c 1 -q -s 1400 -w 5 192.168.122.1 > /dev/null && echo >> /tmp/answers
    turn=$((turn + 1))
    echo $turn > /tmp/turn.new
    mv /tmp/turn.new /tmp/turn
done
"""
COMPLAINT = re.compile(r"(?i)soft lockup|hung_task|I/O error|exception Emask|timed? ?out|reset|"
                       r"BUG:|WARNING:|clocksource.*unstable|call trace")


def prepare():
    initrd = initrd_with(os.path.join(TMP, "initrd"), ["virtio_scsi", "ahci", "sd_mod"],
                         {"loop": LOOP.encode()})
    disks = []
    for bus, target in DISKS:
        path = os.path.join(TMP, target + ".img")
        if target == "vda":
            run("cp", os.path.join(guest_files(), "disk.img"), path)
        else:
            with open(path, "wb") as file:
                file.truncate(16 * MIB)
        disks.append("<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='%s'/>"
                     "<target dev='%s' bus='%s'/></disk>" % (path, target, bus))
    devices = "".join(disks) + """<controller type='scsi' model='virtio-scsi'/>
        <interface type='network'><source network='default'/><model type='virtio'/></interface>
        <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
        <input type='tablet' bus='usb'/><controller type='usb' model='qemu-xhci'/>
        <video><model type='vga'/></video>"""
    xml = guest_xml("saved", vcpus=2, memory=256, devices=devices)
    virsh("define", write("saved.xml", xml.replace(
        "<initrd>%s/initrd" % guest_files(), "<initrd>" + initrd)))


class Guest:
    def __init__(self):
        self.turns = 0

    def ask(self, command, timeout=90):
        with console("saved") as terminal:
            terminal.expect("Connected to domain", 30)
            terminal.wake(240)
            return terminal.command(command, timeout)[0]

    def check(self, turns=2):
        """It goes on: @turns more, without an error."""
        def on():
            out = self.ask("cat /tmp/turn /tmp/bad /dev/null 2> /dev/null")
            lines = out.split("\n")
            check(len(lines) <= 2 and (not out or lines[0].isdigit()), "the guest found: " + out)
            return out and int(lines[0]) >= self.turns + turns and int(lines[0])
        self.turns = wait_for("the guest does %d more turns" % turns, on, 200)

    def clocks(self):
        up, real = self.ask("cut -d' ' -f1 /proc/uptime; date +%s").split()
        return float(up), int(real)


def calm(guest):
    said = guest.ask("dmesg | tail -n +%d" % guest.log_lines)
    found = [line for line in said.splitlines() if COMPLAINT.search(line)]
    check(not found, " | ".join(found))


guest = Guest()
os.mkdir(PLACE)
run("mkfs.ext4", "-q", "-F", "/dev/vda")
run("mount", "/dev/vda", PLACE)
with Daemon():
    with test("the guest checks itself"):
        prepare()
        virsh("start", "saved")
        guest.ask("(sh /extra/loop < /dev/null > /dev/null 2>&1 &)", 240)
        guest.check()
        guest.log_lines = int(guest.ask("dmesg | wc -l")) + 1
    with test("it is saved into a file, and nothing of it stays"):
        up, real = guest.clocks()
        virsh("save", "saved", SAVED)
        check(state("saved") == "shut off", state("saved"))
        check(virsh("domstate", "--reason", "saved").strip() == "shut off (saved)", "reason")
        gone("saved")
        check(os.stat(SAVED).st_mode & 0o777 == 0o600, "mode of the file")
        check("<name>saved</name>" in virsh("save-image-dumpxml", SAVED), "the definition in it")
    with test("a damaged file is refused, and leaves nothing"):
        size = os.stat(SAVED).st_size
        for place in (100, size // 2, size - 3):
            bad = write("bad.save", "")
            run("cp", SAVED, bad)
            with open(bad, "r+b") as file:
                file.seek(place)
                byte = file.read(1)
                file.seek(place)
                file.write(bytes([byte[0] ^ 0x55]))
            fails("virsh", "-c", "qemu:///system", "restore", bad, expect="damaged|checksum")
            gone("saved")
        os.truncate(bad, size // 3)
        fails("virsh", "-c", "qemu:///system", "restore", bad, expect="too early")
        gone("saved")
        check(state("saved") == "shut off", state("saved"))
    with test("restored, it goes on where it was"):
        time.sleep(5)
        virsh("restore", SAVED)
        check(virsh("domstate", "--reason", "saved").strip() == "running (restored)", "reason")
        guest.check()
        calm(guest)
    with test("its clocks are sane"):
        now, date = guest.clocks()
        check(up <= now, "uptime went from %s to %s" % (up, now))
        check(abs((date - real) - (now - up)) <= 2, "date and uptime part: %d s, %.1f s"
              % (date - real, now - up))
    with test("a managed save is what the next start takes"):
        virsh("managedsave", "saved")
        check("saved" in virsh("list", "--all", "--managed-save"), "the list")
        fails("virsh", "-c", "qemu:///system", "undefine", "saved", expect="managed save")
        virsh("start", "saved")
        check("saved" not in virsh("list", "--with-managed-save", "--name"), "the image is used up")
        guest.check()
        calm(guest)
    with test("many times, running and paused, past the cache"):
        for turn in range(3):
            virsh("save", "saved", SAVED, *(["--bypass-cache"] if turn else []))
            virsh("restore", SAVED, *(["--paused", "--bypass-cache"] if turn == 1 else []))
            if turn == 1:
                check(state("saved") == "paused", state("saved"))
                virsh("resume", "saved")
            guest.check(1)
        calm(guest)
    with test("its network works"):
        before = guest.ask("wc -l < /tmp/answers").strip()
        guest.check(2)
        check(int(guest.ask("wc -l < /tmp/answers")) > int(before), "no answer any more")
    with test("a daemon that dies leaves the managed save to the next"):
        virsh("managedsave", "saved")
    virsh("destroy", "saved") if vmm_pid("saved") else None
with Daemon():
    with test("the next daemon finds it"):
        check(virsh("domstate", "--reason", "saved").strip() == "shut off (saved)", "reason")
        virsh("start", "saved")
        guest.check(1)
        virsh("destroy", "saved")
        virsh("undefine", "saved")
        gone("saved")
run("umount", PLACE)
