#!/usr/bin/python3
"""40-bad-input - what clients get wrong and a host refuses: the error each gets has the code that
libvirt's own daemon gives, and nothing stays behind. tests/lab/suites/80-bad-input.py has what needs
a network or another host.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import glob
import os
import re
import signal
import subprocess
import sys
import time

import libvirt

from daemon import BUILD, Daemon, refused, run

UUID = "6d9e1c3a-58a1-4a53-9a2f-5b3a0e9b7c%02d"
DOMAIN = """<domain type='kvm'>
  <name>bad</name><uuid>{uuid}</uuid>
  <memory unit='MiB'>128</memory>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>{kernel}</kernel></os>
  <features><acpi/></features>
  <devices>{devices}<console type='pty'/></devices>
</domain>"""
NETWORK = "<network><name>bad</name><ip address='{address}' netmask='255.255.255.0'>{more}</ip></network>"
DISK = "<disk type='file'><driver name='qemu' type='raw'/><source file='%s'/><target dev='vda' bus='virtio'/></disk>"
# Stands still at once: nothing here needs a guest that gets anywhere.
STILL = b"\xf4\xeb\xfd"


def domain(number=1, devices="", kernel="/nonexistent/kernel"):
    return DOMAIN.format(uuid=UUID % number, devices=devices, kernel=kernel)


def left_behind(daemon):
    """Files of guests and networks that are in none of the daemon's lists, and processes."""
    files = [path for place in ("etc/kiln/domains", "etc/kiln/networks", "run/kiln/domain", "run/kiln/network")
             for path in glob.glob(os.path.join(daemon.root, place, "**"), recursive=True)
             if os.path.isfile(path)
             and os.path.basename(path).split(".")[0] not in ("default", "autostarted")]
    # processes that name this daemon's directory on their command line
    mine = [pid for pid in filter(str.isdigit, os.listdir("/proc")) if guest_of(pid, daemon.root)]
    return files + mine


def guest_of(pid, root):
    try:
        with open("/proc/%s/cmdline" % pid, "rb") as stream:
            line = stream.read()
    except OSError:
        return False
    return b"kiln-vmm" in line and root.encode() in line or b"guest=bad," in line


def definitions_that_are_none():
    bomb = "<!DOCTYPE d [<!ENTITY a 'aaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>"
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        good = domain()
        syntax, legal = libvirt.VIR_ERR_XML_DETAIL, libvirt.VIR_ERR_XML_ERROR
        padding = "<!--%s-->" % ("x" * 1000000)
        cases = (
            (syntax, "(?i)empty", ""),
            (syntax, "1: ", "<domain"),
            (syntax, "(?s)mismatch: os line 4", good.replace("</os>", "")),
            (legal, "(?i)document type|entit", bomb + good.replace("bad<", "&b;<")),
            (legal, "(?i)document type|entit",
             "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>" + good.replace("bad<", "&x;<")),
            (syntax, "(?i)depth", good.replace("<features>", "<features>" + "<a>" * 500 + "</a>" * 500)),
            (legal, "network", "<network><name>x</name></network>"),
            # the protocol's own limit on a text, which the client keeps itself
            (libvirt.VIR_ERR_RPC, "encode", good + padding * 5),
        )
        for code, says, text in cases:
            refused(code, says, conn.defineXML, text)
            refused(code, says, conn.createXML, text)
        refused(libvirt.VIR_ERR_XML_ERROR, "(?i)name.*/", conn.defineXML, good.replace(">bad<", ">b/ad<"))
        refused(libvirt.VIR_ERR_XML_ERROR, "(?i)memory", conn.defineXML, re.sub("<memory.*?/memory>", "", good))
        refused(libvirt.VIR_ERR_XML_INVALID_SCHEMA, "vcup", conn.defineXMLFlags,
                good.replace("<features>", "<vcup>1</vcup><features>"), libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
        assert conn.listAllDomains() == [] and not left_behind(daemon), left_behind(daemon)
        conn.close()


def names_that_clash():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.defineXML(domain(1))
        refused(libvirt.VIR_ERR_OPERATION_FAILED, "'bad'.*already.*%s" % (UUID % 1), conn.defineXML, domain(2))
        refused(libvirt.VIR_ERR_OPERATION_FAILED, "already", conn.defineXML, domain(1).replace(">bad<", ">good<"))
        other = conn.defineXML(domain(3).replace(">bad<", ">other<"))
        refused(libvirt.VIR_ERR_OPERATION_INVALID, "'bad' already exists", other.rename, "bad")
        net = conn.networkDefineXML(NETWORK.format(address="10.71.0.1", more=""))
        refused(libvirt.VIR_ERR_OPERATION_FAILED, "'bad' already exists", conn.networkDefineXML,
                NETWORK.format(address="10.72.0.1", more="").replace(
                    "</name>", "</name><uuid>%s</uuid>" % (UUID % 7)))
        net.undefine()
        for each in (dom, other):
            each.undefine()
        assert not left_behind(daemon), left_behind(daemon)
        conn.close()


def guests_that_cannot_start():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        kernel = os.path.join(daemon.root, "kernel")
        with open(kernel, "wb") as stream:
            stream.write(b"not a kernel" * 1000)
        cases = (
            (libvirt.VIR_ERR_SYSTEM_ERROR, "/nonexistent/kernel.*No such file", domain()),
            (libvirt.VIR_ERR_INTERNAL_ERROR, "(?i)kernel", domain(kernel=kernel)),
            (libvirt.VIR_ERR_SYSTEM_ERROR, "/nonexistent/disk.*No such file",
             domain(devices=DISK % "/nonexistent/disk", kernel=kernel)),
            (None, "(?i)directory|regular", domain(devices=DISK % daemon.root, kernel=kernel)),
            (libvirt.VIR_ERR_NO_NETWORK, "nonet", domain(kernel=kernel, devices=(
                "<interface type='network'><source network='nonet'/></interface>"))),
            (None, "nobr7", domain(kernel=kernel, devices=(
                "<interface type='bridge'><source bridge='nobr7'/></interface>"))),
        )
        for code, says, text in cases:
            dom = conn.defineXML(text)
            try:
                dom.create()
                raise AssertionError("it started: " + text)
            except libvirt.libvirtError as err:
                assert code in (None, err.get_error_code()), "%d: %s" % (err.get_error_code(), err)
                assert re.search(says, str(err)), err
            assert not dom.isActive()
            dom.undefine()
            assert not left_behind(daemon), left_behind(daemon)
        conn.close()


def no_permission_for_kvm():
    """A user's own daemon, and /dev/kvm is not for that user."""
    if os.geteuid() != 0:
        return "needs root to become someone else"
    if subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "test", "-w", "/dev/kvm"],
                      check=False).returncode == 0:
        return "/dev/kvm is for everyone here, or is not there"
    with Daemon(env={"KILN_TEST": "1"}) as root_daemon:  # its directory is ours to give away
        home = root_daemon.root
        os.chmod(home, 0o777)
        env = dict(root_daemon.env, HOME=home, XDG_RUNTIME_DIR=home + "/user")
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        subprocess.run(user + ["mkdir", "-m", "700", home + "/user"], check=True)
        if subprocess.run(user + [BUILD + "/launcher/kiln-vmm", "--version"], capture_output=True,
                          check=False).returncode:
            return "an ordinary user cannot read the build"
        kernel = os.path.join(home, "kernel")
        with open(kernel, "wb") as stream:
            stream.write(STILL)
        process = subprocess.Popen(user + [BUILD + "/driver/virtkilnd"], env=env, stderr=subprocess.PIPE)
        try:
            path = home + "/user/libvirt/virtkilnd-sock"
            until = time.monotonic() + 10
            while not os.path.exists(path) and time.monotonic() < until:
                time.sleep(0.02)
            virsh = user + ["virsh", "-c", "kiln:///session"]
            text = os.path.join(home, "bad.xml")
            with open(text, "w", encoding="utf-8") as stream:
                stream.write(domain(kernel=kernel))
            subprocess.run(virsh + ["define", text], env=env, check=True, capture_output=True, timeout=30)
            done = subprocess.run(virsh + ["start", "bad"], env=env, capture_output=True, text=True,
                                  timeout=30, check=False)
            assert done.returncode == 1 and "/dev/kvm" in done.stderr and "Permission denied" in done.stderr, done
        finally:
            process.terminate()
            process.communicate(timeout=20)
    return None


TALKER = """
import libvirt, sys
conn = libvirt.open(sys.argv[1])
stream = conn.newStream(0)
conn.lookupByName("bad").openConsole(None, stream, 0)
print("open", flush=True)
while True:
    stream.send(b"x" * 100000)
"""


def client_that_dies_in_mid_stream():
    """It floods a console that nobody reads, and is killed; the console is free for the next."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "no /dev/kvm for this user"
    guest = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../lab/guest")
    kernel = subprocess.run([guest], check=True, capture_output=True, text=True).stdout.split()[0]
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.createXML(domain(kernel=kernel), libvirt.VIR_DOMAIN_START_PAUSED)
        for _ in range(3):
            client = subprocess.Popen([sys.executable, "-c", TALKER, daemon.uri("qemu")],
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            assert client.stdout.readline() == "open\n", client.communicate()[1]
            time.sleep(0.2)
            client.send_signal(signal.SIGKILL)
            client.communicate(timeout=20)
        until = time.monotonic() + 10
        while True:
            stream = conn.newStream(libvirt.VIR_STREAM_NONBLOCK)
            try:
                dom.openConsole(None, stream, 0)
                break
            except libvirt.libvirtError as err:
                assert "Active console session exists" in str(err) and time.monotonic() < until, err
                time.sleep(0.05)
        stream.abort()
        assert dom.isActive()
        dom.destroy()
        assert not left_behind(daemon), left_behind(daemon)
        conn.close()
    return None


if __name__ == "__main__":
    libvirt.registerErrorHandler(lambda *_: None, None)
    run([definitions_that_are_none, names_that_clash, guests_that_cannot_start, no_permission_for_kvm,
         client_that_dies_in_mid_stream])
