#!/usr/bin/python3
"""firmware.py KILN-VMM SLEEP-BOOT [OPTION...] - SeaBIOS and GRUB under kiln-vmm, on any /dev/kvm: both machines,
their own messages on the debug port, the serial line and the screen, boot order, a reset, what is refused.

Exit status 77 (skipped) without a usable /dev/kvm or without SeaBIOS.
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../.."))
from lines import Lines  # noqa: E402
from screen import read_ppm  # noqa: E402

VMM, SLEEP, *ALWAYS = sys.argv[1:]
SECONDS = 180  # GRUB counts down twenty of its own, which a loaded host stretches
SEABIOS = "/usr/share/seabios/bios-256k.bin"
DISK = tempfile.NamedTemporaryFile()
DISK.truncate(1 << 20)
GRUB = "/usr/lib/grub-rescue/grub-rescue-cdrom.iso"


class Guest:
    """One kiln-vmm that boots firmware; debug and serial hold what was said so far."""

    def __init__(self, *options):
        self.dir = tempfile.TemporaryDirectory()
        self.socket = os.path.join(self.dir.name, "qmp")
        self.process = subprocess.Popen(
            [VMM, "-m", "64", "-nodefaults", "-nographic", "-serial", "file:" + self.path("serial"),
             "-chardev", "file,id=debug,path=" + self.path("debug"),
             "-device", "isa-debugcon,iobase=0x402,chardev=debug",
             "-qmp", "unix:%s,server=on,wait=off" % self.socket, *ALWAYS, *options],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def said(self, name):
        """Without movements of the cursor: on a busy host SeaBIOS's mirror of the screen on a serial port
        puts them into the middle of words."""
        try:
            with open(self.path(name), encoding="latin-1") as stream:
                return re.sub(r"\x1b\[[0-9;]*H", "", stream.read())
        except FileNotFoundError:
            return ""

    def wait(self, text, name="debug", times=1):
        end = time.monotonic() + SECONDS
        while self.said(name).count(text) < times:
            if self.process.poll() is not None:
                raise AssertionError("kiln-vmm ended: " + self.process.stderr.read())
            if time.monotonic() > end:
                raise AssertionError("no '%s' in %s:\n%s" % (text, name, self.said(name)[-2000:]))
            time.sleep(0.05)

    def qmp(self, *commands):
        """The answers to commands; one with arguments is a pair."""
        answers = []
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.socket)
            stream = Lines(client)
            stream.readline()
            for command in ("qmp_capabilities", *commands):
                name, arguments = command if isinstance(command, tuple) else (command, {})
                stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
                answer = {}
                while "return" not in answer:
                    answer = json.loads(stream.readline())
                answers.append(answer["return"])
        return answers[1:]

    def wait_screen(self, what, seen):
        """Until seen(picture) is true of what the guest shows."""
        path = self.path("screen")
        self.wait("SeaBIOS")
        end = time.monotonic() + SECONDS
        while True:
            self.qmp(("screendump", {"filename": path}))
            with open(path, "rb") as stream:
                picture = read_ppm(stream.read())
            if seen(picture):
                return
            if time.monotonic() > end:
                raise AssertionError("no %s on the screen of %dx%d" % (what, picture.width, picture.height))
            time.sleep(0.3)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        self.dir.cleanup()


class SeaBios(unittest.TestCase):
    def test_both_machines_reach_the_end(self):
        for machine, board, elcr in (("q35", "q35", "Q35 LPC init"), ("pc", "i440fx", "PIIX3/PIIX4")):
            with self.subTest(machine=machine), Guest("-M", machine, "-smp", "3") as guest:
                guest.wait("No bootable device.")
                said = guest.said("debug")
                for text in ("Running on QEMU (%s)" % board, "fw_cfg DMA interface supported", elcr,
                             "Found 3 cpu(s) max supported 3 cpu(s)", "ACPI: parse DSDT"):
                    self.assertIn(text, said)
                # Its messages are on the serial line too, because there is no other screen.
                guest.wait("No bootable device", "serial")

    def test_reset(self):
        for machine in ("q35", "pc"):
            with self.subTest(machine=machine), Guest("-M", machine) as guest:
                guest.wait("No bootable device.")
                guest.qmp("system_reset")
                guest.wait("No bootable device.", times=2)

    def test_user_file_and_fail_wait(self):
        with Guest("-fw_cfg", "name=opt/org.test/x,string=hello", "-boot",
                   "reboot-timeout=100") as guest:
            # With a time-out firmware reboots by itself.
            guest.wait("No bootable device.", times=2)

    def test_sleep(self):
        """S3, as the boot sector of sleep_boot.S finds it in the tables, and out of it by SeaBIOS."""
        for machine, wake in (("q35", "system_powerdown"), ("pc", "system_wakeup")):
            with self.subTest(machine=machine, wake=wake), tempfile.NamedTemporaryFile() as disk, \
                    tempfile.NamedTemporaryFile() as log:
                with open(SLEEP, "rb") as boot:
                    disk.write(boot.read())
                disk.truncate(1 << 20)
                chip = "ICH9-LPC" if machine == "q35" else "PIIX4_PM"
                with Guest("-M", machine, "-global", chip + ".disable_s3=0", "-device",
                           "isa-debug-exit,iobase=0x501", "-drive",
                           "file=%s,format=raw,if=virtio" % disk.name, "-chardev",
                           "file,id=says,path=" + log.name, "-device",
                           "isa-debugcon,iobase=0xe9,chardev=says") as guest:
                    guest.wait("s", log.name)
                    end = time.monotonic() + SECONDS
                    while guest.qmp("query-status")[0]["status"] != "suspended":
                        self.assertLess(time.monotonic(), end)
                        time.sleep(0.05)
                    answers = guest.qmp("query-current-machine", "stop", "cont", "query-status", wake)
                    self.assertEqual(answers[0], {"wakeup-suspend-support": True})
                    self.assertEqual(answers[3]["status"], "suspended")
                    self.assertEqual(guest.process.wait(SECONDS), 3)
                    self.assertEqual(guest.said(log.name), "sw")

    def test_menu(self):
        with Guest("-boot", "menu=on,splash-time=1000") as guest:
            guest.wait("for boot menu", "serial")

    def test_splash(self):
        """A picture beside the menu: two halves of 320x200."""
        colours = ((40, 200, 90), (250, 30, 120))
        rows = b"".join(bytes(reversed(colour)) * 160 for colour in colours)
        with tempfile.NamedTemporaryFile(suffix=".bmp") as file:
            file.write(struct.pack("<2sIIIIiiHHIIiiII", b"BM", 54 + 200 * len(rows), 0, 54, 40, 320, 200,
                                   1, 24, 0, 200 * len(rows), 0, 0, 0, 0) + rows * 200)
            file.flush()
            with Guest("-device", "VGA", "-sandbox", "off", "-boot",
                       "menu=on,splash-time=60000,splash=" + file.name) as guest:
                guest.wait_screen("picture", lambda picture: (picture.width, picture.height) == (320, 200) and
                                  (picture.pixel(10, 190), picture.pixel(300, 10)) == colours)

    def test_network_rom(self):
        """Run only if it names the card's ids, which a transitional one and a modern one have of their own."""
        for machine, bus, addr in (("pc", "pci.0", 3), ("q35", "p1", 0)):
            ports = [] if machine == "pc" else ["-device", "pcie-root-port,id=p1,addr=3"]
            with self.subTest(machine=machine), \
                    Guest("-M", machine, *ports, "-netdev", "user,id=n", "-device",
                          "virtio-net-pci,netdev=n,bus=%s,addr=%d" % (bus, addr)) as guest:
                guest.wait("Running option rom")

    def test_boot_order(self):
        with Guest(
                "-device", "pcie-root-port,id=p1,addr=3", "-drive", "if=none,id=d0,format=raw,file="
                + DISK.name, "-device", "virtio-blk-pci,drive=d0,bus=p1,bootindex=1",
                "-boot", "strict=on") as guest:
            guest.wait("Booting from Hard Disk...")
            self.assertIn("1: /pci@i0cf8/pci-bridge@3/scsi@0/disk@0,0", guest.said("debug"))
            self.assertIn("2: HALT", guest.said("debug"))


@unittest.skipUnless(os.access(GRUB, os.R_OK), GRUB + " is not installed (grub-rescue-pc)")
class Grub(unittest.TestCase):
    def test_disk(self):
        for machine in ("q35", "pc"):
            for interface in ("virtio", "scsi"):
                drive = "file=%s,if=%s,format=raw,readonly=on" % (GRUB, interface)
                with self.subTest(machine=machine, drive=interface), \
                        Guest("-M", machine, "-drive", drive) as guest:
                    guest.wait("GRUB loading", "serial")

    def test_legacy_virtio_disk(self):
        """Disks that have no other interface than that of before virtio 1.0."""
        drive = "file=%s,if=none,id=d,format=raw,readonly=on" % GRUB
        for machine in ("q35", "pc"):
            for device in (["virtio-blk-pci,drive=d"], ["virtio-scsi-pci,id=s", "scsi-hd,drive=d"]):
                device[0] += ",disable-modern=on"
                options = [x for d in device for x in ("-device", d)]
                with self.subTest(machine=machine, device=device), \
                        Guest("-M", machine, "-drive", drive, *options) as guest:
                    guest.wait("GRUB loading", "serial")
                    self.assertNotIn("using modern", guest.said("debug"))

    def test_ata_disk(self):
        """SATA on q35, IDE on pc: disks that cannot be read-only."""
        with tempfile.NamedTemporaryFile() as copy, open(GRUB, "rb") as grub:
            copy.write(grub.read())
            copy.flush()
            for machine in ("q35", "pc"):
                with self.subTest(machine=machine), \
                        Guest("-M", machine, "-hda", copy.name) as guest:
                    guest.wait("GRUB loading", "serial")

    @unittest.skipUnless(shutil.which("qemu-img"), "no qemu-img (Debian package qemu-utils)")
    def test_qcow2_disk(self):
        """Compressed clusters behind an overlay with subclusters, its format guessed, in the
        sandbox; a disk that is written; an overlay given node by node."""
        with tempfile.TemporaryDirectory() as directory:
            base, top = os.path.join(directory, "base"), os.path.join(directory, "top.qcow2")
            node = '{"node-name":"%s","driver":"%s",%s}'
            file = '"file":{"driver":"file","filename":"%s"}'
            for kind in ("zlib", "zstd"):
                for line in (["convert", "-q", "-f", "raw", "-O", "qcow2", "-c", "-o",
                              "compression_type=" + kind, GRUB, base],
                             ["create", "-q", "-f", "qcow2", "-o", "extended_l2=on", "-b", "base",
                              "-F", "qcow2", top]):
                    subprocess.run(["qemu-img", *line], check=True)
                with self.subTest(compression=kind), \
                        Guest("-drive", "file=%s,if=virtio" % top) as guest:
                    guest.wait("GRUB loading", "serial")
            with self.subTest("SATA"), Guest("-hda", top) as guest:
                guest.wait("GRUB loading", "serial")
            nodes = (node % ("base", "qcow2", '"read-only":true,"backing":null,' + file % base),
                     node % ("top", "qcow2", '"backing":"base",' + file % top))
            with self.subTest("nodes"), \
                    Guest("-blockdev", nodes[0], "-blockdev", nodes[1],
                          "-device", "virtio-blk-pci,drive=top") as guest:
                guest.wait("GRUB loading", "serial")
            subprocess.run(["qemu-img", "check", "-q", top], check=True)

    @unittest.skipUnless(shutil.which("qemu-nbd"), "no qemu-nbd (Debian package qemu-utils)")
    def test_nbd_disk(self):
        """An export of a server that is not ours, in the sandbox."""
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket")
            server = subprocess.Popen(["qemu-nbd", "-r", "-t", "-f", "raw", "-k", path, GRUB])
            try:
                deadline = time.monotonic() + 20
                while not os.path.exists(path):
                    self.assertLess(time.monotonic(), deadline, "qemu-nbd does not listen")
                    time.sleep(0.05)
                with Guest("-drive", "file=nbd+unix:///?socket=%s,format=raw,if=virtio,readonly=on"
                           % path) as guest:
                    guest.wait("GRUB loading", "serial")
            finally:
                server.terminate()
                server.wait()

    def test_boot_once(self):
        """The CD drive once, and the disk after a reset; its boot sector says c."""
        with tempfile.NamedTemporaryFile() as disk, tempfile.NamedTemporaryFile() as says:
            disk.write(b"\xb0c\xe6\xe9\xf4\xeb\xfd".ljust(510, b"\0") + b"\x55\xaa")
            disk.truncate(1 << 20)
            with Guest("-hda", disk.name, "-cdrom", GRUB, "-boot", "order=c,once=d", "-chardev",
                       "file,id=says,path=" + says.name, "-device", "isa-debugcon,iobase=0xe9,chardev=says"
                       ) as guest:
                guest.wait("Booting from DVD/CD...")
                guest.qmp("system_reset")
                guest.wait("c", says.name)
                self.assertEqual(guest.said("debug").count("Booting from DVD/CD..."), 1)
                guest.qmp("system_reset")
                guest.wait("cc", says.name)

    def test_usb_disk_at_ehci(self):
        """With the companions that libvirt gives it."""
        companions = []
        for number in range(3):
            companions += ["-device", "ich9-usb-uhci%d,masterbus=usb.0,firstport=%d,addr=0x1d.%d,"
                           "multifunction=on" % (number + 1, 2 * number, number)]
        with Guest("-device", "ich9-usb-ehci1,id=usb,addr=0x1d.7,multifunction=on", *companions,
                   "-drive", "if=none,id=d0,format=raw,readonly=on,file=" + GRUB,
                   "-device", "usb-storage,bus=usb.0,port=4,drive=d0,bootindex=1",
                   "-device", "usb-tablet,bus=usb.0,port=1") as guest:
            guest.wait("GRUB loading", "serial")
            self.assertIn("1: /pci@i0cf8/usb@1d,7/storage@4/channel@0/disk@0,0",
                          guest.said("debug"))

    def test_usb_disk(self):
        for machine, controller in (("q35", "qemu-xhci"), ("pc", "piix3-usb-uhci"), ("pc", "qemu-xhci")):
            with self.subTest(machine=machine, controller=controller), \
                    Guest("-M", machine, "-device", controller + ",id=usb0",
                          "-drive", "file=%s,if=none,id=d0,format=raw,readonly=on" % GRUB,
                          "-device", "usb-storage,bus=usb0.0,drive=d0") as guest:
                guest.wait("GRUB loading", "serial")

    def test_named_ahci(self):
        """A controller with a name of its own, beside the board's or instead of one."""
        for machine in ("q35", "pc"):
            with self.subTest(machine=machine), \
                    Guest("-M", machine, "-device", "ich9-ahci,id=sata1",
                          "-drive", "file=%s,if=none,id=d0,format=raw,readonly=on" % GRUB,
                          "-device", "ide-cd,bus=sata1.0,drive=d0") as guest:
                guest.wait("Welcome to GRUB", "serial")

    def test_cd(self):
        for machine in ("q35", "pc"):
            for drive in ("ide", "scsi"):
                with self.subTest(machine=machine, drive=drive), \
                        Guest("-M", machine, "-drive",
                              "file=%s,if=%s,media=cdrom" % (GRUB, drive)) as guest:
                    guest.wait("GRUB!", "serial")


class Refusals(unittest.TestCase):
    def test_messages(self):
        for says, options in (
                ("whole 64 KiB", ["-bios", __file__]),
                ("/nonexistent", ["-bios", "/nonexistent"]),
                ("leave out -bios", ["-bios", SEABIOS, "-kernel", SEABIOS]),
                ("go with -kernel", ["-append", "x"]),
                ("letters are", ["-boot", "order=xyz"]),
                ("one of file= and string=", ["-fw_cfg", "name=opt/x"]),
                ("flash wants raw", ["-drive", "if=pflash,format=qcow2,file=" + SEABIOS]),
                ("flash unit 1", ["-drive", "if=pflash,unit=1,readonly=on,file=" + SEABIOS]),
                ("both hold the firmware", ["-bios", SEABIOS, "-drive",
                                            "if=pflash,readonly=on,file=" + SEABIOS]),
        ):
            with self.subTest(options=options):
                result = subprocess.run([VMM, "-nodefaults", "-display", "none", *ALWAYS, *options],
                                        stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                        timeout=SECONDS, check=False)
                self.assertEqual(result.returncode, 1, result.stdout)
                self.assertIn(says, result.stderr)


def main():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK) or not os.access(SEABIOS, os.R_OK):
        print("skipped: wants /dev/kvm and", SEABIOS)
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)


main()
