#!/usr/bin/python3
"""50-display - a guest's screen through stock clients: pictures of it, and viewers that are handed to
it. SeaBIOS is guest enough.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import shutil
import socket
import ssl
import struct
import sys
import tempfile
import time

import libvirt

import certificates
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


def vencrypt(viewer, kind, context):
    """VeNCrypt 0.2 with the sub-type @kind, as far as TLS; the socket inside."""
    assert greet(viewer) == [19]
    viewer.sendall(bytes([19]))
    assert viewer.recv(2) == b"\0\2"
    viewer.sendall(b"\0\2")
    assert viewer.recv(1) == b"\0"
    kinds = struct.unpack(">%dI" % viewer.recv(1)[0], viewer.recv(4))
    assert kinds == (kind,), kinds
    viewer.sendall(struct.pack(">I", kind))
    assert viewer.recv(1) == b"\1"
    return context.wrap_socket(viewer, server_hostname="localhost")


def settings():
    """What qemu.conf says of VNC is said by virtkilnd.conf: TLS, a password, an address."""
    pki = tempfile.mkdtemp(prefix="kiln-pki-")
    config = "vnc_listen = '0.0.0.0'\nvnc_tls = 1\nvnc_tls_x509_cert_dir = '%s'\n" % pki
    plain = XML.replace(" listen='127.0.0.1' passwd='secret'", "").format(video="vga")
    try:
        certificates.make(pki)
        trust = ssl.create_default_context(cafile=os.path.join(pki, "ca-cert.pem"))
        for more, kind in (("", 260), ("vnc_password = 'word'\n", 261), ("vnc_tls_x509_verify = 1\n", 260)):
            with Daemon(wrap=WRAP, config=config + more) as daemon:
                conn = libvirt.open(daemon.uri("qemu"))
                dom = conn.createXML(plain)
                assert "listen='0.0.0.0'" in dom.XMLDesc(), dom.XMLDesc()
                viewer = socket.socket(fileno=dom.openGraphicsFD(0, 0))
                if "verify" in more:
                    # without the viewer's own certificate the server ends it
                    with vencrypt(viewer, kind, trust) as inside:
                        try:
                            assert inside.recv(4) == b""
                        except OSError:
                            pass
                    trust.load_cert_chain(os.path.join(pki, "client-cert.pem"), os.path.join(pki, "client-key.pem"))
                    viewer = socket.socket(fileno=dom.openGraphicsFD(0, 0))
                with vencrypt(viewer, kind, trust) as inside:
                    # the password's challenge, or that all is well, and the screen's size
                    told = inside.recv(16 if kind == 261 else 4)
                    assert len(told) == 16 if kind == 261 else told == bytes(4), told
                    if kind == 260:
                        inside.sendall(b"\1")
                        assert len(inside.recv(24)) >= 4
                dom.destroy()
                conn.close()
    finally:
        shutil.rmtree(pki)


def no_listener():
    """<listen type='none'/>: viewers come through the daemon, and nothing listens."""
    with Daemon(wrap=WRAP) as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        xml = XML.format(video="vga").replace(
            "<graphics type='vnc' port='-1' autoport='yes' listen='127.0.0.1' passwd='secret'/>",
            "<graphics type='vnc'><listen type='none'/></graphics>")
        dom = conn.createXML(xml)
        assert "<listen type='none'/>" in dom.XMLDesc() and " port=" not in dom.XMLDesc().split("<graphics")[1], dom.XMLDesc()
        with socket.socket(fileno=dom.openGraphicsFD(0, 0)) as viewer:
            assert greet(viewer) == [1]
        dom.destroy()
        conn.close()


if __name__ == "__main__":
    TESTS = [pictures, viewers, settings, no_listener]
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
