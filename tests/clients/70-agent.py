#!/usr/bin/python3
"""70-agent - the calls that a guest's agent answers, with agents that are good, absent, slow and lying. The guest
is a program of this test (agent_vmm.py); Debian's own agent in a real one has its turn in the lab.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time
import xml.etree.ElementTree as ET

import libvirt
import libvirt_qemu

from daemon import Daemon, event_loop, refused, run, wait_for

XML = """<domain type='kvm'>
  <name>agent</name>
  <memory unit='MiB'>32</memory>
  <vcpu>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>/bin/true</kernel></os>
  <features><acpi/></features>
  <on_poweroff>destroy</on_poweroff>
  <devices>
    {disk}
    {channel}
    <memballoon model='none'/>
  </devices>
</domain>
"""
CHANNEL = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
# (state, reason): of a guest that starts, and of its agent
STARTED, OPENED, CLOSED = (2, 1), (1, 2), (2, 2)
UNRESPONSIVE, UNSUPPORTED = libvirt.VIR_ERR_AGENT_UNRESPONSIVE, libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED


class Guest:
    def __init__(self, daemon, place, channel):
        self.daemon, self.place, self.seen = daemon, place, []
        image = os.path.join(daemon.root, "a.img")
        with open(image, "wb") as file:
            file.truncate(1 << 20)
        self.conn = libvirt.open(daemon.uri("qemu"))
        self.conn.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, self.event, None)
        self.text = XML.format(
            channel=channel, disk="<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='%s'/>"
            "<target dev='vda' bus='virtio'/></disk>" % image)
        self.manners("good")
        self.dom = self.conn.defineXML(self.text)
        self.dom.create()
        if channel:
            self.wait_connected()

    def event(self, _conn, _dom, state, reason, _opaque):
        self.seen.append((state, reason))

    def manners(self, word):
        path = os.path.join(self.place, "manners")
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(word)
        os.rename(path + ".new", path)

    def noted(self):
        with open(os.path.join(self.place, "seen"), encoding="ascii") as file:
            return file.read().split()

    def state(self):
        return ET.fromstring(self.dom.XMLDesc()).find("devices/channel/target").get("state")

    def wait_connected(self):
        wait_for("the agent's channel", lambda: self.state() == "connected")

    def qmp(self, command):
        libvirt_qemu.qemuMonitorCommand(self.dom, '{"execute":"%s"}' % command, 0)

    def wait_off(self):
        wait_for("power-off", lambda: not self.dom.isActive())

    def start_again(self):
        self.wait_off()
        self.dom.create()
        self.wait_connected()


@contextlib.contextmanager
def guest(channel=CHANNEL):
    with tempfile.TemporaryDirectory(prefix="kiln-") as place, \
            Daemon(env={"KILN_VMM": os.path.join(place, "agent_vmm.py")}) as daemon:
        os.chmod(place, 0o755)
        shutil.copy(os.path.join(os.path.dirname(os.path.abspath(__file__)), "agent_vmm.py"), place)
        one = Guest(daemon, place, channel)
        try:
            yield one
        finally:
            with contextlib.suppress(libvirt.libvirtError):
                one.dom.destroy()
            with contextlib.suppress(libvirt.libvirtError):
                one.conn.close()


def a_good_agent_answers_every_call():
    with guest() as one:
        dom = one.dom
        wait_for("the event", lambda: one.seen == [STARTED, OPENED])
        assert dom.hostname(libvirt.VIR_DOMAIN_GET_HOSTNAME_AGENT) == "inside"
        assert dom.hostname(0) == "inside"
        refused(libvirt.VIR_ERR_NO_HOSTNAME, dom.hostname, libvirt.VIR_DOMAIN_GET_HOSTNAME_LEASE)
        assert dom.getTime() == {"seconds": 1234567890, "nseconds": 123456789}
        dom.setTime({"seconds": 5, "nseconds": 6})
        dom.setTime(None, libvirt.VIR_DOMAIN_TIME_SYNC)
        assert dom.fsFreeze() == 2 and dom.fsFreeze(["/"]) == 1 and dom.fsThaw() == 2
        refused(UNSUPPORTED, dom.fsThaw, ["/"])
        dom.fSTrim(None, 4096)
        refused(UNSUPPORTED, dom.fSTrim, "/", 0)
        assert dom.fsInfo() == [("/", "vda1", "ext4", ["vda"])], dom.fsInfo()
        dom.setUserPassword("root", "secret")
        dom.authorizedSSHKeysSet("root", ["a", "b"])
        dom.authorizedSSHKeysSet("root", ["c"], libvirt.VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_APPEND)
        dom.authorizedSSHKeysSet("root", ["a"], libvirt.VIR_DOMAIN_AUTHORIZED_SSH_KEYS_SET_REMOVE)
        assert dom.authorizedSSHKeysGet("root") == ["b", "c"]
        addresses = dom.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
        assert [a["addr"] for a in addresses["eth0"]["addrs"]] == ["10.0.0.2", "fe80::1", "10.0.0.3"], addresses
        assert addresses["eth0"]["hwaddr"] == "52:54:00:00:00:01" and addresses["lo"]["addrs"][0]["prefix"] == 8
        assert dom.guestVcpus() == {"vcpus": "0-1", "online": "0-1", "offlinable": "1"}, dom.guestVcpus()
        dom.setGuestVcpus("1", 0)
        assert dom.guestVcpus()["online"] == "0"
        refused(libvirt.VIR_ERR_INVALID_ARG, dom.setGuestVcpus, "0", 0)
        dom.setVcpusFlags(2, libvirt.VIR_DOMAIN_VCPU_GUEST)
        assert dom.vcpusFlags(libvirt.VIR_DOMAIN_VCPU_GUEST) == 2
        refused(libvirt.VIR_ERR_OPERATION_UNSUPPORTED, dom.pMSuspendForDuration, 0, 0)
        text = libvirt_qemu.qemuAgentCommand(dom, '{"execute":"guest-get-time"}', 5, 0)
        assert text == '{"return":1234567890123456789}', text
        problem = refused(libvirt.VIR_ERR_INTERNAL_ERROR, libvirt_qemu.qemuAgentCommand, dom,
                          '{"execute":"guest-bad"}', 5, 0)
        assert "unable to execute QEMU agent command 'guest-bad'" in problem, problem


def information_comes_in_libvirts_names():
    with guest() as one:
        info = one.dom.guestInfo(0)
        for name, value in {"user.count": 1, "user.0.name": "root", "user.0.login-time": 1500000000250,
                            "os.id": "debian", "os.version-id": "12", "timezone.offset": 3600, "hostname": "inside",
                            "fs.count": 1, "fs.0.fstype": "ext4", "fs.0.disk.0.alias": "vda", "fs.0.total-bytes": 1000,
                            "if.count": 2, "if.1.addr.1.type": "ipv6", "if.1.addr.2.addr": "10.0.0.3"}.items():
            assert info.get(name) == value, "%s: %s in %s" % (name, info.get(name), info)
        assert "disk.count" not in info
        # what the agent does not know is an error when it is asked for by name
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, one.dom.guestInfo, libvirt.VIR_DOMAIN_GUEST_INFO_DISKS)
        refused(UNSUPPORTED, one.dom.guestInfo, 1 << 20)


def without_an_agent_calls_say_so():
    with guest("") as one:
        assert "is not configured" in refused(UNSUPPORTED, one.dom.fsFreeze)
        refused(UNSUPPORTED, one.dom.shutdownFlags, libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT)
        one.dom.agentSetResponseTimeout(5, 0)
    with guest() as one:
        one.qmp("x-close")
        wait_for("the state", lambda: one.state() == "disconnected")
        assert "is not connected" in refused(UNRESPONSIVE, one.dom.fsFreeze)
        wait_for("the events", lambda: one.seen == [STARTED, OPENED, CLOSED])
        one.qmp("x-open")
        one.wait_connected()
        assert one.dom.fsThaw() == 2
        one.dom.suspend()
        refused(libvirt.VIR_ERR_OPERATION_INVALID, one.dom.fsThaw)


def a_bad_agent_harms_nobody():
    with guest() as one:
        dom = one.dom
        one.dom.agentSetResponseTimeout(1, 0)
        for word in ("silent", "deaf", "late", "flood", "liar"):
            one.manners(word)
            assert "didn't respond" in refused(UNRESPONSIVE, dom.fsThaw), word
            # the domain is as free as ever
            dom.XMLDesc()
            dom.setMetadata(libvirt.VIR_DOMAIN_METADATA_TITLE, word, None, None, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
        # an answer that was late is nobody's: what is asked for now is what comes
        one.manners("late")
        refused(UNRESPONSIVE, dom.hostname, libvirt.VIR_DOMAIN_GET_HOSTNAME_AGENT)
        one.manners("good")
        one.dom.agentSetResponseTimeout(30, 0)
        if dom.fsThaw() != 2 or dom.hostname(libvirt.VIR_DOMAIN_GET_HOSTNAME_AGENT) != "inside":
            raise AssertionError("another's answer")
        one.manners("garbage")
        assert dom.fsThaw() == 2
        one.manners("torn")
        refused(UNRESPONSIVE, dom.fsThaw)
        one.manners("good")
        assert dom.fsThaw() == 2


def whoever_waits_is_woken_when_the_guest_goes():
    with guest() as one:
        one.manners("deaf")
        for end in (lambda: one.qmp("x-close"), one.dom.destroy):
            problems = []

            def freeze():
                try:
                    one.dom.fsFreeze()
                except libvirt.libvirtError as problem:
                    problems.append(problem.get_error_code())

            thread = threading.Thread(target=freeze)
            thread.start()
            time.sleep(0.3)  # in the call or before it: both have to end
            end()
            thread.join(60)
            assert not thread.is_alive() and problems, problems
            assert problems[0] in (UNRESPONSIVE, libvirt.VIR_ERR_OPERATION_INVALID), problems
            if one.dom.isActive():
                one.qmp("x-open")
                one.wait_connected()


def guests_shut_down_by_agent_and_by_button():
    with guest() as one:
        dom = one.dom
        dom.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT)
        one.start_again()
        dom.shutdown()
        one.start_again()
        dom.reboot(libvirt.VIR_DOMAIN_REBOOT_GUEST_AGENT)
        assert dom.isActive()
        # the agent fails: the button does it, unless the agent alone was asked
        dom.agentSetResponseTimeout(1, 0)
        one.manners("silent")
        refused(UNRESPONSIVE, dom.shutdownFlags, libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT)
        dom.shutdown()
        one.manners("good")
        one.start_again()
        dom.pMSuspendForDuration(libvirt.VIR_NODE_SUSPEND_TARGET_DISK, 0)
        one.wait_off()


def a_new_daemon_finds_the_agent():
    with guest() as one:
        # how long to wait for it is kept, too, even if it is said before the start
        one.dom.destroy()
        one.dom.agentSetResponseTimeout(1, 0)
        one.dom.create()
        one.wait_connected()
        one.conn.close()
        one.daemon.stop()
        one.daemon.start()
        one.conn = libvirt.open(one.daemon.uri("qemu"))
        one.dom = one.conn.lookupByName("agent")
        one.wait_connected()

        def thawed():
            try:
                return one.dom.fsThaw() == 2
            except libvirt.libvirtError as problem:
                assert problem.get_error_code() == UNRESPONSIVE, problem
                return False
        wait_for("the agent", thawed)
        one.manners("deaf")
        assert "within '1' seconds" in refused(UNRESPONSIVE, one.dom.fsThaw)


def snapshots_are_made_of_frozen_file_systems():
    with guest() as one:
        flags = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_QUIESCE
        one.dom.snapshotCreateXML("<domainsnapshot><name>frozen</name></domainsnapshot>", flags)
        assert one.noted() == ["guest-fsfreeze-freeze", "transaction", "guest-fsfreeze-thaw"], one.noted()
        # without an agent's agreement nothing is made
        one.manners("deaf")
        one.dom.agentSetResponseTimeout(1, 0)
        refused(UNRESPONSIVE, one.dom.snapshotCreateXML, "<domainsnapshot><name>no</name></domainsnapshot>", flags)
        assert one.dom.snapshotListNames() == ["frozen"]


def readers_may_not_ask_an_agent():
    with guest() as one:
        out = one.daemon.virsh("domifaddr", "agent", "--source", "agent", expect=1, scheme="qemu", read_only=True)
        assert "read only access" in out or "read-only" in out, out
        for what in ("fsinfo", "guestvcpus", "guestinfo", "domtime"):
            one.daemon.virsh(what, "agent", expect=1, scheme="qemu", read_only=True)
        out = one.daemon.virsh("guestinfo", "agent", "--os", scheme="qemu")
        assert "debian" in out, out
        out = one.daemon.virsh("domifaddr", "agent", "--source", "agent", scheme="qemu")
        assert "10.0.0.2/24" in out, out


if __name__ == "__main__":
    with event_loop():
        tests = [a_good_agent_answers_every_call, information_comes_in_libvirts_names, without_an_agent_calls_say_so,
                 a_bad_agent_harms_nobody, whoever_waits_is_woken_when_the_guest_goes,
                 guests_shut_down_by_agent_and_by_button, a_new_daemon_finds_the_agent, snapshots_are_made_of_frozen_file_systems,
                 readers_may_not_ask_an_agent]
        run([test for test in tests if len(sys.argv) < 2 or test.__name__ in sys.argv[1:]])
