#!/usr/bin/python3
"""82-virtinst - Debian's virt-install, virt-clone, virt-xml and virt-xml-validate against virtkilnd, on
this host's /dev/kvm: each way of installing makes a guest that runs, and each edit is there afterwards.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET

import libvirt

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from daemon import Daemon, run  # noqa: E402

ISO = "/usr/lib/grub-rescue/grub-rescue-cdrom.iso"
GUEST = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../lab/guest")
# Networks are the daemon's own, but viewers' addresses need a loopback.
LOOPBACK = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


class Host:
    """A daemon and the programs, whose files stay in its directory."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.conn = libvirt.open(daemon.uri("qemu"))
        self.env = dict(os.environ, HOME=daemon.root, XDG_CACHE_HOME=daemon.root + "/cache")

    def image(self, name):
        return os.path.join(self.daemon.root, "var/lib/libvirt/images", name)

    def do(self, program, *argv, expect=0, given=None):
        done = subprocess.run([program, "--connect", self.daemon.uri("qemu")] + list(argv), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.env,
                              timeout=200, check=False, input=given)
        assert done.returncode == expect, "%s %s: %d: %s" % (
            program, " ".join(argv), done.returncode, done.stdout)
        return done.stdout

    def install(self, name, *argv):
        self.do("virt-install", "--name", name, "--memory", "128", "--noautoconsole", "--network",
                "none", "--wait", "0", *argv)
        dom = self.conn.lookupByName(name)
        assert dom.isActive() and dom.isPersistent(), name
        return dom

    def edit(self, *argv, expect=0, given=None):
        return self.do("virt-xml", "edited", *argv, expect=expect, given=given)

    def seen(self, path, live=False):
        flags = 0 if live else libvirt.VIR_DOMAIN_XML_INACTIVE
        return ET.fromstring(self.conn.lookupByName("edited").XMLDesc(flags)).findall(path)

    def close(self):
        self.conn.close()


def ways_to_install():
    with Daemon(wrap=LOOPBACK) as daemon:
        host = Host(daemon)
        shutil.copy(ISO, host.image("grub.iso"))
        cd = host.install("cd", "--cdrom", host.image("grub.iso"), "--disk", "size=1", "--osinfo",
                          "detect=on,require=off")
        assert "grub.iso" in cd.XMLDesc(0), "the CD is not in the drive"
        assert "<on_reboot>destroy" in cd.XMLDesc(0) and "<on_reboot>restart" in cd.XMLDesc(
            libvirt.VIR_DOMAIN_XML_INACTIVE), "not an installation first"
        cd.destroy()
        host.install("net", "--pxe", "--disk", "none", "--osinfo", "linux2022").destroy()
        tree = os.path.join(daemon.root, "tree")
        os.mkdir(tree)
        kernel, initrd = subprocess.run([GUEST], check=True, capture_output=True,
                                        text=True).stdout.split()[:2]
        shutil.copy(kernel, tree + "/linux")
        shutil.copy(initrd, tree + "/initrd")
        tree = host.install("tree", "--location", tree + ",kernel=linux,initrd=initrd", "--disk", "none",
                            "--osinfo", "generic", "--extra-args", "console=ttyS0")
        assert "<cmdline>console=ttyS0</cmdline>" in tree.XMLDesc(0)
        assert "<kernel>" not in tree.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        tree.destroy()
        # the tree of a Debian mirror, which virt-install knows by its manifest
        images = os.path.join(daemon.root, "dists/bookworm/main/installer-amd64/current/images")
        netboot = os.path.join(images, "netboot/debian-installer/amd64")
        os.makedirs(netboot)
        with open(images + "/MANIFEST", "w", encoding="ascii") as stream:
            stream.write("netboot/debian-installer/amd64/linux -- kernel\n")
        shutil.copy(kernel, netboot + "/linux")
        shutil.copy(initrd, netboot + "/initrd.gz")
        mirror = host.install("mirror", "--location", images[:-len("current/images")], "--disk", "none",
                              "--osinfo", "debian11")
        assert "method=" in mirror.XMLDesc(0) or "<initrd>" in mirror.XMLDesc(0)
        mirror.destroy()
        host.do("virsh", "vol-create-as", "default", "ready.qcow2", "1G", "--format", "qcow2")
        image = host.install("image", "--import", "--disk", host.image("ready.qcow2"), "--osinfo",
                             "debian11", "--cloud-init", "root-password-generate=on")
        assert "ds=nocloud" in image.XMLDesc(0) and "device='cdrom'" in image.XMLDesc(0)
        said = host.do("virt-install", "--name", "twice", "--memory", "64", "--network", "none",
                       "--noautoconsole", "--import", "--disk", host.image("ready.qcow2"), "--osinfo",
                       "debian11", "--check", "path_in_use=off", expect=1)
        assert "in use by domain 'image'" in said, said
        image.destroy()
        host.close()


def clones():
    with Daemon(wrap=LOOPBACK) as daemon:
        host = Host(daemon)
        first = host.install("first", "--import", "--disk", "size=1", "--osinfo", "debian11")
        first.destroy()
        host.do("virt-clone", "-o", "first", "-n", "second", "--auto-clone")
        host.do("virt-clone", "-o", "first", "-n", "third", "--file", host.image("other.img"))
        for name, image in (("second", "second.qcow2"), ("third", "other.img")):
            clone = host.conn.lookupByName(name)
            assert host.image(image) in clone.XMLDesc(0) and os.path.exists(host.image(image))
            clone.create()
            clone.destroy()
        said = host.do("virt-clone", "-o", "first", "-n", "fourth", "--auto-clone", "--print-xml")
        assert "fourth.qcow2" in said and not os.path.exists(host.image("fourth.qcow2")), said
        host.do("virt-clone", "-o", "first", "-n", "third", "--preserve-data", "--file", host.image("other.img"),
                "--replace", "--check", "path_in_use=off")
        assert os.path.exists(host.image("other.img"))
        said = host.do("virt-clone", "-o", "first", "-n", "second", "--auto-clone", expect=1)
        assert "second" in said and "in use" in said, said
        host.close()


def clones_of_uefi():
    """A variable store with a name of its own is copied with its bytes; a chosen one is made anew."""
    with Daemon(wrap=LOOPBACK) as daemon:
        host = Host(daemon)
        host.install("chosen", "--import", "--disk", "size=1", "--osinfo", "debian11", "--boot", "uefi").destroy()
        store = os.path.join(daemon.root, "var/lib/kiln/nvram/%s_VARS.fd")
        loader = "loader=/usr/share/OVMF/OVMF_CODE_4M.fd,loader.readonly=yes,loader.type=pflash,nvram="
        host.install("named", "--import", "--disk", "size=1", "--osinfo", "debian11", "--boot",
                     loader + store % "named" + ",nvram.template=/usr/share/OVMF/OVMF_VARS_4M.fd").destroy()
        with open(store % "named", "r+b") as stream:
            stream.write(b"mark")
        for name in ("chosen", "named"):
            host.do("virt-clone", "-o", name, "-n", name + "2", "--auto-clone")
            clone = host.conn.lookupByName(name + "2")
            clone.create()
            assert store % (name + "2") in clone.XMLDesc(0), clone.XMLDesc(0)
            clone.destroy()
            with open(store % (name + "2"), "rb") as stream:
                assert (stream.read(4) == b"mark") == (name == "named"), name
        host.close()


def edits():
    with Daemon(wrap=LOOPBACK) as daemon:
        host = Host(daemon)
        dom = host.install("edited", "--import", "--disk", "size=1", "--osinfo", "debian11")
        dom.destroy()
        host.edit("--edit", "--memory", "96,maxmemory=160")
        host.edit("--edit", "--cpu", "host-model")
        host.edit("--edit", "--boot", "menu=on")
        host.edit("--add-device", "--network", "user,model=e1000e")
        host.edit("--add-device", "--disk", "size=1,bus=sata")
        host.edit("--edit", "target=sda", "--disk", "cache=none,serial=abc")
        assert host.seen("memory")[0].text == "163840" and host.seen("cpu[@mode='host-model']")
        assert host.seen("os/bootmenu[@enable='yes']") and len(host.seen("devices/interface")) == 1
        assert host.seen("devices/disk[serial='abc']/driver[@cache='none']")
        host.edit("--remove-device", "--disk", "target=sda")
        assert len(host.seen("devices/disk")) == 1
        dom.create()
        host.edit("--update", "--add-device", "--disk", "size=1,bus=virtio")
        host.edit("--update", "--add-device", "--rng", "/dev/random")
        host.edit("--update", "--edit", "--network", "link.state=down")
        for live in (False, True):
            assert len(host.seen("devices/disk", live)) == 2, live
            assert len(host.seen("devices/rng", live)) == 2, live
            assert host.seen("devices/interface/link[@state='down']", live), live
        said = host.edit("--edit", "--events", "on_crash=preserve")
        assert "after the domain is fully powered off" in said, said
        assert host.seen("on_crash")[0].text == "preserve"
        assert host.seen("on_crash", True)[0].text == "destroy"
        host.edit("--edit", "--vcpus", "bad", expect=1)
        host.edit("--update", "--remove-device", "--rng", "2")
        dom.destroy()
        host.close()


def other_ways_to_edit():
    """What virt-xml only prints, asks about, takes from its input, starts, or does to several."""
    with Daemon(wrap=LOOPBACK) as daemon:
        host = Host(daemon)
        host.install("edited", "--import", "--disk", "size=1", "--disk", "size=1", "--osinfo", "debian11").destroy()
        shown = host.do("virsh", "dumpxml", "edited")
        said = host.edit("--edit", "--memory", "96", "--print-diff")
        assert "+  <currentMemory unit=\"KiB\">98304" in said.replace("'", "\""), said
        said = host.edit("--edit", "--memory", "96", "--print-xml")
        assert "98304" in said and "<domain" in said, said
        host.edit("--edit", "--memory", "96", "--no-define", "--print-xml")
        assert "y/n" in host.edit("--edit", "--memory", "96", "--confirm", given="no\n")
        assert host.do("virsh", "dumpxml", "edited") == shown, "what was only asked for has been done"
        host.edit("--edit", "--memory", "96", "--confirm", given="yes\n")
        assert host.seen("currentMemory")[0].text == "98304"
        host.edit("--edit", "--memory", "112", "--print-diff", "--define")
        assert host.seen("currentMemory")[0].text == str(112 << 10)
        built = host.do("virt-xml", "--build-xml", "--disk", "path=%s,device=cdrom" % ISO)
        assert "<disk" in built and "cdrom" in built, built
        piped = host.do("virt-xml", "--edit", "all", "--disk", "cache=none", given=shown)
        assert piped.replace("'", "\"").count("cache=\"none\"") == 2, piped
        host.edit("--edit", "all", "--disk", "cache=none")
        host.edit("--edit", "2", "--disk", "cache=writeback")
        host.edit("--edit", "target=vda", "--disk", "discard=")
        caches = [part.get("cache") for part in host.seen("devices/disk/driver")]
        assert caches == ["none", "writeback"], caches
        assert host.seen("devices/disk/driver")[0].get("discard") is None
        for given in (("--watchdog", "i6300esb,action=reset"),
                      ("--input", "keyboard,bus=usb"), ("--channel", "unix,target.type=virtio,target.name=x"),
                      ("--serial", "pty"), ("--panic", "isa")):
            host.edit("--add-device", *given)
            assert host.seen("devices/" + given[0][2:]), given
        host.edit("--remove-device", "--watchdog", "1")
        host.edit("--remove-device", "--input", "bus=usb,type=keyboard")
        host.edit("--remove-device", "--disk", "all")
        assert not host.seen("devices/watchdog") and not host.seen("devices/disk")
        host.edit("--edit", "--metadata", "title=a title,description=words")
        host.edit("--edit", "--boot", "network,hd,menu=off")
        host.edit("--edit", "--clock", "offset=localtime")
        host.edit("--edit", "--features", "vmport.state=off")
        host.edit("--edit", "--xml", "./title=by path", "--start")
        assert host.seen("title")[0].text == "by path" and host.seen("clock")[0].get("offset") == "localtime"
        assert [boot.get("dev") for boot in host.seen("os/boot")] == ["network", "hd"]
        dom = host.conn.lookupByName("edited")
        assert dom.isActive(), "--start did not"
        host.edit("--remove-device", "--disk", "1", expect=1)
        dom.destroy()
        host.close()


def all_is_valid_xml():
    with Daemon(wrap=LOOPBACK) as daemon:
        host = Host(daemon)
        dom = host.install("edited", "--import", "--disk", "size=1", "--osinfo", "generic")
        path = os.path.join(daemon.root, "shown.xml")
        for command in (["dumpxml", "edited"], ["dumpxml", "edited", "--inactive"], ["capabilities"],
                        ["net-dumpxml", "default"], ["pool-dumpxml", "default"], ["domcapabilities"],
                        ["vol-dumpxml", "edited.qcow2", "default"]):
            text = host.do("virsh", *command)
            if command == ["capabilities"]:
                # libvirt, too, writes of a host names that its schema has no dot for (sse4.1)
                text = re.sub(r"<feature name='[^']*\.[^']*'/>", "", text)
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text)
            done = subprocess.run(["virt-xml-validate", path], capture_output=True, text=True, check=False)
            assert done.returncode == 0, "%r: %s" % (command, done.stderr)
        dom.destroy()
        host.close()


if __name__ == "__main__":
    TESTS = [ways_to_install, clones, clones_of_uefi, edits, other_ways_to_edit, all_is_valid_xml]
    WHY = None
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        WHY = "no /dev/kvm for this user"
    elif os.geteuid() != 0:
        WHY = "needs root for a network namespace"
    elif shutil.which("virt-install") is None or not os.path.exists(ISO):
        WHY = "no virt-install, or no CD of grub-rescue-pc"
    if WHY:
        for test in TESTS:
            print("skip %s - %s" % (test.__name__.replace("_", "-"), WHY))
        sys.exit(0)
    libvirt.registerErrorHandler(lambda *_: None, None)
    run(TESTS)
