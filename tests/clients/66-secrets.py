#!/usr/bin/python3
"""66-secrets - secrets through stock virsh and python3-libvirt: define, values, files, events, and
what is refused.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import base64
import os
import stat
import time

import libvirt

from daemon import Daemon, event_loop, refused, run

UUID = "55806c7d-8e93-456f-829b-607d8c198367"
XML = """<secret ephemeral='{ephemeral}' private='{private}'>
  <uuid>{uuid}</uuid>
  <description>{usage} passphrase</description>
  <usage type='volume'>
    <volume>/images/{usage}.img</volume>
  </usage>
</secret>
"""


def xml(uuid=UUID, ephemeral="no", private="no", usage="a"):
    return XML.format(uuid=uuid, ephemeral=ephemeral, private=private, usage=usage)


def virsh_flow():
    with Daemon() as daemon:
        path = os.path.join(daemon.root, "s.xml")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(xml())
        assert "Secret %s created" % UUID in daemon.virsh("secret-define", path, "--validate")
        shown = daemon.virsh("secret-list")
        assert UUID in shown and "volume /images/a.img" in shown, shown
        value = base64.b64encode(b"\0sesame\xff").decode()
        daemon.virsh("secret-set-value", UUID, "--base64", value)
        assert daemon.virsh("secret-get-value", UUID).strip() == value
        assert daemon.virsh("secret-dumpxml", UUID).strip() == xml().strip()
        assert "read only access prevents" in daemon.virsh("secret-get-value", UUID, read_only=True,
                                                            expect=1)
        assert UUID in daemon.virsh("secret-list", "--no-private", "--no-ephemeral", read_only=True)
        assert UUID not in daemon.virsh("secret-list", "--private")
        files = os.path.join(daemon.root, "etc/kiln/secrets", UUID)
        for suffix in (".xml", ".base64"):
            assert stat.S_IMODE(os.stat(files + suffix).st_mode) == 0o600
        assert open(files + ".base64", encoding="ascii").read() == value
        daemon.virsh("secret-undefine", UUID)
        assert UUID not in daemon.virsh("secret-list")
        assert not os.path.exists(files + ".xml") and not os.path.exists(files + ".base64")


def survives_the_daemon():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        conn.secretDefineXML(xml()).setValue(b"kept")
        conn.secretDefineXML(xml(UUID[:-1] + "8", ephemeral="yes", usage="b")).setValue(b"lost")
        conn.close()
        daemon.stop()
        daemon.start()
        conn = libvirt.open(daemon.uri("qemu"))
        assert [s.UUIDString() for s in conn.listAllSecrets()] == [UUID] == conn.listSecrets()
        assert conn.numOfSecrets() == 1
        secret = conn.secretLookupByUsage(libvirt.VIR_SECRET_USAGE_TYPE_VOLUME, "/images/a.img")
        assert secret.value() == b"kept" and secret.usageID() == "/images/a.img"
        conn.close()


def refusals():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        secret = conn.secretDefineXML(xml(private="yes"))
        refused(libvirt.VIR_ERR_INVALID_SECRET, secret.value)
        secret.setValue(b"x")
        refused(libvirt.VIR_ERR_INVALID_SECRET, secret.value)
        refused(libvirt.VIR_ERR_OPERATION_DENIED, conn.secretDefineXML, xml(private="no"))
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, conn.secretDefineXML, xml(private="yes", usage="b"))
        refused(libvirt.VIR_ERR_INTERNAL_ERROR, conn.secretDefineXML, xml(UUID[:-1] + "8"))
        refused(libvirt.VIR_ERR_XML_DETAIL, conn.secretDefineXML, "<secret")
        refused(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, conn.secretDefineXML, "<secret><usage type='x'/></secret>")
        refused(libvirt.VIR_ERR_XML_INVALID_SCHEMA, conn.secretDefineXML,
                "<secret><color>red</color></secret>", libvirt.VIR_SECRET_DEFINE_VALIDATE)
        refused(libvirt.VIR_ERR_INVALID_ARG, conn.secretDefineXML, xml(private="yes"), 1 << 20)
        refused(libvirt.VIR_ERR_NO_SECRET, conn.secretLookupByUUIDString, UUID[:-1] + "8")
        refused(libvirt.VIR_ERR_NO_SECRET, conn.secretLookupByUsage,
                libvirt.VIR_SECRET_USAGE_TYPE_CEPH, "/images/a.img")
        secret.undefine()
        refused(libvirt.VIR_ERR_NO_SECRET, secret.XMLDesc)
        refused(libvirt.VIR_ERR_NO_SECRET, secret.undefine)
        plain = conn.secretDefineXML("<secret/>")
        refused(libvirt.VIR_ERR_NO_SECRET, plain.value)
        conn.close()


def events():
    seen = []
    with event_loop(), Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        ids = [conn.secretEventRegisterAny(
            None, libvirt.VIR_SECRET_EVENT_ID_LIFECYCLE,
            lambda c, s, event, detail, opaque: seen.append((s.UUIDString(), event)), None),
               conn.secretEventRegisterAny(
            None, libvirt.VIR_SECRET_EVENT_ID_VALUE_CHANGED,
            lambda c, s, opaque: seen.append((s.UUIDString(), "value")), None)]
        secret = conn.secretDefineXML(xml())
        secret.setValue(b"1")
        secret.undefine()
        want = [(UUID, libvirt.VIR_SECRET_EVENT_DEFINED), (UUID, "value"),
                (UUID, libvirt.VIR_SECRET_EVENT_UNDEFINED)]
        until = time.monotonic() + 60
        while seen != want:
            assert time.monotonic() < until, seen
            time.sleep(0.02)
        for callback in ids:
            conn.secretEventDeregisterAny(callback)
        conn.close()


if __name__ == "__main__":
    run([virsh_flow, survives_the_daemon, refusals, events])
