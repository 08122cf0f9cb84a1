#!/usr/bin/python3
"""What users get wrong and hosts lack: one clear error each, and nothing left behind.

# timeout: 700

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import (Daemon, TMP, check, fails, gone, guest_files, guest_xml, run, test, virsh,
                   write)  # noqa: E402

V = ("virsh", "-c", "qemu:///system")


def define_fails(name, text, expect):
    with test(name):
        fails(*V, "define", write("bad.xml", text), expect=expect)
        check("bad" not in virsh("list", "--all", "--name").split(), "it was defined all the same")


def start_fails(name, text, expect):
    with test(name):
        virsh("define", write("bad.xml", text))
        try:
            fails(*V, "start", "bad", expect=expect)
            check("shut off" in virsh("domstate", "bad"), "state")
            gone("bad")
        finally:
            virsh("undefine", "bad")


# with a UUID, so that defining it again is a change and not a clash
good = guest_xml("bad").replace(
    "<name>", "<uuid>6d9e1c3a-58a1-4a53-9a2f-5b3a0e9b7c11</uuid><name>", 1)
with Daemon():
    define_fails("not well formed", good.replace("</os>", ""), r"(?i)xml|mismatch")
    define_fails("entity bomb", """<!DOCTYPE d [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">
                 <!ENTITY c "&b;&b;&b;&b;&b;">]>""" + good.replace("<name>bad", "<name>&c;bad"),
                 r"(?i)entit|doctype|document type|DTD")
    define_fails("external entity", """<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>"""
                 + good.replace("<name>bad", "<name>&x;bad"), r"(?i)entit|doctype|document type|DTD")
    define_fails("too deep", good.replace("<features>", "<features>" + "<a>" * 500 + "</a>" * 500),
                 r"(?i)deep|level|depth|nest")
    define_fails("a name with a slash", good.replace("<name>bad", "<name>b/ad"), r"(?i)name.*'?/'?")
    define_fails("no memory", re.sub(r"<memory.*?</memory>", "", good), r"(?i)memory")
    define_fails("an illegal number", good.replace("<vcpu>1<", "<vcpu>many<"), r"(?i)vcpu.*many")
    define_fails("an unknown bus", guest_xml("bad", disk="/x").replace("bus='virtio'", "bus='virtoi'"),
                 r"(?i)virtio")
    with test("--validate names what the schema does not know"):
        fails(*V, "define", "--validate", write("bad.xml", good.replace("<vcpu>", "<vcup>7</vcup><vcpu>")),
              expect=r"vcup")
    start_fails("a missing disk", guest_xml("bad", disk="/nonexistent/disk.img"),
                r"/nonexistent/disk\.img.*No such file")
    start_fails("a missing kernel", good.replace("/vmlinuz<", "/vmlinus<"), r"vmlinus.*No such file")
    start_fails("a missing network", good.replace("network='default'", "network='nonet'"), r"nonet")
    start_fails("a missing bridge", guest_xml("bad", devices="<interface type='bridge'>"
                "<source bridge='nobr7'/><model type='virtio'/></interface>"), r"nobr7")
    start_fails("an image that is a directory", guest_xml("bad", disk=TMP), r"%s.*(directory|regular)" % TMP)
    pipe = os.path.join(TMP, "pipe.img")
    os.mkfifo(pipe)
    start_fails("an image that is a pipe", guest_xml("bad", disk=pipe), r"pipe\.img")
    lost = os.path.join(TMP, "lost.qcow2")
    with open(lost, "wb") as stream:
        stream.write(b"QFI\xfb\0\0\0\3" + b"\xff" * 200)
    start_fails("a format that is not offered", guest_xml("bad", disk=lost).replace(
        "type='raw'", "type='qcow2'"), r"qcow2")
    broken = os.path.join(TMP, "broken-kernel")
    with open(broken, "wb") as stream:
        stream.write(b"\0" * 512 + b"not a kernel" * 100)
    start_fails("a broken kernel", re.sub(r"<kernel>.*?<", "<kernel>%s<" % broken, good),
                r"(?i)kernel.*(log|bzImage|ELF)")
    start_fails("a device that is not offered", guest_xml("bad", devices="<sound model='ich9'/>"),
                r"sound")
    with test("a full disk keeps the old definition"):
        run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/etc/kiln/domains")
        try:
            virsh("define", write("bad.xml", good))
            with open("/etc/kiln/domains/fill", "wb") as stream:
                try:
                    stream.write(b"x" * (1 << 20))
                    stream.flush()
                except OSError:
                    pass
            changed = good.replace("<vcpu>1<", "<vcpu>2<")
            fails(*V, "define", write("bad.xml", changed), expect="(?i)no space")
            check("<vcpu placement='static'>1<" in virsh("dumpxml", "bad"), "the definition changed")
            os.unlink("/etc/kiln/domains/fill")
            virsh("undefine", "bad")
        finally:
            run("umount", "/etc/kiln/domains")
    with test("no /dev/kvm"):
        os.rename("/dev/kvm", "/dev/kvm.away")
        try:
            virsh("define", write("bad.xml", good))
            fails(*V, "start", "bad", expect=r"/dev/kvm")
            gone("bad")
        finally:
            os.rename("/dev/kvm.away", "/dev/kvm")
            virsh("undefine", "bad")
    with test("a client that dies in the middle of a start"):
        virsh("define", write("bad.xml", good))
        client = subprocess.Popen([*V, "start", "bad"], stdout=subprocess.DEVNULL)
        client.kill()
        client.wait()
        virsh("list", "--all")
        subprocess.run([*V, "destroy", "bad"], check=False, capture_output=True)
        gone("bad")
        virsh("undefine", "bad")
    with test("the daemon is well after all that"):
        out = virsh("list", "--all")
        check("bad" not in out, out)
        rules = run("nft", "list", "ruleset")
        check(len(re.findall(r"table \S+ kiln", rules)) <= 2, rules)
