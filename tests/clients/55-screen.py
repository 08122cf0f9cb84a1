#!/usr/bin/python3
"""55-screen - a guest's screen through stock clients, on this host's /dev/kvm: SeaBIOS is seen by
virsh screenshot and by VNC.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import os
import re
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..")]
from daemon import Daemon, run  # noqa: E402
from screen import Rfb  # noqa: E402

XML = """<domain type='kvm'>
  <name>{name}</name>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='{machine}'>hvm</type></os>
  <features><acpi/></features>
  <devices>{graphics}<video><model type='{video}'/></video></devices>
</domain>
"""
SECONDS = 60
# Networks are the daemon's own, but viewers' addresses need a loopback.
LOOPBACK = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def wait_for_text(look, wanted):
    """@look gives a picture; text modes have 400 lines."""
    lines, deadline = [], time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        picture = look()
        lines = picture.text() if picture.height == 400 else []
        if any(wanted in line for line in lines):
            return
        time.sleep(0.3)
    raise AssertionError("'%s' is not on the screen: %r" % (wanted, [line for line in lines if line]))


@contextlib.contextmanager
def guest(daemon, **parts):
    """Guests outlive their daemon: this one goes before."""
    with tempfile.NamedTemporaryFile("w", suffix=".xml") as stream:
        stream.write(XML.format(**parts))
        stream.flush()
        daemon.virsh("create", stream.name)
    try:
        yield
    finally:
        daemon.virsh("destroy", parts["name"])


def live(daemon, name, pattern):
    found = re.search(pattern, daemon.virsh("dumpxml", name))
    if not found:
        raise AssertionError("no %s in the live definition" % pattern)
    return found.group(1)


def vnc_shows_seabios():
    with Daemon() as daemon:
        with guest(daemon, name="seen", machine="q35", video="vga",
                   graphics="<graphics type='vnc'><listen type='socket'/></graphics>"):
            path = live(daemon, "seen", r"<listen type='socket' socket='([^']+)'")

            def look():
                viewer = Rfb(path).enter()
                picture = viewer.picture()
                viewer.close()
                assert viewer.name == "Kiln (seen)", "the screen is called '%s'" % viewer.name
                return picture

            wait_for_text(look, "SeaBIOS")
        assert not os.path.exists(path), "the VNC socket outlives its guest"


def screenshot_and_addresses():
    with Daemon(wrap=LOOPBACK if os.geteuid() == 0 else ()) as daemon, guest(
            daemon, name="shot", machine="pc", video="virtio",
            graphics="<graphics type='vnc' autoport='yes' passwd='secret'/>"):
        port = int(live(daemon, "shot", r"<graphics type='vnc' port='(\d+)'"))
        assert port >= 5900, "port %d" % port
        shown = daemon.virsh("vncdisplay", "shot").strip()
        assert shown == "127.0.0.1:%d" % (port - 5900), shown
        shown = daemon.virsh("domdisplay", "shot")
        assert "vnc://127.0.0.1:%d" % (port - 5900) in shown, shown
        with tempfile.TemporaryDirectory() as folder:
            name = os.path.join(folder, "shot")
            said = daemon.virsh("screenshot", "shot", name)
            with open(name, "rb") as stream:
                head = stream.read(8)
        assert head == b"\x89PNG\r\n\x1a\n" and "image/png" in said, (head, said)
        daemon.virsh("screenshot", "shot", "--screen", "7", "/dev/null", expect=1)


if __name__ == "__main__":
    TESTS = [vnc_shows_seabios, screenshot_and_addresses]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        for test in TESTS:
            print("skip %s - no /dev/kvm for this user" % test.__name__.replace("_", "-"))
        sys.exit(0)
    run(TESTS)
