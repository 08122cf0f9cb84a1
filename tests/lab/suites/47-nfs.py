#!/usr/bin/python3
"""Images on NFS, with the kernel's own server and client: a pool that is an export, kiln-img beside
qemu-img, locks between programs and between hosts, a guest with and without the host's cache, and a
server that does not let root in.

# timeout: 1200

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import json
import os
import pwd
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import (BUILD, Daemon, GuestShell, IMG, TMP, check, fails, guest_xml, run, state,  # noqa: E402
                   test, virsh, vmm_pid, wait_for, write)

MIB = 1 << 20
SERVER, MOUNT = os.path.join(TMP, "server"), os.path.join(TMP, "mount")
IMAGES, CLOSED = os.path.join(TMP, "images"), os.path.join(TMP, "closed")
CONFIG = "/etc/nfs.conf.d/kiln-lab.conf"
SCHEMA = "/usr/share/libvirt/schemas/storagepool.rng"
LOCALLY, ELSEWHERE = "192.0.2.1", "192.0.2.2"
DISK = """<disk type='%s' device='disk'><driver name='qemu' type='%s' %s/><source %s/>
  <target dev='%s' bus='virtio'/>%s</disk>"""


def refused(*argv, expect):
    return fails("virsh", "-c", "qemu:///system", *argv, expect=expect)


@contextlib.contextmanager
def user():
    """The one that guests run as, which may read none of the images by itself."""
    made = not any(entry.pw_name == "kiln" for entry in pwd.getpwall())
    if made:
        run("useradd", "--system", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", "kiln")
    try:
        yield
    finally:
        if made:
            run("userdel", "kiln")


@contextlib.contextmanager
def hosts():
    """This one and another one, a network name space, with a cable between them."""
    run("ip", "netns", "add", "elsewhere")
    try:
        run("ip", "link", "add", "towards", "type", "veth", "peer", "name", "eth0", "netns", "elsewhere")
        run("ip", "address", "add", LOCALLY + "/24", "dev", "towards")
        run("ip", "link", "set", "towards", "up")
        run("ip", "-n", "elsewhere", "address", "add", ELSEWHERE + "/24", "dev", "eth0")
        run("ip", "-n", "elsewhere", "link", "set", "eth0", "up")
        yield
    finally:
        run("ip", "netns", "del", "elsewhere")


@contextlib.contextmanager
def server():
    """The kernel's server, which shows what is below SERVER: /images to all, /closed not to root."""
    run("modprobe", "-a", "nfsd", "nfsv4")
    run("mkfs.ext4", "-q", "/dev/vda")
    for directory in (SERVER, MOUNT, "/run/rpc_pipefs", "/run/rpcbind", os.path.dirname(CONFIG)):
        os.makedirs(directory, exist_ok=True)
    run("mount", "/dev/vda", SERVER)
    with open(CONFIG, "w", encoding="ascii") as file:
        file.write("[exports]\nrootdir=%s\n" % SERVER)
    for name in ("images", "closed"):
        os.mkdir(os.path.join(SERVER, name))
    run("mount", "-t", "nfsd", "nfsd", "/proc/fs/nfsd")
    run("mount", "-t", "rpc_pipefs", "rpc_pipefs", "/run/rpc_pipefs")
    for knob in ("nfsv4leasetime", "nfsv4gracetime"):
        with open("/proc/fs/nfsd/" + knob, "w", encoding="ascii") as file:
            file.write("10")
    try:
        run("rpcbind", "-w")
        run("nfsdcld")
        run("exportfs", "-o", "rw,no_root_squash,no_subtree_check,insecure", "*:/images")
        run("exportfs", "-o", "rw,root_squash,no_subtree_check,insecure", "*:/closed")
        run("rpc.nfsd", "4")
        run("rpc.mountd")
        yield
    finally:
        for argv in (("umount", "-f", IMAGES), ("umount", "-f", CLOSED), ("exportfs", "-ua"),
                     ("rpc.nfsd", "0"), ("pkill", "-x", "rpc.mountd"), ("pkill", "-x", "nfsdcld"),
                     ("pkill", "-x", "rpcbind"), ("umount", SERVER), ("umount", "/run/rpc_pipefs"),
                     ("umount", "/proc/fs/nfsd")):
            subprocess.run(argv, check=False, capture_output=True)
        os.unlink(CONFIG)


def mounted(path):
    """(what, kind, options) that is mounted there, or None."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        rows = [line.split() for line in mounts]
    return next(((row[0], row[2], row[3].split(",")) for row in rows if row[1] == path), None)


def volumes(pool):
    rows = virsh("vol-list", pool).splitlines()[2:]
    return [row.split()[0] for row in rows if row.strip()]


def on_server(name, export="images"):
    return os.path.join(SERVER, export, name)


def here(name):
    return os.path.join(IMAGES, name)


# --- pools

def pools(daemon):
    with test("netfs: what a server shows is found"):
        found = virsh("find-storage-pool-sources-as", "netfs", LOCALLY)
        for name in ("images", "closed"):
            check("<dir path='/%s'/>" % name in found, found)
        check("<host name='%s'/>" % LOCALLY in found and "<format type='nfs'/>" in found, found)
        refused("find-storage-pool-sources-as", "netfs", expect="hostname must be specified")
        run("virsh", "-c", "qemu:///system", "find-storage-pool-sources", "netfs",
            write("spec.xml", "<source><host name='%s'/></source>" % LOCALLY))
    with test("netfs: an export is mounted and looked into, a wrong one is refused by name"):
        virsh("pool-define-as", "nfs", "netfs", "--source-host", LOCALLY, "--source-path", "/images",
              "--source-format", "nfs", "--target", IMAGES)
        refused("pool-start", "nfs", expect="mount point %s does not exist" % IMAGES)
        virsh("pool-build", "nfs")
        virsh("pool-start", "nfs")
        what, kind, options = mounted(IMAGES)
        check(what == LOCALLY + ":/images" and kind == "nfs4", "%s %s" % (what, kind))
        check({"nosuid", "nodev", "noexec"} <= set(options), str(options))
        run("xmllint", "--noout", "--relaxng", SCHEMA, write("pool.xml", virsh("pool-dumpxml", "nfs")))
        have = dict(row.split(":", 1) for row in virsh("pool-info", "nfs", "--bytes").splitlines() if ":" in row)
        size = os.statvfs(IMAGES)
        check(int(have["Capacity"]) == size.f_blocks * size.f_frsize, str(have))
        refused("pool-create-as", "twin", "netfs", "--source-host", LOCALLY, "--source-path", "/images",
                "--target", MOUNT, "--source-format", "auto", expect="conflict with pool: 'nfs'")
        refused("pool-create-as", "wrong", "netfs", "--source-host", LOCALLY, "--source-path", "/none",
                "--target", MOUNT, "--source-format", "nfs", expect="access denied by server|No such file")
        check(mounted(MOUNT) is None, "something is mounted")
    with test("netfs: volumes are made, filled, copied, resized and deleted on the server"):
        virsh("vol-create-as", "nfs", "a.qcow2", "32M", "--format", "qcow2")
        virsh("vol-create-as", "nfs", "b.raw", "16M", "--format", "raw")
        text = write("text", "over the wire " * 100000)
        virsh("vol-upload", "--pool", "nfs", "b.raw", text)
        virsh("vol-clone", "--pool", "nfs", "b.raw", "c.raw")
        virsh("vol-resize", "c.raw", "24M", "--pool", "nfs")
        virsh("vol-download", "--pool", "nfs", "c.raw", text + ".back", "--length", str(os.path.getsize(text)))
        run("cmp", text, text + ".back")
        check(os.path.getsize(on_server("c.raw")) == 24 * MIB, "other size")
        os.rename(on_server("c.raw"), on_server("d.raw"))
        virsh("pool-refresh", "nfs")
        check(volumes("nfs") == ["a.qcow2", "b.raw", "d.raw"], "volumes")
        virsh("vol-wipe", "--pool", "nfs", "d.raw")
        virsh("vol-delete", "--pool", "nfs", "d.raw")
        check(not os.path.exists(on_server("d.raw")), "it is still there")
    with test("netfs: the pool outlives the daemon, and is down when it was unmounted meanwhile"):
        daemon.kill()
        daemon.start()
        check("a.qcow2" in volumes("nfs"), "the pool is down")
        daemon.kill()
        run("umount", IMAGES)
        daemon.start()
        refused("vol-list", "nfs", expect="not active")
        virsh("pool-start", "nfs")


# --- images

def images():
    source = os.path.join(SERVER, "source")     # no tmpfs: those of this kernel are without O_DIRECT
    with open(source, "wb") as file:
        for place in (0, 3 * MIB, 3 * MIB + 512, 15 * MIB):
            file.seek(place)
            file.write(os.urandom(200 * 1024))
        file.truncate(16 * MIB)
    with test("kiln-img and qemu-img agree on images on NFS, with and without the cache"):
        for name, fmt in (("t.raw", "raw"), ("t.qcow2", "qcow2"), ("t.vmdk", "vmdk")):
            for cache in ("none", "writeback"):
                run(IMG, "convert", "-t", cache, "-T", cache, "-f", "raw", "-O", fmt, source, here(name))
                run("qemu-img", "compare", "-f", "raw", "-F", fmt, source, here(name))
                run(IMG, "compare", "-T", cache, "-f", fmt, "-F", "raw", here(name), source)
                ours, theirs = (json.loads(run(tool, "info", "--output=json", here(name)))
                                for tool in (IMG, "qemu-img"))
                check({k: ours.get(k) for k in theirs if k != "dirty-flag"} ==
                      {k: v for k, v in theirs.items() if k != "dirty-flag"}, "%s\n%s" % (ours, theirs))
        for tool in (IMG, "qemu-img"):
            run(tool, "check", here("t.qcow2"))
        run("qemu-img", "convert", "-t", "none", "-f", "raw", "-O", "qcow2", source, here("theirs.qcow2"))
        run(IMG, "convert", "-T", "none", "-f", "qcow2", "-O", "raw", here("theirs.qcow2"), source + ".back")
        run("cmp", source, source + ".back")
    with test("holes stay holes, and a preallocated image has its space on the server"):
        run(IMG, "convert", "-f", "raw", "-O", "raw", source, here("holes.raw"))
        check(os.stat(on_server("holes.raw")).st_blocks * 512 < 2 * MIB, "they were filled")
        run(IMG, "create", "-f", "raw", "-o", "preallocation=falloc", here("full.raw"), "8M")
        check(os.stat(on_server("full.raw")).st_blocks * 512 >= 8 * MIB, "it has no space")
        for name in ("holes.raw", "full.raw", "theirs.qcow2", "t.raw", "t.vmdk"):
            os.unlink(here(name))


# --- locks

@contextlib.contextmanager
def served(tool, image, elsewhere=False):
    """An image held open by a server of blocks, here or on another host; killed at the end."""
    socket = os.path.join(TMP, "holder.sock")
    argv = (tool, "-t", "-f", "qcow2", "-k", socket, image)
    if elsewhere:
        argv = ("ip", "netns", "exec", "elsewhere", "unshare", "--uts", "sh", "-c",
                "hostname elsewhere && mount -t nfs %s:/images %s && exec \"$@\"" % (LOCALLY, MOUNT),
                "sh", *argv)
    holder = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
    try:
        def up():
            check(holder.poll() is None, "the holder ended with %s" % holder.returncode)
            return os.path.exists(socket)
        wait_for("the holder's socket", up, 60)
        yield holder
    finally:
        holder.kill()
        holder.wait(30)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(socket)


def locks():
    image = here("t.qcow2")
    kiln, qemu = os.path.join(BUILD, "block/nbd/kiln-nbd"), "qemu-nbd"
    with test("locks: an image in use is refused, kiln's by qemu and qemu's by kiln"):
        with served(kiln, image):
            fails("qemu-img", "check", image, expect="[Ff]ailed to get")
            fails(IMG, "check", image, expect="in use by another process")
        with served(qemu, image):
            fails(IMG, "check", image, expect="in use by another process")
            run(IMG, "info", "-U", image)
        run(IMG, "check", image)
    with test("locks: they hold between hosts, and go with the process that has them"):
        for tool in (kiln, qemu):
            with served(tool, os.path.join(MOUNT, "t.qcow2"), elsewhere=True):
                fails(IMG, "check", image, expect="in use by another process")
                fails("qemu-img", "check", image, expect="[Ff]ailed to get")
            wait_for("the lock is gone", lambda: subprocess.run(
                [IMG, "check", image], capture_output=True, check=False).returncode == 0, 30)


# --- guests

def disk(fmt, driver, name, target, more=""):
    return DISK % ("file", fmt, driver, "file='%s'" % here(name), target, more)


def descriptor_flags(pid, name):
    """What the guest's process may do with the image: flags of open(2)."""
    for fd in os.listdir("/proc/%d/fd" % pid):
        if os.readlink("/proc/%d/fd/%s" % (pid, fd)).endswith("/" + name):
            with open("/proc/%d/fdinfo/%s" % (pid, fd), encoding="ascii") as info:
                return int(info.read().split("flags:")[1].split()[0], 8)
    return check(False, "the process has not opened " + name)


def discard(shell, target):
    """A discard of the second MiB, and zeroes in the third."""
    shell.run("blkdiscard -o %d -l %d /dev/%s" % (MIB, MIB, target))
    shell.run("dd if=/dev/zero of=/dev/%s bs=1M seek=2 count=1 oflag=direct 2>/dev/null" % target)
    out = shell.run("dd if=/dev/%s bs=1M skip=2 count=1 iflag=direct 2>/dev/null | tr -d '\\0' | wc -c" % target)
    check(out.strip() == "0", out)


def guest():
    for name, fmt in (("none.qcow2", "qcow2"), ("cached.qcow2", "qcow2"), ("none.raw", "raw"),
                      ("trim.raw", "raw"), ("kept.raw", "raw")):
        virsh("vol-create-as", "nfs", name, "32M", "--format", fmt, "--allocation", "0")
    os.chmod(on_server("trim.raw"), 0o666)      # the server asks who discards, not who has opened the file
    devices = "".join((disk("qcow2", "cache='none'", "none.qcow2", "vda"),
                       disk("qcow2", "cache='writeback'", "cached.qcow2", "vdb"),
                       disk("raw", "cache='none' io='native'", "none.raw", "vdc"),
                       disk("raw", "cache='directsync' discard='unmap' detect_zeroes='unmap'", "trim.raw",
                            "vdd"),
                       disk("raw", "cache='none' discard='unmap' detect_zeroes='unmap'", "kept.raw", "vde")))
    virsh("define", write("guest.xml", guest_xml("on-nfs", devices=devices)))
    virsh("start", "on-nfs")
    pid, names = vmm_pid("on-nfs"), ("none.qcow2", "cached.qcow2", "none.raw", "trim.raw")
    with test("a guest's images on NFS are locked, and past the cache where it says so"):
        for name in names:
            direct = bool(descriptor_flags(pid, name) & os.O_DIRECT)
            check(direct == (name != "cached.qcow2"), name)
            fails("qemu-io", "-f", name.split(".")[1], "-c", "write 0 512", here(name), expect="[Ff]ailed to get")
        with open("/proc/%d/status" % pid, encoding="ascii") as status:
            uid = next(line for line in status if line.startswith("Uid:")).split()[1]
        check(uid == str(pwd.getpwnam("kiln").pw_uid), "the guest's process is user %s" % uid)
        check(os.stat(on_server("none.raw")).st_mode & 0o777 == 0o600, "others may read the image")
    shell = GuestShell("on-nfs")
    with test("what a guest writes is what it reads again, and what is on the server"):
        want = shell.run("dd if=/dev/urandom of=/tmp/data bs=64k count=32 2>/dev/null; sha256sum /tmp/data")
        for target in "abcde":
            shell.run("dd if=/tmp/data of=/dev/vd%s bs=64k seek=16 oflag=direct conv=fsync 2>/dev/null" % target)
            # one sector, which is less than a page and than a block of the server
            shell.run("dd if=/tmp/data of=/dev/vd%s bs=512 count=1 seek=7 oflag=direct 2>/dev/null" % target)
        for target in "abcde":
            out = shell.run("dd if=/dev/vd%s bs=64k skip=16 count=32 iflag=direct 2>/dev/null | sha256sum"
                            % target)
            check(out.split()[0] == want.split()[0], "vd%s: %s" % (target, out))
    with test("discards and zeroes give space back on the server"):
        before = os.stat(on_server("trim.raw")).st_blocks * 512
        discard(shell, "vdd")
        after = os.stat(on_server("trim.raw")).st_blocks * 512
        check(before - after >= 2 * MIB, "%d bytes before, %d after" % (before, after))
    with test("where the server denies the guest's user that, discards do nothing and zeroes are written"):
        before = os.stat(on_server("kept.raw")).st_blocks * 512
        discard(shell, "vde")
        after = os.stat(on_server("kept.raw")).st_blocks * 512
        check(before == after, "%d bytes before, %d after" % (before, after))
    with test("after the guest its images are whole, and their locks gone"):
        shell.console.close()
        virsh("destroy", "on-nfs")
        parts = []
        for name in names[:3]:
            fmt = name.split(".")[1]
            run("qemu-img", "convert", "-f", fmt, "-O", "raw", here(name), os.path.join(TMP, "flat"))
            with open(os.path.join(TMP, "flat"), "rb") as file:
                parts.append(file.read())
            if fmt == "qcow2":
                run("qemu-img", "check", here(name))
                run(IMG, "check", here(name))
        check(parts[0] == parts[1] == parts[2] and any(parts[0]), "they differ")
        check(parts[0][7 * 512:8 * 512] == parts[0][MIB:MIB + 512] and not any(parts[0][8 * 512:MIB]),
              "the sector, or what is beside it")
    virsh("undefine", "on-nfs")


def squashed():
    """A server that takes root for nobody."""
    denied = os.path.join(CLOSED, "denied.qcow2")
    with test("root_squash: the pool starts, and makes images that belong to nobody"):
        virsh("pool-create-as", "closed", "netfs", "--source-host", LOCALLY, "--source-path", "/closed",
              "--source-format", "nfs", "--target", CLOSED, "--build")
        refused("vol-create-as", "closed", "x.qcow2", "8M", "--format", "qcow2", expect="Permission denied")
        os.chmod(os.path.join(SERVER, "closed"), 0o777)
        virsh("vol-create-as", "closed", "x.qcow2", "8M", "--format", "qcow2")
        check(os.stat(on_server("x.qcow2", "closed")).st_uid == 65534, "another owner")
        virsh("vol-delete", "--pool", "closed", "x.qcow2")
    with test("root_squash: an image that the server does not let root read is refused, with the reason"):
        run("qemu-img", "create", "-q", "-f", "qcow2", on_server("denied.qcow2", "closed"), "8M")
        os.chmod(on_server("denied.qcow2", "closed"), 0o600)
        os.chown(on_server("denied.qcow2", "closed"), 1000, 1000)
        for fmt in ("qcow2", "raw"):
            xml = guest_xml("denied", devices=DISK % ("file", fmt, "", "file='%s'" % denied, "vda", ""))
            refused("create", write("denied.xml", xml), expect="'%s'.*Permission denied.*root_squash" % denied)
        fails(IMG, "info", denied, expect="'%s'.*Permission denied.*root_squash" % denied)
        virsh("pool-refresh", "closed")
        check("denied.qcow2" not in volumes("closed"), "it is a volume")
    with test("root_squash: the same image starts when others may read and write it"):
        os.chmod(on_server("denied.qcow2", "closed"), 0o666)
        virsh("pool-refresh", "closed")
        check("denied.qcow2" in volumes("closed"), "it is no volume")
        xml = guest_xml("let-in", devices=DISK % ("file", "qcow2", "cache='none'", "file='%s'" % denied,
                                                  "vda", ""))
        virsh("create", write("let-in.xml", xml), "--paused")
        check(state("let-in") == "paused", state("let-in"))
        refused("pool-destroy", "closed", expect="busy")
        virsh("destroy", "let-in")
        virsh("pool-destroy", "closed")


def end():
    with test("netfs: a pool that is destroyed is unmounted, and its directory can be removed"):
        virsh("pool-destroy", "nfs")
        check(mounted(IMAGES) is None, "it is still mounted")
        virsh("pool-delete", "nfs")
        virsh("pool-undefine", "nfs")
        check(not os.path.exists(IMAGES), "the directory is left")


with user(), hosts(), server(), Daemon() as host:
    pools(host)
    images()
    locks()
    guest()
    squashed()
    end()
