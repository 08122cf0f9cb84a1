#!/usr/bin/python3
"""76-dump - core files of guests, asked for and after a crash, and looks into memory and raw disks; through the stock
bindings and virsh, and readelf. The guest is the small program of the launcher's tests.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import os
import struct
import subprocess

import libvirt

from daemon import BUILD, Daemon, event_loop, refused, run, wait_for

BARE = os.path.abspath(os.path.join(BUILD, "tests/unit/launcher/bare_guest"))
MIB = 32
XML = """<domain type='kvm'>
  <name>{name}</name>
  <memory unit='MiB'>%d</memory>
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{kernel}</kernel>
    <cmdline>{word}</cmdline>
  </os>
  <features><acpi/></features>
  <on_crash>{action}</on_crash>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='{format}'/><source file='{disk}'/>
      <target dev='vda' bus='virtio'/></disk>
    <serial type='file'><source path='{serial}'/></serial>
    <panic model='isa'/>
    <memballoon model='none'/>
  </devices>
</domain>
""" % MIB
RAW = libvirt.VIR_DOMAIN_CORE_DUMP_FORMAT_RAW


def core_holds(path, text):
    """A core file of x86-64 with a note for each processor, all memory, and the guest's own words in it."""
    with open(path, "rb") as stream:
        core = stream.read()
    assert core[:5] == b"\x7fELF\x02" and struct.unpack_from("<HH", core, 16) == (4, 62), core[:20]
    assert core.count(b"CORE\0") == 2, "notes"
    assert len(core) > MIB << 20 and text in core, "%d bytes" % len(core)
    assert os.stat(path).st_mode & 0o777 == 0o600
    os.unlink(path)


def guest(daemon, name, word="spin", action="destroy", format="raw"):
    disk = os.path.join(daemon.root, name + ".img")
    with open(disk, "wb") as stream:
        stream.write(bytes(range(256)) * 4096)
    return XML.format(name=name, kernel=BARE, word=word, action=action, format=format, disk=disk,
                      serial=os.path.join(daemon.root, name + ".serial"))


@contextlib.contextmanager
def small_disk(path):
    os.mkdir(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "none", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def cores():
    with event_loop(), Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        seen = []
        conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                    lambda conn, dom, event, detail, _: seen.append((event, detail)), None)
        path = os.path.join(daemon.root, "core")
        dom = conn.createXML(guest(daemon, "core", word="spin-and-be-found"))
        running = libvirt.VIR_DOMAIN_RUNNING
        daemon.virsh("dump", "core", path, "--memory-only", scheme="qemu", timeout=120)
        core_holds(path, b"spin-and-be-found")
        assert dom.state() == [running, libvirt.VIR_DOMAIN_RUNNING_UNPAUSED]
        wait_for("both events", lambda: (libvirt.VIR_DOMAIN_EVENT_RESUMED, 0) in seen)
        dom.coreDump(path, libvirt.VIR_DUMP_LIVE)
        core_holds(path, b"spin-and-be-found")
        wait_for("the guest goes on", lambda: dom.state()[0] == running)
        dom.suspend()
        dom.coreDumpWithFormat(path, RAW, libvirt.VIR_DUMP_RESET)
        core_holds(path, b"spin-and-be-found")
        assert dom.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER]
        dom.resume()
        refused(libvirt.VIR_ERR_OPERATION_UNSUPPORTED, "dumpformat", dom.coreDumpWithFormat, path,
                libvirt.VIR_DOMAIN_CORE_DUMP_FORMAT_KDUMP_ZLIB, libvirt.VIR_DUMP_MEMORY_ONLY)
        refused(libvirt.VIR_ERR_OPERATION_FAILED, "nowhere", dom.coreDump, daemon.root + "/nowhere/core")
        refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, "BYPASS_CACHE", dom.coreDump, path,
                libvirt.VIR_DUMP_BYPASS_CACHE)
        assert dom.state()[0] == running
        # a full disk leaves no half file, and devices are left alone
        with small_disk(os.path.join(daemon.root, "small")) as small:
            refused(libvirt.VIR_ERR_INTERNAL_ERROR, "No space left", dom.coreDump, small + "/core")
            assert not os.listdir(small)
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, "No space left", dom.coreDump, "/dev/full")
        assert os.path.exists("/dev/full")
        dom.coreDump(path, libvirt.VIR_DUMP_CRASH)
        core_holds(path, b"spin-and-be-found")
        wait_for("the guest's end", lambda: (libvirt.VIR_DOMAIN_EVENT_STOPPED,
                                             libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED) in seen)
        refused(libvirt.VIR_ERR_NO_DOMAIN, conn.lookupByName, "core")


def cores_of_crashes():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dumps = os.path.join(daemon.root, "var/lib/kiln/dump")
        for action in ("coredump-destroy", "coredump-restart"):
            dom = conn.defineXML(guest(daemon, action, word="crash-of-" + action, action=action))
            dom.create()
            wait_for("a core file", lambda: os.path.isdir(dumps) and os.listdir(dumps))
            if action == "coredump-destroy":
                wait_for("its end", lambda: dom.state()[0] == libvirt.VIR_DOMAIN_SHUTOFF)
            else:
                wait_for("the same crash again", lambda: len(os.listdir(dumps)) > 1)
                dom.destroy()
            # the last core may be cut short, and go away
            names = sorted(os.listdir(dumps))
            assert all(action in name for name in names), names
            core_holds(os.path.join(dumps, names[0]), b"crash-of-" + action.encode())
            for name in names[1:]:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(dumps, name))


def looks_into_memory():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.createXML(guest(daemon, "memory", word="spin-and-be-seen"))
        wait_for("the guest", lambda: os.path.getsize(os.path.join(daemon.root, "memory.serial")))
        base, size = 1 << 20, 3 << 20
        whole = dom.memoryPeek(base, size, libvirt.VIR_MEMORY_PHYSICAL)
        at = base + whole.index(b"spin-and-be-seen") if b"spin-and-be-seen" in whole else dom.memoryPeek(
            0, 0xa0000, libvirt.VIR_MEMORY_PHYSICAL).index(b"spin-and-be-seen")
        # the guest's own addresses are the physical ones
        assert dom.memoryPeek(at, 16, libvirt.VIR_MEMORY_VIRTUAL) == b"spin-and-be-seen"
        assert dom.state()[0] == libvirt.VIR_DOMAIN_RUNNING
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, "not all of it is memory", dom.memoryPeek, 0xa0000, 2,
                libvirt.VIR_MEMORY_PHYSICAL)
        refused(libvirt.VIR_ERR_INVALID_ARG, "VIR_MEMORY", dom.memoryPeek, 0, 1, 0)
        dom.destroy()


def looks_into_disks():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.defineXML(guest(daemon, "look"))
        assert dom.blockPeek("vda", 250, 10) == bytes(range(250, 256)) + bytes(range(4))
        assert dom.blockPeek(daemon.root + "/look.img", (1 << 20) - 1, 1) == b"\xff"
        refused(libvirt.VIR_ERR_INVALID_ARG, "has only 1 bytes", dom.blockPeek, "vda", (1 << 20) - 1, 2)
        refused(libvirt.VIR_ERR_INVALID_ARG, "vdz", dom.blockPeek, "vdz", 0, 1)
        other = conn.defineXML(guest(daemon, "packed", format="qcow2"))
        refused(libvirt.VIR_ERR_OPERATION_INVALID, "'raw'", other.blockPeek, "vda", 0, 1)


if __name__ == "__main__":
    libvirt.registerErrorHandler(lambda *_: None, None)
    run([cores, cores_of_crashes, looks_into_memory, looks_into_disks])
