#!/usr/bin/python3
"""65-disks - guests on encrypted images, on exports of an NBD server, and on the formats of other
hypervisors, with disks that come while they run; by virsh and python3-libvirt.

GRUB speaks on the serial line when its disk reads as it should. Skips without qemu-img, qemu-nbd
(Debian package qemu-utils) or GRUB's rescue image (grub-rescue-pc).
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys

import libvirt
import libvirt_qemu

import certificates
from daemon import Daemon, event_loop, refused, run, wait_for

GRUB = "/usr/lib/grub-rescue/grub-rescue-cdrom.iso"
SECONDS = 120
VALUE = "opens-all-of-it"
UUID = "0a81f5b2-8403-7b23-c8d6-21ccc2f80d6f"
SECRET = """<secret ephemeral='no' private='yes'>
  <uuid>%s</uuid>
  <usage type='volume'><volume>the-disks</volume></usage>
</secret>""" % UUID
BY_UUID = "<encryption format='luks'><secret type='passphrase' uuid='%s'/></encryption>" % UUID
BY_USAGE = "<encryption format='luks'><secret type='passphrase' usage='the-disks'/></encryption>"
XML = """<domain type='kvm'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type><bios useserial='yes'/></os>
  <features><acpi/></features>
  <devices>{disks}
    <controller type='pci' model='pcie-root'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <controller type='pci' model='pcie-root-port'/>
    <serial type='file'><source path='{serial}'/></serial>
  </devices>
</domain>
"""


def qemu_img(*words):
    for last in [False] * 20 + [True]:
        done = subprocess.run(["qemu-img", *words], check=False, capture_output=True, text=True)
        if last or "accurate CPU usage" not in done.stderr:  # how fast keys are hashed
            assert done.returncode == 0, (words, done.stderr)
            return


def disk(kind, form, target, inside, more=""):
    return ("<disk type='%s' device='disk'><driver name='qemu' type='%s'/>%s"
            "<target dev='%s' bus='virtio'/>%s</disk>" % (kind, form, inside, target, more))


def boots(serial):
    wait_for("the guest", lambda: os.path.exists(serial) and b"GRUB loading" in open(serial, "rb").read())


def told_to_nobody(name):
    """The value of the secret is in no process's command line and in no log."""
    seen = 0
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = open("/proc/%s/cmdline" % pid, "rb").read()
            seen += b"guest=" + name.encode() in words
            assert VALUE.encode() not in words, words
    assert seen, "the guest's process was not found"


def encrypted(daemon, conn):
    at = {n: os.path.join(daemon.root, n)
          for n in ("plain", "luks", "over", "plug", "vdi", "vpc", "vmdk", "serial")}
    key = ["--object", "secret,id=k,data=" + VALUE]
    opts = "encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=100"
    qemu_img("convert", "-O", "raw", GRUB, at["plain"])
    qemu_img("convert", *key, "-O", "luks", "-o", "key-secret=k,iter-time=100", at["plain"],
             at["luks"])
    size = str(os.path.getsize(at["plain"]))
    qemu_img("create", "-q", "-f", "qcow2", *key, "-o", opts, at["over"], size)
    qemu_img("rebase", *key, "-q", "-u", "-b", at["luks"], "-F", "luks", "--image-opts",
             "driver=qcow2,encrypt.format=luks,encrypt.key-secret=k,file.filename=" + at["over"])
    qemu_img("create", "-q", "-f", "luks", *key, "-o", "key-secret=k,iter-time=100", at["plug"],
             "8M")
    for form in ("vdi", "vpc", "vmdk"):
        qemu_img("convert", "-O", form, at["plain"], at[form])
    backing = ("<backingStore type='file'><format type='raw'/><source file='%s'>%s</source>"
               "<backingStore/></backingStore>" % (at["luks"], BY_UUID))
    disks = disk("file", "qcow2", "vda", "<source file='%s'/>%s" % (at["over"], backing), BY_USAGE)
    for target, form in (("vdb", "vdi"), ("vdc", "vpc"), ("vdd", "vmdk")):
        disks += disk("file", form, target, "<source file='%s'/>" % at[form])
    dom = conn.defineXML(XML.format(name="hidden", disks=disks, serial=at["serial"]))
    refused(libvirt.VIR_ERR_NO_SECRET, "", dom.create)
    path = os.path.join(daemon.root, "secret.xml")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(SECRET)
    daemon.virsh("secret-define", path)
    conn.secretLookupByUUIDString(UUID).setValue(b"wrong")
    refused(libvirt.VIR_ERR_INTERNAL_ERROR, "", dom.create)
    conn.secretLookupByUUIDString(UUID).setValue(VALUE.encode())
    dom.create()
    boots(at["serial"])
    told_to_nobody("hidden")
    assert dom.XMLDesc().count("<encryption format='luks'") == 2, dom.XMLDesc()
    assert dom.blockInfo("vdb")[0] >= int(size), dom.blockInfo("vdb")

    plug = disk("file", "raw", "vde", "<source file='%s'>%s</source>" % (at["plug"], BY_UUID))
    dom.attachDeviceFlags(plug, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    told_to_nobody("hidden")
    assert dom.blockInfo("vde")[0] == 8 << 20, dom.blockInfo("vde")
    dom.destroy()
    qemu_img("check", "-q", *key, "--image-opts",
             "driver=qcow2,encrypt.key-secret=k,backing.driver=luks,backing.key-secret=k,"
             "backing.file.filename=%s,file.filename=%s" % (at["luks"], at["over"]))
    dom.undefine()


def plugged(daemon, conn):
    """Images that want libraries, plugged into guests that had no use for them: compressed ones always,
    encrypted ones where a secret was defined when the guest started."""
    at = {n: os.path.join(daemon.root, n) for n in ("plain", "packed", "sealed", "before-serial", "after-serial")}
    qemu_img("convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", at["plain"], at["packed"])
    qemu_img("create", "-q", "-f", "luks", "--object", "secret,id=k,data=" + VALUE, "-o",
             "key-secret=k,iter-time=100", at["sealed"], "8M")
    packed = disk("file", "qcow2", "vdb", "<source file='%s'/>" % at["packed"])
    sealed = disk("file", "raw", "vdc", "<source file='%s'>%s</source>" % (at["sealed"], BY_UUID))
    live = libvirt.VIR_DOMAIN_AFFECT_LIVE
    disks = disk("file", "raw", "vda", "<source file='%s'/>" % at["plain"])
    conn.secretLookupByUUIDString(UUID).undefine()
    for when in ("before", "after"):
        dom = conn.defineXML(XML.format(name=when, disks=disks, serial=at[when + "-serial"]))
        dom.create()
        boots(at[when + "-serial"])
        dom.attachDeviceFlags(packed, live)
        assert dom.blockInfo("vdb")[0] == os.path.getsize(at["plain"]), dom.blockInfo("vdb")
        if when == "before":
            secret = conn.secretDefineXML(SECRET)
            secret.setValue(VALUE.encode())
            refused(libvirt.VIR_ERR_INTERNAL_ERROR, "crypto=on", dom.attachDeviceFlags, sealed, live)
            assert "vdc" not in dom.XMLDesc(), dom.XMLDesc()
        else:
            dom.attachDeviceFlags(sealed, live)
            assert dom.blockInfo("vdc")[0] == 8 << 20, dom.blockInfo("vdc")
            told_to_nobody(when)
        dom.destroy()
        dom.undefine()


def listens(path):
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
        return client.connect_ex(path) == 0


@contextlib.contextmanager
def exported(form, image, path, *options):
    server = subprocess.Popen(["qemu-nbd", "-t", "-e", "4", "-x", "it", "-f", form, "-k", path,
                               *options, image])
    try:
        wait_for("the server", lambda: listens(path))
        yield
    finally:
        server.terminate()
        server.wait()


def network(daemon, conn):
    at = {n: os.path.join(daemon.root, n)
          for n in ("plain", "vdi", "layer", "one", "two", "three", "nbd-serial")}
    source = ("<source protocol='nbd' name='it'><host transport='unix' socket='%s'/>%s</source>")
    qemu_img("create", "-q", "-f", "qcow2", at["layer"], "8M")
    with exported("raw", at["plain"], at["one"]), exported("raw", at["layer"], at["two"]), \
            exported("vdi", at["vdi"], at["three"]):
        disks = disk("network", "raw", "vda", source % (at["one"], ""))
        alone = disk("network", "qcow2", "vdb", source % (at["two"], ""))
        ended = disk("network", "qcow2", "vdb", source % (at["two"], "") + "<backingStore/>")
        dom = conn.defineXML(XML.format(name="far", disks=disks + alone, serial=at["nbd-serial"]))
        refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, "<backingStore>", dom.create)
        dom.undefine()
        dom = conn.defineXML(XML.format(name="far", disks=disks + ended, serial=at["nbd-serial"]))
        dom.create()
        boots(at["nbd-serial"])
        live = dom.XMLDesc()
        assert "<source protocol='nbd' name='it' index='1'>" in live, live
        assert "<host transport='unix' socket='%s'/>" % at["one"] in live, live
        assert dom.blockInfo("vda")[0] == os.path.getsize(at["plain"]), dom.blockInfo("vda")
        dom.attachDeviceFlags(disk("network", "raw", "vdc", source % (at["three"], "")),
                              libvirt.VIR_DOMAIN_AFFECT_LIVE)
        assert "socket='%s'" % at["three"] in dom.XMLDesc()
        limits(daemon, dom)
        dom.destroy()
        dom.undefine()


def trusted(daemon, conn):
    """NBD by TLS, with the credentials where libvirt has them."""
    at = {n: os.path.join(daemon.root, n) for n in ("plain", "tls", "tls-serial")}
    pki = os.path.join(daemon.root, "etc/pki/qemu")
    certificates.make(pki)
    source = "<source protocol='nbd' name='it' tls='yes'%s><host transport='unix' socket='%s'/></source>"
    with exported("raw", at["plain"], at["tls"], "--object",
                  "tls-creds-x509,id=t,endpoint=server,dir=" + pki, "--tls-creds", "t"):
        other = disk("network", "raw", "vda", source % (" tlsHostname='elsewhere'", at["tls"]))
        dom = conn.defineXML(XML.format(name="trusted", disks=other, serial=at["tls-serial"]))
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, "TLS", dom.create)
        dom.undefine()
        right = disk("network", "raw", "vda", source % (" tlsHostname='localhost'", at["tls"]))
        dom = conn.defineXML(XML.format(name="trusted", disks=right, serial=at["tls-serial"]))
        dom.create()
        boots(at["tls-serial"])
        assert "tls='yes' tlsHostname='localhost'" in dom.XMLDesc(), dom.XMLDesc()
        refused(libvirt.VIR_ERR_OPERATION_UNSUPPORTED, "before it starts", dom.attachDeviceFlags,
                disk("network", "raw", "vdb", source % (" tlsHostname='localhost'", at["tls"])),
                libvirt.VIR_DOMAIN_AFFECT_LIVE)
        dom.destroy()
        dom.undefine()


def limits(daemon, dom):
    seen = []
    dom.connect().domainEventRegisterAny(dom, libvirt.VIR_DOMAIN_EVENT_ID_TUNABLE,
                                         lambda conn, dom, params, opaque: seen.append(params),
                                         None)

    def vmm(target):
        drives = json.loads(libvirt_qemu.qemuMonitorCommand(dom, '{"execute":"query-block"}', 0))
        return [d["inserted"] for d in drives["return"] if d["qdev"] == "virtio-disk%d" % target][0]

    daemon.virsh("blkdeviotune", "far", "vda", "--total-bytes-sec", "1048576",
                 "--total-bytes-sec-max", "4194304", "--total-bytes-sec-max-length", "3",
                 "--live", "--config")
    shown = daemon.virsh("blkdeviotune", "far", "vda")
    assert "total_bytes_sec: 1048576" in shown and "read_iops_sec  : 0" in shown, shown
    assert vmm(0)["bps"] == 1 << 20 and vmm(0)["bps_max_length"] == 3, vmm(0)
    for flag in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):
        assert "<total_bytes_sec_max>4194304<" in dom.XMLDesc(flag), dom.XMLDesc(flag)
    event = {"blkdeviotune.disk": "vda", "blkdeviotune.total_bytes_sec": 1 << 20,
             "blkdeviotune.total_bytes_sec_max": 4 << 20,
             "blkdeviotune.total_bytes_sec_max_length": 3}
    wait_for("the event", lambda: event in seen)
    # the other kind of limits comes to them; both disks share a group from then on
    dom.setBlockIoTune("vda", {"read_iops_sec": 100, "group_name": "both"})
    dom.setBlockIoTune("vdb", {"group_name": "both"})
    tune = dom.blockIoTune("vdb")
    assert tune["total_bytes_sec"] == 1 << 20 and tune["read_iops_sec"] == 100, tune
    assert tune["group_name"] == "both" and len(tune) == 20, tune
    assert vmm(1)["group"] == vmm(0)["group"] == "both" and vmm(1)["iops_rd"] == 100, vmm(1)
    dom.setBlockIoTune("vdb", {"write_iops_sec": 7})
    assert dom.blockIoTune("vda")["write_iops_sec"] == 7 == vmm(0)["iops_wr"], vmm(0)
    assert dom.blockIoTune("vda")["read_iops_sec"] == 0, dom.blockIoTune("vda")
    refused(libvirt.VIR_ERR_INVALID_ARG, "cannot be set at the same time", dom.setBlockIoTune,
            "vda", {"total_iops_sec": 5, "read_iops_sec": 5})
    refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, "cannot reset 'total_bytes_sec'",
            dom.setBlockIoTune, "vda", {"total_bytes_sec": 0})
    refused(libvirt.VIR_ERR_INVALID_ARG, "not found", dom.blockIoTune, "vdz")
    dom.setBlockIoTune("vda", {name: 0 for name in tune if name != "group_name"})
    assert "<iotune>" not in dom.XMLDesc() and vmm(0)["bps"] == 0, dom.XMLDesc()


def disks():
    with event_loop(), Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        try:
            encrypted(daemon, conn)
            plugged(daemon, conn)
            network(daemon, conn)
            trusted(daemon, conn)
        finally:
            for dom in conn.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE):
                dom.destroy()
            conn.close()


if __name__ == "__main__":
    why = ("no /dev/kvm for this user" if not os.access("/dev/kvm", os.R_OK | os.W_OK) else
           "no qemu-img and qemu-nbd (qemu-utils)"
           if not shutil.which("qemu-img") or not shutil.which("qemu-nbd") else
           "no " + GRUB + " (grub-rescue-pc)" if not os.path.exists(GRUB) else None)
    if why:
        print("skip disks - " + why)
        sys.exit(0)
    libvirt.registerErrorHandler(lambda *_: None, None)
    run([disks])
