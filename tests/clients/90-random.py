#!/usr/bin/python3
"""90-random - hundreds of calls, legal and not, from several connections at once, while the daemon is
killed and started again. Afterwards what it says, what is on disk and what runs have to agree, a daemon
that starts anew has to say the same, and when all is taken away nothing may be left.

usage: 90-random.py [--seed N] [--calls N] [--kills N] [--seconds N]

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import argparse
import difflib
import os
import pprint
import random
import signal
import sys
import threading
import time

import libvirt

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from daemon import Daemon, run  # noqa: E402

CONNECTIONS = 4
SECONDS = 120
# A guest that ends up at SeaBIOS's "No bootable device", where it halts.
DOMAIN = """<domain type='kvm'><name>{name}</name><uuid>{uuid}</uuid>{title}
<memory unit='MiB'>{memory}</memory><vcpu current='1'>{vcpus}</vcpu>
<os><type arch='x86_64' machine='{machine}'>hvm</type></os><features><acpi/></features>
<devices>{devices}<video><model type='{video}'/></video></devices></domain>"""
DISK = """<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{path}'/>
<target dev='{target}' bus='{bus}'/></disk>"""
DEVICES = ("<interface type='user'><mac address='52:54:00:00:00:{i:02x}'/><model type='virtio'/></interface>",
           "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>",
           "<channel type='unix'><target type='virtio' name='org.example.{i}'/></channel>",
           "<input type='tablet' bus='usb'/>", "<memballoon model='virtio'/>",
           "<serial type='pty'/>", "<graphics type='vnc'><listen type='socket'/></graphics>",
           "<watchdog model='i6300esb'/>", "<hub type='nonsense'/>", "<disk/>", "")
NETWORK = """<network><name>{name}</name><uuid>{uuid}</uuid><bridge name='rnd{i}br'/>
<ip address='192.168.{subnet}.1' prefix='24'>{dhcp}</ip></network>"""
POOL = "<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>"
VOLUME = "<volume><name>{name}</name><capacity unit='KiB'>{size}</capacity><target><format type='{form}'/></target></volume>"
SECRET = "<secret ephemeral='{eph}' private='no'><uuid>{uuid}</uuid><usage type='volume'><volume>/v{i}</volume></usage></secret>"


def uuid(kind, i):
    return "%08x-0000-4000-8000-%012x" % (os.getpid(), kind << 16 | i)


class Actor(threading.Thread):
    """A client with a mind of its own, made of its seed."""

    def __init__(self, world, number):
        super().__init__(daemon=True)
        self.world = world
        self.dice = random.Random("%d/%d" % (world.options.seed, number))
        self.conn = None
        self.answers = {}
        self.last = "nothing"
        self.problem = None

    def one(self, *choices):
        return self.dice.choice(choices)

    def name(self, kind):
        return "rnd-%s-%d" % (kind, self.dice.randrange(self.world.COUNTS[kind]))

    def domain(self):
        return self.conn.lookupByName(self.name("dom"))

    def device(self):
        if self.dice.random() < 0.4:
            return DISK.format(path=os.path.join(self.world.images, "d%d.raw" % self.dice.randrange(4)),
                               target=self.one("vda", "vdb", "sda", "sdb"), bus=self.one("virtio", "sata", "scsi"))
        return self.dice.choice(DEVICES).format(i=self.dice.randrange(4))

    def domain_xml(self):
        name = self.name("dom")
        return DOMAIN.format(
            name=name, uuid=uuid(1, int(name[-1]) if self.dice.random() < 0.95 else 0),
            title=self.one("", "<title>%d</title>" % self.dice.randrange(9)),
            memory=self.one(16, 24, 32), vcpus=self.one(1, 2, 3), machine=self.one("q35", "q35", "pc"),
            video=self.one("vga", "none", "virtio"),
            devices="".join(self.device() for _ in range(self.dice.randrange(3))))

    def network_xml(self):
        name = self.name("net")
        i = int(name[-1])
        subnet = 210 + self.dice.randrange(4)
        return NETWORK.format(name=name, uuid=uuid(2, i), i=i, subnet=subnet, dhcp=self.one(
            "", "<dhcp><range start='192.168.%d.2' end='192.168.%d.9'/></dhcp>" % (subnet, subnet)))

    def flags(self, *good):
        return 1 << 29 if self.dice.random() < 0.05 else self.dice.choice(good)

    def change(self, call):
        live, config = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
        return call(self.device(), self.flags(0, live, config, live | config))

    def volume(self):
        pool = self.conn.storagePoolLookupByName(self.name("pool"))
        return pool, "vol%d" % self.dice.randrange(3)

    def calls(self):
        """What can be done: (how often, what)."""
        one, flags = self.one, self.flags
        path = os.path.join(self.world.images, "saved%d" % self.dice.randrange(3))
        return (
            (8, lambda: self.conn.defineXMLFlags(self.domain_xml(), flags(0, 0, 1))),
            (3, lambda: self.conn.createXML(self.domain_xml(), flags(0, 1, 4))),
            (9, lambda: self.domain().createWithFlags(flags(0, 0, 1, 4, 8))),
            (7, lambda: self.domain().destroyFlags(flags(0, 1))),
            (4, lambda: self.domain().undefineFlags(flags(0, 1, 1))),
            (3, lambda: self.domain().suspend()), (4, lambda: self.domain().resume()),
            (2, lambda: self.domain().reset(0)), (2, lambda: self.domain().shutdownFlags(flags(0, 1))),
            (2, lambda: self.domain().reboot(flags(0, 1))),
            (3, lambda: self.domain().setAutostart(one(0, 1))),
            (3, lambda: self.domain().setMemoryFlags(one(8192, 16384, 1 << 40), flags(0, 1, 2, 3, 4))),
            (3, lambda: self.domain().setVcpusFlags(one(0, 1, 2, 9), flags(0, 1, 2, 3, 6))),
            (7, lambda: self.change(self.domain().attachDeviceFlags)),
            (4, lambda: self.change(self.domain().detachDeviceFlags)),
            (3, lambda: self.change(self.domain().updateDeviceFlags)),
            (3, lambda: self.domain().managedSave(flags(0, 2, 4))),
            (1, lambda: self.domain().managedSaveRemove(0)),
            (1, lambda: self.domain().save(path)), (1, lambda: self.conn.restore(path)),
            (1, lambda: self.domain().rename(self.name("dom"), 0)),
            (2, lambda: self.domain().setMetadata(one(0, 1, 2), one("<a/>", "text", None), "k", "urn:k", flags(0, 1, 2, 3))),
            (3, lambda: self.domain().XMLDesc(flags(0, 1, 2, 3))), (2, lambda: self.domain().info()),
            (2, lambda: self.domain().memoryStats()), (2, lambda: self.domain().blockInfo("vda")),
            (2, lambda: self.domain().jobStats()), (2, lambda: self.domain().vcpusFlags(flags(0, 1, 4))),
            (2, lambda: self.domain().schedulerParameters()),
            (1, lambda: self.domain().sendKey(0, 0, [28], 1, 0)),
            (3, self.conn.getAllDomainStats), (3, self.conn.listAllDomains),
            (1, self.conn.getCapabilities), (1, lambda: self.conn.getDomainCapabilities(None, None, None, None)),
            (3, lambda: self.conn.networkDefineXML(self.network_xml())),
            (1, lambda: self.conn.networkCreateXML(self.network_xml())),
            (3, lambda: self.conn.networkLookupByName(self.name("net")).create()),
            (2, lambda: self.conn.networkLookupByName(self.name("net")).destroy()),
            (1, lambda: self.conn.networkLookupByName(self.name("net")).undefine()),
            (1, lambda: self.conn.networkLookupByName(self.name("net")).setAutostart(one(0, 1))),
            (2, lambda: self.conn.networkLookupByName(self.name("net")).XMLDesc(0)),
            (3, lambda: self.conn.storagePoolDefineXML(POOL.format(
                name=self.name("pool"), path=os.path.join(self.world.images, "p%d" % self.dice.randrange(2))), 0)),
            (2, lambda: self.conn.storagePoolLookupByName(self.name("pool")).create(flags(0, 1, 2))),
            (1, lambda: self.conn.storagePoolLookupByName(self.name("pool")).destroy()),
            (1, lambda: self.conn.storagePoolLookupByName(self.name("pool")).undefine()),
            (1, lambda: self.conn.storagePoolLookupByName(self.name("pool")).build(0)),
            (2, lambda: self.conn.storagePoolLookupByName(self.name("pool")).refresh()),
            (1, lambda: self.conn.storagePoolLookupByName(self.name("pool")).setAutostart(one(0, 1))),
            (3, lambda: self.volume()[0].createXML(VOLUME.format(
                name=self.volume()[1], size=one(4, 64), form=one("raw", "qcow2", "odd")), 0)),
            (2, lambda: self.volume()[0].storageVolLookupByName(self.volume()[1]).delete(0)),
            (2, lambda: self.volume()[0].listAllVolumes()),
            (2, lambda: self.conn.secretDefineXML(SECRET.format(
                eph=one("yes", "no"), uuid=uuid(3, self.dice.randrange(3)), i=self.dice.randrange(3)))),
            (2, lambda: self.conn.secretLookupByUUIDString(uuid(3, self.dice.randrange(3))).setValue(b"secret", 0)),
            (1, lambda: self.conn.secretLookupByUUIDString(uuid(3, self.dice.randrange(3))).undefine()))

    def call(self):
        calls = self.calls()
        self.dice.choices([what for _, what in calls], [often for often, _ in calls])[0]()

    def run(self):
        try:
            while self.world.goes_on():
                if self.conn is None or not self.conn.isAlive():
                    self.conn = self.world.open()
                    continue
                try:
                    self.call()
                    code = 0
                except libvirt.libvirtError as err:
                    code = err.get_error_code()
                    self.last = str(err)
                self.answers[code] = self.answers.get(code, 0) + 1
        except BaseException as problem:  # told by the main thread
            self.problem = problem
        finally:
            if self.conn is not None:
                self.conn.close()


class World:
    """The daemon, and when it dies."""

    COUNTS = {"dom": 4, "net": 2, "pool": 2}

    def __init__(self, daemon, options):
        self.daemon, self.options = daemon, options
        self.images = os.path.join(daemon.root, "var/lib/libvirt/images")
        self.lock = threading.Lock()
        self.left = options.calls
        self.until = time.monotonic() + options.seconds
        for i in range(4):
            with open(os.path.join(self.images, "d%d.raw" % i), "wb") as stream:
                stream.truncate(1 << 20)

    def goes_on(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0 and time.monotonic() < self.until

    def open(self):
        """Waits for the daemon, which may just have been killed."""
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                return libvirt.open(self.daemon.uri("qemu"))
            except libvirt.libvirtError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def play(self):
        actors = [Actor(self, number) for number in range(CONNECTIONS)]
        for actor in actors:
            actor.start()
        deaths = [self.options.calls * (i + 1) // (self.options.kills + 1) for i in range(self.options.kills)]
        deadline = time.monotonic() + self.options.seconds + SECONDS
        while any(actor.is_alive() for actor in actors):
            assert self.daemon.process.poll() is None, "the daemon died: " + self.daemon.messages()[-2000:]
            assert time.monotonic() < deadline, "calls hang: %r" % [actor.last for actor in actors]
            if deaths and self.options.calls - self.left >= deaths[0]:
                deaths.pop(0)
                self.daemon.stop(signal.SIGKILL)
                self.daemon.start()
            time.sleep(0.02)
        answers = {}
        for actor in actors:
            assert actor.problem is None, repr(actor.problem)
            for code, count in actor.answers.items():
                answers[code] = answers.get(code, 0) + count
        print("# answers by code: %s" % dict(sorted(answers.items())))
        assert answers.get(0, 0) > sum(answers.values()) // 10, "hardly a call succeeded"

    def vmms(self):
        """Guests that run, by their processes' command lines: {name: pid}."""
        names = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as stream:
                    argv = stream.read().decode(errors="replace").split("\0")
                with open("/proc/%s/stat" % pid, encoding="utf-8", errors="replace") as stream:
                    if stream.read().rsplit(")", 1)[1].split()[0] == "Z":
                        continue
            except OSError:
                continue
            if "kiln-vmm" in argv[0] and uuid(1, 0)[:8] in " ".join(argv):
                names.update({arg[6:].split(",")[0]: int(pid) for arg in argv
                              if arg.startswith("guest=rnd-dom-")})
        return names

    def files(self, folder, suffix=".xml"):
        try:
            return sorted(name[:-len(suffix)] for name in os.listdir(os.path.join(self.daemon.root, folder))
                          if name.endswith(suffix))
        except FileNotFoundError:
            return []

    def state(self):
        """All that the daemon says."""
        conn = self.open()
        said = {"domains": {dom.name(): (dom.UUIDString(), dom.isActive(), dom.isPersistent(),
                                         dom.isPersistent() and dom.autostart(),
                                         dom.state()[0], dom.hasManagedSaveImage(),
                                         dom.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
                            for dom in conn.listAllDomains()},
                "networks": {net.name(): (net.isActive(), net.isPersistent(), net.XMLDesc(1))
                             for net in conn.listAllNetworks()},
                "pools": {pool.name(): (pool.isActive(), pool.isPersistent(), pool.autostart())
                          for pool in conn.listAllStoragePools()},
                "secrets": {secret.UUIDString() for secret in conn.listAllSecrets()
                            if "ephemeral='no'" in secret.XMLDesc()}}
        conn.close()
        return said

    def agrees(self, said):
        """With what is on disk and what runs; the difference, or None."""
        active = sorted(name for name, values in said["domains"].items() if values[1])
        kept = sorted(name for name, values in said["domains"].items() if values[2])
        for what, there, wanted in (
                ("VMMs", sorted(self.vmms()), active), ("definitions", self.files("etc/kiln/domains"), kept),
                ("status files", self.files("run/kiln/domain", ".status"), active),
                ("autostart links", self.files("etc/kiln/domains/autostart"),
                 sorted(name for name, values in said["domains"].items() if values[3])),
                ("networks", self.files("etc/kiln/networks"),
                 sorted(name for name, values in said["networks"].items() if values[1])),
                ("secrets", self.files("etc/kiln/secrets"), sorted(said["secrets"]))):
            if there != wanted:
                return "%s: %r are there, %r are told" % (what, there, wanted)
        return None

    def settled(self):
        """What the daemon says once it agrees: guests may be on their way out."""
        deadline = time.monotonic() + SECONDS
        while True:
            said = self.state()
            wrong = self.agrees(said)
            if wrong is None:
                return said
            assert time.monotonic() < deadline, wrong
            time.sleep(0.2)

    def clear(self):
        conn = self.open()
        for dom in conn.listAllDomains():
            if dom.isActive():
                dom.destroy()
        for dom in conn.listAllDomains():
            dom.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE)
        for net in conn.listAllNetworks():
            if net.isActive():
                net.destroy()
        for net in conn.listAllNetworks():
            net.undefine()
        for secret in conn.listAllSecrets():
            secret.undefine()
        conn.close()
        said = self.settled()
        assert not said["domains"] and not said["networks"], said


def differences(before, after):
    """Line by line, what a new start changed."""
    before, after = (pprint.pformat(said, width=100).splitlines() for said in (before, after))
    return "\n".join(line for line in difflib.unified_diff(before, after, "before", "after", "", "", 1))


def all_agrees_afterwards():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--calls", type=int, default=600)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=30)
    options = parser.parse_args()
    with Daemon(wrap=["env"]) as daemon:
        world = World(daemon, options)
        try:
            world.play()
            before = world.settled()
            daemon.stop(signal.SIGKILL)
            daemon.start()
            after = world.settled()
            for kind, values in before.items():
                assert after[kind] == values, "%s: %s" % (kind, differences(values, after[kind]))
            world.clear()
            left = os.listdir(os.path.join(daemon.root, "var/lib/kiln/save"))
            assert not left, "saved guests stay: %r" % left
        finally:
            world.left = 0
            for pid in world.vmms().values():
                os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    TESTS = [all_agrees_afterwards]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("skip all-agrees-afterwards - no /dev/kvm for this user")
        sys.exit(0)
    if os.geteuid() == 0 and "KILN_RANDOM" not in os.environ:
        # Daemons come and go in one network namespace, as on a host.
        os.environ["KILN_RANDOM"] = "inside"
        os.execvp("unshare", ["unshare", "--net", sys.executable] + sys.argv)
    libvirt.registerErrorHandler(lambda *_: None, None)
    run(TESTS)
