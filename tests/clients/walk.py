"""walk - keeps the book of a walk through python3-libvirt: which methods there are, which of the daemon's
procedures stands behind each, and which were called with what is right and with what is wrong.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import ast
import inspect
import os
import re

import libvirt

TABLE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "../../driver/calls/procs.def")
UNKNOWN = 1 << 28  # no call has such a flag
# What clients say when the daemon knows no such thing any more.
GONE = {
    "virDomain": libvirt.VIR_ERR_NO_DOMAIN, "virNetwork": libvirt.VIR_ERR_NO_NETWORK,
    "virStoragePool": libvirt.VIR_ERR_NO_STORAGE_POOL, "virStorageVol": libvirt.VIR_ERR_NO_STORAGE_VOL,
    "virSecret": libvirt.VIR_ERR_NO_SECRET, "virDomainSnapshot": libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT,
}


# Asks for its pool alone; for a snapshot's domain.
NOT_OF_IT = ("virStorageVol.storagePoolLookupByVolume", "virDomain.revertToSnapshot")
NO_FLAGS = ("virDomain.diskErrors",)  # the bindings do not pass them on


def called_by(function):
    """The functions of libvirt that a method of the bindings calls, the first of which is the call."""
    return [node.func.attr for node in ast.walk(function)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and
            isinstance(node.func.value, ast.Name) and node.func.value.id.startswith("libvirtmod")]


def methods():
    """{"virDomain.create": (built, tier-independent number)} of all that reach the daemon; those whose
    procedures have no handler are not built."""
    with open(TABLE, encoding="utf-8") as stream:
        rows = {api: (kind == "PROC", int(number)) for kind, number, api in re.findall(
            r'^(PROC|NONE)\((\d+), \w+,\s*"(\w+)"', stream.read(), re.M)}
    found = {}
    for kind in ast.parse(inspect.getsource(libvirt)).body:
        for function in kind.body if isinstance(kind, ast.ClassDef) else ():
            if not isinstance(function, ast.FunctionDef) or function.name.startswith("_"):
                continue
            calls = called_by(function)
            if calls and calls[0] in rows:
                found["%s.%s" % (kind.name, function.name)] = rows[calls[0]]
    return found


class Book:
    """What was called."""

    def __init__(self):
        self.methods = methods()
        self.good, self.bad, self.problems = {}, set(), []

    @staticmethod
    def name(call):
        return "%s.%s" % (type(call.__self__).__name__, call.__name__)

    def code(self, call, *args):
        """libvirt's error code of a call, or 0. Some of the bindings' methods give None instead of raising."""
        libvirt.virResetLastError()
        try:
            call(*args)
        except libvirt.libvirtError as problem:
            return problem.get_error_code()
        return (libvirt.virGetLastError() or [0])[0]

    def right(self, kinds, call, *args):
        """Calls it, and its result is one of @kinds (types, or None). If it takes flags, an unknown one
        was refused before."""
        name = self.name(call)
        signature = inspect.signature(call)
        if "flags" in signature.parameters and name not in self.bad and name not in NO_FLAGS:
            given = signature.bind(*[self.fresh(arg, call.__self__) for arg in args])
            given.apply_defaults()
            given.arguments["flags"] |= UNKNOWN
            code = self.code(call, *given.args)
            if code == libvirt.VIR_ERR_INVALID_ARG:
                self.bad.add(name)
            else:
                self.problems.append("%s with an unknown flag: %d" % (name, code))
        try:
            value = call(*args)
        except libvirt.libvirtError as problem:
            self.problems.append("%s: %d %s" % (name, problem.get_error_code(), problem))
            return None
        if not isinstance(value, tuple(type(None) if kind is None else kind for kind in (
                kinds if isinstance(kinds, tuple) else (kinds,)))):
            self.problems.append("%s gives %r" % (name, value))
        self.good[name] = args
        return value

    @staticmethod
    def fresh(arg, thing):
        """A stream is good for one call only."""
        return thing.connect().newStream() if isinstance(arg, libvirt.virStream) else arg

    def wrong(self, code, call, *args):
        """The call is refused with @code."""
        found = self.code(call, *args)
        if found == code:
            self.bad.add(self.name(call))
        else:
            self.problems.append("%s%r is refused with %d, not %d" % (self.name(call), args, found, code))

    def stale(self, *things):
        """All that was called rightly on one of their kind is refused on things that are gone."""
        for thing in things:
            kind = type(thing).__name__
            for name, args in list(self.good.items()):
                if not name.startswith(kind + ".") or name in NOT_OF_IT:
                    continue
                call = getattr(thing, name.split(".")[1])
                code = self.code(call, *[self.fresh(arg, thing) for arg in args])
                if code == GONE[kind]:
                    self.bad.add(name)
                else:
                    self.problems.append("%s of a %s that is gone: %d" % (name, kind, code))

    def settle(self, what):
        """Ends a part of the walk."""
        problems, self.problems = self.problems, []
        assert not problems, "%s: %s" % (what, "; ".join(problems))
