#!/usr/bin/python3
"""journey - the main job of Kiln, step by step, with the stock virsh: a guest on the default network.

usage: journey.py [--connect URI] --guest-files DIR [--name NAME] [--tests]

virtkilnd must be running. Shows each command and its answer, and ends with a table of what took how
long. With --tests it prints 'ok STEP' or 'not ok STEP - why' lines as well. The guest's files are those
of tests/lab/guest. KILN_OUTSIDE_ADDRESS and KILN_OUTSIDE_NAME say what the guest reaches outside;
without them the host's default gateway and example.com.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from console import Console, ConsoleError  # noqa: E402

GUEST = """<domain type='kvm'>
  <name>{name}</name>
  <memory unit='MiB'>256</memory>
  <vcpu>2</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{files}/vmlinuz</kernel>
    <initrd>{files}/initrd</initrd>
    <cmdline>console=ttyS0 quiet kiln.hostname={name}</cmdline>
  </os>
  <features>
    <acpi/>
    <apic/>
  </features>
  <cpu mode='host-passthrough'/>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='{disk}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='network'>
      <source network='default'/>
      <model type='virtio'/>
    </interface>
    <console type='pty'/>
    <rng model='virtio'>
      <backend model='random'>/dev/urandom</backend>
    </rng>
  </devices>
</domain>
"""


class StepFailed(Exception):
    pass


def default_gateway():
    out = subprocess.run(["ip", "-4", "route", "show", "default"], capture_output=True, text=True).stdout
    match = re.search(r"via (\S+)", out)
    return match.group(1) if match else None


class Journey:
    def __init__(self, options):
        self.virsh = ["virsh"] + (["-c", options.connect] if options.connect else [])
        self.options = options
        self.name = options.name
        self.times = []
        self.failed = 0
        self.address = None
        self.outside = os.environ.get("KILN_OUTSIDE_ADDRESS") or default_gateway()
        self.outside_name = os.environ.get("KILN_OUTSIDE_NAME", "example.com")

    def show(self, *argv, expect=None, fail=True, quiet=False):
        """Runs a command as a user would see it; its output must match @expect."""
        print("\n$ " + " ".join(argv), flush=True)
        begin = time.monotonic()
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              stdin=subprocess.DEVNULL, timeout=300)
        self.took = time.monotonic() - begin
        if not quiet or done.returncode:
            print(done.stdout.rstrip(), flush=True)
        if fail and done.returncode != 0:
            raise StepFailed("'%s' ended with status %d: %s"
                             % (" ".join(argv), done.returncode, done.stdout.strip()))
        if expect and not re.search(expect, done.stdout):
            raise StepFailed("'%s' did not show /%s/" % (" ".join(argv), expect))
        return done.stdout

    def call(self, *argv, **more):
        return self.show(*self.virsh, *argv, **more)

    def step(self, label, function):
        begin = time.monotonic()
        try:
            function()
        except (StepFailed, ConsoleError, subprocess.TimeoutExpired, OSError) as error:
            self.failed += 1
            print("\nFAILED: %s: %s" % (label, error), flush=True)
            if self.options.tests:
                print("not ok %s - %s" % (label, str(error).replace("\n", " | ")), flush=True)
            return False
        self.times.append((label, time.monotonic() - begin))
        if self.options.tests:
            print("ok " + label, flush=True)
        return True

    # the steps

    def network(self):
        self.call("net-list", "--all", expect=r"default\s+active\s+yes")

    def define(self):
        with tempfile.NamedTemporaryFile("w", suffix=".xml") as xml:
            xml.write(GUEST.format(name=self.name, files=self.options.guest_files,
                                   disk=self.options.disk))
            xml.flush()
            self.call("define", xml.name, expect="defined from")

    def start(self):
        self.call("start", self.name, expect="started")

    def listed(self):
        self.call("list", expect=self.name + r"\s+running")

    def boot(self):
        print("\n(waiting for the guest's init on its console)", flush=True)
        with Console(self.virsh, self.name) as console:
            console.expect("Connected to domain", 20)
            console.wake(300)

    def lease(self):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            out = subprocess.run(self.virsh + ["domifaddr", self.name], capture_output=True,
                                 text=True).stdout
            match = re.search(r"ipv4\s+(\d+\.\d+\.\d+\.\d+)/", out)
            if match:
                self.address = match.group(1)
                break
            time.sleep(0.5)
        self.call("domifaddr", self.name, expect=r"vnet\d+\s+52:54:00:\S+\s+ipv4\s+\d")
        self.call("net-dhcp-leases", "default", expect=r"52:54:00:.*%s.*%s"
                  % (re.escape(self.address or "?"), self.name))

    def ping(self):
        self.show("ping", "-c", "2", "-W", "5", self.address or "0.0.0.0", expect="2 received")

    def console(self):
        print("\n$ %s console %s" % (" ".join(self.virsh), self.name), flush=True)
        with Console(self.virsh, self.name) as console:
            console.expect("Connected to domain", 20)
            console.wake(60)
            for command, pattern in (
                    ("uname -sr", "Linux"),
                    ("ls $(grep ^/dev/vda /proc/mounts | cut -d' ' -f2)", r"\S"),
                    ("ping -c 2 -w 10 %s" % self.outside, "2 packets received"),
                    ("nslookup %s" % self.outside_name, r"Address(?s:.*)Address"),
                    ("nslookup %s" % self.name, re.escape(self.address or "?"))):
                answer, status = console.command(command, 60)
                print("guest# %s\n%s" % (command, answer.split('STATUS $?\n')[-1].rstrip()), flush=True)
                if status != 0 or not re.search(pattern, answer):
                    raise StepFailed("in the guest, '%s' ended with %d and answered: %s"
                                     % (command, status, answer.strip()))

    def shutdown(self):
        self.call("shutdown", self.name, expect="being shutdown")
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            out = subprocess.run(self.virsh + ["domstate", self.name], capture_output=True,
                                 text=True).stdout
            if "shut off" in out:
                self.call("domstate", "--reason", self.name, expect=r"shut off \(shutdown\)")
                return
            time.sleep(0.3)
        raise StepFailed("the guest did not power itself off within 90 s")

    def undefine(self):
        self.call("undefine", self.name, expect="undefined")
        out = self.call("list", "--all")
        if self.name in out:
            raise StepFailed("the guest is still listed")

    def run(self):
        for label, function in (
                ("default network is active", self.network), ("define", self.define),
                ("start", self.start), ("list", self.listed), ("boot to a prompt", self.boot),
                ("lease", self.lease), ("ping the guest", self.ping),
                ("console, NAT, name", self.console), ("shutdown", self.shutdown),
                ("undefine", self.undefine)):
            if not self.step(label, function):
                subprocess.run(self.virsh + ["destroy", self.name], capture_output=True)
                subprocess.run(self.virsh + ["undefine", self.name], capture_output=True)
                break
        print("\n%-28s %10s" % ("step", "seconds"))
        for label, seconds in self.times:
            print("%-28s %10.2f" % (label, seconds))
        return self.failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--connect", metavar="URI", help="libvirt URI (default: virsh's own)")
    parser.add_argument("--guest-files", required=True, metavar="DIR")
    parser.add_argument("--disk", metavar="FILE", help="the guest's disk (default: DIR/disk.img)")
    parser.add_argument("--name", default="first-light")
    parser.add_argument("--tests", action="store_true")
    options = parser.parse_args()
    options.guest_files = os.path.abspath(options.guest_files)
    options.disk = options.disk or os.path.join(options.guest_files, "disk.img")
    sys.exit(1 if Journey(options).run() else 0)


main()
