#!/usr/bin/python3
"""Disks and network cards come and go, many times, under a stock kernel that is reading its disk all the
while: on q35 by the root ports' own hot plug, on pc by ACPI, there also behind a bridge. kiln-vmm
neither grows nor keeps descriptors.

# timeout: 900

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import TMP, check, test, wait_for  # noqa: E402
from vmm import Guest, initrd_with  # noqa: E402

MIB = 1 << 20
ROUNDS = int(os.environ.get("KILN_HOTPLUG_ROUNDS", "4"))
GROWTH_KIB = 512
MODULES = ("virtio_scsi", "e1000")

# Says what disks and cards there are whenever that changes, having read each new disk.
SCRIPT = """
for module in /extra/*.ko; do insmod $module 2> /dev/null; done
{ while :; do dd if=/dev/vda of=/dev/null bs=65536 iflag=direct 2> /dev/null; done; } &
last=
round=0
while [ ! -e /tmp/stop ]; do
    now=$(cd /sys/block && echo vd?)-$(cd /sys/class/net && echo eth*)
    if [ "$now" != "$last" ]; then
        sleep 0.3
        [ -b /dev/vdb ] && dd if=/dev/vdb of=/dev/null bs=1M count=1 2> /dev/null
        round=$((round + 1))
        disks=$(ls -d /sys/block/vd? | wc -l)
        cards=$(ls -d /sys/class/net/eth* 2> /dev/null | wc -l)
        echo "STATE $round disks $disks cards $cards."
        last=$now
    fi
    sleep 0.2
done
"""


def image(name, mib):
    path = os.path.join(TMP, name)
    with open(path, "wb") as file:
        file.truncate(mib * MIB)
    os.chmod(path, 0o666)
    return path


class HotGuest(Guest):
    def usage(self):
        pid = self.process.pid
        with open("/proc/%d/status" % pid) as file:
            rss = [line.split()[1] for line in file if line.startswith("RssAnon")]
        return int(rss[0]), len(os.listdir("/proc/%d/fd" % pid))

    def state(self):
        # Other programs write on the same line at times.
        return (re.findall(r"STATE \d+ (disks \d+ cards \d+)\.", self.output()) or [""])[-1]

    def wait_state(self, disks, cards):
        wanted = "disks %d cards %d" % (disks, cards)
        wait_for("'%s' in the guest" % wanted, lambda: self.state() == wanted, 90)

    def deleted(self):
        # A command makes the session read what has come.
        self.qmp.do("query-status")
        return [event["data"].get("device") for event in self.qmp.events
                if event["event"] == "DEVICE_DELETED"]


def plug(guest, images, places):
    qmp = guest.qmp
    for ident, path in images.items():
        qmp.do("blockdev-add", driver="file", **{"node-name": ident, "filename": path})
    for ident in ("n1", "n2"):
        qmp.do("netdev_add", type="user", id=ident)
    qmp.do("device_add", driver="virtio-blk-pci", id="blk", drive="b1", **places[0])
    qmp.do("device_add", driver="virtio-net-pci", id="net", netdev="n1", **places[1])
    qmp.do("device_add", driver="e1000", id="card", netdev="n2", **places[2])
    qmp.do("device_add", driver="virtio-scsi-pci", id="hba", **places[3])


def unplug(guest, images):
    qmp, before = guest.qmp, len(guest.deleted())
    for ident in ("blk", "net", "card", "hba"):
        qmp.do("device_del", id=ident)
    wait_for("DEVICE_DELETED of all", lambda: len(guest.deleted()) == before + 4, 90)
    for ident in ("n1", "n2"):
        qmp.do("netdev_del", id=ident)
    for ident in images:
        qmp.do("blockdev-del", **{"node-name": ident})


def try_machine(machine, fixed, places):
    images = {"b1": image(machine + "-b1", 4)}
    initrd = initrd_with(os.path.join(TMP, "initrd-" + machine), MODULES, {"run": SCRIPT.encode()})
    root = image(machine + "-root", 16)
    with HotGuest("-machine", machine, "-smp", "2", *fixed,
                  "-blockdev", "driver=file,node-name=root,filename=" + root,
                  "-device", "virtio-blk-pci,drive=root,addr=0x1c", "-sandbox", "off",
                  initrd=initrd, cmdline='kiln.run="sh /extra/run"', sandbox=False) as guest:
        guest.wait_output("STATE")
        guest.wait_state(1, 0)
        for number in range(ROUNDS):
            plug(guest, images, places)
            guest.wait_state(2, 2)
            unplug(guest, images)
            guest.wait_state(1, 0)
            if number == 0:
                first = guest.usage()
        time.sleep(1)
        last = guest.usage()
        print("%s: %d rounds, RssAnon %d to %d KiB, descriptors %d to %d"
              % (machine, ROUNDS, first[0], last[0], first[1], last[1]))
        check(last[1] == first[1], "descriptors: %d, then %d" % (first[1], last[1]))
        check(last[0] <= first[0] + GROWTH_KIB, "RssAnon: %d, then %d KiB" % (first[0], last[0]))
        guest.qmp.do("quit")
        guest.end()


PORTS = range(1, 5)
with test("devices come and go on q35"):
    try_machine("q35", [word for number in PORTS for word in
                        ("-device", "pcie-root-port,id=p%d,chassis=%d,addr=%#x" % ((number,) * 3))],
                [{"bus": "p%d" % number} for number in PORTS])
with test("devices come and go on pc, also behind a bridge"):
    try_machine("pc", ["-device", "pci-bridge,id=br,chassis_nr=1,addr=0x8"],
                [{"bus": "pci.0", "addr": "%#x" % slot} for slot in (0x10, 0x11, 0x12)]
                + [{"bus": "br", "addr": "0x3"}])
