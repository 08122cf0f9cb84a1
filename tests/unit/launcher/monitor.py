#!/usr/bin/python3
"""monitor.py KILN-VMM [OPTION...] - the monitor for people: on a socket, behind Ctrl-a on the terminal
that the serial port has, and by QMP. On any /dev/kvm; the guest is paused.

Exit status 77 (skipped) without a usable /dev/kvm.
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../.."))
from lines import Lines  # noqa: E402

VMM, *ALWAYS = sys.argv[1:]
SECONDS = 30
PROMPT = "(qemu) "


class Talk:
    """What has been read from a descriptor, of which nothing is looked at twice."""

    def __init__(self, fd):
        self.fd, self.text = fd, ""

    def send(self, text):
        os.write(self.fd, text.encode())

    def until(self, text):
        end = time.monotonic() + SECONDS
        while text not in self.text:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError("no %r in %r" % (text, self.text))
            data = os.read(self.fd, 65536)
            if not data:
                raise AssertionError("the end, and no %r in %r" % (text, self.text))
            self.text += data.decode(errors="replace")
        before, self.text = self.text.split(text, 1)
        return before

    def ask(self, line):
        """The answer to @line, which is echoed first."""
        self.send(line + "\r")
        return self.until(PROMPT).replace("\r", "").split("\n", 1)[1]


class Vmm(unittest.TestCase):
    def start(self, *options, **more):
        argv = [VMM, "-S", "-m", "32", "-M", "pc", *ALWAYS, *options]
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, **more)
        self.addCleanup(self.process.communicate)
        self.addCleanup(self.process.kill)

    def connect(self, path):
        end = time.monotonic() + SECONDS
        while not os.path.exists(path):
            self.assertIsNone(self.process.poll())
            self.assertLess(time.monotonic(), end)
            time.sleep(0.05)
        peer = socket.socket(socket.AF_UNIX)
        self.addCleanup(peer.close)
        peer.connect(path)
        return peer

    def commands(self, path):
        """A function that carries out QMP commands at @path; events are passed over."""
        stream = Lines(self.connect(path))
        stream.readline()

        def do(command, **arguments):
            stream.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
            while True:
                answer = json.loads(stream.readline())
                if "event" not in answer:
                    return answer
        do("qmp_capabilities")
        return do

    def held(self):
        """How many descriptors and KiB of memory of its own the process has."""
        folder = "/proc/%d/" % self.process.pid
        with open(folder + "status", encoding="ascii") as stream:
            anon = next(line for line in stream if line.startswith("RssAnon:"))
        return len(os.listdir(folder + "fd")), int(anon.split()[1])

    def test_nothing_is_left_behind(self):
        """Back ends, objects and devices that come and go, many times."""
        rounds = (("chardev-add", {"id": "c", "backend": {"type": "ringbuf", "data": {"size": 65536}}}),
                  ("object-add", {"qom-type": "rng-builtin", "id": "r"}),
                  ("object-add", {"qom-type": "iothread", "id": "t"}),
                  ("netdev_add", {"type": "hubport", "id": "n"}),
                  ("device_add", {"driver": "usb-mouse", "id": "m"}),
                  ("device_add", {"driver": "usb-hub", "id": "h"}),
                  ("device_del", {"id": "h"}), ("device_del", {"id": "m"}),
                  ("object-del", {"id": "t"}), ("object-del", {"id": "r"}),
                  ("chardev-remove", {"id": "c"}))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "q")
            self.start("-nodefaults", "-display", "none", "-usb",
                       "-qmp", "unix:%s,server=on,wait=off" % path)
            do = self.commands(path)
            for number in range(250):
                for command, arguments in rounds:
                    answer = do(command, **arguments)
                    if arguments.get("type") == "hubport":
                        self.assertIn("error", answer) # leaves nothing either
                    else:
                        self.assertEqual(answer, {"return": {}}, command)
                if number == 50:
                    before = self.held()
            after = self.held()
            self.assertEqual(after[0], before[0])
            if "-sandbox" not in ALWAYS: # with a sanitizer memory comes back late
                self.assertLess(after[1] - before[1], 512)

    def test_a_wait_for_a_client_can_be_ended(self):
        """Signals are taken by the loop, which does not run yet."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "serial")
            for number in (signal.SIGINT, signal.SIGTERM):
                self.start("-nodefaults", "-display", "none", "-serial", "unix:%s,server=on" % path)
                self.assertIn("'serial0' waits for a client", self.process.stderr.readline())
                while not os.path.exists(path):
                    time.sleep(0.05)
                self.process.send_signal(number)
                self.assertEqual(self.process.wait(SECONDS), 1)
                self.assertFalse(os.path.exists(path))

    def test_a_parent_that_reads_to_the_end(self):
        """What runs in the background keeps no pipe open."""
        with tempfile.TemporaryDirectory() as folder:
            pid = os.path.join(folder, "pid")
            done = subprocess.run([VMM, "-S", "-m", "32", "-nodefaults", "-display", "none", *ALWAYS,
                                   "-daemonize", "-pidfile", pid], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=SECONDS, check=False)
            with open(pid, encoding="ascii") as stream:
                os.kill(int(stream.read()), signal.SIGTERM)
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_socket(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m")
            self.start("-nodefaults", "-display", "none", "-monitor", "unix:%s,server,nowait" % path,
                       "-chardev", "ringbuf,id=ring", "-device", "isa-serial,chardev=ring,id=s0",
                       "-usb", "-device", "usb-mouse,id=m0")
            talk = Talk(self.connect(path).fileno())
            talk.until(PROMPT)
            self.assertEqual(talk.ask("info status"), "VM status: paused (prelaunch)\n")
            self.assertIn("ring: filename=ringbuf\n", talk.ask("info chardev"))
            # the reset vector, in firmware, which is no RAM; no page tables in real mode
            self.assertRegex(talk.ask("xp /5bx 0xfffffff0"), "^00000000fffffff0: 0xea 0x5b 0xe0 0x00 0xf0\n$")
            self.assertEqual(talk.ask("x/1wx 0xfffff0+0xff000000"), "00000000fffffff0: 0x00e05bea\n")
            self.assertEqual(talk.ask("xp/3wd 0x5000"), "0000000000005000:%s\n" % (3 * "          0"))
            self.assertEqual(talk.ask("xp/2cb 0xffff5"), "00000000000ffff5: '0' '6'\n")
            self.assertEqual(talk.ask("xp 0xfeb00000"), "Cannot access memory at 0xfeb00000\n")
            self.assertEqual(talk.ask("x $pc+0x10")[16:18], ": ")
            self.assertIn("expected [/", talk.ask("x/4i 0"))
            self.assertIn("is not an address", talk.ask("xp /x 12z"))
            self.assertIn("00000000fffc0000-00000000ffffffff rom\n", talk.ask("info mtree"))
            self.assertIn('dev: isa-serial, id "s0"', talk.ask("info qtree"))
            self.assertIn("8086:1237", talk.ask("info pci"))
            self.assertEqual(talk.ask("device_add virtio-serial-pci,id=vs0"), "")
            self.assertIn('dev: virtio-serial-pci, id "vs0"', talk.ask("info qtree"))
            self.assertIn("did you mean", talk.ask("device_add virtio-serial-pic"))
            self.assertIn("usage: sendkey", talk.ask("sendkey"))
            for line, answer in (("p 0x10+0x20", "0x30\n"), ("p/d 0-1", "-1\n"), ("print /c 65", "'A'\n"),
                                 ("p $pc", "0xfff0\n"), ("mouse_move 5 -5 1", ""),
                                 ("mouse_button 5", ""), ("mouse_button 0", ""),
                                 ("ringbuf_write ring hello", ""), ("ringbuf_read ring 9", "hello\n"),
                                 ("object_add rng-builtin,id=r0", ""), ("object_del r0", ""),
                                 ("chardev-send-break ring", ""), ("watchdog_action pause", ""),
                                 ("info block-jobs", "No active jobs\n"),
                                 ("info memory_size_summary", "base memory: 33554432\n")):
                self.assertEqual(talk.ask(line), answer, line)
            for line in ("mouse_button 9", "mouse_move 1 b", "memsave 0 lots /tmp/x", "object_del r0",
                         "block_job_cancel none", "set_password vnc x", "set_link m0 maybe"):
                self.assertIn("Error: ", talk.ask(line), line)
            self.assertIn('size=0x040000 mem=rom name="', talk.ask("info roms"))
            self.assertIn("Device 0.0, Port 1, Speed 12 Mb/s, Product ", talk.ask("info usb"))
            self.assertIn("unknown command: 'migrate_nothing'", talk.ask("migrate_nothing"))
            registers = talk.ask("info registers")
            self.assertRegex(registers, "CPU#0\nEAX=00000000 EBX=")
            self.assertIn("EIP=0000fff0 EFL=00000002 [------] CPL=0 HLT=0\n", registers)
            self.assertIn("CS =f000 ffff0000 0000ffff ", registers)
            self.assertEqual(talk.ask("info registers -a"), registers)
            for line in ("info registers -b", "info status -a"):
                self.assertIn("usage:", talk.ask(line))
            self.assertIn("info status --", talk.ask("help info"))
            # A line is edited: rubbed out, cleared, recalled.
            self.assertEqual(talk.ask("nonsense\x15info nam\x7fme"), "")
            self.assertIn("info status --", talk.ask("\x1b[A\x1b[A"))
            talk.send("quit\r")
            self.assertEqual(self.process.wait(SECONDS), 0)

    def test_connects_again(self):
        """A client's server may come late, go, and come again, though the sandbox has no sockets."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "m")
            self.start("-nodefaults", "-display", "none", "-chardev",
                       "socket,id=m0,path=%s,reconnect=1" % path, "-mon", "chardev=m0")
            for last in (False, True):
                listener = socket.socket(socket.AF_UNIX)
                self.addCleanup(listener.close)
                listener.settimeout(SECONDS)
                listener.bind(path)
                listener.listen(1)
                peer, _ = listener.accept()
                self.addCleanup(peer.close)
                talk = Talk(peer.fileno())
                talk.until(PROMPT)
                self.assertEqual(talk.ask("info kvm"), "kvm support: enabled\n")
                if last:
                    talk.send("quit\r")
                    self.assertEqual(self.process.wait(SECONDS), 0)
                listener.close()
                os.unlink(path)
                peer.close()

    def test_terminal(self):
        """Asked for, and with nothing else that would show the guest."""
        for options in (["-nographic"], []):
            with self.subTest(options=options):
                here, there = pty.openpty()
                self.start(*options, stdin=there, stdout=there)
                os.close(there)
                talk = Talk(here)
                talk.send("\x01h")
                self.assertIn("C-a x", talk.until("C-a C-a"))
                talk.send("\x01s")
                talk.until("not written back")
                talk.send("\x01c")
                talk.until(PROMPT)
                self.assertEqual(talk.ask("info status"), "VM status: paused (prelaunch)\n")
                talk.send("\x01x")
                talk.until("terminated")
                self.assertEqual(self.process.wait(SECONDS), 0)
                os.close(here)

    def test_qmp(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "q")
            self.start("-nodefaults", "-display", "none", "-chardev", "ringbuf,id=ring,size=16",
                       "-qmp", "unix:%s,server=on,wait=off" % path)
            do = self.commands(path)
            self.assertEqual(do("human-monitor-command", **{"command-line": "info name"}),
                             {"return": ""})
            self.assertEqual(do("human-monitor-command", **{"command-line": "info kvm"}),
                             {"return": "kvm support: enabled\r\n"})
            do("ringbuf-write", device="ring", data="0123456789abcdefXY")
            do("ringbuf-write", device="ring", data="Wg==", format="base64")
            self.assertEqual(do("ringbuf-read", device="ring", size=4), {"return": "3456"})
            self.assertEqual(do("ringbuf-read", device="ring", size=99)["return"], "789abcdefXYZ")
            self.assertIn("not found", do("ringbuf-read", device="x", size=1)["error"]["desc"])


    def test_piped_commands(self):
        """Commands of somebody who is gone when they are read."""
        said = subprocess.run([VMM, *ALWAYS, "-S", "-nodefaults", "-display", "none", "-qmp", "stdio"],
                              stdout=subprocess.PIPE, timeout=SECONDS, check=True, text=True,
                              input='{"execute":"qmp_capabilities"}{"execute":"quit"}').stdout
        self.assertEqual([list(json.loads(line)) for line in said.splitlines()][:3],
                         [["QMP"], ["return"], ["return"]])

    def test_pretty(self):
        """The same messages over many lines, events among them."""
        for words in (["-qmp-pretty", "stdio"],
                      ["-chardev", "stdio,id=c", "-mon", "chardev=c,mode=control,pretty=on"]):
            said = subprocess.run([VMM, *ALWAYS, "-S", "-nodefaults", "-display", "none", *words],
                                  stdout=subprocess.PIPE, timeout=SECONDS, check=True, text=True,
                                  input='{"execute":"qmp_capabilities"}{"execute":"quit"}').stdout
            self.assertIn('{\n  "QMP"', said)
            messages, at, decoder = [], 0, json.JSONDecoder()
            while at < len(said):
                message, at = decoder.raw_decode(said, at)
                messages.append(list(message))
                while at < len(said) and said[at].isspace():
                    at += 1
            self.assertEqual(messages[:3], [["QMP"], ["return"], ["return"]])
            self.assertEqual(messages[3:], [["timestamp", "event", "data"]])
        refused = subprocess.run([VMM, *ALWAYS, "-nodefaults", "-chardev", "null,id=c", "-mon",
                                  "chardev=c,mode=readline,pretty=on"], stderr=subprocess.PIPE, timeout=SECONDS,
                                 check=False, text=True)
        self.assertEqual(refused.returncode, 1)
        self.assertIn("pretty=on is for mode=control", refused.stderr)

    def test_quit_at_once(self):
        """Before all of its processors have begun."""
        for _ in range(10):
            with subprocess.Popen([VMM, *ALWAYS, "-S", "-nodefaults", "-display", "none", "-smp", "32", "-qmp",
                                   "stdio"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
                process.stdin.write('{"execute":"qmp_capabilities"}{"execute":"quit"}')
                process.stdin.flush()
                self.assertEqual(process.wait(SECONDS), 0)


class Reading(unittest.TestCase):
    def test_nothing_read_ahead_is_lost(self):
        """An event that came with an answer is still there when the next command has been sent."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            theirs.sendall(b"answer\nevent\n")
            lines = Lines(ours)
            self.assertEqual(lines.readline(), "answer\n")
            lines.write("command\n")
            theirs.sendall(b"answer\n")
            self.assertEqual((lines.readline(), lines.readline()), ("event\n", "answer\n"))
            self.assertEqual(theirs.recv(100), b"command\n")
            lines.close()


if not os.access("/dev/kvm", os.R_OK | os.W_OK):
    print("skipped: wants /dev/kvm")
    sys.exit(77)
unittest.main(argv=sys.argv[:1], verbosity=2)
