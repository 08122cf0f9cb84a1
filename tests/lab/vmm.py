"""vmm - kiln-vmm by itself, for the suites of the lab: its options, its QMP, its guest's console.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import json
import os
import shutil
import socket
import subprocess

from suite import PROJECT, TMP, VMM, check, guest_files, wait_for
from lines import Lines     # suite says where the tests' own modules are

READY_SECONDS = 150


class Qmp:
    """One session; events are kept in the order in which they came."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(path)
        self.file = Lines(self.socket)
        self.events = []
        self.greeting = json.loads(self.file.readline())
        self.do("qmp_capabilities")

    def read(self):
        line = self.file.readline()
        if not line:
            return None
        message = json.loads(line)
        if "event" in message:
            self.events.append(message)
        return message

    def send(self, command, **arguments):
        self.file.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        while True:
            message = self.read()
            check(message is not None, "the QMP session ended during " + command)
            if "event" not in message:
                return message

    def do(self, command, **arguments):
        reply = self.send(command, **arguments)
        check("return" in reply, "%s: %s" % (command, reply))
        return reply["return"]

    def drain(self):
        """Reads events until the other end is gone."""
        while self.read() is not None:
            pass

    def names(self):
        return [event["event"] for event in self.events]

    def close(self):
        self.file.close()
        self.socket.close()


class Guest:
    count = 0

    def __init__(self, *options, kernel="vmlinuz", initrd=None, cmdline="", memory="256",
                 sandbox=True):
        """@kernel None: the guest boots by its firmware."""
        Guest.count += 1
        base = os.path.join(TMP, "vmm%d" % Guest.count)
        self.serial, self.qmp_path = base + ".serial", base + ".qmp"
        argv = [VMM, "-name", "guest=vmm%d,debug-threads=on" % Guest.count, "-nodefaults",
                "-m", memory, "-chardev", "file,id=serial0,path=" + self.serial,
                "-device", "isa-serial,chardev=serial0",
                "-qmp", "unix:%s,server=on,wait=off" % self.qmp_path, *options]
        if kernel:
            files = guest_files()
            argv += ["-kernel", os.path.join(files, kernel),
                     "-initrd", initrd or os.path.join(files, "initrd"), "-append",
                     "console=ttyS0 quiet panic=-1 mitigations=off " + cmdline]
        if sandbox:
            argv += ["-sandbox", "on,user=64055:64055"]
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
        wait_for("the QMP socket", self.has_qmp, 20)
        self.qmp = Qmp(self.qmp_path)

    def has_qmp(self):
        if self.process.poll() is not None:
            check(False, "kiln-vmm refused: " + self.process.stderr.read())
        return os.path.exists(self.qmp_path)

    def output(self):
        with open(self.serial, errors="replace") as file:
            return file.read()

    def wait_output(self, text, times=1, timeout=READY_SECONDS):
        def said():
            check(self.process.poll() is None or text in self.output(),
                  "kiln-vmm ended before %r" % text)
            return self.output().count(text) >= times
        wait_for("%r on the console" % text, said, timeout)

    def end(self, timeout=60):
        status = self.process.wait(timeout)
        return status, self.process.stderr.read()

    def __enter__(self):
        return self

    def __exit__(self, problem=None, *unused):
        if problem:
            print("# the console's end:\n" + "".join("# %s\n" % line for line in self.output().splitlines()[-10:]))
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        elif self.process.returncode and not self.process.stderr.closed:
            print("# kiln-vmm ended with %d: %s" % (self.process.returncode, self.process.stderr.read()))
        with open(os.path.join(os.environ["KILN_SUITE_OUT"], os.path.basename(self.serial)),
                  "w") as file:
            file.write(self.output())


def initrd_with(path, modules, files):
    """The test guest's initial RAM disk with a folder /extra: kernel modules, numbered in the order in
    which they load, and @files (name to bytes)."""
    extra = path + ".d/extra"
    os.makedirs(extra)
    found = subprocess.run(
        ["bash", "-c", '. "$0/lib.sh"; module_files "$(kernel_version)" "$@"',
         os.path.join(PROJECT, "tests/lab"), *modules],
        stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    for number, module in enumerate(found):
        target = os.path.join(extra, "%02d-%s" % (number, os.path.basename(module)))
        with open(module, "rb") as source, open(target, "wb") as copy:
            copy.write(source.read())
    for name, data in files.items():
        with open(os.path.join(extra, name), "wb") as file:
            file.write(data)
    with open(path, "wb") as file:
        with open(os.path.join(guest_files(), "initrd"), "rb") as base:
            file.write(base.read())
        file.write(subprocess.run("find . | cpio --quiet -o -H newc", shell=True, cwd=path + ".d",
                                  stdout=subprocess.PIPE, check=True).stdout)
    return path


def debian_image(name):
    """A copy of the installed Debian's image. None, and @name is skipped, where there is none."""
    made = subprocess.run([os.path.join(PROJECT, "tests/lab/debian"), "--cached"],
                          stdout=subprocess.PIPE, text=True, check=False)
    if made.returncode:
        print("skip %s - there is no image, see tests/lab/debian" % name, flush=True)
        return None
    path = os.path.join(TMP, "debian.img")
    subprocess.run(["cp", "--sparse=always", made.stdout.strip(), path], check=True)
    os.chmod(path, 0o666)
    return path


def flash(variables):
    """Options for OVMF with a variable store in a file, which is made from the template."""
    if not os.path.exists(variables):
        shutil.copyfile("/usr/share/OVMF/OVMF_VARS_4M.fd", variables)
        os.chmod(variables, 0o666)
    return ["-drive", "if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
            "-drive", "if=pflash,unit=1,format=raw,file=" + variables]
