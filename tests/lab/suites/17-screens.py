#!/usr/bin/python3
"""Video cards under the drivers of a stock kernel: what a program draws into the frame buffer is in the
picture that screendump makes.

# timeout: 1200

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import TMP, check, test, wait_for  # noqa: E402
from vmm import Guest, initrd_with  # noqa: E402
from screen import read_ppm  # noqa: E402

SECONDS = 300                       # of a guest, on a busy host
COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255))
STRIPES = {
    "16": b"\x00\xf8\xe0\x07\x1f\x00\xff\xff" * 8192,
    "32": b"\0\0\xff\0\0\xff\0\0\xff\0\0\0\xff\xff\xff\0" * 4096,
}
COMPLAINT = re.compile(r"(?i)\b(drm|fb\d|bochs|cirrus|virtio_gpu)\b.*(error|fail|time.?out|cannot|unable)")

PAINT = """
for module in /extra/*.ko; do insmod $module 2> /dev/null; done
tries=0
while [ $(ls -d /sys/class/graphics/fb[0-9] | wc -l) -lt %d ] && [ $tries -lt 100 ]; do
    sleep 0.2
    tries=$((tries + 1))
done
for fb in /sys/class/graphics/fb[0-9]; do
    echo 0,0 > $fb/pan    # one that has no console is not shown before
    depth=$(cat $fb/bits_per_pixel)
    while cat /extra/stripes$depth; do :; done > /dev/${fb##*/} 2> /dev/null
    echo "PAINTED $(cat $fb/name) $(cat $fb/virtual_size) $depth"
done
echo DMESG-BEGIN
dmesg
echo DMESG-END
"""


def screens(label, modules, cards):
    """@cards: id, -device, what the kernel calls the frame buffer."""
    initrd = initrd_with(os.path.join(TMP, "initrd-" + label), modules,
                         {"run": (PAINT % len(cards)).encode(), "stripes16": STRIPES["16"],
                          "stripes32": STRIPES["32"]})
    argv = ["-sandbox", "off"]          # screendump writes files
    for ident, device, _ in cards:
        argv += ["-device", "%s,id=%s" % (device, ident)]
    with Guest(*argv, initrd=initrd, cmdline='kiln.run="sh /extra/run"', sandbox=False) as guest:
        guest.wait_output("KILN-RUN-END", timeout=SECONDS)
        out = guest.output()
        for ident, device, name in cards:
            with test("%s: what is drawn is seen" % device.split(",")[0]):
                found = re.search("PAINTED %s\\S* (\\d+),(\\d+) (\\d+)" % name, out)
                check(found, "the guest has no frame buffer %r" % name)
                path = os.path.join(TMP, ident + ".ppm")

                def seen():
                    guest.qmp.do("screendump", filename=path, device=ident)
                    with open(path, "rb") as file:
                        picture = read_ppm(file.read())
                    size = (picture.width, picture.height)
                    return size == (int(found[1]), int(found[2])) and all(
                        picture.pixel(x, y) == COLORS[x % 4]
                        for y in (picture.height // 2, picture.height - 1)
                        for x in (*range(16), picture.width - 1))

                wait_for("the stripes of " + device, seen, 60)
        with test("%s: the kernel complains about no card" % label):
            lines = out.split("DMESG-BEGIN")[1].split("DMESG-END")[0].splitlines()
            bad = [line for line in lines if COMPLAINT.search(line)]
            check(not bad, " | ".join(bad))
        guest.qmp.do("quit")


screens("several cards", ["bochs", "virtio_gpu", "cirrus"],
        [("video0", "cirrus-vga", "cirrus"), ("video1", "bochs-display", "bochs"),
         ("video2", "virtio-gpu-pci", "virtio_gpu")])
screens("VGA", ["bochs"], [("video0", "VGA", "bochs")])
screens("virtio-vga", ["virtio_gpu"], [("video0", "virtio-vga", "virtio_gpu")])
