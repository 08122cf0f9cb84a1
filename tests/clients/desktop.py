"""desktop - a graphical session nobody sees: an X server, a window manager, a bus, and the hands of a
user, who finds what to click by its accessible name and clicks it with the mouse.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import os
import re
import subprocess
import time

import pyatspi
from gi.repository import GLib

import inside
from screen import read_ppm

NEEDED = ("Xvfb", "xdotool", "openbox", "import", "dbus-run-session")
SECONDS = 120
# How long an answer of a busy program is waited for, and that of an action, which comes only at the end
# of the dialog that it opened (milliseconds).
PATIENCE, ACTION = 20000, 1500
ITEMS = "menu item|menu|check menu item|radio menu item"
CHOSEN = "table cell|page tab|list item"

pyatspi.setTimeout(PATIENCE, PATIENCE)


class Absent(AssertionError):
    """What was looked for does not show."""


@contextlib.contextmanager
def session(folder, sockets):
    """A screen of 1280x1024 and a home in @folder; qemu:///system leads to @sockets."""
    inside.settle(folder, sockets)
    os.environ["NO_AT_BRIDGE"] = "0"
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


def has(node, state):
    """Asks the program, not what is remembered of it; what is gone has no states."""
    try:
        node.clearCache()
        return node.getState().contains(state)
    except GLib.Error:
        return False


def soon(condition, seconds=4):
    """Whether it comes true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def choose(root, role, name, **options):
    """A row or a tab: clicked until it is the chosen one, or has closed the list that it was in."""
    for _ in range(4):
        node = find(root, role, name, enabled=True, **options)
        click(node)
        if soon(lambda: has(node, pyatspi.STATE_SELECTED) or not has(node, pyatspi.STATE_SHOWING)):
            break
    return node


def press(root, role, name, **options):
    """Waits until it can be used, and does what a click on it does. A button is asked for its action by
    the bus, since a click that meets a window that is just moving would be lost."""
    if re.fullmatch(CHOSEN, role):
        return choose(root, role, name, **options)
    for _ in range(20):
        node = find(root, role, name, enabled=True, **options)
        pyatspi.setTimeout(ACTION, PATIENCE)
        try:
            if node.queryAction().doAction(0):
                break
        except GLib.Error:  # asked; the answer comes later
            break
        finally:
            pyatspi.setTimeout(PATIENCE, PATIENCE)
    return node


def agree(app):
    """Says yes to what it asks."""
    press(find(app, "alert"), "push button", "Yes")
    gone(app, "alert")


def press_and_agree(app, root, name):
    """Of a button that asks whether it is meant. It is clicked with the mouse: a program that asks while
    the bus waits for its answer to an action is deaf to the bus until then."""
    deadline = time.monotonic() + SECONDS
    while look(app, "alert") is None:
        if time.monotonic() > deadline:
            raise Absent("'%s' asks nothing" % name)
        click(find(root, "push button", name, enabled=True))
        soon(lambda: look(app, "alert") is not None)
    agree(app)


def menu(app, root, *names):
    """Opens one after the other with the mouse, and clicks the last."""
    place = root
    for name, below in zip(names, names[1:]):
        deadline = time.monotonic() + SECONDS
        while look(app, ITEMS, below) is None:
            if time.monotonic() > deadline:
                raise Absent("the menu '%s' does not open" % name)
            click(find(place, ITEMS, name, enabled=True))
            soon(lambda: look(app, ITEMS, below) is not None)
        place = app
    last = find(app, ITEMS, names[-1], enabled=True)
    while has(last, pyatspi.STATE_SHOWING):
        click(last)
        soon(lambda: not has(last, pyatspi.STATE_SHOWING))


def write(node, text):
    """Into an entry, in place of what is there; again, until it is there."""
    wanted = text.strip("\t\b")
    for _ in range(4):
        # A spin button has its own buttons on the right, some entries an icon on the left.
        click(node, left=12 if node.getRole() == pyatspi.ROLE_SPIN_BUTTON else None)
        xdotool("key", "ctrl+a")
        xdotool("type", "--delay", 8, text)
        if soon(lambda: is_written(node, wanted)):
            return


def is_written(node, wanted):
    try:
        found = text_of(node)
        return found == wanted or node.getRole() == pyatspi.ROLE_SPIN_BUTTON and float(
            found) == float(wanted)
    except (GLib.Error, ValueError):
        return False


def text_of(node):
    try:
        return node.queryText().getText(0, -1)
    except NotImplementedError:
        return node.name


def picture(path):
    """The whole screen into a PNG."""
    subprocess.run(["import", "-window", "root", path], check=True)


def guest_lines(area):
    """The text of a guest's screen of 720x400, which @area shows in its middle."""
    left, top, width, height = extents(area)
    ppm = subprocess.run(["import", "-window", "root", "-crop", "720x400+%d+%d" % (
        left + (width - 720) // 2, top + (height - 400) // 2), "-depth", "8", "ppm:-"],
        check=True, capture_output=True).stdout
    return read_ppm(ppm).text()
