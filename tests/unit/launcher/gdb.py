#!/usr/bin/python3
"""gdb.py KILN-VMM GUEST [OPTION...] - the server for debuggers, with GDB itself and by hand, on the program
of gdb_guest.S. Breakpoints are hardware's: software KVM has no others, and no watchpoints. OPTIONs are
given to every kiln-vmm.

Exit status 77 (skipped) without a usable /dev/kvm or without gdb.
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import unittest

VMM, GUEST, *ALWAYS = sys.argv[1:]
SECONDS = 120
UPPER = 0xffff800000000000


class Remote:
    """The protocol by hand."""

    def __init__(self, path):
        end = time.monotonic() + SECONDS
        while not os.path.exists(path):
            if time.monotonic() > end:
                raise AssertionError("no socket " + path)
            time.sleep(0.05)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        self.socket.connect(path)
        self.input = self.socket.makefile("rb")

    def packet(self, text):
        self.socket.sendall(b"$%s#%02x" % (text.encode(), sum(text.encode()) & 255))

    def reply(self):
        """The next packet; acknowledgements are passed over."""
        while self.input.read(1) not in (b"$", b""):
            pass
        text = b""
        while not text.endswith(b"#"):
            byte = self.input.read(1)
            if not byte:
                return None
            text += byte
        self.input.read(2)
        with contextlib.suppress(BrokenPipeError):  # its last word
            self.socket.sendall(b"+")
        return text[:-1].decode()

    def ask(self, text):
        self.packet(text)
        return self.reply()

    def close(self):
        self.input.close()
        self.socket.close()


class Server(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "gdb")

    def start(self, *options):
        self.process = subprocess.Popen(
            [VMM, "-m", "16", "-nodefaults", "-display", "none", "-kernel", GUEST, "-S", *ALWAYS, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.process.communicate)
        self.addCleanup(self.process.kill)

    def start_stub(self, *options):
        self.start("-gdb", "unix:%s,server=on,wait=off" % self.path, *options)

    def remote(self):
        remote = Remote(self.path)
        self.addCleanup(remote.close)
        return remote

    def gdb(self, *commands):
        """What GDB says to the commands, after it was told of the program and the guest."""
        Remote(self.path).close()  # it is there
        script = os.path.join(self.folder.name, "script")
        with open(script, "w", encoding="ascii") as file:
            file.write("\n".join(("set pagination off", "set confirm off", "file " + GUEST,
                                  "target remote " + self.path) + commands) + "\n")
        done = subprocess.run(["gdb", "-nx", "-batch", "-x", script], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=SECONDS, check=False)
        return done.stdout

    def check_lines(self, output, *patterns):
        at = 0
        for pattern in patterns:
            found = re.compile(pattern, re.M).search(output, at)
            self.assertTrue(found, "no /%s/ in its place in:\n%s" % (pattern, output))
            at = found.end()

    def test_gdb(self):
        self.start_stub("-smp", "2")
        output = self.gdb(
            "info threads", "info registers rip cs cr0 eflags", "monitor info status",
            "hbreak *((unsigned long)&work + 0x%x)" % UPPER, "continue", "info registers rip rbx efer",
            "stepi", "print (long)$rip - (long)&work - 0x%x" % UPPER,
            "print *(long *)((unsigned long)&counter + 0x%x)" % UPPER,
            "set $rbx = 5", "set $xmm3.uint128 = 7", "set $st0 = 1.5", "set *(long *)&counter = 1000",
            "continue", "print $rbx", "print $xmm3.v2_int64", "print $st0", "print *(long *)&counter",
            "print $mxcsr", "thread 2", "print $rip", "delete", "maintenance packet qqemu.PhyMemMode",
            "maintenance packet Qqemu.PhyMemMode:1", "maintenance packet m%x,1" % UPPER, "kill")
        self.check_lines(
            output, r"Thread 1 \(CPU#0, APIC id 0\)", r"Thread 2 \(CPU#1",
            r"^rip +0x2[0-9a-f]+ .*<start>", r"^cs +0x10 ", r"^cr0 +0x31", r"^eflags +0x2 +\[",
            r"^VM status: paused", r"hit Breakpoint 1, 0xffff8000002", r"^rip +0xffff8000002",
            r"^rbx +0x1122334455667788", r"^efer +0x500", r"^\$1 = 8$", r"^\$2 = 1$",
            r"hit Breakpoint 1", r"^\$3 = 5$", r"^\$4 = \{7, 0\}$", r"^\$5 = 1\.5$",
            r"^\$6 = 1000$", r"^\$7 = \[ IM", r"^\[Switching to thread 2", r"^\$8 =",
            r'^received: "0"', r'^received: "OK"', r'^received: "E0e"',
            r"Inferior 1 .*killed")
        self.assertEqual(self.process.wait(SECONDS), 0)

    def test_by_hand(self):
        self.start_stub()
        remote = self.remote()
        remote.socket.sendall(b"garbage$?#00")  # a wrong sum: to be sent again
        self.assertEqual(remote.input.read(1), b"-")
        self.assertEqual(remote.ask("?"), "T05thread:1;")
        self.assertEqual(remote.ask("qSupported:swbreak+;hwbreak+")[:16], "PacketSize=4000;")
        self.assertEqual(remote.ask("vMustReplyEmpty"), "")
        self.assertEqual(remote.ask("Hg7"), "E16")
        self.assertEqual(remote.ask("m200000,4"), "7f454c46")  # the program's own head
        self.assertEqual(remote.ask("m100000000,4"), "E0e")
        self.assertEqual(remote.ask("M1000,2:beef"), "OK")
        self.assertEqual(remote.ask("m1000,4"), "beef0000")
        self.assertEqual(remote.ask("X1000,1:}\x03"), "OK")
        self.assertEqual(remote.ask("m1000,1"), "23")
        self.assertEqual(remote.ask("Z0,1000,1"), "OK")
        self.assertEqual(remote.ask("m1000,2"), "23ef")  # not what stands there now
        self.assertEqual(remote.ask("M1000,1:55"), "OK")
        self.assertEqual(remote.ask("z0,1000,1"), "OK")
        self.assertEqual(remote.ask("m1000,1"), "55")
        self.assertEqual(remote.ask("Z3,1000,4"), "")
        for address in range(4):
            self.assertEqual(remote.ask("Z2,%x,4" % (0x1000 + 4 * address)), "OK")
        self.assertEqual(remote.ask("Z2,2000,4"), "E1c")
        self.assertEqual(remote.ask("z2,1000,4"), "OK")
        self.assertEqual(remote.ask("vCont?"), "vCont;c;C;s;S")
        remote.packet("vCont;c")
        remote.socket.sendall(b"\x03")
        self.assertEqual(remote.reply(), "T02thread:1;")
        self.assertEqual(remote.ask("D"), "OK")
        remote.close()
        again = self.remote()
        self.assertEqual(again.ask("?"), "T02thread:1;")
        again.packet("vCont;c")
        self.process.terminate()
        self.assertEqual(again.reply(), "W00")
        self.assertEqual(self.process.wait(SECONDS), 0)

    def test_monitor_begins_and_ends_it(self):
        monitor = os.path.join(self.folder.name, "monitor")
        self.start("-monitor", "unix:%s,server=on,wait=off" % monitor, "-chardev",
                   "socket,id=dbg,path=%s,server=on,wait=off" % self.path)
        remote = Remote(monitor)
        self.addCleanup(remote.close)

        def say(line, text):
            remote.socket.sendall(line.encode() + b"\r")
            seen = b""
            while text.encode() not in seen:
                byte = remote.input.read(1)
                self.assertTrue(byte, seen)
                seen += byte
        say("gdbserver chardev:nothing", "no -chardev with id=nothing")
        say("gdbserver chardev:dbg", "Waiting for gdb connection")
        debugger = self.remote()
        self.assertEqual(debugger.ask("?"), "T05thread:1;")
        self.assertIn("cannot send itself away",
                      bytes.fromhex(debugger.ask("qRcmd," + b"gdbserver none".hex())[1:]).decode())
        self.assertEqual(debugger.reply(), "OK")
        say("gdbserver none", "Disabled gdbserver")


if __name__ == "__main__":
    try:
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError as error:
        print("skipped: /dev/kvm:", error)
        sys.exit(77)
    if not shutil.which("gdb"):
        print("skipped: there is no gdb")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
