#!/usr/bin/python3
"""88-cockpit - libvirt-dbus, and the machines page of Debian's Cockpit on it, in headless Chromium: guests are
listed, started, looked at, paused, ended; networks are made and deleted, storage pools stopped and started. Pictures are
kept in BUILD/screens.

# again: the browser's page is laid out at its own pace

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import base64
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
import inside  # noqa: E402
from browser import Browser  # noqa: E402
from daemon import BUILD, Daemon, run, wait_for  # noqa: E402
from screen import read_ppm  # noqa: E402

PAGE = "/usr/share/cockpit/machines/index.html"
WS = "/usr/lib/cockpit/cockpit-ws"
NEEDED = ("chromedriver", "chromium", "cockpit-bridge", "libvirt-dbus", "dbus-daemon", "dbus-send", "convert",
          "virt-install")
PORT = 9099
PICTURES = os.path.join(BUILD, "screens")
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/>
<allow user="*"/></policy></busconfig>
"""
XML = """<domain type='kvm'>
  <name>web</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <interface type='user'><model type='virtio'/></interface>
    <serial type='pty'/><console type='pty'/>
    <graphics type='vnc' autoport='yes'/><video><model type='vga'/></video>
  </devices>
</domain>
"""
ROW = "tr[data-row-id='vm-web-system']"


class Desk:
    """What serves the page, and who looks at it."""

    def __init__(self, folder):
        self.folder, self.processes, self.browser = folder, [], None
        self.conn = libvirt.open("qemu:///system")

    def serve(self, *argv):
        log = open(os.path.join(self.folder, os.path.basename(argv[0]) + ".log"), "wb")
        self.processes.append(subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT))

    def start(self):
        bus, config = os.path.join(self.folder, "bus"), os.path.join(self.folder, "bus.conf")
        with open(config, "w", encoding="ascii") as stream:
            stream.write(BUS % bus)
        self.serve("dbus-daemon", "--nofork", "--config-file=" + config)
        wait_for("the bus", lambda: os.path.exists(bus))
        os.environ["DBUS_SYSTEM_BUS_ADDRESS"] = "unix:path=" + bus
        self.serve("libvirt-dbus", "--system")
        self.serve(WS, "--local-session=cockpit-bridge", "--no-tls", "--address=127.0.0.1", "--port=%d" % PORT)
        wait_for("Cockpit", self.answers)

    @staticmethod
    def answers():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", PORT)):
            return True
        return False

    def open(self):
        self.browser = Browser(os.path.join(self.folder, "chromedriver.log"))
        where = "http://127.0.0.1:%d/cockpit/@localhost/machines/" % PORT
        # A software KVM's processor does not say that it has any, at which the page asks whether to go on.
        self.browser.go(where + "manifest.json")
        self.browser.ask("localStorage.setItem('virtualization-disabled-ignored', 'true')")
        self.browser.go(where + "index.html")

    def picture(self, name):
        self.browser.picture(os.path.join(PICTURES, "cockpit-%s.png" % name))

    def close(self):
        if self.browser:
            self.browser.close()
        self.conn.close()
        for process in reversed(self.processes):
            process.terminate()
            process.wait(60)

    def dom(self):
        return self.conn.lookupByName("web")


def dbus(path, interface, method, *argv):
    return subprocess.run(["dbus-send", "--system", "--print-reply", "--dest=org.libvirt", path,
                           "org.libvirt.%s.%s" % (interface, method), *argv], check=True, capture_output=True,
                          text=True, timeout=120).stdout


def libvirt_dbus_lists_what_there_is():
    connect = "/org/libvirt/QEMU"
    wait_for("libvirt-dbus", lambda: "org.libvirt" in subprocess.run(
        ["dbus-send", "--system", "--print-reply", "--dest=org.freedesktop.DBus", "/",
         "org.freedesktop.DBus.ListNames"], check=True, capture_output=True, text=True).stdout)
    for what in ("ListDomains", "ListNetworks", "ListStoragePools", "ListNodeDevices", "ListSecrets"):
        assert "array [" in dbus(connect, "Connect", what, "uint32:0"), what
    assert "/org/libvirt/QEMU/domain/" in dbus(connect, "Connect", "ListDomains", "uint32:0")
    assert "<domainCapabilities>" in dbus(connect, "Connect", "GetDomainCapabilities", "string:", "string:x86_64",
                                          "string:q35", "string:kvm", "uint32:0")


def page_lists_the_guest():
    DESK.open()
    DESK.browser.shows("Shut off", ROW)
    DESK.picture("list")


def guest_runs_by_a_click():
    DESK.browser.press("#vm-web-system-run", lambda: DESK.dom().isActive())
    DESK.browser.shows("Running", ROW)


def console_shows_its_screen():
    DESK.browser.press("#vm-web-system-name", lambda: DESK.browser.has("#vm-web-consoles"))

    def lines():
        url = DESK.browser.ask("const c = Array.from(document.querySelectorAll('canvas')).find(one => one.width"
                               " == 720); return c ? c.toDataURL('image/png') : ''")
        if not url:
            return []
        ppm = subprocess.run(["convert", "png:-", "-depth", "8", "ppm:-"], check=True, capture_output=True,
                             input=base64.b64decode(url.partition(",")[2])).stdout
        return read_ppm(ppm).text()
    DESK.browser.until("SeaBIOS on the page", lambda: any("SeaBIOS" in line for line in lines()))
    DESK.picture("console")


def paused_and_ended():
    for action, state in (("pause", libvirt.VIR_DOMAIN_PAUSED), ("resume", libvirt.VIR_DOMAIN_RUNNING),
                          ("forceOff", libvirt.VIR_DOMAIN_SHUTOFF)):
        DESK.browser.press("#vm-web-system-" + action, lambda: DESK.dom().state()[0] == state,
                           "#vm-web-system-action-kebab")


def networks_by_its_dialog():
    browser = DESK.browser
    browser.turn("#/networks")
    browser.shows("active", "#network-default-system-state")
    browser.press("#create-network", lambda: browser.has("#create-network-name"))
    browser.write("#create-network-name", "byweb")
    browser.write("#network-ipv4-address", "192.168.240.1")
    DESK.picture("network")
    browser.press("#create-network-dialog .pf-m-primary", lambda: not browser.has("#create-network-dialog"))
    net = DESK.conn.networkLookupByName("byweb")
    browser.press("#activate-network-byweb-system", net.isActive)
    browser.press("#deactivate-network-byweb-system", lambda: not net.isActive())
    browser.press("#delete-network-byweb-system", lambda: browser.has("#delete-resource-modal-primary"),
                  "#network-byweb-system-action-kebab button")
    browser.press("#delete-resource-modal-primary", lambda: "byweb" not in DESK.conn.listDefinedNetworks())


def pools_stop_and_start():
    browser = DESK.browser
    pool = DESK.conn.storagePoolLookupByName("default")
    browser.turn("#/storages")
    browser.shows("active", "#pool-default-system-state")
    DESK.picture("pools")
    browser.press("#deactivate-pool-default-system", lambda: not pool.isActive())
    browser.press("#activate-pool-default-system", pool.isActive)


if __name__ == "__main__":
    TESTS = [libvirt_dbus_lists_what_there_is, page_lists_the_guest, guest_runs_by_a_click, console_shows_its_screen,
             paused_and_ended, networks_by_its_dialog, pools_stop_and_start]
    WHY = inside.missing(*NEEDED) or (None if os.path.exists(PAGE) else "no cockpit-machines here")
    if WHY:
        for skipped in TESTS:
            print("skip %s - %s" % (skipped.__name__.replace("_", "-"), WHY))
        sys.exit(0)
    inside.enter()
    os.makedirs(PICTURES, exist_ok=True)
    libvirt.registerErrorHandler(lambda *_: None, None)
    with tempfile.TemporaryDirectory() as FOLDER, Daemon(wrap=["env"]) as DAEMON:
        os.environ["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"  # Cockpit wants the system's Python
        inside.settle(FOLDER, os.path.dirname(DAEMON.socket()))
        DESK = Desk(FOLDER)
        DESK.conn.defineXML(XML)
        try:
            DESK.start()
            run(TESTS)
        finally:
            with contextlib.suppress(Exception):
                DESK.picture("last")
            for name in os.listdir(FOLDER):
                if name.endswith(".log"):
                    shutil.copy(os.path.join(FOLDER, name), os.path.join(PICTURES, "cockpit-" + name))
            DESK.close()
