#!/usr/bin/python3
"""50-display - a guest's screen through stock clients: pictures of it, and viewers that are handed to
it. SeaBIOS is guest enough.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import socket
import struct
import sys
import time

import libvirt

from daemon import Daemon, refused, run

XML = """<domain type='kvm'>
  <name>screen</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1' passwd='secret'/>
    <video><model type='{video}'/></video>
  </devices>
</domain>
"""


# VNC listens on the loopback device, which a new network namespace has down.
WRAP = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"] if os.geteuid() == 0 else ()


def greet(viewer):
    """The beginning of an RFB session: security types that are offered."""
    viewer.settimeout(20)
    assert viewer.recv(12) == b"RFB 003.008\n"
    viewer.sendall(b"RFB 003.008\n")
    return list(viewer.recv(viewer.recv(1)[0]))


def pictures():
    with Daemon(wrap=WRAP) as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.createXML(XML.format(video="vga"))
        until = time.monotonic() + 30
        while True:  # until SeaBIOS has set a mode and written
            stream = conn.newStream(0)
            mime = dom.screenshot(stream, 0)
            data = []
            stream.recvAll(lambda _, part, __: data.append(part), None)
            stream.finish()
            picture = b"".join(data)
            assert picture[:8] == b"\x89PNG\r\n\x1a\n" and mime == "image/png", (mime, picture[:16])
            width, height = struct.unpack(">II", picture[16:24])
            if (width, height) == (720, 400) and len(picture) > 1000:
                break
            assert time.monotonic() < until, "%dx%d, %d bytes" % (width, height, len(picture))
            time.sleep(0.2)
        refused(libvirt.VIR_ERR_INVALID_ARG, dom.screenshot, conn.newStream(0), 7)
        look = libvirt.openReadOnly(daemon.uri("qemu", read_only=True))
        refused(libvirt.VIR_ERR_OPERATION_DENIED, look.lookupByName("screen").screenshot, look.newStream(0), 0)
        dom.destroy()
        conn.close()


def viewers():
    with Daemon(wrap=WRAP) as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.createXML(XML.format(video="vga"))
        for skip in (0, libvirt.VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH):
            with socket.socket(fileno=dom.openGraphicsFD(0, skip)) as viewer:
                # 2: by password, 1: none
                assert greet(viewer) == [1 if skip else 2]
            mine, theirs = socket.socketpair()
            dom.openGraphics(0, theirs.fileno(), skip)
            theirs.close()
            assert greet(mine) == [1 if skip else 2]
            mine.close()
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, dom.openGraphicsFD, 1, 0)
        dom.destroy()
        refused(libvirt.VIR_ERR_OPERATION_INVALID, conn.defineXML(XML.format(video="vga")).openGraphicsFD, 0, 0)
        conn.close()


if __name__ == "__main__":
    TESTS = [pictures, viewers]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        for test in TESTS:
            print("skip %s - no /dev/kvm for this user" % test.__name__.replace("_", "-"))
        sys.exit(0)
    if not os.path.exists("/usr/share/seabios/bios-256k.bin"):
        for test in TESTS:
            print("skip %s - SeaBIOS is not installed" % test.__name__.replace("_", "-"))
        sys.exit(0)
    libvirt.registerErrorHandler(lambda *_: None, None)
    run(TESTS)
