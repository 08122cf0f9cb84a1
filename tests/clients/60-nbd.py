#!/usr/bin/python3
"""60-nbd - kiln-nbd before the clients that people use (nbdinfo, nbdcopy, qemu-img, qemu-nbd, fio), and
its client before servers that are not ours (qemu-nbd, nbdkit).

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import json
import os
import random
import re
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import certificates

BUILD = os.environ.get("KILN_BUILD") or os.path.join(os.path.dirname(os.path.realpath(__file__)),
                                                     "../../build/release")
TOOL = os.path.join(BUILD, "block/nbd/kiln-nbd")
IMG = os.path.join(BUILD, "block/img/kiln-img")
MIB = 1 << 20
KILLED_BLOCKS = 2048
OPTION_MAGIC, REPLY_MAGIC = b"IHAVEOPT", 0x0003e889045565a9


def run(*argv, code=0):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == code, "%s: status %d\n%s%s" % (" ".join(argv), done.returncode,
                                                           done.stdout, done.stderr)
    return done.stdout


def uri(path, name=""):
    return "nbd+unix:///%s?socket=%s" % (name, path)


@contextlib.contextmanager
def place():
    with tempfile.TemporaryDirectory(prefix="kiln-nbd-") as directory:
        yield directory


def make_image(path, size=32 * MIB):
    """Data, holes, and pieces that begin at odd places."""
    chance = random.Random(4711)
    with open(path, "wb") as image:
        image.truncate(size)
        for at in (0, 3 * MIB + 512, 17 * MIB):
            image.seek(at)
            image.write(chance.randbytes(MIB + 4096))
    return path


def same(one, two):
    with open(one, "rb") as a, open(two, "rb") as b:
        return a.read() == b.read()


@contextlib.contextmanager
def server(sock, *argv, program=TOOL):
    process = subprocess.Popen([program, "-k", sock, *argv], stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 20
        while not os.path.exists(sock):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline, "no socket"
            time.sleep(0.01)
        time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(20)
        process.stderr.close()


def lists_as_qemu_nbd_does():
    with place() as d:
        image = make_image(d + "/image")
        with server(d + "/s", "-f", "raw", "-t", "-e", "3", "-x", "disk", "-D", "a text", "-A", image):
            ours, theirs = (run(tool, "-L", "-k", d + "/s") for tool in (TOOL, "qemu-nbd"))
        assert ours == theirs, ours + theirs
        assert "export: 'disk'" in ours and "description: a text" in ours, ours
        assert "base:allocation" in ours and "qemu:allocation-depth" in ours, ours


def is_copied_both_ways():
    with place() as d:
        image, target = make_image(d + "/image"), d + "/target"
        with open(target, "wb") as stream:
            stream.truncate(32 * MIB)
        with server(d + "/s", "-f", "raw", "-t", "-e", "0", image), \
                server(d + "/t", "-f", "raw", "-t", "-e", "0", target):
            run("nbdcopy", uri(d + "/s"), d + "/out")
            run("nbdcopy", "--connections=4", "--requests=16", uri(d + "/s"), uri(d + "/t"))
            run("qemu-img", "compare", "-f", "raw", "-F", "raw", uri(d + "/s"), image)
        assert same(image, d + "/out") and same(image, target)
        assert os.stat(target).st_blocks * 512 < 8 * MIB, "the holes were filled"


def tells_where_data_is():
    with place() as d:
        image = make_image(d + "/image")
        with server(d + "/s", "-f", "raw", "-t", "-e", "0", image):
            theirs = json.loads(run("qemu-img", "map", "--output=json", "-f", "raw", image))
            ours = json.loads(run("qemu-img", "map", "--output=json", "-f", "raw", uri(d + "/s")))
        keys = ("start", "length", "zero", "data")
        assert [[e[k] for k in keys] for e in ours] == [[e[k] for k in keys] for e in theirs], ours


def keeps_what_fio_verifies():
    with place() as d:
        with open(d + "/image", "wb") as stream:
            stream.truncate(32 * MIB)
        with server(d + "/s", "-f", "raw", "-t", "-e", "0", d + "/image"):
            run("fio", "--name=v", "--ioengine=nbd", "--uri=" + uri(d + "/s"), "--rw=randrw",
                "--bsrange=512-64k", "--iodepth=16", "--size=32M", "--verify=crc32c", "--verify_fatal=1",
                "--fsync=50", "--randrepeat=1", "--verify_state_save=0", "--output=/dev/null")


def serves_bitmaps_snapshots_and_offsets():
    with place() as d:
        image = d + "/image.qcow2"
        run("qemu-img", "create", "-q", "-f", "qcow2", image, "16M")
        run("qemu-io", "-c", "write -P 1 0 1M", image)
        run("qemu-img", "snapshot", "-c", "first", image)
        run("qemu-img", "bitmap", "--add", "-g", "65536", image, "b0")
        run("qemu-io", "-c", "write -P 2 0 64k", "-c", "write -P 3 5M 128k", image)
        with server(d + "/s", "-f", "qcow2", "-r", "-t", "-e", "0", "-B", "b0", image):
            out = run("nbdinfo", "--map=qemu:dirty-bitmap:b0", uri(d + "/s"))
            rows = [tuple(int(n) for n in line.split()[:3]) for line in out.splitlines()]
            assert rows == [(0, 65536, 1), (65536, 5 * MIB - 65536, 0), (5 * MIB, 131072, 1),
                            (5 * MIB + 131072, 16 * MIB - 5 * MIB - 131072, 0)], out
        # a bitmap of an image below, which is shorter; also under what is temporary
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", image, "-F", "qcow2", d + "/over.qcow2", "17M")
        for words in (("-s", image), (d + "/over.qcow2",)):
            maps = []
            for program in (TOOL, "qemu-nbd"):
                with server(d + "/s", "-f", "qcow2", "-t", "-B", "b0", *words, program=program):
                    maps.append(run("nbdinfo", "--map=qemu:dirty-bitmap:b0", uri(d + "/s")))
            assert maps[0] == maps[1], maps
        with server(d + "/s", "-f", "qcow2", "-t", "-l", "first", image):
            run("qemu-io", "-r", "-f", "raw", "-c", "read -P 1 0 1M", uri(d + "/s"))
            told = [run(tool, "info", *more, uri(d + "/s", "")) for tool in (IMG, "qemu-img")
                    for more in ((), ("--output=json",))]
            told = [re.sub("unix:/*", "unix:", text) for text in told]
            assert told[:2] == told[2:], told
        with server(d + "/s", "-f", "qcow2", "-t", "-l", "snapshot.name=first,snapshot.id=1", image):
            run("qemu-io", "-r", "-f", "raw", "-c", "read -P 1 0 1M", uri(d + "/s"))
        with server(d + "/s", "-f", "qcow2", "-r", "-o", str(5 * MIB), image):
            run("qemu-io", "-r", "-f", "raw", "-c", "read -P 3 0 128k", uri(d + "/s"))


def begins_anywhere():
    """An export that begins inside a sector; read-only ones, of which one client is served, say so."""
    with place() as d:
        image = make_image(d + "/image", 8 * MIB)
        with open(image, "rb") as stream:
            want = stream.read()[100:] + bytes(100)
        with server(d + "/s", "-r", "-f", "raw", "-o", "100", image):
            run("nbdcopy", uri(d + "/s"), d + "/out")
        with open(d + "/out", "rb") as stream:
            assert stream.read() == want
        with server(d + "/s", "-f", "raw", "-o", "100", image):
            run("qemu-io", "-f", "raw", "-c", "write -P 5 0 1k", "-c", "write -z 4k 600", "-c", "read -P 5 0 1k",
                uri(d + "/s"))
        with open(image, "rb") as stream:
            now = stream.read()
        assert now[100:] == bytes([5]) * 1024 + want[1024:4096] + bytes(600) + want[4696:-100]


def refuses_what_qemu_nbd_refuses():
    with place() as d:
        image = make_image(d + "/image", MIB)
        for words, told in (("-k s", "'s' is no absolute path"), ("--aio=native", "add --cache=none"),
                            ("--aio=native --cache=unsafe", "add --cache=none"), ("-n --cache=none", "given twice"),
                            ("--aio=threads --aio=threads", "given twice"),
                            ("--detect-zeroes=unmap", "add --discard=unmap"),
                            ("--detect-zeroes=unmap --discard=ignore", "add --discard=unmap")):
            for tool in (TOOL, "qemu-nbd"):
                done = subprocess.run([tool, "-k", d + "/s", *words.split(), "-f", "raw", image], capture_output=True,
                                      text=True, timeout=20, check=False)
                assert done.returncode == 1 and (tool != TOOL or told in done.stderr), (tool, words, done)
        for words in ("--aio=native --cache=none", "--cache=off", "--discard=unmap --detect-zeroes=unmap", "-p 1",
                      "-s -r"):
            with server(d + "/s", *words.split(), "-f", "raw", image):
                run("nbdinfo", "--size", uri(d + "/s"))
        assert "secret" in run(TOOL, "--object", "help")


def lets_nobody_write_what_is_read_only():
    with place() as d:
        image = make_image(d + "/image")
        with server(d + "/s", "-f", "raw", "-r", "-t", image):
            assert "is_read_only: true" in run("nbdinfo", uri(d + "/s"))
            run("qemu-io", "-f", "raw", "-c", "write 0 512", uri(d + "/s"), code=1)


def forgets_what_is_temporary():
    with place() as d:
        image, before = make_image(d + "/image"), make_image(d + "/before")
        with server(d + "/s", "-f", "raw", "-s", "-t", "-e", "0", image):
            run("qemu-io", "-f", "raw", "-c", "write -P 5 1000 70000", "-c", "read -P 5 1000 70000",
                uri(d + "/s"))
            run("qemu-io", "-r", "-f", "raw", "-c", "read -P 5 1000 70000", uri(d + "/s"))
        assert same(image, before)
        # an image that a name does not say: a window, and one with a key
        with server(d + "/s", "--image-opts", "-s", "-t",
                    "driver=raw,offset=%d,file.filename=%s" % (3 * MIB, image)):
            run("qemu-io", "-f", "raw", "-c", "write -P 5 0 70000", "-c", "read -P 5 0 70000", uri(d + "/s"))
        assert same(image, before)
        secret = ("--object", "secret,id=s,data=word")
        run(IMG, "create", "-q", *secret, "-f", "qcow2", "-o", "encrypt.format=luks,encrypt.key-secret=s,"
            "encrypt.iter-time=10", d + "/locked", "1M")
        with server(d + "/s", *secret, "--image-opts", "-s", "-t",
                    "driver=qcow2,encrypt.key-secret=s,file.filename=%s/locked" % d):
            run("qemu-io", "-f", "raw", "-c", "read -P 0 0 1M", "-c", "write -P 5 0 70000", uri(d + "/s"))


def speaks_tls():
    with place() as d:
        image = make_image(d + "/image")
        certificates.make(d)
        with open(d + "/keys.psk", "w", encoding="ascii") as stream:
            stream.write("qemu:" + os.urandom(16).hex() + "\n")
        for kind in ("x509", "psk"):
            server_object = "tls-creds-%s,id=t,endpoint=server,dir=%s" % (kind, d)
            client_object = "tls-creds-%s,id=t,endpoint=client,dir=%s" % (kind, d)
            with server(d + "/s", "-f", "raw", "-t", "-e", "0", "--object", server_object, "--tls-creds",
                        "t", image):
                qemu = client_object + (",username=qemu" if kind == "psk" else "")
                name = ["--tls-hostname", "localhost"] if kind == "x509" else []
                assert "size:  33554432" in run("qemu-nbd", "-L", "-k", d + "/s", "--object", qemu,
                                                "--tls-creds", "t", *name)
                ours = run(TOOL, "-L", "-k", d + "/s", "--object", client_object, "--tls-creds", "t", *name)
                assert "size:  33554432" in ours, ours
                clear = subprocess.run([TOOL, "-L", "-k", d + "/s"], capture_output=True, text=True,
                                       check=False)
                assert clear.returncode == 1 and "TLS" in clear.stderr, clear.stderr
            # kiln-img, from this server and from the other
            for program in (TOOL, "qemu-nbd"):
                with server(d + "/s", "-f", "raw", "-t", "-e", "0", "--object", server_object,
                            "--tls-creds", "t", image, program=program):
                    source = "driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=%s/s," \
                             "file.tls-creds=t" % d
                    if kind == "x509":
                        source += ",file.tls-hostname=localhost"
                    run(IMG, "convert", "--object", client_object, "--image-opts", "-O", "raw", source,
                        d + "/copy")
                    assert same(image, d + "/copy")
            if kind == "x509":
                with server(d + "/s", "-f", "raw", "-t", "-e", "0", "--object", server_object,
                            "--tls-creds", "t", image):
                    wrong = subprocess.run([TOOL, "-L", "-k", d + "/s", "--object", client_object,
                                            "--tls-creds", "t", "--tls-hostname", "elsewhere"],
                                           capture_output=True, text=True, check=False)
                    assert wrong.returncode == 1 and "handshake" in wrong.stderr, wrong.stderr


def is_a_client_of_other_servers():
    with place() as d:
        image, target = make_image(d + "/image"), d + "/target"
        with open(target, "wb") as stream:
            stream.truncate(32 * MIB)
        with server(d + "/q", "-f", "raw", "-t", "-e", "9", target, program="qemu-nbd"), \
                server(d + "/s", "-f", "raw", "-t", "-e", "0", uri(d + "/q")):
            run("nbdcopy", image, uri(d + "/s"))
            ours = run("nbdinfo", "--map", uri(d + "/s"))
            theirs = run("nbdinfo", "--map", uri(d + "/q"))
        assert ours == theirs, ours + theirs
        assert same(image, target)


def writes_parts_of_a_servers_blocks():
    """nbdkit refuses whatever is no multiple of 4096: reads and writes of less are made of those."""
    with place() as d:
        target = d + "/target"
        with open(target, "wb") as stream:
            stream.truncate(8 * MIB)
        nbdkit = subprocess.Popen(["nbdkit", "-f", "-U", d + "/k", "--filter=blocksize-policy", "file", target,
                                   "blocksize-minimum=4096", "blocksize-error-policy=error"])
        try:
            while not os.path.exists(d + "/k"):
                time.sleep(0.01)
            with server(d + "/s", "-f", "raw", "-t", "-e", "0", uri(d + "/k")):
                run("qemu-io", "-f", "raw", "-c", "write -P 7 512 1024", "-c", "write -P 8 4000 200",
                    "-c", "write -z 1000 100", "-c", "write -P 9 1M 8k", "-c", "write -z 1027k 8k",
                    "-c", "read -P 7 512 488", "-c", "read -P 0 1000 100", "-c", "read -P 8 4000 200",
                    "-c", "read -P 9 1M 3k", "-c", "read -P 0 1027k 5k", uri(d + "/s"))
        finally:
            nbdkit.terminate()
            nbdkit.wait()
        with open(target, "rb") as stream:
            data = stream.read(8192)
        assert data[512:1000] == b"\7" * 488 and data[1000:1100] == bytes(100), data[500:1110]
        assert data[1100:1536] == b"\7" * 436 and data[4000:4200] == b"\10" * 200


def ends_with_its_last_client():
    with place() as d:
        image = make_image(d + "/image")
        with server(d + "/s", "-f", "raw", image) as process:
            run("nbdinfo", "--size", uri(d + "/s"))
            assert process.wait(10) == 0
            assert not os.path.exists(d + "/s"), "the socket was left behind"
        assert run(TOOL, "--fork", "--pid-file", d + "/pid", "-t", "-k", d + "/s", "-f", "raw", image) == ""
        assert run("nbdinfo", "--size", uri(d + "/s")).strip() == "33554432"
        with open(d + "/pid", encoding="ascii") as stream:
            pid = int(stream.read())
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while os.path.exists("/proc/%d" % pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not os.path.exists(d + "/s"), "the socket was left behind"


def holds_the_image_as_qemu_does():
    with place() as d:
        image = make_image(d + "/image")
        with server(d + "/s", "-f", "raw", "-t", image):
            other = subprocess.run(["qemu-io", "-f", "raw", "-c", "write 0 512", image], capture_output=True,
                                   text=True, check=False)
            assert other.returncode == 1 and "lock" in other.stderr, other.stderr
            other = subprocess.run([TOOL, "-k", d + "/t", "-f", "raw", image], capture_output=True,
                                   text=True, check=False)
            assert other.returncode == 1 and image in other.stderr, other.stderr


def connect(path):
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(30)
    peer.connect(path)
    return peer


def receive(peer, length):
    data = b""
    while len(data) < length:
        piece = peer.recv(length - len(data))
        assert piece, "closed after %d of %d bytes" % (len(data), length)
        data += piece
    return data


def negotiate(path):
    """A plain client in its commands, without structured replies."""
    peer = connect(path)
    receive(peer, 18)
    peer.sendall(struct.pack(">I", 3))
    peer.sendall(OPTION_MAGIC + struct.pack(">II", 1, 0))
    receive(peer, 10)
    return peer


def request(kind, cookie, offset, length, flags=0):
    return struct.pack(">IHHQQI", 0x25609513, flags, kind, cookie, offset, length)


def reply(peer):
    magic, error, cookie = struct.unpack(">IIQ", receive(peer, 16))
    assert magic == 0x67446698, hex(magic)
    return error, cookie


def stands_nonsense():
    with place() as d:
        image = make_image(d + "/image")
        with server(d + "/s", "-f", "raw", "-t", "-e", "0", image) as process:
            for text in (b"GET / HTTP/1.0\r\n\r\n", b"\xff" * 4096, struct.pack(">I", 0xffffffff)):
                with connect(d + "/s") as peer:
                    receive(peer, 18)
                    peer.sendall(text)
                    with contextlib.suppress(ConnectionResetError):
                        peer.shutdown(socket.SHUT_WR)
                        while peer.recv(4096):
                            pass
            with connect(d + "/s") as peer:
                receive(peer, 18)
                peer.sendall(struct.pack(">I", 3))
                for option, length in ((7, 3), (10, 0), (99, 5), (3, 1), (8, 1), (6, 1 << 20)):
                    peer.sendall(OPTION_MAGIC + struct.pack(">II", option, length) + bytes(length))
                    magic, asked, kind, size = struct.unpack(">QIII", receive(peer, 20))
                    receive(peer, size)
                    assert (magic, asked) == (REPLY_MAGIC, option) and kind >> 31, (option, hex(kind))
            with negotiate(d + "/s") as peer:
                size = 32 * MIB
                for kind, offset, length, error in ((0, size, 1, 22), (0, 1 << 63, 512, 22), (99, 0, 0, 22),
                                                    (0, 0, 64 * MIB, 22), (6, size - 1, 2, 28), (7, 0, 512, 22)):
                    peer.sendall(request(kind, 5, offset, length))
                    assert reply(peer) == (error, 5), (kind, offset, length)
                peer.sendall(request(1, 6, size, 512) + bytes(512))
                assert reply(peer) == (28, 6)
                peer.sendall(request(0, 7, 0, 512))
                assert reply(peer) == (0, 7)
                receive(peer, 512)
                peer.sendall(b"\0" * 28)
                with contextlib.suppress(ConnectionResetError):
                    assert peer.recv(1) == b"", "a wrong magic number was read over"
            assert process.poll() is None
            assert run("nbdinfo", "--size", uri(d + "/s")).strip() == "33554432"


def loses_nothing_of_a_client_that_dies():
    """Answered writes are there after the client's and then the server's sudden end."""
    with place() as d:
        image = make_image(d + "/image")
        with server(d + "/s", "-f", "raw", "-t", "-e", "0", image) as process:
            for turn in range(20):
                peer = negotiate(d + "/s")
                peer.sendall(request(1, 1, turn * 4096, 4096) + bytes([turn + 1]) * 4096)
                assert reply(peer) == (0, 1)
                # half a request, many unread replies, then gone
                peer.sendall(b"".join(request(0, n, 0, MIB) for n in range(8)))
                peer.sendall(request(1, 2, 20 * MIB, MIB) + bytes(1000))
                peer.close()
            process.kill()
            process.wait()
        with open(image, "rb") as stream:
            for turn in range(20):
                assert stream.read(4096) == bytes([turn + 1]) * 4096, turn


def write_until_killed(peer, dice, blocks):
    """Writes, trims and zeroes blocks of 4 KiB, and flushes now and then; @blocks has, by number, the
    bytes that each may be filled with, one where it was flushed since. Ends with the server."""
    while True:
        for cookie in range(dice.randrange(1, 12)):
            first, count, fill = dice.randrange(KILLED_BLOCKS), dice.choice((1, 1, 1, 16, 40)), dice.randrange(256)
            count = min(count, KILLED_BLOCKS - first)
            kind = dice.choice((1, 1, 1, 4, 6))
            content = {1: fill, 4: None, 6: 0}[kind]    # what is trimmed reads as anything
            for number in range(first, first + count):
                blocks.setdefault(number, [0]).append(content)
            peer.sendall(request(kind, cookie, first * 4096, count * 4096) +
                         (bytes([fill]) * (count * 4096) if kind == 1 else b""))
            if reply(peer) != (0, cookie):
                raise ValueError("request %d failed" % kind)
        peer.sendall(request(3, 99, 0, 0))
        if reply(peer) != (0, 99):
            raise ValueError("a flush failed")
        for number, fills in blocks.items():
            blocks[number] = fills[-1:]


def keeps_what_was_flushed_when_it_is_killed():
    seed = random.randrange(1 << 30)
    dice, blocks = random.Random(seed), {}
    with place() as d:
        image = d + "/image"
        run(IMG, "create", "-q", "-f", "qcow2", image, str(KILLED_BLOCKS * 4096))
        for turn in range(10):
            with server(d + "/s", "-f", "qcow2", "-t", "--discard=unmap", image) as process:
                child = int(run("pgrep", "-P", str(process.pid)))
                end = threading.Timer(dice.uniform(0.02, 0.4), os.kill, (child, signal.SIGKILL))
                with negotiate(d + "/s") as peer, contextlib.suppress(AssertionError, OSError):
                    end.start()
                    write_until_killed(peer, dice, blocks)
                end.join()
                process.wait(20)
            for tool in (IMG, "qemu-img"):
                done = subprocess.run([tool, "check", "-f", "qcow2", image], capture_output=True, text=True,
                                      check=False)
                assert done.returncode in (0, 3), "seed %d, turn %d: %s: %s" % (seed, turn, tool, done.stdout)
            run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, d + "/raw")
            with open(d + "/raw", "rb") as stream:
                data = stream.read()
            for number, fills in blocks.items():
                block = data[number * 4096:(number + 1) * 4096]
                if len(fills) == 1 and fills[0] is not None:
                    assert block == bytes(fills) * 4096, \
                        "seed %d, turn %d: block %d was flushed with %d" % (seed, turn, number, fills[0])
                # what was not flushed is from now on what it came to be
                blocks[number] = [block[0] if block == block[:1] * 4096 else None]


def is_locked_in():
    with place() as d:
        image = make_image(d + "/image")
        with server(d + "/s", "-f", "raw", "-t", image) as process:
            children = run("pgrep", "-P", str(process.pid)).split()
            assert len(children) == 1, children
            peer = negotiate(d + "/s")
            assert locked_in(int(children[0]))
            peer.close()


def locked_in(pid):
    """Whether each thread of the process has its system calls filtered and can gain nothing."""
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/status" % (pid, task), encoding="ascii") as stream:
            status = stream.read()
        if not re.search(r"^Seccomp:\s+2$", status, re.M) or not re.search(r"^NoNewPrivs:\s+1$", status, re.M):
            return False
    return True


def is_locked_in_as_the_image_tool_is():
    with place() as d:
        image = make_image(d + "/image")
        for words in (("convert", "-r", "64k", "-W", "-f", "raw", "-O", "qcow2", image, d + "/copy"),
                      ("bench", "-c", "100000000", "-f", "raw", image)):
            tool = subprocess.Popen([IMG, *words], stdout=subprocess.DEVNULL)
            try:
                until = time.monotonic() + 30
                while not locked_in(tool.pid):
                    assert tool.poll() is None and time.monotonic() < until, "%s is never locked in" % words[0]
                    time.sleep(0.01)
            finally:
                tool.kill()
                tool.wait()


def explains_what_is_wrong():
    with place() as d:
        image = make_image(d + "/image")
        for argv, text in ((["-k", d + "/s", d + "/none"], "none"), (["-k", "/" + "x" * 200, image], "bytes"),
                           (["--cache", "bad", image], "none of writeback"), ([], "one image"),
                           (["-B", "b", "-f", "raw", image], "no bitmap 'b'"),
                           (["--object", "secret,id=s", image], "needs 'data' or 'file'"),
                           (["--object", "iothread,id=s", image], "tls-creds"),
                           (["--tls-creds", "t", "-f", "raw", image], "id=t"),
                           (["--tls-hostname", "x", "-f", "raw", image], "--tls-creds"),
                           (["-x", "x" * 4097, "-k", d + "/s", "-f", "raw", image], "at most 4096"),
                           (["-D", "x" * 4097, "-k", d + "/s", "-f", "raw", image], "at most 4096"),
                           (["-l", "snapshot.id=1,snapshot.name=no", image], "no snapshot"),
                           (["-o", "99999999999", "-f", "raw", image], "behind")):
            done = subprocess.run([TOOL, *argv], capture_output=True, text=True, timeout=20, check=False)
            assert done.returncode == 1 and text in done.stderr, (argv, done.stderr)


TESTS = (lists_as_qemu_nbd_does, is_copied_both_ways, tells_where_data_is, keeps_what_fio_verifies,
         serves_bitmaps_snapshots_and_offsets, begins_anywhere, refuses_what_qemu_nbd_refuses,
         lets_nobody_write_what_is_read_only,
         forgets_what_is_temporary, speaks_tls,
         is_a_client_of_other_servers, writes_parts_of_a_servers_blocks, ends_with_its_last_client,
         holds_the_image_as_qemu_does, stands_nonsense, loses_nothing_of_a_client_that_dies,
         keeps_what_was_flushed_when_it_is_killed, is_locked_in, is_locked_in_as_the_image_tool_is,
         explains_what_is_wrong)


def main():
    failed = 0
    for test in TESTS:
        try:
            test()
            print("ok " + test.__name__, flush=True)
        except (AssertionError, OSError, subprocess.SubprocessError, ValueError) as error:
            failed += 1
            print("not ok %s - %s" % (test.__name__, str(error).replace("\n", " | ")[:2000]), flush=True)
    return failed


raise SystemExit(main())
