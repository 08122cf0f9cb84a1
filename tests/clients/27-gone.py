#!/usr/bin/python3
"""Calls about a domain that is gone, by libvirt's C functions (Python's read first what they then set): flags that
a call does not know are told of before the domain is looked for, all others after that. The masks are those of
libvirt 9.0.0's QEMU driver; calls that look at their flags later are not here.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import ctypes
import os
import re
import socket
import struct
import sys

import libvirt as L

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from daemon import REMOTE_PROGRAM, Daemon, Raw, run  # noqa: E402

TREE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../..")
XML = """<domain type='kvm'><name>gone</name><uuid>77777777-1111-4000-8000-000000000000</uuid>
<memory unit='MiB'>64</memory><os><type machine='q35'>hvm</type></os></domain>"""
SNAPSHOT = """<domainsnapshot><name>x</name><state>shutoff</state><creationTime>1</creationTime>%s</domainsnapshot>"""
LIB, QEMU = ctypes.CDLL("libvirt.so.0"), ctypes.CDLL("libvirt-qemu.so.0")
LIB.virGetLastErrorMessage.restype = ctypes.c_char_p
LONG = ctypes.c_ulonglong
I32, U32, U64, BOOL, TEXT = 1, 2, 4, 6, 7


class Param(ctypes.Structure):
    _fields_ = [("field", ctypes.c_char * 80), ("type", ctypes.c_int),
                ("value", ctypes.c_ulonglong)]


def param(name, kind, value):
    return ctypes.byref(Param(name.encode(), kind, value))


PAIR = socket.socketpair()
SOCK = PAIR[0].fileno()
OUT = ctypes.create_string_buffer(65536)  # room for whatever an answer writes
FOUR, NONE = ctypes.byref(ctypes.c_int(4)), ctypes.byref(ctypes.c_int(0))
KEYS = ctypes.byref(ctypes.c_char_p(b"k"))
STREAM = object()  # a new one for each call

# function, flags that it knows, what is given between the object and the flags
CALLS = (
    ("virDomainCreateWithFlags", 0x2f),
    ("virDomainShutdownFlags", 0x3),
    ("virDomainReboot", 0x3),
    ("virDomainReset", 0x0),
    ("virDomainDestroyFlags", 0x3),
    ("virDomainGetXMLDesc", 0xf),
    ("virDomainUndefineFlags", 0x7f),
    ("virDomainPMSuspendForDuration", 0x0, 0, LONG(0)),
    ("virDomainPMWakeup", 0x0),
    ("virDomainGetState", 0x0, OUT, None),
    ("virDomainGetControlInfo", 0x0, OUT),
    ("virDomainSaveFlags", 0x7, b"/none/f", None),
    ("virDomainSaveParams", 0x7, param("file", TEXT, 0), 0),
    ("virDomainManagedSave", 0x7),
    ("virDomainHasManagedSaveImage", 0x0),
    ("virDomainManagedSaveRemove", 0x0),
    ("virDomainManagedSaveGetXMLDesc", 0x1),
    ("virDomainCoreDump", 0x1f, b"/none/f"),
    ("virDomainCoreDumpWithFormat", 0x1f, b"/none/f", 0),
    ("virDomainScreenshot", 0x0, STREAM, 0),
    ("virDomainSetMemoryFlags", 0x7, LONG(65536)),
    ("virDomainSetMemoryStatsPeriod", 0x3, 1),
    ("virDomainMemoryStats", 0x0, OUT, 4),
    ("virDomainSetVcpusFlags", 0x1f, 1),
    ("virDomainGetVcpusFlags", 0xf),
    ("virDomainSetVcpu", 0x3, b"0", 1),
    ("virDomainSetGuestVcpus", 0x0, b"0", 1),
    ("virDomainGetGuestVcpus", 0x0, OUT, NONE),
    ("virDomainPinVcpuFlags", 0x3, 0, OUT, 1),
    ("virDomainGetVcpuPinInfo", 0x3, 1, OUT, 1),
    ("virDomainPinEmulator", 0x3, OUT, 1),
    ("virDomainGetEmulatorPinInfo", 0x3, OUT, 1),
    ("virDomainGetIOThreadInfo", 0x3, OUT),
    ("virDomainPinIOThread", 0x3, 1, b"\1", 1),
    ("virDomainAddIOThread", 0x3, 1),
    ("virDomainDelIOThread", 0x3, 1),
    ("virDomainSetIOThreadParams", 0x3, 1, param("poll_max_ns", U64, 1), 1),
    ("virDomainGetSchedulerParametersFlags", 0x7, OUT, FOUR),
    ("virDomainSetSchedulerParametersFlags", 0x3, param("cpu_shares", U64, 1024), 1),
    ("virDomainGetMemoryParameters", 0x7, OUT, NONE),
    ("virDomainSetMemoryParameters", 0x3, param("hard_limit", U64, 1 << 20), 1),
    ("virDomainGetBlkioParameters", 0x7, OUT, NONE),
    ("virDomainSetBlkioParameters", 0x3, param("weight", U32, 500), 1),
    ("virDomainGetNumaParameters", 0x7, OUT, NONE),
    ("virDomainSetNumaParameters", 0x3, param("numa_mode", I32, 0), 1),
    ("virDomainGetInterfaceParameters", 0x7, b"x", OUT, NONE),
    ("virDomainSetInterfaceParameters", 0x3, b"x", param("inbound.average", U32, 1), 1),
    ("virDomainGetBlockIoTune", 0x7, b"vda", OUT, NONE),
    ("virDomainSetBlockIoTune", 0x3, b"vda", param("total_iops_sec", U64, 1), 1),
    ("virDomainGetPerfEvents", 0x7, OUT, NONE),
    ("virDomainSetPerfEvents", 0x3, param("cmt", BOOL, 0), 1),
    ("virDomainGetCPUStats", 0x4, OUT, 1, -1, 1),
    ("virDomainGetDiskErrors", 0x0, None, 0),
    ("virDomainBlockStatsFlags", 0x4, b"vda", OUT, NONE),
    ("virDomainBlockPeek", 0x0, b"vda", LONG(0), LONG(1), OUT),
    ("virDomainMemoryPeek", 0x3, LONG(0), LONG(1), OUT),
    ("virDomainGetBlockInfo", 0x0, b"vda", OUT),
    ("virDomainBlockResize", 0x1, b"vda", LONG(1)),
    ("virDomainSetBlockThreshold", 0x0, b"vda", LONG(1)),
    ("virDomainBlockPull", 0x40, b"vda", LONG(0)),
    ("virDomainBlockRebase", 0x7f, b"vda", b"/none/f", LONG(0)),
    ("virDomainBlockCommit", 0x1f, b"vda", None, None, LONG(0)),
    ("virDomainBlockCopy", 0xf, b"vda", b"<disk/>", None, 0),
    ("virDomainBlockJobAbort", 0x3, b"vda"),
    ("virDomainGetBlockJobInfo", 0x1, b"vda", OUT),
    ("virDomainBlockJobSetSpeed", 0x1, b"vda", LONG(1)),
    ("virDomainUpdateDeviceFlags", 0x7, b"<rng/>"),
    ("virDomainSetMetadata", 0x3, 1, b"t", None, None),
    ("virDomainRename", 0x0, b"other"),
    ("virDomainInjectNMI", 0x0),
    ("virDomainSendKey", 0x0, 0, 1, OUT, 1),
    ("virDomainOpenConsole", 0x3, None, STREAM),
    ("virDomainOpenChannel", 0x1, None, STREAM),
    ("virDomainOpenGraphics", 0x1, 0, SOCK),
    ("virDomainOpenGraphicsFD", 0x1, 0),
    ("virDomainGetJobStats", 0x3, FOUR, OUT, NONE),
    ("virDomainAbortJobFlags", 0x1),
    ("virDomainMigrateSetMaxSpeed", 0x1, LONG(1)),
    ("virDomainMigrateGetMaxSpeed", 0x1, OUT),
    ("virDomainMigrateSetMaxDowntime", 0x0, LONG(1)),
    ("virDomainMigrateGetMaxDowntime", 0x0, OUT),
    ("virDomainGetHostname", 0x3),
    ("virDomainGetTime", 0x0, OUT, OUT),
    ("virDomainSetTime", 0x1, LONG(1), 0),
    ("virDomainGetFSInfo", 0x0, OUT),
    ("virDomainFSTrim", 0x0, None, LONG(0)),
    ("virDomainFSFreeze", 0x0, None, 0),
    ("virDomainFSThaw", 0x0, None, 0),
    ("virDomainInterfaceAddresses", 0x0, OUT, 0),
    ("virDomainSetUserPassword", 0x1, b"a", b"b"),
    ("virDomainGetGuestInfo", 0x0, 0, OUT, NONE),
    ("virDomainAuthorizedSSHKeysGet", 0x0, b"a", OUT),
    ("virDomainAuthorizedSSHKeysSet", 0x3, b"a", KEYS, 1),
    ("virDomainAgentSetResponseTimeout", 0x0, 1),
    ("virDomainSetLifecycleAction", 0x3, 0, 0),
    ("virDomainGetMessages", 0x3, OUT),
    ("virDomainStartDirtyRateCalc", 0x3, 1),
    ("virDomainSnapshotNum", 0x7ff),
    ("virDomainSnapshotListNames", 0x7ff, OUT, 4),
    ("virDomainListAllSnapshots", 0x7ff, OUT),
    ("virDomainHasCurrentSnapshot", 0x0),
    ("virDomainSnapshotCurrent", 0x0),
    ("virDomainSnapshotLookupByName", 0x0, b"x"),
    ("virDomainQemuMonitorCommand", 0x1, b"{}", OUT),
    ("virDomainQemuAgentCommand", 0x0, b"{}", 1),
    ("virDomainQemuMonitorCommandWithFiles", 0x1, b"{}", 0, None, NONE, OUT, OUT),
    ("virDomainSnapshotGetXMLDesc", 0x1),
    ("virDomainSnapshotNumChildren", 0x7ff),
    ("virDomainSnapshotListChildrenNames", 0x7ff, OUT, 4),
    ("virDomainSnapshotListAllChildren", 0x7ff, OUT),
    ("virDomainSnapshotGetParent", 0x0),
    ("virDomainSnapshotIsCurrent", 0x0),
    ("virDomainSnapshotHasMetadata", 0x0),
)
# functions that also look at how flags go together: one such pair each, the code
PAIRS = (
    ("virDomainUndefineFlags", 0xc, L.VIR_ERR_OPERATION_INVALID),
    ("virDomainUndefineFlags", 0x60, L.VIR_ERR_OPERATION_INVALID),
    ("virDomainGetHostname", 0x3, L.VIR_ERR_INVALID_ARG),
)
# of these libvirt.so refuses some of the flags above without asking the daemon
PICKY = {"virDomainSetVcpusFlags": 0x1b, "virDomainGetJobStats": 0x1, "virDomainBlockRebase": 0x58}

MIGRATE = 0x1fffff


def text(value):
    return struct.pack(">I", len(value)) + value + bytes(-len(value) % 4)


GONE = text(b"gone") + bytes.fromhex("77777777111140008000000000000000") + struct.pack(">i", -1)
NOTHING, NO_BANDWIDTH = struct.pack(">I", 0), struct.pack(">Q", 0)
# of migration, which libvirt.so takes many calls for: procedure, arguments before the flags, their size, those after
MIGRATION = (
    (213, GONE + NOTHING, 8, NOTHING + NO_BANDWIDTH),
    (216, GONE + NOTHING * 4, 8, NOTHING + NO_BANDWIDTH),
    (218, GONE + NOTHING, 8, NOTHING),
    (302, GONE + NOTHING, 4, b""),
    (305, GONE + NOTHING * 3, 4, b""),
    (307, GONE + NOTHING * 2, 4, NOTHING),
)


def call(conn, handle, name, given, flags):
    """Code and words of the refusal."""
    function = getattr(QEMU if "Qemu" in name else LIB, name)
    stream = conn.newStream(0)  # must live as long as the call
    given = [ctypes.c_void_p(stream.c_pointer()) if one is STREAM else one for one in given]
    LIB.virResetLastError()
    function(ctypes.c_void_p(handle.c_pointer()), *given, ctypes.c_uint(flags))
    return LIB.virGetLastErrorCode(), (LIB.virGetLastErrorMessage() or b"").decode()


def gone(conn):
    """A domain and a snapshot of it that are no more."""
    dom = conn.defineXML(XML)
    snapshot = dom.snapshotCreateXML(SNAPSHOT % dom.XMLDesc(L.VIR_DOMAIN_XML_INACTIVE),
                                     L.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE)
    dom.undefineFlags(L.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
    return dom, snapshot


def of_snapshot(name):
    """Whether the C function takes a snapshot."""
    return name.startswith("virDomainSnapshot") and name not in (
        "virDomainSnapshotNum", "virDomainSnapshotListNames", "virDomainSnapshotCurrent", "virDomainSnapshotLookupByName")


def unknown_flags():
    wrong = []
    with Daemon() as daemon:
        conn = L.open(daemon.uri("qemu"))
        dom, snapshot = gone(conn)
        for name, mask, *given in CALLS:
            handle = snapshot if of_snapshot(name) else dom
            for bit in range(32):
                code, words = call(conn, handle, name, given, 1 << bit)
                if mask & 1 << bit:
                    good = code == L.VIR_ERR_NO_DOMAIN or not PICKY.get(name, mask) & 1 << bit
                else:
                    good = code == L.VIR_ERR_INVALID_ARG and "unsupported flags (%#x) in" % (1 << bit) in words
                if not good:
                    wrong.append("%s(%#x): %d: %s" % (name, 1 << bit, code, words))
        for name, flags, wanted in PAIRS:
            code, words = call(conn, dom, name, (), flags)
            if code != wanted:
                wrong.append("%s(%#x): %d: %s" % (name, flags, code, words))
        conn.close()
    assert not wrong, "%d: %s" % (len(wrong), "; ".join(wrong[:9]))


def unknown_flags_of_migration():
    with Daemon() as daemon, Raw(daemon.socket("virtqemud")) as client:
        client.open_connection(b"qemu:///system")
        client.expect_opened()
        for procedure, before, size, after in MIGRATION:
            for bit in range(size * 8):
                flags = struct.pack(">Q" if size == 8 else ">I", 1 << bit)
                client.send(REMOTE_PROGRAM, procedure, payload=before + flags + after)
                answer = client.recv()
                code = struct.unpack(">i", answer[5][:4])[0]
                wanted = L.VIR_ERR_NO_DOMAIN if MIGRATE & 1 << bit else L.VIR_ERR_INVALID_ARG
                assert answer[4] == 1 and code == wanted, (procedure, bit, code)


def all_calls_are_asked():
    """The table above has every row about a domain's flags."""
    rows = set()
    for name in ("procs.def", "procs_qemu.def"):
        with open(os.path.join(TREE, "driver/calls", name), encoding="utf-8") as stream:
            table = stream.read()
        functions = {number: (api, thing) for number, api, thing in
                     re.findall(r'PROC\((\d+), \w+,\s*"(\w+)",[^()]* (\w+)\)', table)}
        rows |= {functions[number][0] for number in re.findall(r"FLAGS\((\d+),", table)
                 if functions[number][1] in ("DOMAIN", "SNAPSHOT")}
    asked = {name for name, *_ in CALLS}
    assert {name for name in rows if not re.match("virDomainMigrate.*3", name)} == asked, rows ^ asked


if __name__ == "__main__":
    L.registerErrorHandler(lambda *_: None, None)
    run([unknown_flags, unknown_flags_of_migration, all_calls_are_asked])
