"""desktop - a graphical session nobody sees: an X server, a window manager, a bus, and the hands of a
user, who finds what to click by its accessible name and clicks it with the mouse.

enter() comes before anything else: it starts the script again in namespaces of its own, where the
daemon's sockets are those of the host, and whatever was started ends with the script.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time

import pyatspi

NEEDED = ("Xvfb", "xdotool", "openbox", "import", "dbus-run-session", "unshare")
UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
           "--propagation", "private"]
SECONDS = 60


class Absent(AssertionError):
    """What was looked for does not show."""


def missing():
    """Why there can be no session here, or None."""
    if os.geteuid() != 0:
        return "needs root for namespaces of its own"
    absent = [name for name in NEEDED if shutil.which(name) is None]
    if absent:
        return "no %s here" % ", ".join(absent)
    done = subprocess.run(UNSHARE + ["true"], capture_output=True, text=True)
    return "no namespaces here: " + done.stderr.strip() if done.returncode else None


def enter():
    """Returns in the namespaces."""
    if "KILN_DESKTOP" in os.environ:
        return
    os.environ["KILN_DESKTOP"] = "inside"
    os.execvp("unshare", UNSHARE + ["dbus-run-session", "--", sys.executable] + sys.argv)


@contextlib.contextmanager
def session(folder, sockets):
    """A screen of 1280x1024 and a home in @folder; qemu:///system leads to @sockets."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.makedirs("/run/libvirt", exist_ok=True)
    subprocess.run(["mount", "--bind", sockets, "/run/libvirt"], check=True)
    for name, value in (("HOME", "home"), ("XDG_RUNTIME_DIR", "run"), ("XDG_CACHE_HOME", "cache"),
                        ("XDG_CONFIG_HOME", "config"), ("XDG_DATA_HOME", "data")):
        os.environ[name] = os.path.join(folder, value)
        os.mkdir(os.environ[name], 0o700)
    # Settings stay in memory; nothing is translated.
    os.environ.update(GSETTINGS_BACKEND="memory", LC_ALL="C.UTF-8", NO_AT_BRIDGE="0")
    ours, theirs = os.pipe()
    server = subprocess.Popen(["Xvfb", "-displayfd", str(theirs), "-screen", "0", "1280x1024x24",
                               "-nolisten", "tcp"], pass_fds=[theirs], stderr=subprocess.DEVNULL)
    os.close(theirs)
    try:
        with os.fdopen(ours) as stream:
            os.environ["DISPLAY"] = ":" + stream.readline().strip()
        manager = subprocess.Popen(["openbox"], stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            manager.terminate()
            manager.wait(20)
    finally:
        server.terminate()
        server.wait(20)


def walk(node):
    """@node and all that shows below it."""
    try:
        if not node.getState().contains(pyatspi.STATE_SHOWING) and node.getRole() != pyatspi.ROLE_APPLICATION:
            return
        yield node
        children = [node.getChildAtIndex(i) for i in range(min(node.childCount, 400))]
    except Exception:  # it went while it was looked at
        return
    for child in children:
        if child is not None:
            yield from walk(child)


def label_of(node):
    """Its own name, or the text of the label that belongs to it."""
    if node.name:
        return node.name
    for relation in node.getRelationSet():
        if relation.getRelationType() == pyatspi.RELATION_LABELLED_BY:
            return relation.getTarget(0).name
    return ""


def usable(node):
    return node.getState().contains(pyatspi.STATE_SENSITIVE)


def checked(node):
    return node.getState().contains(pyatspi.STATE_CHECKED)


def words(node):
    """All that is said there."""
    return " / ".join(label_of(part) for part in walk(node) if part.getRoleName() == "label")


def outline(root):
    """What shows, a line each, for the log of a test that failed."""
    lines = []
    for node in walk(application(root) if isinstance(root, str) else root):
        name = label_of(node)
        if name:
            lines.append("%s '%s'%s" % (node.getRoleName(), name, "" if usable(node) else " (off)"))
    return "\n".join(lines)


def application(name):
    """The program of that name on the bus of accessibility."""
    for app in pyatspi.Registry.getDesktop(0):
        if app is not None and app.name == name:
            return app
    return None


def matches(node, role, name):
    try:
        return (role is None or re.fullmatch(role, node.getRoleName())) and (
            name is None or re.fullmatch(name, label_of(node)))
    except Exception:
        return False


def look(root, role=None, name=None):
    """The first that shows, or None; @root is a node or the name of a program."""
    if isinstance(root, str):
        root = application(root)
    if root is None:
        return None
    return next((node for node in walk(root) if matches(node, role, name)), None)


def find(root, role=None, name=None, seconds=SECONDS, enabled=False):
    """Waits for it; @enabled: and until it can be used."""
    deadline = time.monotonic() + seconds
    while True:
        node = look(root, role, name)
        if node is not None and (not enabled or usable(node)):
            return node
        if time.monotonic() > deadline:
            raise Absent("no %s '%s' %s" % (role or "thing", name, "shows" if node is None else "can be used"))
        time.sleep(0.1)


def gone(root, role=None, name=None, seconds=SECONDS):
    """Waits until it is not there any more."""
    deadline = time.monotonic() + seconds
    while look(root, role, name) is not None:
        if time.monotonic() > deadline:
            raise AssertionError("%s '%s' still shows" % (role or "thing", name))
        time.sleep(0.1)


def xdotool(*argv):
    subprocess.run(["xdotool"] + [str(arg) for arg in argv], check=True)


def extents(node):
    """Left, top, width and height on the screen."""
    box = node.queryComponent().getExtents(pyatspi.DESKTOP_COORDS)
    return box.x, box.y, box.width, box.height


def activate(title):
    """Brings the window forward."""
    deadline = time.monotonic() + SECONDS
    while subprocess.run(["xdotool", "search", "--onlyvisible", "--name", "^%s$" % title,
                          "windowactivate", "--sync"], check=False).returncode != 0:
        assert time.monotonic() < deadline, "no window '%s' to bring forward" % title
        time.sleep(0.2)


def click(node, button=1, times=1, left=None):
    """In its middle, or @left pixels from its edge."""
    x, y, width, height = extents(node)
    x += width // 2 if left is None else left
    y += height // 2
    xdotool("mousemove", x, y, "click", "--repeat", times, "--delay", 60, button)


def press(root, role, name, **options):
    """Waits until it can be used, and clicks it."""
    node = find(root, role, name, enabled=True, **options)
    click(node)
    return node


def write(node, text):
    """Into an entry, in place of what is there."""
    # A spin button has its own buttons on the right, some entries an icon on the left.
    click(node, left=12 if node.getRole() == pyatspi.ROLE_SPIN_BUTTON else None)
    xdotool("key", "ctrl+a")
    xdotool("type", "--delay", 8, text)


def text_of(node):
    try:
        return node.queryText().getText(0, -1)
    except NotImplementedError:
        return node.name


def picture(path):
    """The whole screen into a PNG."""
    subprocess.run(["import", "-window", "root", path], check=True)
