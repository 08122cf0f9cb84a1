"""daemon - a virtkilnd of the build under test, in a directory and a network namespace of its own.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import glob
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import libvirt

BUILD = os.environ.get("KILN_BUILD", "build/release")
REMOTE_PROGRAM = 0x20008086
KEEPALIVE_PROGRAM = 0x6B656570


class Daemon:
    """Starts virtkilnd and waits until it serves; the directory goes when the daemon does."""

    def __init__(self, *options, config=None, root=None, wrap=(), wait=True, env=None):
        self.own_root = root is None
        self.root = root or tempfile.mkdtemp(prefix="kiln-")
        self.options = list(options)
        self.process = None
        # Networks of the daemon under test must not touch the host's.
        self.wrap = list(wrap) or (["unshare", "--net"] if os.geteuid() == 0 else [])
        self.env = {**os.environ, "KILN_VMM": os.path.abspath(BUILD + "/launcher/kiln-vmm"),
                    "KILN_IMG": os.path.abspath(BUILD + "/block/img/kiln-img"),
                    "KILN_LEASES": os.path.abspath(BUILD + "/network/kiln-leases"),
                    "G_DEBUG": "fatal-criticals",  # a call that GLib refuses is an error of ours
                    **(env or {})}
        if config is not None:
            path = os.path.join(self.root, "test.conf")
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(config)
            self.options += ["--config", path]
        self.start(wait)

    def start(self, wait=True):
        self.log = open(os.path.join(self.root, "log"), "ab")
        self.process = subprocess.Popen(
            self.wrap + [BUILD + "/driver/virtkilnd", "--root", self.root, "-v"] + self.options,
            stdout=self.log, stderr=self.log, env=self.env)
        if not wait:
            return
        for _ in range(1000):
            if self.process.poll() is not None:
                raise AssertionError("virtkilnd ended: " + self.messages())
            if self.answers():
                return
            time.sleep(0.01)
        raise AssertionError("virtkilnd does not serve: " + self.messages())

    def main_pid(self):
        """Of virtkilnd itself, whatever it is wrapped in."""
        with open(os.path.join(self.root, "run/kiln/virtkilnd.pid"), encoding="ascii") as stream:
            return int(stream.read())

    def socket(self, name="virtkilnd", read_only=False):
        return os.path.join(self.root, "run/libvirt", name + "-sock" + ("-ro" if read_only else ""))

    def answers(self):
        try:
            with Raw(self.socket()) as client:
                client.ping()
            return True
        except (OSError, AssertionError):
            return False

    def messages(self):
        with open(os.path.join(self.root, "log"), encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def uri(self, scheme="kiln", name="virtkilnd", path="/system", read_only=False):
        return "%s+unix://%s?socket=%s" % (scheme, path, self.socket(name, read_only))

    def virsh(self, *argv, expect=0, scheme="kiln", name="virtkilnd", read_only=False, timeout=30):
        """Output of virsh; asserts its exit status (None: any)."""
        done = subprocess.run(
            ["virsh"] + (["-r"] if read_only else []) +
            ["-c", self.uri(scheme, name, read_only=read_only)] + list(argv),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout)
        assert expect is None or done.returncode == expect, "virsh %s: status %d: %s" % (
            " ".join(argv), done.returncode, done.stdout)
        return done.stdout

    def stop(self, how=signal.SIGTERM, timeout=20):
        if self.process.poll() is None:
            self.process.send_signal(how)
        status = self.process.wait(timeout)
        self.log.close()
        return status

    def end_guests(self):
        """Ends the guests that a test which failed has left: they outlive their daemon, and spin."""
        for path in glob.glob(self.root + "/run/kiln/domain/*.status"):
            with open(path, encoding="utf-8") as stream:
                pid = re.search(r"<process pid='(\d+)'", stream.read())
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid[1]), signal.SIGKILL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.stop()
        finally:
            if self.own_root:
                self.end_guests()
                # a network outlives its daemon on purpose; nothing takes this one up again
                subprocess.run(["pkill", "-f", "dnsmasq.*" + self.root], check=False)
                shutil.rmtree(self.root, ignore_errors=True)


class Raw:
    """A client that speaks bytes."""

    def __init__(self, path, timeout=10):
        self.sock = socket.socket(socket.AF_UNIX)
        # Blocking: a full queue of connections is waited for.
        self.sock.connect(path)
        self.sock.settimeout(timeout)

    def send(self, prog, proc, kind=0, serial=1, status=0, payload=b""):
        self.sock.sendall(struct.pack(">7I", 28 + len(payload), prog, 1, proc, kind, serial, status) +
                          payload)

    def recv(self):
        """(prog, proc, type, serial, status, payload), or None at the end of the connection."""
        head = self.read(28)
        if head is None:
            return None
        length, prog, _, proc, kind, serial, status = struct.unpack(">7I", head)
        return prog, proc, kind, serial, status, self.read(length - 28)

    def read(self, length):
        data = b""
        while len(data) < length:
            try:
                more = self.sock.recv(length - len(data))
            except ConnectionResetError:  # closed with bytes of ours unread
                more = b""
            if not more:
                return None
            data += more
        return data

    def ping(self):
        self.send(KEEPALIVE_PROGRAM, 1, kind=2, serial=0)
        answer = self.recv()
        assert answer is not None and answer[:3] == (KEEPALIVE_PROGRAM, 2, 2), answer

    def open_connection(self, name=b"kiln:///system", flags=0):
        """Asks for it (serial 1) and does not wait for the answer."""
        text = name + b"\0" * (-len(name) % 4)
        self.send(REMOTE_PROGRAM, 1, payload=struct.pack(">II", 1, len(name)) + text +
                  struct.pack(">I", flags))

    def expect_opened(self):
        answer = self.recv()
        assert answer is not None and answer[3:5] == (1, 0), answer

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@contextlib.contextmanager
def event_loop():
    """libvirt's event loop, run by a thread of its own while the block lasts."""
    libvirt.virEventRegisterDefaultImpl()
    stop = threading.Event()

    def turn():
        while not stop.is_set():
            libvirt.virEventRunDefaultImpl()

    # the loop looks at @stop as often as this makes it turn
    tick = libvirt.virEventAddTimeout(100, lambda timer, opaque: None, None)
    thread = threading.Thread(target=turn, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        libvirt.virEventRemoveTimeout(tick)


@contextlib.contextmanager
def guest_of(make):
    """What @make makes of a daemon of its own, with a connection `conn` and a domain `dom`, until the end."""
    with Daemon() as daemon:
        one = make(daemon)
        try:
            yield one
        finally:
            with contextlib.suppress(libvirt.libvirtError):
                one.dom.destroy()
            one.conn.close()


def wait_for(what, condition, seconds=120):
    """Calls @condition until it is true, for a time that is long on a busy machine, too."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "%s: not within %d s" % (what, seconds)
        time.sleep(0.02)


def refused(code, *call):
    """refused(CODE, [PATTERN,] FUNCTION, ARGUMENTS…): the call must fail with libvirt's error CODE and
    words that match. Returns them."""
    pattern, call = (call[0], call[1:]) if isinstance(call[0], str) else ("", call)
    try:
        call[0](*call[1:])
    except libvirt.libvirtError as err:
        assert err.get_error_code() == code, "code %d, not %d: %s" % (err.get_error_code(), code, err)
        assert re.search(pattern, str(err)), "%r does not say %r" % (str(err), pattern)
        return str(err)
    raise AssertionError("%s%r was not refused with %d" % (getattr(call[0], "__name__", "it"), call[1:], code))


def run(tests):
    """Runs functions, prints 'ok NAME' or 'not ok NAME - why' for each, exits with the verdict."""
    failed = 0
    for test in tests:
        name = test.__name__.replace("_", "-")
        try:
            reason = test()
            print("skip %s - %s" % (name, reason) if reason else "ok " + name, flush=True)
        except Exception as problem:  # a test that breaks is a test that fails
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print("not ok %s - %s" % (name, str(problem).replace("\n", " ")), flush=True)
    sys.exit(1 if failed else 0)
