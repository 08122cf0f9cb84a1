#!/usr/bin/python3
"""The main job through every URI that users type. timeout below is for the emulated lab.

# timeout: 900

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import hashlib
import os
import socket
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import (Console, Daemon, PROJECT, TMP, check, define, fails, guest_files, guest_xml, run,
                   state, test, virsh, wait_for, wait_ready, write)  # noqa: E402


def journey(label, *options):
    argv = [os.path.join(PROJECT, "tests/journey.py"), "--guest-files", guest_files(), "--tests",
            *options]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith(("ok ", "not ok ")):
                word, rest = line.split("ok ", 1)
                line = "%sok %s: %s" % (word, label, rest)
            print(line, end="", flush=True)


def read_only():
    define("quiet")
    out = run("virsh", "-r", "-c", "qemu:///system", "list", "--all")
    check("quiet" in out, "a read-only client must see the guest")
    run("virsh", "-r", "list", "--all")
    run("virsh", "-r", "dumpxml", "quiet")
    fails("virsh", "-r", "start", "quiet", expect="read only")
    fails("virsh", "-r", "undefine", "quiet", expect="read only")
    check(state("quiet") == "shut off", "a read-only client must not start anything")
    virsh("undefine", "quiet")


USER_NET = """<interface type='user'><model type='virtio'/>
  <portForward proto='tcp' address='127.0.0.1'><range start='2222' to='8080'/></portForward></interface>"""


def forwarded():
    """Whether the guest answers on the host's port that is forwarded to it."""
    with socket.create_connection(("127.0.0.1", 2222), 30) as peer:
        peer.settimeout(30)
        return peer.recv(100) == b"hello from port 8080\n"


def bulk(terminal):
    """Packets of many segments, both ways through user networking: what arrives is what was sent."""
    blob = os.urandom(4 << 20)
    got = hashlib.md5()

    def send(listener):
        with listener.accept()[0] as peer:
            peer.sendall(blob)

    def receive(listener):
        with listener.accept()[0] as peer:
            for piece in iter(lambda: peer.recv(1 << 16), b""):
                got.update(piece)

    threads = []
    for port, function in ((7100, send), (7101, receive)):
        listener = socket.create_server(("127.0.0.1", port))
        threads.append(threading.Thread(target=function, args=(listener,), daemon=True))
        threads[-1].start()
    answer, _ = terminal.command("nc 10.0.2.2 7100 | md5sum", 120)
    check(hashlib.md5(blob).hexdigest() in answer, "what the guest received is not what was sent: " + answer)
    answer, _ = terminal.command("head -c 3000001 /dev/urandom > /tmp/bulk; md5sum < /tmp/bulk; "
                                 "nc 10.0.2.2 7101 < /tmp/bulk", 120)
    for thread in threads:
        thread.join(60)
    check(got.hexdigest() in answer, "what the guest sent is not what came: %s, %s" % (got.hexdigest(), answer))


def session():
    """An ordinary user's guest, with user networking and a forwarded port, on kiln:///session."""
    uid = 12345
    home = os.path.join(TMP, "home")
    runtime = os.path.join(TMP, "runtime")
    for directory in (home, runtime):
        os.makedirs(directory)
        os.chown(directory, uid, uid)
    os.chmod(TMP, 0o755)
    os.chmod(runtime, 0o700)
    env = {"HOME": home, "XDG_RUNTIME_DIR": runtime}
    for name in ("XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        os.environ.pop(name, None)
    wrap = ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid, "--clear-groups"]
    daemon = Daemon(wrap=wrap, env=env)
    daemon.log = os.path.join(TMP, "session.log")

    def user_virsh(*argv, **more):
        return run(*wrap, "virsh", "-c", "kiln:///session", *argv, env=daemon.env, **more)

    daemon.start("kiln:///session")
    try:
        user_virsh("define", write("mine.xml", guest_xml("mine", devices=USER_NET)))
        os.chmod("/dev/kvm", 0o600)
        fails(*wrap, "virsh", "-c", "kiln:///session", "start", "mine", env=daemon.env,
              expect="/dev/kvm.*Permission denied")
        os.chmod("/dev/kvm", 0o666)      # as udev leaves it for logged-in users
        user_virsh("start", "mine")
        check("mine" in user_virsh("list"), "the session's guest is listed")
        check("mine" not in virsh("list", "--all"), "the system must not see a session's guest")
        with Console([*wrap, "env", *("%s=%s" % i for i in env.items()), "virsh", "-c",
                      "kiln:///session"], "mine") as terminal:
            terminal.expect("Connected to domain", 30)
            terminal.wake(150)
            answer, status = terminal.command(
                "until [ -e /tmp/network-is-up ]; do sleep 1; done; wget -qO- http://203.0.113.1/hello.txt")
            check(status == 0 and answer.strip(), "the guest reaches outside by user networking: "
                  + answer)
            bulk(terminal)
            terminal.command("{ while :; do echo hello from port 8080 | nc -l -p 8080; done & }")
            wait_for("an answer through the forwarded port", forwarded, 30)
        user_virsh("shutdown", "mine")
        wait_for("the guest powers itself off",
                 lambda: "shut off" in user_virsh("domstate", "mine"), 90)
        user_virsh("undefine", "mine")
    except Exception:
        print(daemon.tail())
        raise
    finally:
        daemon.stop()


os.environ["KILN_OUTSIDE_ADDRESS"] = "203.0.113.1"
os.environ["KILN_OUTSIDE_NAME"] = "world.test"
with Daemon() as system:
    journey("qemu:///system", "--connect", "qemu:///system")
    journey("kiln:///system", "--connect", "kiln:///system")
    journey("bare virsh")
    with test("read-only virsh sees and cannot change"):
        read_only()
    with test("session with user networking"):
        session()
