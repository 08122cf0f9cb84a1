"""suite - what the suites of the lab share: reporting, a daemon, virsh, guests.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback

PROJECT = os.environ["KILN_PROJECT"]
BUILD = os.environ["KILN_BUILD"]
TMP = os.environ["KILN_SUITE_TMP"]
sys.path.insert(0, os.path.join(PROJECT, "tests"))
from console import Console  # noqa: E402,F401

VIRTKILND = os.path.join(BUILD, "driver", "virtkilnd")
VMM = os.path.join(BUILD, "launcher", "kiln-vmm")
IMG = os.path.join(BUILD, "block", "img", "kiln-img")
LEASES = os.path.join(BUILD, "network", "kiln-leases")
GUEST_FILES = os.path.join(TMP, "guest")


class Failed(Exception):
    pass


def check(condition, why):
    if not condition:
        raise Failed(why)


@contextlib.contextmanager
def test(name):
    """One test: prints its line, and goes on after a failure."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  (whatever went wrong is the test's outcome)
        if not isinstance(error, Failed):
            traceback.print_exc(file=sys.stdout)
        print("not ok %s - %s" % (name, str(error).strip().replace("\n", " | ")), flush=True)
    else:
        print("ok " + name, flush=True)


def print_stacks():
    """Where the daemon and its guests' processes stand, in the kernel and outside."""
    for name in ("virtkilnd", "kiln-vmm"):
        for pid in subprocess.run(["pidof", name], capture_output=True, text=True, check=False).stdout.split():
            for task in sorted(glob.glob("/proc/%s/task/*" % pid)):
                try:
                    told = [open(os.path.join(task, part), encoding="ascii", errors="replace").read().strip()
                            for part in ("comm", "wchan", "stack")]
                except OSError:
                    continue
                print("# %s %s\n%s" % (task, " ".join(told[:2]), told[2]))
            try:
                print(subprocess.run(["gdb", "-p", pid, "-batch", "-ex", "thread apply all bt"], text=True,
                                     capture_output=True, check=False, timeout=120).stdout, flush=True)
            except (OSError, subprocess.TimeoutExpired) as error:
                print("# gdb: %s" % error, flush=True)


def run(*argv, check_status=True, timeout=120, **more):
    """Output (stdout and stderr together) of a command; fails with it unless the status is 0."""
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              stdin=subprocess.DEVNULL, timeout=timeout, **more)
    except subprocess.TimeoutExpired:
        print_stacks()
        raise
    print("$ %s\n%s" % (" ".join(argv), done.stdout), end="", flush=True)
    if check_status and done.returncode != 0:
        raise Failed("'%s' ended with %d: %s" % (" ".join(argv), done.returncode, done.stdout))
    return done.stdout


def fails(*argv, expect="", timeout=120, **more):
    """Runs a command that must fail with a message matching @expect; returns the message."""
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, timeout=timeout, **more)
    print("$ %s\n%s" % (" ".join(argv), done.stdout), end="", flush=True)
    check(done.returncode != 0, "'%s' should have failed" % " ".join(argv))
    check(re.search(expect, done.stdout), "'%s' said '%s', not /%s/"
          % (" ".join(argv), done.stdout.strip(), expect))
    return done.stdout


def wait_for(what, function, timeout):
    """Calls @function until it returns something true, which is returned."""
    deadline = time.monotonic() + timeout
    while True:
        result = function()
        if result:
            return result
        if time.monotonic() > deadline:
            raise Failed("%s: not within %d s" % (what, timeout))
        time.sleep(0.2)


def threads_of(pid):
    """What each thread of a process does, for a report of one that does not go on: its name, state,
    processor time in ticks, and where it waits in the kernel."""
    lines = []
    for task in sorted(os.listdir("/proc/%d/task" % pid), key=int):
        with open("/proc/%d/task/%s/stat" % (pid, task), encoding="ascii") as file:
            name, rest = file.read().split("(", 1)[1].rsplit(") ", 1)
        with open("/proc/%d/task/%s/wchan" % (pid, task), encoding="ascii") as file:
            waits = file.read()
        fields = rest.split()
        lines.append("%s %-16s %s %s+%s ticks, %s" % (task, name, fields[0], fields[11], fields[12],
                                                     waits))
    return "\n".join(lines)


class Daemon:
    """virtkilnd as root on this machine's own paths, or as another user with @wrap."""

    def __init__(self, wrap=(), env=None, args=()):
        self.wrap, self.args = list(wrap), list(args)
        # a call that GLib refuses is an error of ours
        self.env = dict(os.environ, KILN_VMM=VMM, KILN_IMG=IMG, KILN_LEASES=LEASES,
                        G_DEBUG="fatal-criticals", **(env or {}))
        self.log = os.path.join(TMP, "virtkilnd.log")
        self.process = None

    def start(self, uri="kiln:///system"):
        log = open(self.log, "a", encoding="utf-8")
        self.process = subprocess.Popen(self.wrap + [VIRTKILND] + self.args, stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log, env=self.env)
        log.close()

        def up():
            check(self.process.poll() is None, "virtkilnd ended with %s: %s"
                  % (self.process.returncode, self.tail()))
            return subprocess.run(self.wrap + ["virsh", "-c", uri, "uri"], env=self.env,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  check=False).returncode == 0
        wait_for("virtkilnd answers", up, 60)
        return self

    def tail(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-3000:]

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)

    def kill(self):
        self.process.kill()
        self.process.wait(30)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *unused):
        if kind:
            print("virtkilnd's log:\n" + self.tail(), flush=True)
        self.stop()


def fresh_host():
    """What an earlier suite's daemon left in the lab: definitions, bridges, rules."""
    for directory in ("/etc/kiln", "/run/kiln", "/var/lib/kiln", "/var/log/kiln"):
        shutil.rmtree(directory, ignore_errors=True)
    for link in os.listdir("/sys/class/net"):
        if link.startswith(("virbr", "vnet")):
            subprocess.run(["ip", "link", "delete", link], check=False)
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout
    for family, name in re.findall(r"table (\S+) (kiln\S*)", tables):
        subprocess.run(["nft", "delete", "table", family, name], check=False)


fresh_host()


def virsh(*argv, uri="qemu:///system", **more):
    return run("virsh", "-c", uri, *argv, **more)


def guest_files():
    """Kernel, initrd and disk image for guests; made once in a suite."""
    if not os.path.exists(GUEST_FILES):
        run(os.path.join(PROJECT, "tests/lab/guest"), GUEST_FILES)
    return GUEST_FILES


INTERFACE = """<interface type='network'><source network='default'/><model type='virtio'/></interface>"""


def guest_xml(name, memory=192, vcpus=1, devices=INTERFACE, disk=None, cmdline="", extra=""):
    files = guest_files()
    disk = "" if disk is None else """
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='%s'/>
      <target dev='vda' bus='virtio'/>
    </disk>""" % disk
    return """<domain type='kvm'>
  <name>%s</name>
  <memory unit='MiB'>%d</memory>
  <vcpu>%d</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>%s/vmlinuz</kernel>
    <initrd>%s/initrd</initrd>
    <cmdline>console=ttyS0 quiet kiln.hostname=%s %s</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='host-passthrough'/>
  %s
  <devices>%s
    %s
    <console type='pty'/>
  </devices>
</domain>
""" % (name, memory, vcpus, files, files, name, cmdline, extra, disk, devices)


def write(name, text):
    path = os.path.join(TMP, name)
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)
    return path


def define(name, **more):
    virsh("define", write(name + ".xml", guest_xml(name, **more)))


def state(name, uri="qemu:///system"):
    return subprocess.run(["virsh", "-c", uri, "domstate", name], capture_output=True, text=True,
                          check=False).stdout.strip()


def console(name, uri="qemu:///system"):
    return Console(["virsh", "-c", uri], name)


def wait_ready(name, timeout=300, uri="qemu:///system"):
    """Until the guest's shell answers on its console."""
    with console(name, uri) as terminal:
        terminal.expect("Connected to domain", 30)
        terminal.wake(timeout)


class GuestShell:
    """The guest's shell on its console."""

    def __init__(self, name, timeout=300):
        self.console = console(name)
        self.console.expect("Connected to domain", 120)
        self.console.wake(timeout)

    def run(self, command, status=0, timeout=120):
        """What @command printed; fails unless it ended with @status."""
        answer, got = self.console.command(command, timeout)
        check(got == status, "'%s' ended with %d in the guest: %s" % (command, got, answer))
        return answer.strip()


def address(name, timeout=60):
    def find():
        out = subprocess.run(["virsh", "-c", "qemu:///system", "domifaddr", name],
                             capture_output=True, text=True, check=False).stdout
        match = re.search(r"ipv4\s+([\d.]+)/", out)
        return match and match.group(1)
    return wait_for("%s has a lease" % name, find, timeout)


def vmm_pid(name):
    """The process of a running guest, found as an administrator finds it: by its command line."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open("/proc/%s/cmdline" % pid, "rb") as stream:
                argv = stream.read().decode(errors="replace").split("\0")
            if "kiln-vmm" in argv[0] and any(re.match(r"guest=%s(,|$)" % re.escape(name), a)
                                             for a in argv):
                return int(pid)
    return None


def taps():
    return sorted(n for n in os.listdir("/sys/class/net") if n.startswith("vnet"))


def gone(name):
    """Nothing of a stopped guest is left behind."""
    check(vmm_pid(name) is None, "a process of %s is left" % name)
    check(not taps(), "taps are left: %s" % ", ".join(taps()))
    left = [os.path.join(top, entry) for top, _, entries in os.walk("/run/kiln") for entry in entries
            if name in entry]
    check(not left, "files are left: %s" % ", ".join(left))
