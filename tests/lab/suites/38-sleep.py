#!/usr/bin/python3
"""A stock kernel sleeps in memory and is woken, by its clock and by QMP, on both machines and by both
firmwares and without one; its disks and its card work afterwards, and it has nothing to complain about.

Three of them here; all, or those that begin with some words, by
    KILN_WHOLE=1 run-suites 38-sleep
    KILN_WHOLE=1 run-suites 38-sleep -- --env "KILN_ONLY=pc"

# timeout: 1800
# late:

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from boot_disk import make_boot_disk  # noqa: E402
from suite import TMP, check, guest_files, test, wait_for  # noqa: E402
from vmm import Guest, flash, initrd_with  # noqa: E402

WHOLE, ONLY = "KILN_WHOLE" in os.environ, os.environ.get("KILN_ONLY", "")
SECONDS = 300
TIMES = 3                           # the second time its clock wakes it
SCRIPT = """
for module in /extra/*.ko; do insmod $module 2> /dev/null; done
state()
{
    wget -q -O /dev/null http://10.0.2.2:9/ 2> /tmp/wget
    grep -q refused /tmp/wget && net=answered || net=silent
    echo "$1 net=$net disks=$(cat /dev/vda /dev/sda | md5sum | cut -d' ' -f1)"
}
state BEFORE
for n in 1 2 3; do
    [ $n = 2 ] && echo +15 > /sys/class/rtc/rtc0/wakealarm
    echo "SLEEP $n $(cat /sys/power/mem_sleep)"
    echo mem > /sys/power/state || echo "REFUSED $?"
    state "AWAKE $n"
done
# A driver asks xHCI to go on with what it had; that it cannot is what QEMU's says, too.
dmesg | grep -i -E 'BUG:|ACPI Error|(ata[0-9]|sd |virtio|vd[a-z]|xhci|usb|PM:).*(error|fail|timed? ?out)' |
    grep -v 'xHC error in resume, USBSTS 0x401, Reinit' | sed 's/^/COMPLAINT /'
echo THE END
poweroff -f
"""
CHIP = {"q35": "ICH9-LPC", "pc": "PIIX4_PM"}
FEW = (("q35", "SeaBIOS"), ("q35", "OVMF"), ("q35", "none"))
ALL = tuple((machine, firmware) for machine in CHIP for firmware in ("SeaBIOS", "OVMF", "none"))


def told(guest, words):
    """What follows @words on their line of the console."""
    guest.wait_output(words + " ", timeout=SECONDS)
    wait_for("the line of %r" % words, lambda: "\n" in guest.output().split(words + " ", 1)[1], 30)
    return guest.output().split(words + " ", 1)[1].split("\n", 1)[0].strip()


def sleeps(machine, firmware):
    argv = ["-machine", machine, "-smp", "2", "-global", CHIP[machine] + ".disable_s3=0",
            "-blockdev", "driver=raw,node-name=d0,file.driver=file,file.filename=" + BOOT,
            "-device", "virtio-blk-pci,drive=d0,bootindex=1", "-device", "ich9-ahci,id=sata1",
            "-blockdev", "driver=raw,node-name=d1,file.driver=file,file.filename=" + OTHER,
            "-device", "ide-hd,bus=sata1.0,drive=d1", "-netdev", "user,id=n0",
            "-device", "virtio-net-pci,netdev=n0", "-device", "qemu-xhci,id=usb0",
            "-device", "usb-tablet,bus=usb0.0"]
    if firmware == "OVMF":
        argv += flash(os.path.join(TMP, "vars-%s.fd" % machine))
    kernel = {"kernel": "vmlinuz", "initrd": INITRD, "cmdline": 'kiln.run="sh /extra/run"'}
    with Guest(*argv, memory="512", **(kernel if firmware == "none" else {"kernel": None})) as guest:
        before = told(guest, "BEFORE")
        check(before.startswith("net=answered"), before)
        for number in range(1, TIMES + 1):
            said = told(guest, "SLEEP %d" % number)
            check("[deep]" in said, "it does not sleep in memory: " + said)
            if number != 2:
                wait_for("the guest sleeps", lambda: guest.qmp.do("query-status")["status"] == "suspended", 60)
                guest.qmp.do("system_wakeup")
            awake = told(guest, "AWAKE %d" % number)
            check(awake == before, "after sleep %d: %s, not %s" % (number, awake, before))
        guest.wait_output("THE END", timeout=60)
        check("COMPLAINT" not in guest.output() and "REFUSED" not in guest.output(), guest.output()[-2000:])
        guest.qmp.drain()
        check(guest.end() == (0, ""), "it did not end well")
        for event in ("SUSPEND", "WAKEUP"):
            check(guest.qmp.names().count(event) == TIMES, "events: %r" % guest.qmp.names())


INITRD = initrd_with(os.path.join(TMP, "initrd-sleep"), ["ahci", "sd_mod", "xhci_pci"],
                     {"run": SCRIPT.encode()})
BOOT, OTHER = os.path.join(TMP, "boot.img"), os.path.join(TMP, "other.img")
make_boot_disk(BOOT, os.path.join(guest_files(), "vmlinuz"), INITRD,
               "console=ttyS0 quiet panic=-1 mitigations=off kiln.run='sh</extra/run'")   # as GRUB quotes
with open(OTHER, "wb") as file:
    file.write(os.urandom(1 << 20))
for image in (BOOT, OTHER):
    os.chmod(image, 0o666)
for name in ALL if WHOLE else FEW:
    if ONLY and not ", ".join(name).startswith(ONLY):
        continue
    with test("%s, %s: it sleeps and wakes" % name):
        sleeps(*name)
