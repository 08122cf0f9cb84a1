#!/usr/bin/python3
"""86-virt-manager - Debian's virt-manager under Xvfb, used by its accessible names, mouse and keyboard:
from the wizard to a guest (the CD of grub-rescue-pc) whose screen is read in its console, hardware pages,
hot plugging, snapshots, storage, networks, cloning, deleting. Pictures of each step are kept in
BUILD/screens.

# again: virt-manager's windows come and go at their own pace

usage: 86-virt-manager.py [STEP...]      steps are functions of TESTS; all of them by default

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import libvirt

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..")]
from daemon import BUILD, Daemon, run, wait_for  # noqa: E402
import inside  # noqa: E402

ISO = "/usr/lib/grub-rescue/grub-rescue-cdrom.iso"
SECONDS = 120
APP = "virt-manager"
# /sys has the host's network devices, not those of the namespace that the guest's are in.
PASSED_OVER = re.compile("Node device not found")


class User:
    """The desktop, what runs on it, and where its pictures go."""

    def __init__(self):
        self.daemon = self.conn = self.process = self.log = None
        self.pictures = os.path.join(BUILD, "screens")
        self.seen = 0
        os.makedirs(self.pictures, exist_ok=True)
        for old in glob.glob(os.path.join(self.pictures, "virt-manager-*.png")):
            os.unlink(old)

    def start(self, daemon, log):
        self.daemon, self.log = daemon, log
        self.conn = libvirt.open("qemu:///system")
        self.process = subprocess.Popen(
            ["virt-manager", "--connect", "qemu:///system", "--debug", "--no-fork"],
            stdout=open(log, "wb"), stderr=subprocess.STDOUT)

    def picture(self, name):
        self.seen += 1
        desktop.picture(os.path.join(self.pictures, "virt-manager-%02d-%s.png" % (self.seen, name)))

    def image(self, name):
        return os.path.join(self.daemon.root, "var/lib/libvirt/images", name)


USER = User()


def window():
    """Of the guest."""
    return find(APP, "frame", "click on QEMU/KVM")


def hardware(name):
    """Its page."""
    press(find(window(), "table", "hw-list"), "table cell", name)


def wizard_makes_a_running_guest():
    def wizard():
        return find(APP, "frame", "New VM")

    def forward(step):
        press(wizard(), "push button", "Forward")
        wait_for("step %d" % step, lambda: "Step %d of" % step in text_of(
            find(wizard(), "label", "pagenum-label")))

    find(APP, "table cell", "QEMU/KVM")
    USER.picture("connection")
    press(APP, "push button", "New")
    forward(2)
    press(wizard(), "push button", "install-iso-browse")
    browser = find(APP, "frame", "vmm-storage-browser")
    press(browser, "table cell", "grub.iso")
    USER.picture("browser")
    press(browser, "push button", "Choose Volume")
    desktop.gone(APP, "frame", "vmm-storage-browser")
    # The wizard looks into the image meanwhile, twice, and sets the box and the entry as it likes.
    for attempt in range(10):
        box = find(wizard(), "check box", "Automatically detect.*", enabled=True)
        if desktop.checked(box):
            click(box)
        try:
            write(find(wizard(), "text", "oslist-entry", seconds=5, enabled=True), "debian 11")
            press(APP, "table cell", r"Debian 11 \(debian11\)", seconds=5)
            break
        except desktop.Absent:
            assert attempt < 9, "no Debian 11 to choose"
    USER.picture("media")
    forward(3)
    write(find(wizard(), "spin button", "", enabled=True), "128\t")
    USER.picture("memory")
    forward(4)
    write(find(wizard(), "spin button", "GiB", enabled=True), "1\t")
    USER.picture("disk")
    forward(5)
    write(find(wizard(), "text", "Name:"), "click")
    USER.picture("ready")
    press(wizard(), "push button", "Finish")
    wait_for("the guest", lambda: "click" in [dom.name() for dom in USER.conn.listAllDomains()])
    window()
    guest = USER.conn.lookupByName("click")
    assert guest.isActive() and guest.isPersistent() and guest.maxMemory() == 128 * 1024
    assert os.path.exists(USER.image("click.qcow2"))


def console_shows_its_screen():
    wait_for("SeaBIOS in the console", lambda: any(
        "Booting from DVD" in line for line in desktop.guest_lines(
            find(window(), "drawing area"))))
    USER.picture("console")


def hardware_pages():
    press(window(), "radio button", "Details")
    table = find(window(), "table", "hw-list")
    names = [node.name for node in desktop.walk(table) if node.getRoleName() == "table cell" and node.name]
    for name in ("CPUs", "Memory", "Boot Options", "VirtIO Disk 1", "SATA CDROM 1", "Display VNC",
                 "Video Virtio", "Channel (qemu-ga)"):
        assert name in names, "no '%s' among %r" % (name, names)
    for name in names:
        hardware(re.escape(name))
        assert look(APP, "alert") is None, "%s: %s" % (name, desktop.words(look(APP, "alert")))
    hardware("Performance")
    USER.picture("performance")


def disk_and_nic_are_added_while_it_runs():
    guest = USER.conn.lookupByName("click")
    for kind in ("Storage", "Network"):
        press(window(), "push button", "add-hardware")
        adding = find(APP, "frame", "Add New Virtual Hardware")
        press(adding, "table cell", kind)
        if kind == "Storage":
            write(find(adding, "spin button", "GiB", enabled=True), "1\t")
        USER.picture("add-" + kind.lower())
        press(adding, "push button", "Finish")
        wait_for("the window's end", lambda: look(APP, "frame", "Add New Virtual Hardware") is None)
    for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE):
        xml = guest.XMLDesc(flags)
        assert "<target dev='vdb'" in xml and xml.count("<interface ") == 2, xml
    hardware("VirtIO Disk 2")
    USER.picture("added")


def medium_is_taken_out():
    hardware("SATA CDROM 1")
    write(find(window(), "text", "media-entry"), "\b")
    press(window(), "push button", "config-apply")
    guest = USER.conn.lookupByName("click")
    wait_for("an empty drive", lambda: "grub.iso" not in guest.XMLDesc(0))
    USER.picture("ejected")


def paused_and_run_again():
    guest = USER.conn.lookupByName("click")
    press(window(), "toggle button", "Pause")
    wait_for("a pause", lambda: guest.state()[0] == libvirt.VIR_DOMAIN_PAUSED)
    # A button pressed before virt-manager has seen the pause would say nothing to it.
    find(find(APP, "frame", "Virtual Machine Manager"), "table cell", "click\nPaused")
    press(window(), "toggle button", "Pause")
    wait_for("its end", lambda: guest.state()[0] == libvirt.VIR_DOMAIN_RUNNING)


def forced_off_and_changed():
    guest = USER.conn.lookupByName("click")
    menu(APP, window(), "Virtual Machine", "Shut Down", "Force Off")
    agree(APP)
    wait_for("its end", lambda: not guest.isActive())
    hardware("Memory")
    write(find(window(), "spin button", "Max Memory Select", enabled=True), "192\t")
    press(window(), "push button", "config-apply")
    wait_for("more memory", lambda: guest.maxMemory() == 192 * 1024)
    nic = find(find(window(), "table", "hw-list"), "table cell", "NIC .*").name
    hardware(re.escape(nic))
    press_and_agree(APP, window(), "config-remove")
    wait_for("one interface", lambda: guest.XMLDesc(0).count("<interface ") == 1)
    USER.picture("off")


def snapshot_taken_and_gone_back_to():
    guest = USER.conn.lookupByName("click")
    press(window(), "radio button", "Snapshots")
    press(window(), "push button", "snapshot-add")
    making = find(APP, "frame", "Create snapshot")
    USER.picture("snapshot")
    press(making, "push button", "Finish")
    wait_for("the snapshot", lambda: guest.listAllSnapshots())
    wait_for("the window's end", lambda: look(APP, "frame", "Create snapshot") is None)
    guest.setMaxMemory(128 * 1024)
    press_and_agree(APP, window(), "snapshot-start")
    wait_for("the guest as it was", lambda: guest.maxMemory() == 192 * 1024)
    USER.picture("reverted")
    press_and_agree(APP, window(), "snapshot-delete")
    wait_for("its end", lambda: not guest.listAllSnapshots())
    press(window(), "radio button", "Details")


def network_and_pool_by_dialogs():
    manager = find(APP, "frame", "Virtual Machine Manager")
    desktop.activate("Virtual Machine Manager")
    click(find(manager, "table cell", "QEMU/KVM"))
    menu(APP, manager, "Edit", "Connection Details")
    host = find(APP, "frame", "QEMU/KVM - Connection Details|QEMU/KVM Connection Details")
    press(host, "page tab", "Virtual Networks")
    press(host, "push button", "net-add")
    adding = find(APP, "frame", "Create a new virtual network")
    write(find(adding, "text", "Net Name Field"), "byhand")
    USER.picture("network")
    press(adding, "push button", "Finish")
    wait_for("the network", lambda: "byhand" in [net.name() for net in USER.conn.listAllNetworks(
        libvirt.VIR_CONNECT_LIST_NETWORKS_ACTIVE)])
    # The list is made anew when the network has started, and forgets what was chosen in it. A busy
    # virt-manager can have asked for the state before the start and hear of the start before it has the
    # network in its list; it then shows it as stopped until it hears of the next one.
    for attempt in range(6):
        choose(host, "table cell", "byhand")
        if soon(lambda: look(host, "push button", "net-stop") and usable(look(host, "push button", "net-stop"))):
            break
        if attempt >= 2 and usable(find(host, "push button", "net-start")):
            net = USER.conn.networkLookupByName("byhand")
            net.destroy()
            net.create()
    press(host, "push button", "net-stop")
    press_and_agree(APP, host, "net-delete")
    wait_for("its end", lambda: "byhand" not in [net.name() for net in USER.conn.listAllNetworks()])
    press(host, "page tab", "Storage")
    press(host, "push button", "vol-new")
    adding = find(APP, "frame", "Add a Storage Volume")
    write(find(adding, "text", "Name:"), "byhand")
    press(adding, "push button", "Finish")
    wait_for("the volume", lambda: os.path.exists(USER.image("byhand.qcow2")))
    press(host, "table cell", "byhand.qcow2")
    USER.picture("storage")
    press_and_agree(APP, host, "vol-delete")
    wait_for("its end", lambda: not os.path.exists(USER.image("byhand.qcow2")))
    desktop.xdotool("key", "ctrl+w")


def cloned_and_deleted():
    manager = find(APP, "frame", "Virtual Machine Manager")
    for name in ("click-clone", "click"):
        if name == "click-clone":
            desktop.activate("click on QEMU/KVM")
            menu(APP, window(), "Virtual Machine", "Clone.*")
            cloning = find(APP, "frame", "Clone Virtual Machine")
            USER.picture("clone")
            press(cloning, "push button", "Clone")
            wait_for("the clone", lambda: "click-clone" in [
                dom.name() for dom in USER.conn.listAllDomains()])
            wait_for("its image", lambda: os.path.exists(USER.image("click-clone.qcow2")))
            wait_for("the dialog's end", lambda: look(APP, "frame", "Clone Virtual Machine") is None)
            desktop.activate("Virtual Machine Manager")
        click(find(manager, "table cell", name + "\n.*"))
        menu(APP, manager, "Edit", "Delete")
        deleting = find(APP, "frame", "Delete Virtual Machine")
        USER.picture("delete")
        press_and_agree(APP, deleting, "Delete")
        wait_for("the end of " + name, lambda: name not in [
            dom.name() for dom in USER.conn.listAllDomains()])
        wait_for("the end of its image", lambda: not os.path.exists(USER.image(name + ".qcow2")))


def nothing_was_refused():
    assert USER.process.poll() is None, "virt-manager ended: %r" % USER.process.returncode
    with open(USER.log, encoding="utf-8", errors="replace") as stream:
        bad = [line.strip() for line in stream
               if re.search("^libvirt.libvirtError|not supported by", line)]
    bad = [line for line in bad if not PASSED_OVER.search(line)]
    assert not bad, "in virt-manager's log: %r" % bad[:5]


TESTS = [wizard_makes_a_running_guest, console_shows_its_screen, hardware_pages,
         disk_and_nic_are_added_while_it_runs, medium_is_taken_out, paused_and_run_again,
         forced_off_and_changed, snapshot_taken_and_gone_back_to, network_and_pool_by_dialogs, cloned_and_deleted, nothing_was_refused]


def in_order():
    """Each step stands on the one before."""
    def step(test):
        def stepped():
            assert not in_order.broken, "the step before it failed"
            in_order.broken = True
            begun = time.monotonic()
            try:
                test()
                print("# %.1f s" % (time.monotonic() - begun))
            except BaseException:
                USER.picture("failed")
                print(desktop.outline(APP))
                raise
            in_order.broken = False
        stepped.__name__ = test.__name__
        return stepped
    in_order.broken = False
    return [step(test) for test in TESTS if not sys.argv[1:] or test.__name__ in sys.argv[1:]]


def why_not():
    if not os.path.exists(ISO):
        return "no CD of grub-rescue-pc"
    return inside.missing("virt-manager", *desktop.NEEDED)


if __name__ == "__main__":
    try:
        import desktop
        from desktop import agree, choose, click, find, look, menu, press, press_and_agree, soon, text_of, usable, write
        REASON = why_not()
    except ImportError as problem:
        REASON = "no %s here" % problem.name
    if REASON:
        for skipped in TESTS:
            print("skip %s - %s" % (skipped.__name__.replace("_", "-"), REASON))
        sys.exit(0)
    inside.enter()
    with tempfile.TemporaryDirectory() as FOLDER, Daemon(wrap=["env"]) as DAEMON:
        shutil.copy(ISO, os.path.join(DAEMON.root, "var/lib/libvirt/images/grub.iso"))
        with desktop.session(FOLDER, os.path.dirname(DAEMON.socket())):
            USER.start(DAEMON, os.path.join(FOLDER, "virt-manager.log"))
            try:
                run(in_order())
            finally:
                shutil.copy(USER.log, os.path.join(USER.pictures, "virt-manager.log"))
                USER.process.kill()
                USER.process.wait()
                USER.conn.close()
