"""inside - namespaces of a test's own, in which the daemon under test is the host's: its sockets are where
programs look for libvirt's, and whatever was started ends with the test.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import shutil
import subprocess
import sys

UNSHARE = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
           "--propagation", "private"]


def missing(*needed):
    """Why there can be none here, or none of the programs @needed; or None."""
    if os.geteuid() != 0:
        return "needs root for namespaces of its own"
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "no /dev/kvm for this user"
    absent = [name for name in needed if shutil.which(name) is None]
    if absent:
        return "no %s here" % ", ".join(absent)
    done = subprocess.run(UNSHARE + ["true"], capture_output=True, text=True, check=False)
    return "no namespaces here: " + done.stderr.strip() if done.returncode else None


def enter():
    """Comes before anything else: starts the script again, and returns in the namespaces, with a
    session's bus."""
    if "KILN_INSIDE" in os.environ:
        return
    os.environ["KILN_INSIDE"] = "yes"
    os.execvp("unshare", UNSHARE + ["dbus-run-session", "--", sys.executable] + sys.argv)


def settle(folder, sockets):
    """A loopback device, a home in @folder; qemu:///system leads to @sockets."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.makedirs("/run/libvirt", exist_ok=True)
    subprocess.run(["mount", "--bind", sockets, "/run/libvirt"], check=True)
    for name, value in (("HOME", "home"), ("XDG_RUNTIME_DIR", "run"), ("XDG_CACHE_HOME", "cache"),
                        ("XDG_CONFIG_HOME", "config"), ("XDG_DATA_HOME", "data")):
        os.environ[name] = os.path.join(folder, value)
        os.mkdir(os.environ[name], 0o700)
    # Settings stay in memory; nothing is translated.
    os.environ.update(GSETTINGS_BACKEND="memory", LC_ALL="C.UTF-8")
