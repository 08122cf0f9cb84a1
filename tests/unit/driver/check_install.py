#!/usr/bin/python3
"""check_install - `meson install` puts the programs, units, manual pages and schemas where they belong.

usage: check_install.py BUILD_DIR

Reads meson's own plan of the installation, so that nothing need be built; then systemd and man judge
those files that are there without building.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import json
import os
import re
import shutil
import subprocess
import sys

WANTED = (
    "{sbindir}/virtkilnd", "{bindir}/kiln-vmm", "{libexecdir}/kiln/kiln-leases",
    "{mandir}/man8/virtkilnd.8", "{mandir}/man1/kiln-vmm.1",
    *("{prefix}/lib/systemd/system/%s" % unit for unit in (
        "virtkilnd.service", "virtkilnd.socket", "virtkilnd-ro.socket", "virtkilnd-qemu.socket",
        "virtkilnd-qemu-ro.socket", "virtkilnd-libvirt.socket", "virtkilnd-libvirt-ro.socket")),
    *("{prefix}/lib/systemd/user/%s" % unit for unit in (
        "virtkilnd.service", "virtkilnd.socket", "virtkilnd-qemu.socket")),
    "{prefix}/lib/sysusers.d/kiln.conf", "{prefix}/lib/tmpfiles.d/kiln.conf",
    "{datadir}/polkit-1/actions/org.kiln.unix.policy", "{datadir}/polkit-1/rules.d/60-kiln.rules",
    "{datadir}/kiln/schemas/domain.rng", "{datadir}/kiln/schemas/network.rng",
)


def ask(build, what):
    out = subprocess.run(["meson", "introspect", what, build], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)


def main():
    build = sys.argv[1]
    options = {option["name"]: option["value"] for option in ask(build, "--buildoptions")}
    places = {"prefix": options["prefix"]}
    for name in ("sbindir", "bindir", "libexecdir", "mandir", "datadir"):
        places[name] = os.path.join(options["prefix"], options[name])
    plan = {target: source for source, target in ask(build, "--installed").items()}
    failed = 0
    for wanted in WANTED:
        path = wanted.format(**places)
        if path not in plan:
            failed += 1
            print("not installed:", path)
    units = [(source, target) for target, source in plan.items() if "/systemd/system/" in target]
    if shutil.which("systemd-analyze") and units:
        failed += verify(units)
    return 1 if failed else 0


def verify(units):
    """Units are judged as installed; programs they name need not be installed here."""
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *(source for source, _ in units)],
                          capture_output=True, text=True)
    bad = [line for line in done.stderr.splitlines()
           if not re.search(r"is not executable|Failed to (prepare|create|load) .*virtkilnd|Unit .* not found",
                            line) and "virtkilnd" in line]
    for line in bad:
        print("systemd-analyze:", line)
    return len(bad)


sys.exit(main())
