#!/usr/bin/python3
"""67-storage - storage pools and volumes through stock virsh and python3-libvirt: the life of a
directory pool, volumes in raw and qcow2, copies, transfers in windows and with holes, events, and
what is refused.

Skips parts without qemu-img (Debian package qemu-utils).
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import json
import os
import shutil
import subprocess
import time

import libvirt

from daemon import Daemon, event_loop, refused, run

MIB = 1 << 20
POOL = """<pool type='dir'>
  <name>{name}</name>
  <target><path>{path}</path></target>
</pool>
"""
VOL = """<volume>
  <name>{name}</name>
  <capacity unit='bytes'>{capacity}</capacity>
  <allocation>0</allocation>
  <target><format type='{format}'/>{target}</target>{more}
</volume>
"""


GUEST = """<domain type='kvm'>
  <name>guest</name>
  <memory unit='MiB'>64</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <disk type='volume' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source pool='pool' volume='{volume}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
  </devices>
</domain>
"""


def vol_xml(name, capacity=MIB, form="raw", target="", more=""):
    return VOL.format(name=name, capacity=capacity, format=form, target=target, more=more)


def make_pool(daemon, conn, name="pool"):
    path = os.path.join(daemon.root, name)
    pool = conn.storagePoolDefineXML(POOL.format(name=name, path=path))
    pool.create(libvirt.VIR_STORAGE_POOL_CREATE_WITH_BUILD)
    return pool, path


def valid(kind, text):
    schema = "/usr/share/libvirt/schemas/%s.rng" % kind
    if os.path.exists(schema) and shutil.which("xmllint"):
        subprocess.run(["xmllint", "--noout", "--relaxng", schema, "-"], input=text, text=True,
                       check=True, capture_output=True)


def default_pool_and_life():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        default = conn.storagePoolLookupByName("default")
        images = os.path.join(daemon.root, "var/lib/libvirt/images")
        assert default.isActive() and default.autostart() and default.isPersistent()
        assert conn.storagePoolLookupByTargetPath(images + "/").name() == "default"
        pool, path = make_pool(daemon, conn)
        assert os.path.isdir(path)
        assert conn.listStoragePools() == ["default", "pool"] and conn.numOfStoragePools() == 2
        flags = libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_NO_AUTOSTART
        assert [p.name() for p in conn.listAllStoragePools(flags)] == ["pool"]
        flags = libvirt.VIR_CONNECT_LIST_STORAGE_POOLS_LOGICAL
        assert conn.listAllStoragePools(flags) == []
        valid("storagepool", pool.XMLDesc())
        valid("storagepool", default.XMLDesc())
        state, capacity, allocation, available = pool.info()
        assert state == libvirt.VIR_STORAGE_POOL_RUNNING and capacity == allocation + available > 0
        refused(libvirt.VIR_ERR_OPERATION_INVALID, pool.create)
        refused(libvirt.VIR_ERR_OPERATION_INVALID, pool.delete)
        refused(libvirt.VIR_ERR_OPERATION_INVALID, pool.undefine)
        pool.setAutostart(1)
        assert pool.autostart() == 1

        daemon.stop()
        daemon.start()
        conn = libvirt.open(daemon.uri("qemu"))
        pool = conn.storagePoolLookupByName("pool")
        assert pool.isActive() and pool.autostart()
        pool.destroy()
        refused(libvirt.VIR_ERR_OPERATION_INVALID, pool.destroy)
        refused(libvirt.VIR_ERR_OPERATION_INVALID, pool.listAllVolumes)
        assert conn.listDefinedStoragePools() == ["pool"]
        pool.delete()
        assert not os.path.exists(path)
        refused(libvirt.VIR_ERR_SYSTEM_ERROR, pool.create)
        pool.undefine()
        refused(libvirt.VIR_ERR_NO_STORAGE_POOL, conn.storagePoolLookupByName, "pool")
        os.mkdir(path)
        transient = conn.storagePoolCreateXML(POOL.format(name="t", path=path))
        assert transient.isActive() and not transient.isPersistent()
        refused(libvirt.VIR_ERR_INVALID_ARG, transient.setAutostart, 1)
        transient.destroy()
        refused(libvirt.VIR_ERR_NO_STORAGE_POOL, conn.storagePoolLookupByName, "t")
        conn.close()


def virsh_flow():
    with Daemon() as daemon:
        path = os.path.join(daemon.root, "p")
        daemon.virsh("pool-define-as", "p", "dir", "--target", path)
        daemon.virsh("pool-build", "p")
        daemon.virsh("pool-start", "p")
        daemon.virsh("vol-create-as", "p", "a.qcow2", "8M", "--format", "qcow2")
        daemon.virsh("vol-create-as", "p", "b.qcow2", "8M", "--format", "qcow2", "--backing-vol",
                     "a.qcow2", "--backing-vol-format", "qcow2")
        daemon.virsh("vol-clone", "--pool", "p", "a.qcow2", "c.qcow2")
        daemon.virsh("vol-resize", "a.qcow2", "16M", "--pool", "p")
        shown = daemon.virsh("vol-list", "p", "--details")
        assert "a.qcow2" in shown and "16.00 MiB" in shown and "b.qcow2" in shown, shown
        dump = daemon.virsh("vol-dumpxml", "b.qcow2", "--pool", "p")
        assert "<path>%s/a.qcow2</path>" % path in dump and "<format type='qcow2'/>" in dump, dump
        assert "p" in daemon.virsh("vol-pool", path + "/a.qcow2")
        assert "running" in daemon.virsh("pool-info", "p", read_only=True)
        assert "read only access prevents" in daemon.virsh("vol-delete", "a.qcow2", "--pool", "p",
                                                            read_only=True, expect=1)
        valid("storagepoolcaps", daemon.virsh("pool-capabilities"))
        daemon.virsh("vol-delete", "c.qcow2", "--pool", "p")
        assert not os.path.exists(path + "/c.qcow2")
        daemon.virsh("pool-refresh", "p")
        daemon.virsh("pool-destroy", "p")
        daemon.virsh("pool-undefine", "p")


def volumes():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        pool, path = make_pool(daemon, conn)
        vol = pool.createXML(vol_xml("a.img", 3 * MIB))
        assert vol.path() == vol.key() == path + "/a.img"
        assert os.stat(vol.path()).st_size == 3 * MIB and os.stat(vol.path()).st_blocks == 0
        assert os.stat(vol.path()).st_mode & 0o777 == 0o600
        assert vol.info() == [libvirt.VIR_STORAGE_VOL_FILE, 3 * MIB, 0]
        assert vol.infoFlags(libvirt.VIR_STORAGE_VOL_GET_PHYSICAL)[2] == 3 * MIB
        valid("storagevol", vol.XMLDesc())
        refused(libvirt.VIR_ERR_STORAGE_VOL_EXIST, pool.createXML, vol_xml("a.img"))
        full = pool.createXML("<volume><name>full</name><capacity>%d</capacity></volume>" % MIB)
        assert full.info()[2] >= MIB

        permissions = "<permissions><mode>0640</mode><owner>0</owner><group>0</group></permissions>"
        top = pool.createXML(vol_xml("q", 64 * MIB, "qcow2", permissions +
                                     "<compat>1.1</compat><clusterSize unit='KiB'>128</clusterSize>"
                                     "<features><lazy_refcounts/></features>"))
        dump = top.XMLDesc()
        valid("storagevol", dump)
        for part in ("<mode>0640</mode>", "<compat>1.1</compat>", "<lazy_refcounts/>",
                     "<clusterSize unit='B'>131072</clusterSize>", "<format type='qcow2'/>",
                     "<capacity unit='bytes'>67108864</capacity>"):
            assert part in dump, (part, dump)
        assert os.stat(top.path()).st_size < 2 * MIB

        over = pool.createXML(vol_xml("over", 64 * MIB, "qcow2", more="<backingStore><path>%s</path>"
                                      "<format type='qcow2'/></backingStore>" % top.path()))
        valid("storagevol", over.XMLDesc())
        if shutil.which("qemu-img"):
            told = json.loads(subprocess.check_output(
                ["qemu-img", "info", "--output=json", over.path()]))
            assert told["backing-filename"] == top.path(), told
            assert told["backing-filename-format"] == "qcow2"
        assert [v.name() for v in pool.listAllVolumes()] == ["a.img", "full", "over", "q"]
        assert pool.listVolumes() == ["a.img", "full", "over", "q"] and pool.numOfVolumes() == 4
        assert conn.storageVolLookupByPath(top.path()).name() == "q"
        assert conn.storageVolLookupByKey(top.key()).storagePoolLookupByVolume().name() == "pool"
        refused(libvirt.VIR_ERR_NO_STORAGE_VOL, conn.storageVolLookupByPath, "/no/such")
        refused(libvirt.VIR_ERR_NO_STORAGE_VOL, pool.storageVolLookupByName, "none")

        vol.resize(2 * MIB, libvirt.VIR_STORAGE_VOL_RESIZE_DELTA)
        assert vol.info()[1] == 5 * MIB
        refused(libvirt.VIR_ERR_INVALID_ARG, vol.resize, MIB)
        vol.resize(MIB, libvirt.VIR_STORAGE_VOL_RESIZE_SHRINK)
        assert os.stat(vol.path()).st_size == MIB
        over.resize(128 * MIB)
        assert over.info()[1] == 128 * MIB

        # What comes and goes behind the daemon's back shows.
        with open(path + "/new", "wb") as stream:
            stream.write(b"x" * 4096)
        pool.refresh()
        assert pool.storageVolLookupByName("new").info()[1] == 4096
        os.unlink(path + "/new")
        pool.refresh()
        refused(libvirt.VIR_ERR_NO_STORAGE_VOL, pool.storageVolLookupByName, "new")
        over.delete()
        refused(libvirt.VIR_ERR_NO_STORAGE_VOL, over.info)
        conn.close()


def copies():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        pool, path = make_pool(daemon, conn)
        with open(path + "/raw", "wb") as stream:
            stream.write(os.urandom(MIB))
            stream.truncate(4 * MIB)
        pool.refresh()
        raw = pool.storageVolLookupByName("raw")
        qcow2 = pool.createXMLFrom(vol_xml("qcow2", MIB, "qcow2"), raw)
        assert qcow2.info()[1] == 4 * MIB
        other, _ = make_pool(daemon, conn, "other")
        back = other.createXMLFrom(vol_xml("back", 8 * MIB), qcow2)
        assert back.info()[1] == 8 * MIB
        with open(raw.path(), "rb") as first, open(back.path(), "rb") as second:
            assert first.read() + bytes(4 * MIB) == second.read()
        conn.close()


def transfers():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        pool, path = make_pool(daemon, conn)
        vol = pool.createXML(vol_xml("v", 2 * MIB))
        before = os.urandom(2 * MIB)
        with open(vol.path(), "r+b") as stream:
            stream.write(before)
        data = os.urandom(600000)

        def send(offset, length, content, flags=0):
            stream = conn.newStream()
            vol.upload(stream, offset, length, flags)
            rest = [content]

            def give(_stream, count, _opaque):
                part, rest[0] = rest[0][:count], rest[0][count:]
                return part

            try:
                stream.sendAll(give, None)
                stream.finish()
            except libvirt.libvirtError:
                stream.abort() if stream else None
                raise

        def receive(offset, length):
            stream, got = conn.newStream(), []
            vol.download(stream, offset, length, 0)
            stream.recvAll(lambda _s, part, _o: got.append(part), None)
            stream.finish()
            return b"".join(got)

        send(1000, len(data), data)
        want = before[:1000] + data + before[1000 + len(data):]
        assert open(vol.path(), "rb").read() == want
        assert receive(0, 0) == want
        assert receive(1000, len(data)) == data
        assert receive(2 * MIB - 5, 0) == want[-5:] and receive(5, 1) == want[5:6]

        sparse = pool.createXML(vol_xml("sparse", 16 * MIB))
        with open(sparse.path(), "r+b") as stream:
            stream.seek(4 * MIB)
            stream.write(data)
        source, copy = os.path.join(daemon.root, "down"), pool.createXML(vol_xml("copy", MIB))
        daemon.virsh("vol-download", "--pool", "pool", "sparse", source, "--sparse", timeout=120)
        assert os.stat(source).st_size == 16 * MIB and os.stat(source).st_blocks * 512 < 8 * MIB
        daemon.virsh("vol-upload", "--pool", "pool", "copy", source, "--sparse", timeout=120)
        assert open(copy.path(), "rb").read() == open(sparse.path(), "rb").read()
        assert os.stat(copy.path()).st_blocks * 512 < 8 * MIB

        vol.wipe()
        assert open(vol.path(), "rb").read() == bytes(2 * MIB)
        vol.wipePattern(libvirt.VIR_STORAGE_VOL_WIPE_ALG_RANDOM)
        assert open(vol.path(), "rb").read() != bytes(2 * MIB)
        refused(libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED, vol.wipePattern, libvirt.VIR_STORAGE_VOL_WIPE_ALG_TRIM)
        conn.close()


def disks_of_guests():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        pool, path = make_pool(daemon, conn)
        vol = pool.createXML(vol_xml("disk", 8 * MIB, "qcow2"))
        xml = GUEST.format(volume="disk")
        dom = conn.defineXML(xml)
        assert "<source pool='pool' volume='disk'/>" in dom.XMLDesc()
        dom.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        assert "<source file='%s'" % vol.path() in dom.XMLDesc(), dom.XMLDesc()
        assert "<source pool='pool' volume='disk'/>" in dom.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        assert dom.blockInfo("vda")[0] == 8 * MIB
        dom.destroy()
        pool.destroy()
        refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.create)
        pool.create()
        dom.undefine()
        refused(libvirt.VIR_ERR_NO_STORAGE_VOL, conn.createXML, GUEST.format(volume="none"))
        if shutil.which("virt-install"):
            made = subprocess.run(["virt-install", "--connect", daemon.uri("qemu"), "--name", "made",
                            "--memory", "64", "--osinfo", "generic", "--import", "--noautoconsole",
                            "--network", "none", "--graphics", "none", "--print-xml", "--disk",
                            "pool=pool,size=0.01,format=qcow2"], check=True, capture_output=True,
                           text=True, timeout=120)
            assert "<source file=\"%s/made.qcow2\"/>" % path in made.stdout, made.stdout
        conn.close()


def loop_device(path):
    """A loop device over a new file, or None where there are none to be had."""
    with open(path, "wb") as stream:
        stream.truncate(64 * MIB)
    if os.geteuid() or not shutil.which("losetup"):
        return None
    made = subprocess.run(["losetup", "--find", "--show", path], capture_output=True, text=True)
    return made.stdout.strip() if made.returncode == 0 else None


def file_systems():
    with Daemon() as daemon:
        device = loop_device(os.path.join(daemon.root, "device"))
        if not device:
            return "no loop devices"
        conn = libvirt.open(daemon.uri("qemu"))
        path = os.path.join(daemon.root, "mnt")
        pool = conn.storagePoolDefineXML(
            "<pool type='fs'><name>fs</name><source><device path='%s'/><format type='ext4'/></source>"
            "<target><path>%s</path></target></pool>" % (device, path))
        try:
            pool.build(libvirt.VIR_STORAGE_POOL_BUILD_OVERWRITE)
            refused(libvirt.VIR_ERR_STORAGE_POOL_BUILT, pool.build,
                    libvirt.VIR_STORAGE_POOL_BUILD_NO_OVERWRITE)
            try:
                pool.create()
            except libvirt.libvirtError as err:
                return "nothing can be mounted here: %s" % err
            assert os.path.ismount(path)
            valid("storagepool", pool.XMLDesc())
            vol = pool.createXML(vol_xml("v", MIB))
            assert vol.path() == path + "/v" and pool.info()[1] < 64 * MIB
            daemon.stop()
            daemon.start()
            conn = libvirt.open(daemon.uri("qemu"))
            pool = conn.storagePoolLookupByName("fs")
            assert pool.isActive() and "v" in pool.listVolumes()
            pool.destroy()
            assert not os.path.ismount(path)
            pool.undefine()
        finally:
            if os.path.ismount(path):
                subprocess.run(["umount", path], check=False)
            subprocess.run(["losetup", "--detach", device], check=False)
        conn.close()


def partition_tables():
    with Daemon() as daemon:
        device = loop_device(os.path.join(daemon.root, "device"))
        if not device:
            return "no loop devices"
        conn = libvirt.open(daemon.uri("qemu"))
        pool = conn.storagePoolDefineXML(
            "<pool type='disk'><name>disk</name><source><device path='%s'/><format type='gpt'/></source>"
            "<target><path>/dev</path></target></pool>" % device)
        try:
            refused(libvirt.VIR_ERR_STORAGE_PROBE_FAILED, "no partition table", pool.create)
            assert not pool.isActive()
            pool.build()
            refused(libvirt.VIR_ERR_STORAGE_POOL_BUILT, pool.build)
            pool.create()
            assert pool.listVolumes() == [] and 0 < pool.info()[1] <= 64 * MIB
            pool.destroy()
            pool.delete()
            refused(libvirt.VIR_ERR_STORAGE_PROBE_FAILED, "no partition table", pool.create)
            pool.undefine()
        finally:
            subprocess.run(["losetup", "--detach", device], check=False)
        conn.close()
    return None


def network_file_systems():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        path = os.path.join(daemon.root, "nfs")
        pool = conn.storagePoolDefineXML(
            "<pool type='netfs'><name>nfs</name><source><host name='127.0.0.1'/>"
            "<dir path='/none'/><format type='nfs'/></source><target><path>%s</path></target>"
            "<fs:mount_opts xmlns:fs='http://libvirt.org/schemas/storagepool/fs/1.0'>"
            "<fs:option name='retry=0'/></fs:mount_opts></pool>" % path)
        valid("storagepool", pool.XMLDesc())
        pool.build()
        try:
            pool.create()
            raise AssertionError("it was mounted")
        except libvirt.libvirtError as err:
            assert err.get_error_code() in (libvirt.VIR_ERR_INTERNAL_ERROR,
                                            libvirt.VIR_ERR_OPERATION_UNSUPPORTED), err
        assert not pool.isActive()
        refused(libvirt.VIR_ERR_INVALID_ARG, conn.findStoragePoolSources, "netfs", None, 0)
        conn.close()


def bad_input():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        pool, path = make_pool(daemon, conn)
        for code, xml in (
                (libvirt.VIR_ERR_XML_DETAIL, "<pool"),
                (libvirt.VIR_ERR_XML_ERROR, "<pool type='dir'><name>x</name></pool>"),
                (libvirt.VIR_ERR_XML_ERROR, "<pool type='dir'><target><path>/x</path></target></pool>"),
                (libvirt.VIR_ERR_XML_ERROR, POOL.format(name="a/b", path="/x")),
                (libvirt.VIR_ERR_XML_ERROR, POOL.format(name="..", path="/x")),
                (libvirt.VIR_ERR_XML_ERROR, "<pool type='tape'/>"),
                (libvirt.VIR_ERR_INTERNAL_ERROR, "<pool type='rbd'><name>x</name></pool>"),
                (libvirt.VIR_ERR_INTERNAL_ERROR, "<pool type='iscsi'><name>x</name></pool>"),
                (libvirt.VIR_ERR_INTERNAL_ERROR, "<pool type='scsi'><name>x</name></pool>"),
                (libvirt.VIR_ERR_INTERNAL_ERROR, "<pool type='mpath'><name>x</name></pool>"),
                (libvirt.VIR_ERR_OPERATION_FAILED, POOL.format(name="twin", path=path)),
                (libvirt.VIR_ERR_OPERATION_FAILED, POOL.format(name="pool", path="/elsewhere"))):
            refused(code, conn.storagePoolDefineXML, xml)
        for code, xml in (
                (libvirt.VIR_ERR_XML_ERROR, "<volume><capacity>1</capacity></volume>"),
                (libvirt.VIR_ERR_XML_ERROR, "<volume><name>x</name></volume>"),
                (libvirt.VIR_ERR_XML_ERROR, vol_xml("a/b")),
                (libvirt.VIR_ERR_XML_ERROR, vol_xml("..")),
                (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, vol_xml("x", form="floppy")),
                (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, vol_xml("x", form="bochs")),
                (libvirt.VIR_ERR_NO_SUPPORT,
                 vol_xml("x", more="<backingStore><path>/etc/hosts</path></backingStore>")),
                (libvirt.VIR_ERR_SYSTEM_ERROR,
                 vol_xml("x", form="qcow2",
                         more="<backingStore><path>/no/such</path></backingStore>"))):
            refused(code, pool.createXML, xml)
        assert os.listdir(path) == []
        refused(libvirt.VIR_ERR_INVALID_ARG, pool.createXML, vol_xml("x"), 1 << 20)
        refused(libvirt.VIR_ERR_NO_SUPPORT, conn.findStoragePoolSources, "dir", None, 0)
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, conn.findStoragePoolSources, "tape", None, 0)
        conn.close()


def events():
    seen = []
    with event_loop(), Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        conn.storagePoolEventRegisterAny(
            None, libvirt.VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE,
            lambda c, p, event, detail, opaque: seen.append((p.name(), event)), None)
        conn.storagePoolEventRegisterAny(
            None, libvirt.VIR_STORAGE_POOL_EVENT_ID_REFRESH,
            lambda c, p, opaque: seen.append((p.name(), "refresh")), None)
        pool, _ = make_pool(daemon, conn)
        pool.refresh()
        pool.destroy()
        pool.delete()
        pool.undefine()
        want = [("pool", event) for event in (
            libvirt.VIR_STORAGE_POOL_EVENT_DEFINED, libvirt.VIR_STORAGE_POOL_EVENT_CREATED,
            libvirt.VIR_STORAGE_POOL_EVENT_STARTED, "refresh",
            libvirt.VIR_STORAGE_POOL_EVENT_STOPPED, libvirt.VIR_STORAGE_POOL_EVENT_DELETED,
            libvirt.VIR_STORAGE_POOL_EVENT_UNDEFINED)]
        until = time.monotonic() + 60
        while seen != want:
            assert time.monotonic() < until, seen
            time.sleep(0.02)
        conn.close()


if __name__ == "__main__":
    run([default_pool_and_life, virsh_flow, volumes, copies, transfers, disks_of_guests, file_systems,
         partition_tables, network_file_systems, bad_input, events])
