#!/usr/bin/python3
"""84-virt-viewer - Debian's virt-viewer under Xvfb: a guest's screen is read in its window, found by name
or UUID, waited for, handed over by the daemon (unix socket, password or not), and takes keys. The guest
is SeaBIOS, which asks for a key.

# again: virt-viewer's windows come and go at their own pace

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile

import libvirt

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..")]
import certificates  # noqa: E402
import inside  # noqa: E402
from daemon import BUILD, Daemon, run, wait_for  # noqa: E402

ISO = "/usr/lib/grub-rescue/grub-rescue-cdrom.iso"
ASKED, ANSWERED = "Press ESC for boot menu", "Select boot device"
XML = """<domain type='kvm'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type><bootmenu enable='yes' timeout='60000'/></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='cdrom'><source file='%s'/><target dev='sda' bus='sata'/></disk>
    {graphics}<video><model type='vga'/></video>
  </devices>
</domain>
""" % ISO
PORT = "<graphics type='vnc' autoport='yes'/>"
SOCKET = "<graphics type='vnc' passwd='secret'><listen type='socket'/></graphics>"


@contextlib.contextmanager
def guest(graphics, start=True):
    conn = libvirt.open("qemu:///system")
    dom = conn.defineXML(XML.format(name="seen", graphics=graphics))
    try:
        if start:
            dom.create()
        yield dom
    finally:
        if dom.isActive():
            dom.destroy()
        dom.undefine()
        conn.close()


class Viewer:
    """A virt-viewer and what it shows."""

    def __init__(self, *argv):
        self.said = tempfile.TemporaryFile()
        self.process = subprocess.Popen(["virt-viewer", "--connect", "qemu:///system", *argv],
                                        stdout=self.said, stderr=subprocess.STDOUT)

    def area(self):
        return desktop.look("virt-viewer", "drawing area")

    def shows(self, words):
        area = self.area()
        return area is not None and any(words in line for line in desktop.guest_lines(area))

    def wait(self, words):
        try:
            wait_for("'%s' on the guest's screen" % words, lambda: self.shows(words))
        except AssertionError:
            desktop.picture(os.path.join(PICTURES, "virt-viewer-failed.png"))
            self.said.seek(0)
            print(self.said.read().decode(errors="replace"))
            raise

    def press_escape(self):
        """Until the guest has taken it."""
        def answered():
            desktop.click(self.area())
            desktop.xdotool("key", "Escape")
            return desktop.soon(lambda: self.shows(ANSWERED))
        wait_for("the guest's answer to a key", answered)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.said.close()


def by_name_and_with_keys():
    with guest(PORT) as dom, Viewer("seen") as viewer:
        viewer.wait(ASKED)
        viewer.press_escape()
        desktop.picture(os.path.join(PICTURES, "virt-viewer-keys.png"))
        dom.destroy()
        assert viewer.process.wait(120) == 0, "it does not end with the guest"


def waits_and_comes_again():
    with guest(PORT, start=False) as dom, Viewer("--wait", "--reconnect", "--uuid", dom.UUIDString()) as viewer:
        find = desktop.find("virt-viewer", "label", ".*[Ww]aiting for guest.*")
        assert find is not None and viewer.process.poll() is None
        for _ in range(2):
            dom.create()
            viewer.wait(ASKED)
            dom.destroy()
            wait_for("the screen's end", lambda: not viewer.shows(ASKED))


def handed_over_by_the_daemon():
    """--attach: OPEN_GRAPHICS_FD, past the password."""
    for graphics in (SOCKET, "<graphics type='vnc' autoport='yes' passwd='secret'/>"):
        with guest(graphics), Viewer("--attach", "seen") as viewer:
            viewer.wait(ASKED)


def with_a_password():
    with guest("<graphics type='vnc' autoport='yes' passwd='secret'/>"), Viewer("seen") as viewer:
        asks = desktop.find("virt-viewer", "dialog")
        desktop.picture(os.path.join(PICTURES, "virt-viewer-password.png"))
        desktop.write(desktop.find(asks, "password text"), "secret")
        desktop.press(asks, "push button", "OK")
        viewer.wait(ASKED)


def by_tls():
    """vnc_tls of virtkilnd.conf: the viewer trusts the authority in /etc/pki, and nobody gets in without."""
    pki, upper, work = (os.path.join(FOLDER, name) for name in ("pki", "etc", "etc.work"))
    certificates.make(pki)
    os.makedirs(os.path.join(upper, "pki/CA"))
    os.mkdir(work)
    shutil.copy(os.path.join(pki, "ca-cert.pem"), os.path.join(upper, "pki/CA/cacert.pem"))
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                    "lowerdir=/etc,upperdir=%s,workdir=%s" % (upper, work), "/etc"], check=True)
    config = os.path.join(FOLDER, "tls.conf")
    with open(config, "w", encoding="utf-8") as stream:
        stream.write("vnc_tls = 1\nvnc_tls_x509_cert_dir = '%s'\n" % pki)
    DAEMON.stop()
    DAEMON.options += ["--config", config]
    DAEMON.start()
    with guest(PORT) as dom, Viewer("seen") as viewer:
        viewer.wait(ASKED)
        desktop.picture(os.path.join(PICTURES, "virt-viewer-tls.png"))
        with socket.socket(fileno=dom.openGraphicsFD(0, 0)) as plain:
            plain.recv(12)
            plain.sendall(b"RFB 003.008\n")
            assert plain.recv(2) == b"\x01\x13", "it offers more than VeNCrypt"


TESTS = [by_name_and_with_keys, waits_and_comes_again, handed_over_by_the_daemon, with_a_password, by_tls]
PICTURES = os.path.join(BUILD, "screens")

if __name__ == "__main__":
    try:
        import desktop
        WHY = None if os.path.exists(ISO) else "no CD of grub-rescue-pc"
        WHY = WHY or inside.missing("virt-viewer", *desktop.NEEDED)
    except ImportError as problem:
        WHY = "no %s here" % problem.name
    if WHY:
        for skipped in TESTS:
            print("skip %s - %s" % (skipped.__name__.replace("_", "-"), WHY))
        sys.exit(0)
    inside.enter()
    os.makedirs(PICTURES, exist_ok=True)
    libvirt.registerErrorHandler(lambda *_: None, None)
    with tempfile.TemporaryDirectory() as FOLDER, Daemon(wrap=["env"]) as DAEMON, desktop.session(
            FOLDER, os.path.dirname(DAEMON.socket())):
        run(TESTS)
