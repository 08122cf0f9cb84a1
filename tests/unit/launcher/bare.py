#!/usr/bin/python3
"""bare.py KILN-VMM GUEST [OPTION...] - runs the program of bare_guest.S under kiln-vmm, on any
/dev/kvm: exits, resets, power off, QMP over a socket, and what is refused at start. OPTIONs are given
to every kiln-vmm: a sanitizer's run time calls what the sandbox forbids, and so goes without.

Exit status 77 (skipped) without a usable /dev/kvm. SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import json
import os
import pty
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "../.."))
from lines import Lines  # noqa: E402

VMM, BARE, *ALWAYS = sys.argv[1:]
SECONDS = 60
LARGE = tempfile.NamedTemporaryFile()
LARGE.truncate(8 << 20)
DIRECTORY = tempfile.TemporaryDirectory()
PORTS = sum([["-device", "pcie-root-port,id=port%d,chassis=%d,bus=pcie.0,addr=0x%x" % (i, i, i + 2)]
             for i in range(1, 6)], [])


def arguments(word, *options):
    return [VMM, "-m", "16", "-nodefaults", "-serial", "stdio", "-device",
            "isa-debug-exit,iobase=0x501", "-kernel", BARE, "-append", word, *ALWAYS, *options]


def vmm(word, *options):
    return subprocess.run(arguments(word, *options), stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=SECONDS, check=False)


class Ends(unittest.TestCase):
    def check(self, word, status, output, *options):
        result = vmm(word, *options)
        self.assertEqual((result.returncode, result.stdout), (status, output), result.stderr)

    def test_debug_exit(self):
        self.check("exit", 3, "exit\n")

    def test_reset_loads_the_kernel_anew(self):
        self.check("reset", 3, "reset\nreset\n", "-initrd", __file__)

    def test_no_reboot(self):
        self.check("reset", 0, "reset\n", "-no-reboot")

    def test_power_off(self):
        self.check("off", 0, "off\n")

    def test_triple_fault_is_a_reset(self):
        self.check("fault", 0, "fault\n", "-action", "reboot=shutdown")

    def test_unknown_registers_fault_or_are_ignored(self):
        self.check("m", 0, "m\n", "-action", "reboot=shutdown")
        self.check("m", 3, "m\n", "-machine", "unknown-msrs=ignore")

    def test_many_processors_without_sandbox(self):
        self.check("exit", 3, "exit\n", "-smp", "9,sockets=3", "-sandbox", "off")

    def test_all_processors_wake_with_the_ids_of_the_madt(self):
        self.check("wake", 3, "wake\n", "-smp", "4")
        # whole powers of two for each level: ids up to 578, the upper ones as x2APIC entries
        self.check("wake", 3, "wake\n", "-smp", "255,sockets=5,cores=17,threads=3")


class Libraries(unittest.TestCase):
    """Those that only some guests need come when one does (launcher/lazy.c)."""

    def test_a_minimal_guest_has_none_of_them(self):
        listed = subprocess.run(["readelf", "-d", VMM], capture_output=True, text=True, check=True)
        self.assertIn("[libglib-2.0.so.0]", listed.stdout)
        for name in ("libslirp", "libgnutls", "libnettle", "libpng"):
            self.assertNotIn(name, listed.stdout, "name its new function in launcher/lazy.c")

    def test_they_come_when_needed(self):
        for options in (["-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n"],
                        ["-vnc", "unix:%s/vnc,password=on" % DIRECTORY.name, "-device", "VGA"]):
            with self.subTest(options=options):
                result = vmm("exit", *options)
                self.assertEqual((result.returncode, result.stdout), (3, "exit\n"), result.stderr)


class Refusals(unittest.TestCase):
    def check(self, says, *options):
        result = vmm("exit", *options)
        self.assertEqual(result.returncode, 1, result.stdout)
        self.assertTrue(result.stderr.startswith("kiln-vmm: "), result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertIn(says, result.stderr)

    def test_messages(self):
        for says, options in (
                ("did you mean -kernel", ["-kernle", "x"]),
                ("/nonexistent", ["-kernel", "/nonexistent"]),
                ("neither a bzImage nor an ELF", ["-kernel", __file__]),
                ("/nonexistent", ["-initrd", "/nonexistent"]),
                ("finds no room", ["-initrd", LARGE.name, "-m", "3"]),
                ("no such machine", ["-machine", "isapc"]),
                ("only kvm", ["-accel", "tcg"]),
                ("no model 'i9'", ["-cpu", "i9"]),
                ("the limit is 255", ["-smp", "sockets=16,cores=16"]),
                ("-m says 16", ["-object", "memory-backend-memfd,id=m,size=8M",
                                "-machine", "memory-backend=m"]),
                ("host-nodes= and policy=", ["-object", "memory-backend-memfd,id=m,size=8M,policy=bind"]),
                ("no such set", ["-accel", "kvm,device=/dev/fdset/4"]),
                ("not an open descriptor", ["-add-fd", "set=1,fd=77"]),
                ("is not KVM", ["-accel", "kvm,device=/dev/null"]),
                ("no-such-device", ["-device", "no-such-device"]),
                ("cannot open 'x'", ["-hda", "x"]),
                ("cannot open 'x'", ["-drive", "file=x"]),
                ("is not UID:GID", ["-sandbox", "on,user=root"]),
                ("is not UID:GID", ["-sandbox", "on,user=4294967296:1"]),
                ("only kvm", ["-machine", "accel=tcg:kvm"]),
                ("has no property 'nosuch'", ["-global", "virtio-rng-pci.nosuch=on"]),
                ("-global isa: wants DRIVER.PROPERTY", ["-global", "isa"]),
                ("has no property 'secure'",
                 ["-global", "driver=cfi.pflash01,property=secure,value=on"]),
                ("uuid=1 is not a UUID", ["-smbios", "type=1,uuid=1"]),
                ("release=1.256 is not", ["-smbios", "type=0,release=1.256"]),
                ("uefi=maybe is neither", ["-smbios", "type=0,uefi=maybe"]),
                ("max-speed=70000 is not", ["-smbios", "type=4,max-speed=70000"]),
                ("clock=sun; it can be", ["-rtc", "clock=sun"]),
                ("base=2006-13-45", ["-rtc", "base=2006-13-45"]),
                ("a secret 's' already", ["-object", "secret,id=s,data=a",
                                          "-object", "secret,id=s,data=b"]),
                ("-object foo: no such object", ["-object", "foo,id=x"]),
                ("comes with the model", ["-cpu", "host,vendor=GenuineIntel"]),
                ("index=9): this machine has 6 places",
                 ["-drive", "format=raw,index=9,file=" + LARGE.name]),
                ("a drive or block node 'd' already",
                 ["-drive", "if=none,format=raw,id=d,file=" + LARGE.name] * 2),
                ("no port '65536'", ["-serial", "tcp::65536,server=on,wait=off"]),
                ("no port '65536'", ["-chardev", "udp,id=u,port=65536"]),
                ("are those of 'serial", ["-serial", "null", "-serial", "stdio",
                                          "-serial", "stdio"]),
                ("-daemonize leaves no terminal", ["-daemonize", "-serial", "null",
                                                   "-serial", "stdio"]),
        ):
            with self.subTest(options=options):
                self.check(says, *options)


class Session(unittest.TestCase):
    """A guest with a QMP client."""
    WORD, OPTIONS = "spin", PORTS

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.directory.name, "qmp")
        self.begin("-S")

    def begin(self, *options):
        self.process = subprocess.Popen(
            arguments(self.WORD, "-qmp", "unix:%s,server=on,wait=off" % self.path,
                      *self.OPTIONS, *options),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.connect()

    def end(self):
        self.socket.close()
        self.file.close()
        self.process.kill()
        self.process.communicate()
        with contextlib.suppress(FileNotFoundError):  # a guest that quits takes it away itself
            os.unlink(self.path)

    def tearDown(self):
        self.end()
        self.directory.cleanup()

    def connect(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(SECONDS)
        deadline = time.monotonic() + SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                self.socket.connect(self.path)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(0.01)
        self.file = Lines(self.socket)
        self.events, self.deletions = [], []
        self.assertIn("QMP", json.loads(self.file.readline()))

    def command(self, name, /, **args):
        self.file.write(json.dumps({"execute": name, "arguments": args, "id": name}))
        while True:
            message = json.loads(self.file.readline())
            if "event" not in message:
                self.assertEqual(message["id"], name)
                return message
            self.note(message)

    def note(self, message):
        self.events.append(message["event"])
        if message["event"] == "DEVICE_DELETED":
            self.deletions.append(message["data"].get("device"))

    def send_fd(self, name, fd):
        message = json.dumps({"execute": "getfd", "arguments": {"fdname": name}}).encode()
        socket.send_fds(self.socket, [message], [fd])
        self.assertEqual(json.loads(self.file.readline()), {"return": {}})

    def finished(self):
        while True:
            answer = self.command("query-migrate")["return"]
            if answer["status"] not in ("active", "cancelling"):
                return answer
            time.sleep(0.01)


class Control(Session):
    def test_session(self):
        self.assertEqual(self.command("query-status")["error"]["class"], "CommandNotFound")
        self.assertEqual(self.command("qmp_capabilities")["return"], {})
        self.assertEqual(self.command("query-status")["return"]["status"], "prelaunch")
        self.command("cont")
        self.assertEqual(self.process.stdout.read(8), b"spin\n...")
        registers = self.command("human-monitor-command", **{"command-line": "info registers -a"})
        self.assertIn("\r\nCPU#0\r\n", registers["return"])
        self.assertEqual(self.process.stdout.read(3), b"...")
        self.command("stop")
        self.assertEqual(self.command("query-status")["return"]["status"], "paused")
        self.command("system_reset")
        self.command("cont")
        self.assertEqual(self.events, ["RESUME", "STOP", "RESET", "RESUME"])
        self.assertEqual(self.command("no-such")["error"]["class"], "CommandNotFound")
        self.assertIn("missing", self.command("balloon")["error"]["desc"])
        names = [row["name"] for row in self.command("query-commands")["return"]]
        self.assertIn("query-cpus-fast", names)

    def test_core_file(self):
        self.command("qmp_capabilities")
        self.command("cont")
        self.assertEqual(self.process.stdout.read(8), b"spin\n...")
        for reason, arguments in (("paging", {"paging": True}), ("detach", {"detach": True}),
                                  ("kdump-zlib", {"format": "kdump-zlib"}), ("begin", {"begin": 0})):
            error = self.command("dump-guest-memory", **{"paging": False, "protocol": "fd:x", **arguments})
            self.assertIn(reason, error["error"]["desc"])
        with tempfile.NamedTemporaryFile() as core:
            self.send_fd("core", core.fileno())
            dumped = self.command("dump-guest-memory", paging=False, protocol="fd:core")
            self.assertEqual(dumped.get("return"), {}, dumped)
            self.assertEqual(self.events, ["RESUME", "STOP", "DUMP_COMPLETED", "RESUME"])
            said = subprocess.run(["readelf", "-W", "-l", "-n", core.name], capture_output=True,
                                  text=True, check=True)
            self.assertEqual(said.stderr, "")
            self.assertRegex(said.stdout, r"NT_PRSTATUS")
            self.assertRegex(said.stdout, r"QEMU +0x000001b8")
            loads = re.findall(r"LOAD +(0x\S+) 0x0+ (0x\S+) (0x\S+) ", said.stdout)
            self.assertEqual(sum(int(load[2], 16) for load in loads), 16 << 20)
            offset = int(loads[0][0], 16)
            core.seek(0)  # it is where the writer left it
            data = core.read()
            self.assertEqual(len(data), offset + (16 << 20))
            self.assertEqual(data[offset + 0x200000:][:4], b"\x7fELF")
            rip = struct.unpack_from("<Q", data, data.index(b"CORE\0") + 8 + 112 + 16 * 8)[0]
            self.assertTrue(0x200000 < rip < 0x210000, hex(rip))

    def test_the_sandbox_lets_devices_come_later(self):
        self.command("qmp_capabilities")
        with tempfile.TemporaryFile() as image:
            image.truncate(1 << 20)
            add = json.dumps({"execute": "add-fd", "arguments": {"fdset-id": 1}}).encode()
            socket.send_fds(self.socket, [add], [image.fileno()])
            self.assertIn("return", json.loads(self.file.readline()))
        for name, args in (
                ("blockdev-add", {"driver": "file", "filename": "/dev/fdset/1", "node-name": "file"}),
                ("blockdev-add", {"driver": "raw", "node-name": "disk", "file": "file"}),
                ("device_add", {"driver": "virtio-blk-pci", "drive": "disk", "bus": "port1"}),
                ("object-add", {"qom-type": "iothread", "id": "thread"}),
                ("device_add", {"driver": "virtio-balloon-pci", "bus": "port2"}),
                ("device_add", {"driver": "virtio-serial-pci", "bus": "port3"}),
                ("device_add", {"driver": "qemu-xhci", "bus": "port4"}),
                ("object-add", {"qom-type": "rng-random", "id": "rng", "filename": "/dev/fdset/1"}),
                ("cont", {})):
            with self.subTest(name=name, args=args):
                self.assertEqual(self.command(name, **args).get("return"), {})
        if not ALWAYS: # without the sandbox it is offered
            refused = self.command("netdev_add", type="user", id="net")
            self.assertIn("sandbox", refused["error"]["desc"])
        self.assertEqual(self.process.stdout.read(8), b"spin\n...")

    def deleted(self, device):
        """The device has been deleted, maybe before the answer to what asked for that."""
        while device not in self.deletions:
            message = json.loads(self.file.readline())
            self.note(message)

    def test_units_and_ports_come_and_go(self):
        self.command("qmp_capabilities")
        with tempfile.TemporaryFile() as image:
            image.truncate(1 << 20)
            add = json.dumps({"execute": "add-fd", "arguments": {"fdset-id": 7}}).encode()
            socket.send_fds(self.socket, [add], [image.fileno()])
            self.assertIn("return", json.loads(self.file.readline()))
        ours, theirs = socket.socketpair()
        master, slave = pty.openpty()
        self.addCleanup(ours.close)
        for fd in (master, slave):
            self.addCleanup(os.close, fd)
        self.send_fd("channel", theirs.fileno())
        theirs.close()
        self.send_fd("master", master)
        self.send_fd("stray", master)
        channel = {"type": "socket", "data": {"server": False, "addr": {
            "type": "fd", "data": {"str": "channel"}}}}
        for name, args in (
                ("chardev-add", {"id": "c0", "backend": channel}),
                ("chardev-add", {"id": "ring", "backend": {"type": "ringbuf", "data": {"size": 4096}}}),
                ("chardev-add", {"id": "nothing", "backend": {"type": "null"}}),
                ("blockdev-add", {"driver": "file", "filename": "/dev/fdset/7", "node-name": "disk"}),
                ("device_add", {"driver": "virtio-scsi-pci", "id": "scsi0", "bus": "port1"}),
                ("device_add", {"driver": "virtio-serial-pci", "id": "vs0", "bus": "port2"})):
            with self.subTest(name=name, args=args):
                self.assertEqual(self.command(name, **args).get("return"), {})
        self.command("cont")
        for driver, bus, more in (("scsi-hd", "scsi0.0", {"drive": "disk"}),
                                  ("scsi-cd", "scsi0.0", {}),
                                  ("virtserialport", "vs0.0", {"chardev": "c0"}),
                                  ("virtconsole", "vs0.0", {"chardev": "ring"})) * 3:
            with self.subTest(driver=driver):
                self.assertEqual(
                    self.command("device_add", driver=driver, id="it", bus=bus, **more),
                    {"return": {}, "id": "device_add"})
                self.assertEqual(self.command("device_del", id="it")["return"], {})
                self.deleted("it")
                self.deletions.clear()
        self.assertEqual(self.command("chardev-remove", id="c0")["return"], {})
        self.assertEqual(ours.recv(1), b"")
        answer = self.command("chardev-add", id="p", backend={"type": "pty", "data": {"fd": "master"}})
        self.assertEqual(answer["return"], {"pty": os.ttyname(slave)})
        for backend, words in (({"type": "null", "data": {"size": 1}}, "no member 'size'"),
                               ({"type": "vc"}, "no chardev back end" if ALWAYS else "sandbox"),
                               ({"type": "file", "data": {"out": "/dev/fdset/9"}}, "fdset"),
                               ({"type": "socket", "data": {"addr": {"type": "vsock"}}}, "not offered"),
                               ({"type": "socket", "data": {"addr": {"type": "fd", "data": {
                                   "str": "stray"}}}}, "not a socket")):
            with self.subTest(backend=backend):
                refused = self.command("chardev-add", id="q", backend=backend)
                self.assertIn(words, refused["error"]["desc"])
        for fd, words in (("nowhere", "not an open descriptor"), ("stray2", "cannot be used")):
            self.send_fd("stray2", master)
            refused = self.command("device_add", driver="vhost-vsock-pci", id="v", bus="port3",
                                   vhostfd=fd, **{"guest-cid": 7})
            self.assertIn(words, refused["error"]["desc"])
        self.assertIn("already exists",
                      self.command("chardev-add", id="p", backend={"type": "null"})["error"]["desc"])
        if not ALWAYS:  # without the sandbox it is offered
            refused = self.command("chardev-add", id="q", backend={"type": "pty"})
            self.assertIn("sandbox", refused["error"]["desc"])

    def test_next_client_and_quit(self):
        self.socket.close()
        self.file.close()
        self.connect()
        self.command("qmp_capabilities")
        self.assertEqual(self.command("quit")["return"], {})
        event = json.loads(self.file.readline())
        self.assertEqual(event["event"], "SHUTDOWN")
        self.assertEqual(event["data"], {"guest": False, "reason": "host-qmp-quit"})
        self.assertEqual(self.process.wait(SECONDS), 0)

    def test_descriptors(self):
        self.command("qmp_capabilities")
        read_end, write_end = os.pipe()
        message = json.dumps({"execute": "getfd", "arguments": {"fdname": "pipe"}}).encode()
        socket.send_fds(self.socket, [message], [write_end])
        self.assertEqual(json.loads(self.file.readline()), {"return": {}})
        os.close(write_end)
        os.set_blocking(read_end, False)
        with self.assertRaises(BlockingIOError):
            os.read(read_end, 1)
        self.assertEqual(self.command("closefd", fdname="pipe")["return"], {})
        self.assertEqual(os.read(read_end, 1), b"")
        os.close(read_end)
        self.assertIn("not found", self.command("closefd", fdname="pipe")["error"]["desc"])
        self.assertIn("No file descriptor", self.command("add-fd")["error"]["desc"])


class ThrowAway(Session):
    """Disks under -snapshot: images without a name, over those that stay as they are."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.base, self.temporary = os.path.join(folder.name, "base"), os.path.join(folder.name, "tmp")
        os.mkdir(self.temporary)
        with open(self.base, "wb") as image:
            image.truncate(1 << 20)
        os.chmod(self.base, 0o444)
        os.environ["TMPDIR"] = self.temporary
        self.addCleanup(os.environ.pop, "TMPDIR")
        self.OPTIONS = PORTS + ["-snapshot", "-drive", "if=none,id=disk,format=raw,file=" + self.base,
                                "-drive", "if=none,id=kept,snapshot=off,readonly=on,format=raw,file="
                                + self.base, "-device", "virtio-blk-pci,drive=disk,bus=port1"]
        super().setUp()

    def test_images(self):
        self.command("qmp_capabilities")
        nodes = {node["node-name"]: node for node in self.command("query-named-block-nodes")["return"]}
        self.assertEqual(
            {name: (node["drv"], node["ro"]) for name, node in nodes.items()},
            {"disk": ("qcow2", False), "disk-overlay": ("file", False), "disk-base": ("raw", True),
             "disk-file": ("file", True), "kept": ("raw", True), "kept-file": ("file", True)})
        self.assertEqual(os.listdir(self.temporary), [])
        self.command("cont")
        self.assertEqual(self.process.stdout.read(8), b"spin\n...")


class Links(Session):
    OPTIONS = PORTS + ["-netdev", "user,id=net0"]

    def test_a_link_of_a_card_that_came_later(self):
        self.command("qmp_capabilities")
        self.command("device_add", driver="virtio-net-pci", id="card", bus="port1", netdev="net0")
        for name in ("card", "net0"):
            self.assertEqual(self.command("set_link", name=name, up=False)["return"], {})
        self.assertIn("not found", self.command("set_link", name="x", up=False)["error"]["desc"])


class Processors(unittest.TestCase):
    """Those that come and go while the guest runs."""
    DRIVER = "host-x86_64-cpu"
    connect, command, note = Control.connect, Control.command, Control.note

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.directory.name, "qmp")
        self.process = subprocess.Popen(
            arguments("plug", "-S", "-qmp", "unix:%s,server=on,wait=off" % self.path,
                      "-smp", "1,maxcpus=3,sockets=3"),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + SECONDS
        while not os.path.exists(self.path) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.connect()

    def tearDown(self):
        self.socket.close()
        self.file.close()
        self.process.kill()
        self.process.communicate()
        self.directory.cleanup()

    def gone(self, count):
        while self.events.count("DEVICE_DELETED") < count:
            self.events.append(json.loads(self.file.readline())["event"])

    def numbers(self):
        return [cpu["cpu-index"] for cpu in self.command("query-cpus-fast")["return"]]

    def test_they_come_and_go(self):
        self.command("qmp_capabilities")
        self.command("cont")
        self.assertEqual(self.process.stdout.read(5), b"plug\n")
        for number in range(1, 6):
            self.assertEqual(
                self.command("device_add", driver=self.DRIVER, id="one", **{"socket-id": 1})["return"], {})
            self.assertEqual(self.process.stdout.read(1), b"+")
            self.assertEqual(self.numbers(), [0, 1])
            self.assertEqual(self.command("device_del", id="one")["return"], {})
            self.assertEqual(self.process.stdout.read(1), b"-")
            self.gone(number)
            self.assertEqual(self.numbers(), [0])

    def counters(self, **args):
        return self.command("query-stats", target="vcpu", **args)["return"]

    def test_what_kvm_counts_of_each(self):
        self.command("qmp_capabilities")
        schemas = {each["target"]: {stat["name"]: stat for stat in each["stats"]}
                   for each in self.command("query-stats-schemas")["return"]}
        self.assertEqual(schemas["vcpu"]["exits"]["type"], "cumulative")
        self.assertEqual(schemas["vcpu"]["guest_mode"]["unit"], "boolean")
        self.assertEqual([schemas["vcpu"]["halt_wait_ns"][key] for key in ("unit", "base", "exponent")],
                         ["seconds", 10, -9])
        self.command("cont")
        self.assertEqual(self.process.stdout.read(5), b"plug\n")
        one, = self.counters()
        self.assertEqual(one["provider"], "kvm")
        self.assertEqual({stat["name"] for stat in one["stats"]}, set(schemas["vcpu"]))
        self.assertIs({stat["name"]: stat["value"] for stat in one["stats"]}["guest_mode"], False)
        self.command("device_add", driver=self.DRIVER, id="one", **{"socket-id": 1})
        self.assertEqual(self.process.stdout.read(1), b"+")
        wanted = [{"provider": "kvm", "names": ["exits"]}]
        both = self.counters(providers=wanted)
        self.assertEqual([len(each["stats"]) for each in both], [1, 1])
        self.assertTrue(all(each["stats"][0]["value"] > 0 for each in both), both)
        path = both[1]["qom-path"]
        self.assertEqual(path, "/machine/peripheral/one")
        self.assertEqual([each["qom-path"] for each in self.counters(vcpus=[path])], [path])
        machine, = self.command("query-stats", target="vm")["return"]
        self.assertEqual({stat["name"] for stat in machine["stats"]}, set(schemas["vm"]))
        self.assertNotIn("qom-path", machine)
        for says, args in (("'moon'", {"target": "moon"}), ("'vcpus'", {"target": "vm", "vcpus": []}),
                           ("'kvm'", {"target": "vm", "providers": [{"provider": "x"}]}),
                           ("'provider' is missing", {"target": "vm", "providers": [7]}),
                           ("expected: array", {"target": "vcpu", "vcpus": 7})):
            with self.subTest(args=args):
                self.assertIn(says, self.command("query-stats", **args)["error"]["desc"])

    def test_what_is_refused(self):
        self.command("qmp_capabilities")
        for says, args in (
                ("socket-id=, 0 to 2", {"driver": self.DRIVER}),
                ("outside 0…2", {"driver": self.DRIVER, "socket-id": 3}),
                ("are 'host-x86_64-cpu'", {"driver": "Nehalem-x86_64-cpu", "socket-id": 1}),
                ("there already", {"driver": self.DRIVER, "socket-id": 0}),
                ("no-such", {"driver": self.DRIVER, "socket-id": 1, "no-such": 1})):
            with self.subTest(args=args):
                self.assertIn(says, self.command("device_add", **args)["error"]["desc"])
        self.assertEqual(self.numbers(), [0])


class Save(Session):
    WORD = "keep"
    OPTIONS = ["-smp", "2", "-m", "64", "-device", "virtio-keyboard-pci", "-device", "qemu-xhci",
               "-device", "virtio-balloon-pci", "-device", "VGA"]

    def dots(self):
        self.assertEqual(self.process.stdout.read(4), b"....")

    def save(self):
        """The running guest in a file; the process ends."""
        self.command("qmp_capabilities")
        self.command("cont")
        self.assertEqual(self.process.stdout.read(len(self.WORD) + 1), b"%s\n" % self.WORD.encode())
        self.dots()
        file = tempfile.TemporaryFile()
        self.send_fd("file", file.fileno())
        self.assertEqual(self.command("migrate", uri="fd:file")["return"], {})
        answer = self.finished()
        self.assertEqual(answer["status"], "completed", answer)
        self.assertEqual(answer["ram"]["remaining"], 0)
        self.assertEqual(self.command("query-status")["return"]["status"], "postmigrate")
        self.assertEqual([event for event in self.events if event in ("STOP", "MIGRATION")],
                         ["STOP", "MIGRATION", "MIGRATION"])
        self.end()
        return file

    def load(self, file):
        file.seek(0)
        self.begin("-S", "-incoming", "defer")
        self.command("qmp_capabilities")
        self.assertEqual(self.command("query-status")["return"]["status"], "inmigrate")
        self.assertIn("error", self.command("cont"))
        self.send_fd("file", file.fileno())
        self.assertEqual(self.command("migrate-incoming", uri="fd:file")["return"], {})
        return self.finished()

    def test_a_guest_goes_on_where_it_was(self):
        with self.save() as file:
            # the video memory and little else: zeroes are not kept
            self.assertLess(os.fstat(file.fileno()).st_size, 24 << 20)
            self.assertEqual(self.load(file)["status"], "completed")
            self.assertEqual(self.command("query-status")["return"]["status"], "paused")
            self.command("cont")
            self.dots()
            self.command("stop")
            self.command("system_reset")
            self.command("cont")
            while self.process.stdout.read(1) != b"k":
                pass
            self.assertEqual(self.process.stdout.read(4), b"eep\n")
            self.dots()

    def test_a_local_timer_goes_on(self):
        self.end()
        self.WORD = "local"
        self.begin("-S")
        with self.save() as file:
            self.assertEqual(self.load(file)["status"], "completed")
            self.command("cont")
            self.dots()

    def test_what_is_damaged_is_refused(self):
        with self.save() as file:
            size = file.seek(0, os.SEEK_END)
            data = os.pread(file.fileno(), size, 0)
        for says, bad in (("not a guest", b"x" + data[1:]),
                          ("another version", data[:8] + b"\2\0\0\0" + struct.pack(
                              "<I", crc32c(data[:8] + b"\2\0\0\0")) + data[16:]),
                          ("head is wrong", data[:8] + b"\2" + data[9:]),
                          ("too early", data[:size // 2]),
                          ("too early", data[:-1]),
                          ("damaged", data[:size // 2] + bytes([data[size // 2] ^ 1])
                           + data[size // 2 + 1:]),
                          ("damaged", data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])):
            with self.subTest(says=says), tempfile.TemporaryFile() as file:
                file.write(bad)
                file.flush()
                answer = self.load(file)
                self.assertEqual(answer["status"], "failed")
                self.assertIn(says, answer["error-desc"])
                self.assertEqual(self.command("query-status")["return"]["status"], "inmigrate")
                self.assertIn("error", self.command("cont"))
                self.end()
        self.begin("-S")

    def test_another_guest_is_refused(self):
        with self.save() as file:
            for says, options in (("lacks", self.OPTIONS[:-2]),
                                  ("processors", ["-smp", "1"] + self.OPTIONS[2:]),
                                  ("memory of another size", self.OPTIONS + ["-m", "65"]),
                                  ("machine", self.OPTIONS + ["-M", "pc"])):
                with self.subTest(says=says):
                    self.OPTIONS = options
                    answer = self.load(file)
                    self.assertEqual(answer["status"], "failed")
                    self.assertIn(says, answer["error-desc"])
                    self.end()
        self.begin("-S")

    def test_a_cancelled_or_failed_guest_goes_on(self):
        self.command("qmp_capabilities")
        self.command("cont")
        self.process.stdout.read(5)
        for ends in ("cancelled", "failed"):
            with self.subTest(ends=ends):
                read_end, write_end = os.pipe()
                self.send_fd("pipe", write_end)
                self.send_fd("other", write_end)
                os.close(write_end)
                self.command("migrate", uri="fd:pipe")
                self.assertIn("in progress",
                              self.command("migrate", uri="fd:other")["error"]["desc"])
                if ends == "cancelled":
                    self.command("migrate_cancel")
                    self.assertEqual(self.finished()["status"], ends)
                os.close(read_end)
                self.assertEqual(self.finished()["status"], ends)
                self.assertEqual(self.command("query-status")["return"]["status"], "running")
                self.dots()
        self.assertIn("not offered", self.command("migrate", uri="exec:cat")["error"]["desc"])
        self.send_fd("null", 0)
        self.assertIn("-incoming", self.command("migrate-incoming", uri="fd:null")["error"]["desc"])


class Live(Session):
    """A guest goes from one process to another while it changes its memory, and notices nothing."""
    WORD, OPTIONS = "dirty", ["-m", "64", "-device", "virtio-balloon-pci"]

    def setUp(self):
        super().setUp()
        self.command("qmp_capabilities")
        self.command("cont")
        self.assertEqual(self.process.stdout.read(6), b"dirty\n")
        self.dots(self.process)
        self.here, self.there = socket.socketpair()

    def tearDown(self):
        self.here.close()
        self.there.close()
        super().tearDown()

    def dots(self, process):
        self.assertEqual(process.stdout.read(4), b"....")

    def limit(self, **limits):
        self.assertEqual(self.command("migrate-set-parameters", **limits)["return"], {})

    def send(self, end):
        self.send_fd("to", end.fileno())
        end.close()
        self.assertEqual(self.command("migrate", uri="fd:to")["return"], {})

    def receive(self, end, *options):
        """A second process, which waits for the guest."""
        other = Live("test_limits_are_checked")
        other.directory, other.path = self.directory, self.path + "2"
        other.begin("-S", "-incoming", "defer", *options)
        other.command("qmp_capabilities")
        other.send_fd("from", end.fileno())
        end.close()
        self.assertEqual(other.command("migrate-incoming", uri="fd:from")["return"], {})
        return other

    def test_it_goes_on_elsewhere(self):
        other = self.receive(self.there)
        try:
            self.limit(**{"max-bandwidth": 0, "downtime-limit": 2000})
            self.send(self.here)
            answer = self.finished()
            self.assertEqual(answer["status"], "completed", answer)
            self.assertGreaterEqual(answer["ram"]["dirty-sync-count"], 2)
            self.assertIn("downtime", answer)
            self.assertEqual([event for event in self.events if event in ("STOP", "MIGRATION")],
                             ["MIGRATION", "STOP", "MIGRATION"])
            self.assertEqual(other.finished()["status"], "completed")
            self.assertEqual(other.command("query-status")["return"]["status"], "paused")
            other.command("cont")
            self.dots(other.process)
        finally:
            other.end()

    def test_it_goes_in_rounds_until_it_fits(self):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(self.directory.name, "incoming"))
        listener.listen(1)
        self.here.close()
        self.here = socket.socket(socket.AF_UNIX)
        self.here.connect(listener.getsockname())
        other = self.receive(listener)
        try:
            # two megabytes change all the time: too much for a millisecond
            self.limit(**{"max-bandwidth": 2 << 20, "downtime-limit": 1})
            self.send(self.here)
            while True:
                answer = self.command("query-migrate")["return"]
                self.assertEqual(answer["status"], "active")
                if answer["ram"]["dirty-sync-count"] >= 3:
                    break
                time.sleep(0.01)
            self.assertGreater(answer["expected-downtime"], 1)
            self.assertEqual(self.command("query-status")["return"]["status"], "running")
            self.limit(**{"max-bandwidth": 0, "downtime-limit": 10000})
            self.assertEqual(self.finished()["status"], "completed")
            self.assertIn("MIGRATION_PASS", self.events)
            self.assertEqual(other.finished()["status"], "completed")
            other.command("cont")
            self.dots(other.process)
        finally:
            other.end()

    def test_it_stays_when_the_other_side_fails(self):
        self.limit(**{"max-bandwidth": 1 << 20, "downtime-limit": 1})
        self.send(self.here)
        self.dots(self.process)
        self.there.close()
        self.assertEqual(self.finished()["status"], "failed")
        self.assertEqual(self.command("query-status")["return"]["status"], "running")
        self.dots(self.process)

    def test_it_stays_when_cancelled_between_and_within_rounds(self):
        self.limit(**{"max-bandwidth": 1 << 20, "downtime-limit": 1})
        self.send(self.here)
        self.dots(self.process)
        self.command("migrate_cancel")
        self.assertEqual(self.finished()["status"], "cancelled")
        self.dots(self.process)

    def test_limits_are_checked(self):
        self.assertEqual(self.command("query-migrate-parameters")["return"],
                         {"max-bandwidth": 128 << 20, "downtime-limit": 300})
        for says, args in (("'cpu-throttle-initial' is not offered", {"cpu-throttle-initial": 1}),
                           ("'max-bandwidth' expects", {"max-bandwidth": -1}),
                           ("'downtime-limit' expects", {"downtime-limit": 2000001})):
            self.assertIn(says, self.command("migrate-set-parameters", **args)["error"]["desc"])
        for name, error in (("events", False), ("postcopy-ram", True)):
            answer = self.command("migrate-set-capabilities",
                                  capabilities=[{"capability": name, "state": True}])
            self.assertEqual("error" in answer, error, answer)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


if __name__ == "__main__":
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skipped: no usable /dev/kvm")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
