#!/usr/bin/python3
"""Flags that a call knows and cannot follow, and the state it needs: the codes that libvirt 9.0.0 answers with.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import sys

import libvirt as L

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from daemon import Daemon, run  # noqa: E402

XML = """<domain type='kvm'><name>flags</name><memory unit='MiB'>64</memory><iothreads>1</iothreads>
<os><type machine='q35'>hvm</type></os><devices><controller type='usb' model='none'/></devices></domain>"""
SNAPSHOT = "<domainsnapshot><name>one</name></domainsnapshot>"
INVALID, ARGUMENT = L.VIR_ERR_OPERATION_INVALID, L.VIR_ERR_INVALID_ARG
UNSUPPORTED = L.VIR_ERR_OPERATION_UNSUPPORTED

# method, what is given, the codes for a guest that is off and one that runs (0: none; None: not asked)
CALLS = (
    ("jobInfo", (), INVALID, 0),
    ("jobStats", (0,), INVALID, 0),
    ("jobStats", (L.VIR_DOMAIN_JOB_STATS_COMPLETED,), 0, 0),
    ("abortJob", (), INVALID, INVALID),
    ("abortJobFlags", (L.VIR_DOMAIN_ABORT_JOB_POSTCOPY,), INVALID, INVALID),
    ("abortJobFlags", (2,), ARGUMENT, ARGUMENT),
    ("migrateSetMaxSpeed", (100, L.VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY), INVALID, UNSUPPORTED),
    ("migrateGetMaxSpeed", (L.VIR_DOMAIN_MIGRATE_MAX_SPEED_POSTCOPY,), INVALID, UNSUPPORTED),
    ("migrateSetMaxSpeed", (100, 2), ARGUMENT, ARGUMENT),
    ("managedSaveGetXMLDesc", (2,), ARGUMENT, ARGUMENT),
    ("vcpusFlags", (L.VIR_DOMAIN_VCPU_GUEST,), ARGUMENT, None),
    ("snapshotCreateXML", (SNAPSHOT, L.VIR_DOMAIN_SNAPSHOT_CREATE_LIVE), UNSUPPORTED, UNSUPPORTED),
    ("setIOThreadParams", (1, {"poll_max_ns": 1}, L.VIR_DOMAIN_AFFECT_CONFIG), UNSUPPORTED, UNSUPPORTED),
)


def answers(dom, running):
    wrong = []
    for name, given, *codes in CALLS:
        got, wanted = 0, codes[running]
        if wanted is None:
            continue
        try:
            getattr(dom, name)(*given)
        except L.libvirtError as err:
            got = err.get_error_code()
        if got != wanted:
            wrong.append("%s%r: %d, not %d" % (name, given, got, wanted))
    assert not wrong, "; ".join(wrong)


def guest_that_is_off():
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        answers(conn.defineXML(XML), False)
        for call, given in ((conn.saveImageGetXMLDesc, ()), (conn.saveImageDefineXML, ("<domain/>",)),
                            (conn.restoreFlags, (None,))):
            try:
                call(daemon.root + "/none", *given, 0)
                raise AssertionError("a file that is not there")
            except L.libvirtError as err:
                assert err.get_error_code() == L.VIR_ERR_SYSTEM_ERROR, err
        conn.close()


def guest_that_runs():
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "no /dev/kvm for this user"
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        dom = conn.defineXML(XML)
        dom.createWithFlags(L.VIR_DOMAIN_START_PAUSED)
        answers(dom, True)
        dom.destroy()
        conn.close()
    return None


if __name__ == "__main__":
    L.registerErrorHandler(lambda *_: None, None)
    run([guest_that_is_off, guest_that_runs])
