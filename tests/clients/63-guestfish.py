#!/usr/bin/python3
"""63-guestfish - file systems that libguestfs makes on images of kiln-img: its appliance's kernel writes them
through QEMU, kiln-img reads them.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from daemon import BUILD, run  # noqa: E402

KILN_IMG = os.path.abspath(BUILD + "/block/img/kiln-img")
# name, format, options, size ("": that of what it lies on)
IMAGES = (("base", "qcow2", "", "32M"), ("plain", "qcow2", "", "32M"),
          ("above", "qcow2", "extended_l2=on,cluster_size=128k,backing_file=base,backing_fmt=qcow2", ""),
          ("vmdk", "vmdk", "", "32M"), ("vdi", "vdi", "", "32M"), ("vpc", "vpc", "", "32M"),
          ("vhdx", "vhdx", "", "32M"))
WRITTEN = IMAGES[1:]
SECONDS = 500
WORDS = "written by the appliance's kernel into %s"


def call(*argv, **more):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **more)
    assert done.returncode == 0, "%s: %d: %s" % (" ".join(argv[:3]), done.returncode, done.stdout[-1500:])
    return done.stdout


def write_all(where):
    """A file system with one file on each of WRITTEN."""
    script, disks = ["run"], []
    for number, (name, form, _, _) in enumerate(WRITTEN):
        device = "/dev/sd" + "abcdef"[number]
        disks += ["--format=" + form, "-a", name]
        script += ["mkfs ext2 " + device, "mount %s /" % device, 'write /words "%s"' % (WORDS % name), "umount /"]
    call("guestfish", *disks, input="\n".join(script) + "\n", cwd=where, timeout=SECONDS,
         env={**os.environ, "LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"})


def file_systems_of_another_kernel():
    if not shutil.which("guestfish"):
        return "no guestfish here"
    with tempfile.TemporaryDirectory(prefix="kiln-guestfish-", dir="/var/tmp") as where:
        for name, form, options, size in IMAGES:
            call(KILN_IMG, "create", "-q", "-f", form, *(["-o", options] if options else []), name,
                 *([size] if size else []), cwd=where)
        write_all(where)
        for name, form, _, _ in WRITTEN:
            if form != "vpc":           # which has nothing to check
                call(KILN_IMG, "check", "-q", "-f", form, name, cwd=where)
            call(KILN_IMG, "convert", "-f", form, "-O", "raw", name, "raw", cwd=where)
            call("qemu-img", "compare", "-f", form, "-F", "raw", name, "raw", cwd=where)
            call("/sbin/e2fsck", "-fn", "raw", cwd=where)
            said = call("/sbin/debugfs", "-R", "cat /words", "raw", cwd=where)
            assert WORDS % name in said, said
    return None


run([file_systems_of_another_kernel])
