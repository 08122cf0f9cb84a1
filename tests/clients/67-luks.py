#!/usr/bin/python3
"""67-luks - encrypted volumes through stock virsh and python3-libvirt: made, copied, resized, found again, used by a
guest, and refused; what they hold is written and read by QEMU's programs with the secrets.

kiln-img is called through a script that notes its command lines and asks for keys that are weak and quick.
Skips all without QEMU's programs (Debian package qemu-utils), the guest without /dev/kvm.
SPDX-License-Identifier: LGPL-2.1-or-later
"""

import ast
import contextlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

import libvirt

from daemon import BUILD, Daemon, event_loop, refused, run, wait_for

MIB = 1 << 20
FIRST, SECOND, EMPTY, NONE = ("%d0000000-0000-4000-8000-00000000000%d" % (n, n) for n in range(1, 5))
VALUES = {FIRST: "opens-the,first", SECOND: "opens-the-second"}
RAW, QCOW2 = "raw", "qcow2"
IMG = os.path.abspath(BUILD + "/block/img/kiln-img")
WRAPPER = """#!/usr/bin/python3
import os, sys
words = []
for word in sys.argv[1:]:
    words.append(word)
    key, _, value = word.partition("=")
    if key.endswith("key-secret") and words[-2] == "-o":
        words += ["-o", key[:-len("key-secret")] + "iter-time=10"]
with open({log!r}, "a", encoding="utf-8") as log:
    log.write(repr(words) + "\\n")
os.execv({img!r}, [{img!r}] + words)
"""
GUEST = """<domain type='kvm'>
  <name>sealed</name>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel><cmdline>k</cmdline></os>
  <features><acpi/></features>
  <devices>
    <disk type='volume' device='disk'><driver name='qemu' type='raw'/><source pool='pool' volume='r'/>
      {raw}<target dev='vda' bus='virtio'/></disk>
    <disk type='volume' device='disk'><driver name='qemu' type='qcow2'/><source pool='pool' volume='q'/>
      {qcow2}<target dev='vdb' bus='virtio'/></disk>
    <memballoon model='none'/>
  </devices>
</domain>
"""


def sealed(uuid, more="", form="luks"):
    return "<encryption format='%s'><secret type='passphrase' uuid='%s'/>%s</encryption>" % (form, uuid, more)


def vol_xml(name, form=RAW, encryption="", capacity=MIB, target=""):
    return ("<volume><name>%s</name><capacity>%d</capacity><allocation>0</allocation><target><format type='%s'/>%s%s"
            "</target></volume>" % (name, capacity, form, encryption, target))


class World:
    def __init__(self, daemon, log):
        self.daemon, self.log = daemon, log
        self.connect()
        self.secret("<secret ephemeral='yes' private='yes'><uuid>%s</uuid></secret>" % FIRST, VALUES[FIRST])
        self.secret("<secret ephemeral='no' private='no'><uuid>%s</uuid><usage type='volume'><volume>second</volume>"
                    "</usage></secret>" % SECOND, VALUES[SECOND])
        self.secret("<secret><uuid>%s</uuid></secret>" % EMPTY)
        self.path = os.path.join(daemon.root, "pool")
        self.pool = self.conn.storagePoolDefineXML("<pool type='dir'><name>pool</name><target><path>%s</path></target>"
                                                   "</pool>" % self.path)
        self.pool.create(libvirt.VIR_STORAGE_POOL_CREATE_WITH_BUILD)

    def connect(self):
        self.conn = libvirt.open(self.daemon.uri("qemu"))

    def secret(self, xml, value=None):
        secret = self.conn.secretDefineXML(xml)
        if value:
            secret.setValue(value.encode())

    def make(self, name, form=RAW, encryption="", capacity=MIB, target="", source=None):
        xml = vol_xml(name, form, encryption, capacity, target)
        return self.pool.createXMLFrom(xml, source) if source else self.pool.createXML(xml)

    def volume(self, name):
        return self.pool.storageVolLookupByName(name)

    @staticmethod
    def opens(vol, form, uuid):
        """Words for QEMU's programs that open @vol."""
        key = "key-secret=k" if form == RAW else "encrypt.format=luks,encrypt.key-secret=k"
        return ["--object", "secret,id=k,data=" + VALUES[uuid].replace(",", ",,"), "--image-opts",
                "driver=%s,%s,file.filename=%s" % ("luks" if form == RAW else form, key, vol.path())]

    def write(self, vol, form, uuid, *commands):
        words = [word for command in commands for word in ("-c", command)]
        done = subprocess.run(["qemu-io", *words, *self.opens(vol, form, uuid)], capture_output=True, text=True,
                              timeout=300)
        assert done.returncode == 0 and "failed" not in done.stdout, (done.stdout, done.stderr)

    def holds(self, vol, form, uuid):
        """What is in an encrypted volume (@uuid: its secret) or another one."""
        whole = os.path.join(self.daemon.root, "whole")
        opens = self.opens(vol, form, uuid) if uuid else ["-f", form, vol.path()]
        subprocess.run(["qemu-img", "convert", "-O", "raw", *opens[:-1], opens[-1], whole], check=True, timeout=300)
        with open(whole, "rb") as stream:
            return stream.read()

    def info(self, vol):
        return json.loads(subprocess.check_output(["qemu-img", "info", "--output=json", vol.path()], timeout=300))

    def commands(self):
        with open(self.log, encoding="utf-8") as log:
            return [ast.literal_eval(line) for line in log]


@contextlib.contextmanager
def world():
    with tempfile.TemporaryDirectory(prefix="kiln-") as own:
        log, img = os.path.join(own, "log"), os.path.join(own, "kiln-img")
        with open(img, "w", encoding="utf-8") as script:
            script.write(WRAPPER.format(log=log, img=IMG))
        os.chmod(img, 0o755)
        with Daemon(env={"KILN_IMG": img}) as daemon:
            one = World(daemon, log)
            yield one
            one.conn.close()
            tells_no_secret(one)


def tells_no_secret(one):
    """No value stands on a command line, in a file or in the log."""
    assert any("--object" in words for words in one.commands())
    for value in VALUES.values():
        assert not any(value in word or value.replace(",", ",,") in word for words in one.commands() for word in words)
        found = subprocess.run(["grep", "-rlaF", value, one.daemon.root], capture_output=True, text=True, check=False)
        assert found.returncode == 1, found


def shows(vol, form, *secrets):
    text = vol.XMLDesc()
    assert "<format type='%s'/>" % form in text and "<encryption format='luks'>" in text, text
    assert text.count("<secret ") == len(secrets), text
    for uuid in secrets:
        assert "<secret type='passphrase' uuid='%s'/>" % uuid in text, text


PATTERN = b"\x5a" * 65536 + bytes(MIB - 65536 - 512) + b"\xa5" * 512


def write_pattern(one, vol, form, uuid):
    """All of it: what is not written to a LUKS volume reads as noise."""
    one.write(vol, form, uuid, "write -P 0 0 1M", "write -P 0x5a 0 64k", "write -P 0xa5 %d 512" % (MIB - 512))


def made_and_copied():
    with world() as one:
        more = "<cipher name='aes' size='128' mode='cbc' hash='sha512'/><ivgen name='essiv' hash='sha256'/>"
        raw = one.make("r", RAW, sealed(FIRST, more))
        shows(raw, RAW, FIRST)
        assert more.replace("><", ">\n      <") in raw.XMLDesc(), raw.XMLDesc()
        assert raw.info()[1] == MIB < os.path.getsize(raw.path())
        told = one.info(raw)
        assert told["format"] == "luks" and told["encrypted"] and told["virtual-size"] == MIB, told
        data = told["format-specific"]["data"]
        assert (data["cipher-alg"], data["cipher-mode"], data["hash-alg"], data["ivgen-alg"]) == (
            "aes-128", "cbc", "sha512", "essiv"), data
        write_pattern(one, raw, RAW, FIRST)
        assert one.holds(raw, RAW, FIRST) == PATTERN
        with open(raw.path(), "rb") as stream:
            assert b"\x5a" * 64 not in stream.read()

        # by virsh, with the secret by its usage
        xml = os.path.join(one.daemon.root, "vol.xml")
        with open(xml, "w", encoding="utf-8") as stream:
            stream.write(vol_xml("q", QCOW2, "<encryption format='luks'><secret type='passphrase' usage='second'/>"
                                 "</encryption>"))
        one.daemon.virsh("vol-create-from", "pool", xml, "r", "--inputpool", "pool", timeout=300)
        qcow2 = one.volume("q")
        assert "<secret type='passphrase' usage='second'/>" in qcow2.XMLDesc(), qcow2.XMLDesc()
        told = one.info(qcow2)
        assert told["format"] == "qcow2" and told["encrypted"], told
        assert told["format-specific"]["data"]["encrypt"]["format"] == "luks", told
        assert one.holds(qcow2, QCOW2, SECOND) == PATTERN
        one.daemon.virsh("vol-clone", "--pool", "pool", "q", "clone", timeout=300)
        assert one.info(one.volume("clone"))["encrypted"] and one.holds(one.volume("clone"), QCOW2, SECOND) == PATTERN

        plain = one.make("plain", RAW, source=qcow2, capacity=2 * MIB)
        assert "<encryption" not in plain.XMLDesc()
        with open(plain.path(), "rb") as stream:
            assert stream.read() == PATTERN + bytes(MIB)
        again = one.make("again", RAW, sealed(SECOND), source=plain, capacity=3 * MIB)
        assert again.info()[1] == one.info(again)["virtual-size"] == 3 * MIB
        assert one.holds(again, RAW, SECOND)[:2 * MIB] == PATTERN + bytes(MIB)
        refused(libvirt.VIR_ERR_INVALID_ARG, one.pool.createXMLFrom, vol_xml("ref", RAW, sealed(FIRST)), plain,
                libvirt.VIR_STORAGE_VOL_CREATE_REFLINK)


def resized():
    with world() as one:
        for name, form in ("r", RAW), ("q", QCOW2):
            vol = one.make(name, form, sealed(FIRST))
            write_pattern(one, vol, form, FIRST)
            vol.resize(3 * MIB)
            assert vol.info()[1] == one.info(vol)["virtual-size"] == 3 * MIB
            vol.resize(MIB, libvirt.VIR_STORAGE_VOL_RESIZE_SHRINK | libvirt.VIR_STORAGE_VOL_RESIZE_DELTA)
            assert vol.info()[1] == 2 * MIB
            refused(libvirt.VIR_ERR_INVALID_ARG, vol.resize, MIB)
            refused(libvirt.VIR_ERR_OPERATION_UNSUPPORTED, vol.resize, 4 * MIB, libvirt.VIR_STORAGE_VOL_RESIZE_ALLOCATE)
            assert one.holds(vol, form, FIRST)[:MIB] == PATTERN
            shows(vol, form, FIRST)
            one.conn.secretLookupByUUIDString(FIRST).setValue(b"opens nothing")
            refused(libvirt.VIR_ERR_INTERNAL_ERROR, "password|passphrase|secret", vol.resize, 4 * MIB)
            refused(libvirt.VIR_ERR_INTERNAL_ERROR, one.pool.createXMLFrom, vol_xml("copy"), vol)
            one.conn.secretLookupByUUIDString(FIRST).setValue(VALUES[FIRST].encode())
            assert vol.info()[1] == 2 * MIB and one.holds(vol, form, FIRST)[:MIB] == PATTERN
        assert sorted(os.listdir(one.path)) == ["q", "r"]


def refused_and_nothing_left():
    with world() as one:
        plain = one.make("plain")
        luks = "<encryption format='luks'>%s</encryption>"
        secret = "<secret type='passphrase' uuid='%s'/>" % FIRST
        for code, form, encryption in (
                (libvirt.VIR_ERR_NO_SECRET, RAW, sealed(NONE)), (libvirt.VIR_ERR_NO_SECRET, QCOW2, sealed(NONE)),
                (libvirt.VIR_ERR_NO_SECRET, RAW, sealed(EMPTY)), (libvirt.VIR_ERR_NO_SECRET, QCOW2, sealed(EMPTY)),
                (libvirt.VIR_ERR_NO_SECRET, RAW, luks % "<secret type='passphrase' usage='none'/>"),
                (libvirt.VIR_ERR_INVALID_ARG, RAW, luks % ""), (libvirt.VIR_ERR_INVALID_ARG, QCOW2, luks % (2 * secret)),
                (libvirt.VIR_ERR_INTERNAL_ERROR, RAW, sealed(FIRST, form="default")),
                (libvirt.VIR_ERR_INTERNAL_ERROR, RAW, sealed(FIRST, form="qcow")),
                (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, QCOW2, sealed(FIRST, form="default")),
                (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, QCOW2, sealed(FIRST, form="qcow")),
                (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, RAW, sealed(FIRST, form="nonsense")),
                (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, "vmdk", sealed(FIRST)),
                (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, "dir", sealed(FIRST)),
                (libvirt.VIR_ERR_CONFIG_UNSUPPORTED, RAW, sealed(FIRST).replace("luks'", "luks' engine='librbd'")),
                (libvirt.VIR_ERR_INTERNAL_ERROR, RAW, sealed(FIRST, "<cipher name='rot' size='13'/>")),
                (libvirt.VIR_ERR_XML_ERROR, RAW, sealed(FIRST, "<ivgen name='plain64'/>")),
                (libvirt.VIR_ERR_XML_ERROR, RAW, sealed("1")), (libvirt.VIR_ERR_XML_ERROR, RAW, "<encryption/>")):
            refused(code, one.make, "new", form, encryption)
            if form != "dir":
                refused(code, one.pool.createXMLFrom, vol_xml("new", form, encryption), plain)
            assert os.listdir(one.path) == ["plain"] and one.pool.listVolumes() == ["plain"], encryption
        one.make("r", RAW, sealed(FIRST))


def found_again():
    with world() as one:
        raw, qcow2 = one.make("r", RAW, sealed(FIRST)), one.make("q", QCOW2, sealed(FIRST))
        write_pattern(one, raw, RAW, FIRST)
        one.pool.refresh()
        shows(one.volume("r"), RAW, FIRST)
        one.daemon.stop()
        one.daemon.start()
        one.connect()
        one.pool = one.conn.storagePoolLookupByName("pool")
        raw, qcow2 = one.volume("r"), one.volume("q")
        # nobody has said which secret opens them
        for vol, form in (raw, RAW), (qcow2, QCOW2):
            shows(vol, form)
            refused(libvirt.VIR_ERR_XML_ERROR, "no secret is known", vol.resize, 2 * MIB)
            refused(libvirt.VIR_ERR_INVALID_ARG, "no secret is known", one.pool.createXMLFrom, vol_xml("copy"), vol)
        one.secret("<secret><uuid>%s</uuid><usage type='volume'><volume>%s</volume></usage></secret>" %
                   (FIRST, raw.path()), VALUES[FIRST])
        shows(raw, RAW, FIRST)
        shows(qcow2, QCOW2)
        raw.resize(2 * MIB)
        copy = one.make("copy", RAW, source=raw)
        with open(copy.path(), "rb") as stream:
            assert stream.read(MIB) == PATTERN and os.path.getsize(copy.path()) == 2 * MIB

        # their bytes are what is transferred
        down = os.path.join(one.daemon.root, "down")
        one.daemon.virsh("vol-download", "--pool", "pool", "r", down, timeout=300)
        with open(down, "rb") as stream, open(raw.path(), "rb") as image:
            assert stream.read() == image.read()
        one.daemon.virsh("vol-upload", "--pool", "pool", "copy", down, timeout=300)
        wait_for("the look after an upload", lambda: "<encryption" in copy.XMLDesc())
        shows(copy, RAW)
        assert copy.info()[1] == 2 * MIB and one.holds(copy, RAW, FIRST)[:MIB] == PATTERN
        raw.wipe()
        assert "<encryption" not in raw.XMLDesc()
        # another file in its place is not opened by what was said of this one
        os.rename(copy.path(), qcow2.path())
        one.pool.refresh()
        shows(one.volume("q"), RAW)


def opened_by_a_guest():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "no /dev/kvm for this user"
    kernel = importlib.import_module("72-snapshots").BARE
    with world() as one:
        one.make("r", RAW, sealed(FIRST))
        one.make("q", QCOW2, sealed(SECOND))
        dom = one.conn.defineXML(GUEST.format(kernel=kernel, raw=sealed(FIRST), qcow2=sealed(SECOND)))
        dom.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED)
        assert dom.blockInfo("vda")[0] == dom.blockInfo("vdb")[0] == MIB
        dom.destroy()
        one.conn.secretLookupByUUIDString(SECOND).setValue(b"opens nothing")
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, dom.create)
    return None


if __name__ == "__main__":
    if not shutil.which("qemu-img") or not shutil.which("qemu-io"):
        print("skip luks - no qemu-img and qemu-io (Debian package qemu-utils)")
        sys.exit(0)
    tests = [made_and_copied, resized, refused_and_nothing_left, found_again, opened_by_a_guest]
    libvirt.registerErrorHandler(lambda *_: None, None)
    with event_loop():
        run([test for test in tests if len(sys.argv) < 2 or test.__name__ in sys.argv[1:]])
