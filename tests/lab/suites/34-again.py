#!/usr/bin/python3
"""A guest that begins anew in every way a kernel knows: reboots, kexec, and a crash with a kernel that
was put aside for it (kdump). All of its devices work each time.

One reboot and one kexec of one processor here; five of each of two by
    KILN_WHOLE=1 run-suites 34-again

# timeout: 1800
# late:

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import TMP, check, guest_files, run, test  # noqa: E402
from vmm import Guest, initrd_with  # noqa: E402

WHOLE = "KILN_WHOLE" in os.environ
REBOOTS = KEXECS = 5 if WHOLE else 1
SECONDS = 300                       # for each boot, on a busy host
# What each boot does depends on a count on the disk; the kernel that was put aside is told by its
# command line.
SCRIPT = """
for module in /extra/*.ko; do insmod $module 2> /dev/null; done
kexec() { /mnt/lib/ld-linux-x86-64.so.2 --library-path /mnt/lib /mnt/kexec "$@"; }
line='console=ttyS0 quiet panic=-1 mitigations=off kiln.run="sh /extra/run"'
if grep -q kiln.crash /proc/cmdline; then
    echo "CRASHED $(stat -c %%s /proc/vmcore) $(head -c 4 /proc/vmcore | tail -c 3)"
    poweroff -f
fi
read count 2> /dev/null < /mnt/count || count=0
count=$((count + 1))
echo $count > /mnt/count
sync
wget -q -O /dev/null http://10.0.2.2:%(port)d/ 2> /tmp/wget
grep -q refused /tmp/wget && net=answered
sata=$(dd if=/dev/sda bs=1M iflag=direct 2> /dev/null | md5sum | cut -d' ' -f1)
echo "BOOT $count net=$net sata=$sata"
dmesg | grep -i -E 'BUG:|(ata[0-9]|sd |virtio|vd[a-z]|xhci|usb).*(error|fail|timed? ?out)' | sed 's/^/COMPLAINT /'
if [ $count -le %(reboots)d ]; then
    mount -o remount,ro /mnt
    reboot -f
elif [ $count -le %(kexecs)d ]; then
    kexec -s -l /mnt/vmlinuz --initrd=/mnt/initrd --append="$line crashkernel=192M" || echo "NO KEXEC"
    mount -o remount,ro /mnt
    kexec -e
else
    kexec -s -p /mnt/vmlinuz --initrd=/mnt/initrd --append="$line nr_cpus=1 reset_devices kiln.crash" || echo "NO KDUMP"
    mount -o remount,ro /mnt
    echo c > /proc/sysrq-trigger
fi
"""


def disk(initrd):
    """What kexec needs: itself with its libraries, the kernel, the initial RAM disk."""
    root, path = os.path.join(TMP, "again"), os.path.join(TMP, "again.img")
    os.makedirs(os.path.join(root, "lib"))
    shutil.copy("/sbin/kexec", root)
    libraries = subprocess.run(["ldd", "/sbin/kexec"], stdout=subprocess.PIPE, text=True, check=True)
    for library in re.findall(r"(/\S+) \(0x", libraries.stdout):
        shutil.copy(library, os.path.join(root, "lib"))
    shutil.copy(os.path.join(guest_files(), "vmlinuz"), root)
    shutil.copy(initrd, os.path.join(root, "initrd"))
    run("mke2fs", "-q", "-t", "ext4", "-d", root, path, "64M")
    os.chmod(path, 0o666)
    return path


def drive(ident, path):
    return ["-blockdev", "driver=file,node-name=%s-file,filename=%s" % (ident, path),
            "-blockdev", "driver=raw,node-name=%s,file=%s-file" % (ident, ident)]


if not os.path.exists("/sbin/kexec"):
    print("skip reboots, kexec, kdump - kexec-tools is not installed", flush=True)
    sys.exit()
script = SCRIPT % {"port": 9, "reboots": REBOOTS, "kexecs": REBOOTS + KEXECS}
initrd = initrd_with(os.path.join(TMP, "initrd-again"), ["ahci", "sd_mod", "xhci_pci"], {"run": script.encode()})
other = os.path.join(TMP, "other.img")
with open(other, "wb") as file:
    file.truncate(1 << 20)
os.chmod(other, 0o666)
ZEROES = "b6d81b360a5672d80c27430f39153e2c"
with Guest("-smp", "2" if WHOLE else "1", *drive("d0", disk(initrd)), "-device", "virtio-blk-pci,drive=d0",
           *drive("d1", other), "-device", "ide-hd,bus=ide.0,drive=d1", "-netdev", "user,id=n0",
           "-device", "virtio-net-pci,netdev=n0", "-device", "qemu-xhci,id=usb0", "-device",
           "usb-tablet,bus=usb0.0", initrd=initrd, memory="640",
           cmdline='kiln.run="sh /extra/run" crashkernel=192M') as guest:
    last = REBOOTS + KEXECS + 1
    for number in range(1, last + 1):
        with test("boot %d: %s" % (number, "from the start" if number == 1 else "reboot" if number <= REBOOTS + 1
                                   else "kexec")):
            guest.wait_output("BOOT %d net=answered sata=%s" % (number, ZEROES), timeout=SECONDS)
    with test("the kernel put aside for a crash comes up with the memory of the one before"):
        guest.wait_output("CRASHED ", timeout=SECONDS)
        guest.qmp.drain()
        check(guest.end() == (0, ""), "it did not end well")
        found = re.search(r"CRASHED (\d+) ELF", guest.output())
        check(found and int(found[1]) > 64 << 20, "there is no memory to look at")
        check(guest.qmp.names().count("RESET") == REBOOTS, "events: %r" % guest.qmp.names())
    with test("no device made the kernels complain"):
        bad = [line for line in guest.output().split("\n") if line.startswith("COMPLAINT")]
        check(not bad, " | ".join(bad))
