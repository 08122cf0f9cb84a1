#!/usr/bin/python3
"""Debian's installer, fetched by virt-install from a small mirror, installs a system by itself into a
qcow2 volume: address by DHCP, packages through the NAT of network 'default'. Then the volume boots: the
system is the one that was asked for, has an address, and ends on `virsh shutdown`.

# timeout: 7200
# mirror:
# once: it takes half an hour beside another lab

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import (Daemon, Failed, IMG, PROJECT, TMP, check, console, run, state, test,  # noqa: E402
                   virsh, wait_for, write)

NAME = "installed"
INSTALL_SECONDS = 6000
BOOT_SECONDS = 600
EARLY_SECONDS = 900
# The login comes up beside the network, not behind it.
ADDRESS = "until ip -4 -o address | grep -F ' 192.168.122.'; do sleep 2; done"
WWW = "/run/kiln-world/www"         # what world.test serves
TREE = "http://world.test/debian/dists/trixie/main/installer-amd64/"
LOG = os.path.join(TMP, "console.log")
# A periodic tick asks KVM for no timer each time, and what leaves the guest is what costs most here.
WORDS = ("auto=true priority=critical DEBIAN_FRONTEND=text mitigations=off nohz=off highres=off "
         "log_host=192.168.122.1 --- console=ttyS0 mitigations=off")
# The mirror's lists are not signed, and of the installer's own answers apt wants one more than it is given.
UNSIGNED = "/usr/lib/base-installer.d/01unsigned"
# In place before there is a kernel, each of these spares the installed system an update of its initramfs,
# two minutes here.
EARLY = "busybox zstd initramfs-tools btrfs-progs dmsetup libfuse3-4"
PRESEED = """
d-i preseed/early_command string (echo '#!/bin/sh'; echo "echo 'Acquire::AllowInsecureRepositories true;' \
> /target/etc/apt/apt.conf.d/01unsigned") > %s; chmod 755 %s
d-i debian-installer/locale string en_US.UTF-8
d-i keyboard-configuration/xkb-keymap select us
d-i netcfg/choose_interface select auto
d-i netcfg/hostname string kiln-installed
d-i netcfg/get_domain string test
d-i mirror/country string manual
d-i mirror/protocol string http
d-i mirror/http/hostname string world.test
d-i mirror/http/directory string /debian
d-i mirror/http/proxy string
d-i mirror/suite string trixie
d-i mirror/udeb/suite string trixie
d-i debian-installer/allow_unauthenticated boolean true
d-i hw-detect/load_firmware boolean false
d-i clock-setup/utc boolean true
d-i clock-setup/ntp boolean false
d-i time/zone string Etc/UTC
d-i partman-auto/method string regular
d-i partman-auto/disk string /dev/vda
d-i partman-auto/expert_recipe string root :: 1000 1500 -1 btrfs $primary{ } $bootable{ } \
method{ format } format{ } use_filesystem{ } filesystem{ btrfs } mountpoint{ / } .
d-i partman-auto/choose_recipe select root
d-i partman-basicfilesystems/no_swap boolean false
d-i partman-partitioning/confirm_write_new_label boolean true
d-i partman/choose_partition select finish
d-i partman/confirm boolean true
d-i partman/confirm_nooverwrite boolean true
d-i base-installer/debootstrap_variant string minbase
d-i base-installer/includes string systemd-sysv udev dbus ifupdown dhcpcd-base iproute2 debconf-i18n %s
d-i base-installer/install-recommends boolean false
d-i base-installer/kernel/image string linux-image-cloud-amd64
d-i base-installer/initramfs-tools/driver-policy select dep
d-i passwd/make-user boolean false
d-i passwd/root-password password kiln
d-i passwd/root-password-again password kiln
d-i apt-setup/services-select multiselect
d-i apt-setup/enable-source-repositories boolean false
d-i pkgsel/run_tasksel boolean false
d-i pkgsel/upgrade select none
d-i pkgsel/update-policy select none
d-i grub-installer/only_debian boolean true
d-i grub-installer/bootdev string /dev/vda
d-i finish-install/reboot_in_progress note
d-i debian-installer/exit/poweroff boolean true
""" % (UNSIGNED, UNSIGNED, EARLY)


def served_mirror():
    """Lets world.test serve the mirror. Whether there is one."""
    made = subprocess.run([os.path.join(PROJECT, "tests/lab/mirror"), "--cached"],
                          stdout=subprocess.PIPE, text=True, check=False)
    if made.returncode == 0:
        os.symlink(made.stdout.strip(), os.path.join(WWW, "debian"))
    return made.returncode == 0


class Log:
    """The guest's console, which goes to the suite's log as it comes."""

    def __init__(self):
        self.place = 0

    def follow(self):
        if os.path.exists(LOG):
            with open(LOG, "rb") as file:
                file.seek(self.place)
                data = file.read()
            self.place += len(data)
            text = data.decode(errors="replace").replace("\r", "\n")
            print("".join(line + "\n" for line in text.split("\n") if line.strip()), end="", flush=True)


def syslog():
    """Prints what the installer logs, which it sends here."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        port.bind(("", 514))
        begin = time.monotonic()
        while True:
            text = port.recv(65536).decode(errors="replace")
            print("%5d %s" % (time.monotonic() - begin, re.sub(r"^<\d+>", "", text).rstrip()), flush=True)


def install():
    virsh("undefine", NAME, "--remove-all-storage", check_status=False)
    begin = time.monotonic()
    command = ["virt-install", "--connect", "qemu:///system", "--name", NAME, "--memory", "1024",
               "--osinfo", "debian11", "--disk", "size=2,format=qcow2,bus=virtio,cache=unsafe",
               "--network", "network=default,model=virtio", "--graphics", "none",
               "--serial", "pty,log.file=" + LOG, "--location", TREE,
               "--initrd-inject", write("preseed.cfg", PRESEED), "--extra-args", WORDS,
               "--noautoconsole", "--noreboot", "--wait", str(INSTALL_SECONDS // 60)]
    print("$ " + " ".join(command), flush=True)
    log = Log()
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as installation:
        while installation.poll() is None:
            log.follow()
            # run-suites takes a long silence for the end of the lab
            print("# %d s" % (time.monotonic() - begin), flush=True)
            time.sleep(20)
    log.follow()
    check(installation.returncode == 0, "virt-install ended with %d" % installation.returncode)
    wait_for("the guest is off", lambda: state(NAME) == "shut off", 60)
    with open(LOG, encoding="utf-8", errors="replace") as text:
        check("reboot: Power down" in text.read(), "it was not the installer that ended it")
    print("# installed in %d s" % (time.monotonic() - begin), flush=True)


def volume():
    """Where the volume is, which virt-install has named."""
    path = [line.split()[1] for line in virsh("domblklist", NAME).splitlines() if "vda" in line][0]
    run(IMG, "check", path)
    run("qemu-img", "check", path)
    return path


def log_in(terminal):
    terminal.expect("kiln-installed login:", BOOT_SECONDS)
    terminal.send("root\n")
    terminal.expect("Password:", BOOT_SECONDS)
    terminal.send("kiln\n")
    terminal.expect(r"root@kiln-installed:~# ", BOOT_SECONDS)


def breathe():
    """run-suites takes a long silence for the end of the lab, and a boot here is silent for minutes."""
    begin = time.monotonic()
    while True:
        time.sleep(60)
        print("# booting, %d s" % (time.monotonic() - begin), flush=True)


def attempt(action, seconds):
    """@action, and once more where it fails within @seconds: the lab's emulator ends a guest now and then,
    and the suite as a whole has no second try."""
    begin = time.monotonic()
    try:
        action()
    except Failed as error:
        if time.monotonic() - begin > seconds:
            raise
        print("# once more, as it ended early: %s" % error, flush=True)
        virsh("destroy", NAME, check_status=False)
        action()


def boots():
    virsh("start", NAME)
    with console(NAME) as terminal:
        log_in(terminal)
        for command, expected in (("cat /etc/debian_version", "13"), ("findmnt -no FSTYPE /", "btrfs"),
                                  ("uname -r", "cloud-amd64"), (ADDRESS, " 192.168.122."),
                                  ("dpkg -l grub-pc | tail -n 1", "ii"),
                                  ("dpkg --audit && echo no complaints", "no complaints"),
                                  ("grep ^deb /etc/apt/sources.list", "world.test")):
            said, status = terminal.command(command, BOOT_SECONDS)
            check(status == 0 and expected in said, "'%s' ended with %d: %s" % (command, status, said))
    virsh("shutdown", NAME)
    wait_for("the guest ends", lambda: state(NAME) == "shut off", BOOT_SECONDS)


if not served_mirror():
    print("skip Debian's installer - there is no mirror, see tests/lab/mirror", flush=True)
else:
    with Daemon():
        virsh("net-start", "default", check_status=False)
        threading.Thread(target=syslog, daemon=True).start()
        done = False
        with test("Debian's installer installs a system from a mirror by itself"):
            try:
                attempt(install, EARLY_SECONDS)
                done = True
            finally:
                if os.path.exists(LOG):
                    shutil.copy(LOG, os.environ["KILN_SUITE_OUT"])
        with test("the system that it installed boots from its volume, and ends on virsh shutdown"):
            check(done, "there is none")
            volume()
            threading.Thread(target=breathe, daemon=True).start()
            attempt(boots, EARLY_SECONDS)
        virsh("destroy", NAME, check_status=False)
        virsh("undefine", NAME, "--remove-all-storage", check_status=False)
    os.unlink(os.path.join(WWW, "debian"))
