#!/usr/bin/python3
"""Pools on block devices by the stock virsh: partitions of a disk (dos and gpt), a volume group of
LVM on two of them, their volumes, what changes behind the daemon's back, and a guest's disk.

# timeout: 500

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import Daemon, IMG, TMP, check, fails, run, test, virsh, write  # noqa: E402

MIB = 1 << 20
DISK = "/dev/vda"
SCHEMAS = "/usr/share/libvirt/schemas/%s.rng"
GROUP = """<pool type='logical'><name>group</name>
  <source><device path='/dev/vda1'/><device path='/dev/vda2'/><name>kilnvg</name></source>
  <target><path>/dev/kilnvg</path></target></pool>"""
SNAPSHOT = """<volume><name>snap</name><capacity unit='MiB'>64</capacity>
  <allocation unit='MiB'>16</allocation>
  <backingStore><path>/dev/kilnvg/first</path></backingStore></volume>"""
GUEST = """<domain type='kvm'><name>on-lvm</name><memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices><disk type='volume' device='disk'><driver name='qemu' type='raw'/>
    <source pool='group' volume='first'/><target dev='vda' bus='virtio'/></disk></devices></domain>"""


def refused(*argv, expect):
    return fails("virsh", "-c", "qemu:///system", *argv, expect=expect)


def valid(kind, text):
    subprocess.run(["xmllint", "--noout", "--relaxng", SCHEMAS % kind, "-"], input=text, text=True,
                   check=True, capture_output=True)
    return text


def volumes(pool):
    rows = virsh("vol-list", pool).splitlines()[2:]
    return [row.split()[0] for row in rows if row.strip()]


def info(pool):
    rows = (row.split(":", 1) for row in virsh("pool-info", pool, "--bytes").splitlines() if ":" in row)
    return {key: value.strip() for key, value in rows}


def table():
    found = json.loads(run("sfdisk", "--json", DISK))["partitiontable"]
    return found["label"], {p["node"]: p for p in found.get("partitions", [])}


def partitions():
    with test("disk: a pool is built, but not over something"):
        run("wipefs", "--all", DISK)
        run("mkfs.ext4", "-q", DISK, "64M")
        virsh("pool-define-as", "disk", "disk", "--source-dev", DISK, "--source-format", "dos",
              "--target", "/dev")
        refused("pool-start", "disk", expect="no partition table")
        refused("pool-build", "disk", expect="'ext4' is on device")
        refused("pool-build", "disk", "--no-overwrite", expect="already built")
        virsh("pool-build", "disk", "--overwrite")
        check(table()[0] == "dos", "no table")
        virsh("pool-start", "disk")
        valid("storagepool", virsh("pool-dumpxml", "disk"))
    with test("disk: partitions are made by the rules of the table"):
        refused("vol-create-as", "disk", "mine", "16M", expect="expected 'vda1'")
        for name, size, form in (("vda1", "300M", "linux-lvm"), ("vda2", "200M", "linux-lvm"),
                                 ("vda3", "64M", "linux"), ("vda4", "256M", "extended"),
                                 ("vda5", "32M", "none"), ("vda6", "32M", "linux-swap")):
            virsh("vol-create-as", "disk", name, size, "--format", form)
        refused("vol-create-as", "disk", "vda7", "8M", "--format", "extended", expect="already exists")
        refused("vol-create-as", "disk", "vda7", "900M", expect="no large enough")
        check(volumes("disk") == ["vda%d" % n for n in range(1, 7)], "volumes")
        have = table()[1]
        check([have["/dev/vda%d" % n]["type"] for n in range(1, 7)] ==
              ["8e", "8e", "83", "5", "83", "82"], str(have))
        dump = valid("storagevol", virsh("vol-dumpxml", "vda3", "--pool", "disk"))
        check("<capacity unit='bytes'>%d<" % (64 * MIB) in dump and "type='block'" in dump, dump)
        check(all(os.path.exists("/dev/" + name) for name in volumes("disk")), "no device")
    with test("disk: bytes go into partitions and out of them; one in use stays"):
        source = write("bytes", "partition " * 1000)
        virsh("vol-upload", "--pool", "disk", "vda5", source)
        virsh("vol-download", "--pool", "disk", "vda5", source + ".back", "--length", "10000")
        run("cmp", source, source + ".back")
        virsh("vol-wipe", "--pool", "disk", "vda5")
        with open("/dev/vda5", "rb") as device:
            check(not any(device.read(MIB)), "it is not wiped")
        refused("vol-wipe", "--pool", "disk", "vda4", expect="extended partition")
        run("mkfs.ext4", "-q", "/dev/vda3")
        run("mount", "/dev/vda3", "/mnt")
        refused("vol-delete", "--pool", "disk", "vda3", expect="in use")
        virsh("vol-delete", "--pool", "disk", "vda5")
        check(volumes("disk") == ["vda1", "vda2", "vda3", "vda4", "vda5"], "volumes")
        check(table()[1]["/dev/vda5"]["type"] == "82", "another one went")
        run("umount", "/mnt")
        virsh("vol-delete", "--pool", "disk", "vda3")
        run("sfdisk", "--quiet", "--delete", DISK, "5")
        check(volumes("disk") == ["vda1", "vda2", "vda4"], "what sfdisk did does not show")


def groups(daemon):
    with test("logical: a volume group is built, found and started"):
        virsh("pool-define", write("group.xml", GROUP))
        refused("pool-start", "group", expect="cannot find logical volume group name 'kilnvg'")
        run("mkfs.ext4", "-q", "/dev/vda2")
        refused("pool-build", "group", expect="'ext4' is on device '/dev/vda2'")
        check("vda1" not in run("pvs"), "half of a group is left")
        virsh("pool-build", "group", "--overwrite")
        found = virsh("find-storage-pool-sources", "logical")
        check("<name>kilnvg</name>" in found and "<device path='/dev/vda2'/>" in found, found)
        virsh("pool-start", "group")
        valid("storagepool", virsh("pool-dumpxml", "group"))
        now = info("group")
        check(int(now["Capacity"]) > 480 * MIB and now["Allocation"] == "0", str(now))
    with test("logical: volumes are made, filled, copied and resized"):
        virsh("vol-create-as", "group", "first", "64M")
        with open("/dev/kilnvg/first", "wb") as device:
            device.write(b"volume " * 10000)
        virsh("vol-clone", "--pool", "group", "first", "second")
        run("cmp", "/dev/kilnvg/first", "/dev/kilnvg/second")
        image = os.path.join(TMP, "files")
        virsh("pool-create-as", "files", "dir", "--target", image, "--build")
        virsh("vol-create-as", "files", "image.qcow2", "8M", "--format", "qcow2")
        run(os.path.join(os.environ["KILN_BUILD"], "block/img/kiln-img"), "convert", "-n", "-O", "qcow2",
            write("text", "from an image " * 1000), image + "/image.qcow2")
        virsh("vol-create-from", "group", write("third.xml", "<volume><name>third</name>"
              "<capacity unit='MiB'>12</capacity></volume>"), "image.qcow2", "--inputpool", "files")
        with open("/dev/kilnvg/third", "rb") as device:
            check(device.read(13) == b"from an image", "other bytes")
        virsh("vol-resize", "third", "24M", "--pool", "group")
        dump = valid("storagevol", virsh("vol-dumpxml", "third", "--pool", "group"))
        check("<capacity unit='bytes'>%d<" % (24 * MIB) in dump and "<extent start=" in dump, dump)
        refused("vol-resize", "third", "8M", "--pool", "group", expect="shrink")
        virsh("vol-resize", "third", "8M", "--pool", "group", "--shrink")
        refused("vol-create-as", "group", "big", "2G", expect="insufficient free space")
        virsh("vol-wipe", "--pool", "group", "third")
        virsh("pool-destroy", "files")
    with test("logical: a snapshot has its origin as backing store"):
        virsh("vol-create", "group", write("snap.xml", SNAPSHOT))
        with open("/dev/kilnvg/first", "r+b") as device:
            device.write(b"changed")
        with open("/dev/kilnvg/snap", "rb") as device:
            check(device.read(7) == b"volume ", "the snapshot changed")
        dump = valid("storagevol", virsh("vol-dumpxml", "snap", "--pool", "group"))
        check("<path>/dev/kilnvg/first</path>" in dump, dump)
        check("<capacity unit='bytes'>%d<" % (64 * MIB) in dump and
              "<allocation unit='bytes'>%d<" % (16 * MIB) in dump, dump)
        refused("vol-wipe", "--pool", "group", "snap", expect="sparse")
        virsh("vol-delete", "--pool", "group", "snap")
    with test("logical: what LVM's programs do shows at once, thin volumes too"):
        run("lvcreate", "--yes", "-L", "8M", "-n", "outside", "kilnvg")
        check("outside" in volumes("group"), "not shown")
        free = int(info("group")["Available"])
        run("lvresize", "-L", "16M", "kilnvg/outside")
        check(int(info("group")["Available"]) == free - 8 * MIB, "the free space is old")
        check("16.00 MiB" in virsh("vol-info", "outside", "--pool", "group"), "the size is old")
        run("lvremove", "-f", "kilnvg/outside")
        check("outside" not in volumes("group"), "still shown")
        run("lvcreate", "--yes", "-L", "32M", "-V", "64M", "-T", "kilnvg/thinpool", "-n", "thin")
        run("lvcreate", "--yes", "-s", "-kn", "-n", "thinsnap", "kilnvg/thin")
        check(volumes("group") == ["first", "second", "thin", "thinsnap", "third"], "volumes")
        dump = valid("storagevol", virsh("vol-dumpxml", "thinsnap", "--pool", "group"))
        check("<path>/dev/kilnvg/thin</path>" in dump and
              "<allocation unit='bytes'>0<" in dump, dump)
        virsh("vol-delete", "--pool", "group", "thinsnap")
        run("lvremove", "-f", "kilnvg/thinpool")
    with test("logical: a guest runs on a volume, and the pool outlives the daemon"):
        virsh("create", write("guest.xml", GUEST), "--paused")
        check("<source dev='/dev/kilnvg/first'" in virsh("dumpxml", "on-lvm"), "another source")
        refused("pool-destroy", "group", expect="in use|failed")
        daemon.kill()
        daemon.start()
        check(info("group")["State"] == "running" and "first" in volumes("group"), "it is down")
        virsh("destroy", "on-lvm")
        virsh("vol-delete", "--pool", "group", "first")
        virsh("pool-destroy", "group")
        check(not os.path.exists("/dev/kilnvg/second"), "volumes are still active")
        virsh("pool-start", "group")
        check(volumes("group") == ["second", "third"], "volumes")
        virsh("pool-destroy", "group")
        virsh("pool-delete", "group")
        check("vda1" not in run("pvs"), "the devices are still LVM's")
        virsh("pool-undefine", "group")


def gpt():
    with test("disk: a pool is deleted, and one with a table of kind gpt made"):
        virsh("pool-destroy", "disk")
        virsh("pool-delete", "disk")
        virsh("pool-undefine", "disk")
        virsh("pool-define-as", "disk", "disk", "--source-dev", DISK, "--source-format", "gpt",
              "--target", "/dev")
        virsh("pool-build", "disk", "--no-overwrite")
        virsh("pool-start", "disk")
        for number in range(1, 7):
            virsh("vol-create-as", "disk", "vda%d" % number, "16M")
        refused("vol-create-as", "disk", "vda7", "16M", "--format", "extended", expect="gpt")
        virsh("vol-delete", "--pool", "disk", "vda2")
        virsh("vol-create-as", "disk", "vda2", "8M")
        check(table()[0] == "gpt" and len(table()[1]) == 6, "the table")
        virsh("pool-destroy", "disk")
        virsh("pool-delete", "disk")
        virsh("pool-undefine", "disk")
        check(not os.path.exists("/dev/vda1"), "a partition is left")


def shared(path):
    """Bytes of the file whose blocks are another file's too."""
    rows = [row.split(":") for row in run("filefrag", "-v", "-b512", path).splitlines() if "shared" in row]
    return sum(int(row[3]) for row in rows) * 512


def shared_blocks(kind):
    """A file system that can share blocks between files is asked to by kiln-img."""
    place = os.path.join(TMP, kind)
    source, copy, again = (os.path.join(place, name) for name in ("source", "copy", "again"))
    run("mkfs." + kind, "-q", "-f", DISK)
    os.mkdir(place)
    run("mount", DISK, place)
    try:
        with open(source, "wb") as stream:
            stream.write(os.urandom(24 << 20))
            stream.seek(1 << 20, os.SEEK_CUR)
            stream.write(os.urandom(70000))     # no whole cluster: copied
            stream.truncate(32 << 20)
        run("sync", "-f", source)
        for form, options in (("raw", ()), ("qcow2", ()), ("qcow2", ("-o", "cluster_size=2M")),
                              ("qcow2", ("-o", "extended_l2=on,preallocation=metadata"))):
            with test("%s: %s shares its blocks with the image it was made of" % (
                    kind, " ".join((form, *options)))):
                run(IMG, "convert", "-f", "raw", "-O", form, *options, source, copy)
                run("sync", "-f", copy)
                check(shared(copy) >= 24 << 20, run("filefrag", "-v", copy))
                run("qemu-img", "compare", "-f", "raw", "-F", form, source, copy)
                run(IMG, "convert", "-f", form, "-O", "raw", copy, again)
                run("cmp", source, again)
                run("sync", "-f", again)
                check(shared(again) >= 24 << 20, run("filefrag", "-v", again))
                if form == "qcow2":
                    run("qemu-img", "check", copy)
                os.unlink(copy)
                os.unlink(again)
        if kind == "xfs":
            with test("xfs: takes the size of extents that it is given, or it is said that it does not"):
                hints(copy)
    finally:
        run("umount", place)


def hints(image):
    for size, kept, word in (("1M", "[1048576]", ""), ("5000", "[0]", "takes no extent_size_hint=5000")):
        made = subprocess.run([IMG, "create", "-q", "-f", "raw", "-o", "extent_size_hint=" + size, image, "8M"],
                              check=True, capture_output=True, text=True)
        check(word in made.stderr and bool(word) == bool(made.stderr), made.stderr)
        said = run("xfs_io", "-c", "extsize", image)
        check(said.startswith(kept), said)
        os.unlink(image)


# There is no udev here: LVM makes its devices and links by itself.
os.environ["DM_DISABLE_UDEV"] = "1"
for module in ("btrfs", "xfs", "dm-mod", "dm-snapshot", "dm-thin-pool"):
    run("modprobe", module)
try:
    with Daemon() as host:
        partitions()
        groups(host)
        gpt()
    for kind in ("btrfs", "xfs"):
        shared_blocks(kind)
finally:
    subprocess.run(["vgremove", "-f", "kilnvg"], check=False, capture_output=True)
    subprocess.run(["wipefs", "--all", "--force", DISK], check=False, capture_output=True)
