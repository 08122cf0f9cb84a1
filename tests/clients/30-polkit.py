#!/usr/bin/python3
"""30-polkit - stock virsh as ordinary users of a virtkilnd that asks a real polkitd, on a bus of its
own.

Everything polkit reads (users, rules, actions, PAM) is replaced in a mount namespace of this test's.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time

from daemon import Daemon, run, wait_for

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
POLKITD = next((path for path in ("/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd")
                if os.path.exists(path)), None)
PASSWORD = "correct horse"
SECRET = ("$6$kilntests$QUDFi9edl1paM4nLlswhcI1T27ZAN6ePrR92PV91wCQb5Ch"
          "QapaIPk6xaB9/CKw.gRVxyfbFyaZUC0vHeh314/")
BUS_SOCKET = "/run/dbus/system_bus_socket"
# Ordinary users: what they are there for, and their ids.
USERS = {"kilnyes": 64101, "kilnno": 64102, "kilnask": 64103, "kilngroup": 64104}
BUS = """<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/> <allow own="*"/> <allow send_type="method_call"/> <allow send_type="signal"/>
    <allow send_requested_reply="true"/> <allow receive_type="method_call"/>
    <allow receive_type="signal"/> <allow receive_requested_reply="true"/>
  </policy>
</busconfig>
"""
RULES = """polkit.addRule(function(action, subject) {
    if (action.id != "org.libvirt.unix.manage")
        return undefined;
    if (subject.user == "kilnyes")
        return polkit.Result.YES;
    if (subject.user == "kilnno")
        return polkit.Result.NO;
    if (subject.user == "kilnask")
        return polkit.Result.AUTH_SELF;
});
polkit.addRule(function(action, subject) {
    if (action.id == "org.libvirt.unix.monitor" && subject.user == "kilnno")
        return polkit.Result.NO;
});
"""


class Polkit:
    """A bus and a polkitd with the users and rules above."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="kiln-polkit-")
        os.chmod(self.dir, 0o755)
        self.replace_users()
        self.replace("/etc/polkit-1/rules.d", {"10-test.rules": RULES})
        # Ours is among those of the distribution, as when it is installed.
        with open(SOURCE + "/driver/systemd/kiln.rules", encoding="utf-8") as stream:
            self.replace("/usr/share/polkit-1/rules.d", {"60-kiln.rules": stream.read()})
        with open(SOURCE + "/driver/systemd/org.kiln.unix.policy", encoding="utf-8") as stream:
            self.replace("/usr/share/polkit-1/actions", {"org.kiln.unix.policy": stream.read()})
        # polkit's helper clears its environment: the bus has to be where everyone looks for it.
        self.replace("/run/dbus", {})
        self.replace("/etc/pam.d", {"polkit-1": "auth required pam_unix.so\naccount required pam_permit.so\n"})
        self.start()

    def file(self, name, text, mode=0o644):
        path = os.path.join(self.dir, name)
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(path, mode)
        return path

    def replace(self, place, files):
        """Puts a directory of these files over @place."""
        mine = os.path.join(self.dir, place.strip("/").replace("/", "-"))
        os.mkdir(mine, 0o755)
        for name, text in files.items():
            self.file(os.path.join(mine, name), text)
        subprocess.run(["mount", "--bind", mine, place], check=True)

    def replace_users(self):
        lines = {"passwd": "", "shadow": "", "group": ""}
        for name, number in USERS.items():
            lines["passwd"] += "%s:x:%d:%d::/nonexistent:/bin/sh\n" % (name, number, number)
            lines["shadow"] += "%s:%s:19000:0:99999:7:::\n" % (name, SECRET)
            lines["group"] += "%s:x:%d:\n" % (name, number)
        for name, more in lines.items():
            with open("/etc/" + name, encoding="utf-8") as stream:
                text = stream.read()
            if name == "group":
                text = re.sub("(?m)^libvirt:.*\n", "", text)
                more += "libvirt:x:64200:kilngroup\n"
            mine = self.file(name, text + more, os.stat("/etc/" + name).st_mode & 0o777)
            subprocess.run(["mount", "--bind", mine, "/etc/" + name], check=True)

    def start(self):
        config = self.file("bus.conf", BUS)
        self.log = open(self.dir + "/log", "ab")
        self.bus = subprocess.Popen(["dbus-daemon", "--config-file=" + config, "--nofork", "--nopidfile"],
                                    stdout=self.log, stderr=self.log)
        wait_for("a bus", lambda: os.path.exists(BUS_SOCKET))
        self.daemon = subprocess.Popen([POLKITD], stdout=self.log, stderr=self.log)
        ask = ["dbus-send", "--system", "--print-reply", "--dest=org.freedesktop.DBus",
               "/org/freedesktop/DBus", "org.freedesktop.DBus.GetNameOwner",
               "string:org.freedesktop.PolicyKit1"]
        wait_for("polkitd", lambda: subprocess.run(ask, capture_output=True).returncode == 0)

    def messages(self):
        with open(self.dir + "/log", encoding="utf-8", errors="replace") as stream:
            return stream.read()

    def stop(self):
        for process in (self.daemon, self.bus):
            process.terminate()
            process.wait(20)
        self.log.close()
        if os.path.exists(BUS_SOCKET):
            os.unlink(BUS_SOCKET)


def daemon_with_polkit():
    daemon = Daemon(config='auth_unix_rw = "polkit"\nauth_unix_ro = "polkit"\n')
    os.chmod(daemon.root, 0o755)
    return daemon


def as_user(user, *argv):
    return ["setpriv", "--reuid=%d" % USERS[user], "--regid=%d" % USERS[user], "--init-groups"] + list(argv)


def virsh(daemon, user, *argv, read_only=False):
    """(status, output) of virsh run by @user, who has no terminal and so no agent."""
    done = subprocess.run(
        as_user(user, "virsh", *(["-r"] if read_only else []), "-c", daemon.uri(read_only=read_only), *argv),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, timeout=60, start_new_session=True)
    return done.returncode, done.stdout


class AskedVirsh:
    """virsh run by @user, with polkit's agent on a terminal where it asks for the password.

    The agent is started here: the one that virsh starts is a fallback, which polkit only uses within a
    session of logind."""

    def __init__(self, daemon, user, *argv):
        self.text = ""
        self.virsh = subprocess.Popen(
            as_user(user, "sh", "-c", 'read go && exec virsh "$@"', "virsh", "-c", daemon.uri(), *argv),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True)
        # polkit lets nobody register for a process of another's
        wait_for("the user's process", lambda: os.stat("/proc/%d" % self.virsh.pid).st_uid == USERS[user])
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            command = as_user(user, "pkttyagent", "--process", str(self.virsh.pid), "--notify-fd", "1")
            os.execvp(command[0], command)
        wait_for("agent", lambda: "Registered Authentication Agent for unix-process:%d:" % self.virsh.pid
                 in POLKIT.messages())
        self.virsh.stdin.write("go\n")
        self.virsh.stdin.flush()

    def expect(self, text, seconds=20):
        until = time.monotonic() + seconds
        while text not in self.text:
            assert time.monotonic() < until, "no %r but %r" % (text, self.text)
            if select.select([self.terminal], [], [], 0.1)[0]:
                self.text += os.read(self.terminal, 4096).decode(errors="replace")

    def answer(self, text):
        # What is typed before the agent turned the echo off is thrown away.
        wait_for("end of the echo", lambda: not termios.tcgetattr(self.terminal)[3] & termios.ECHO)
        os.write(self.terminal, text.encode() + b"\n")

    def wait(self):
        """(status, output)"""
        out, _ = self.virsh.communicate(timeout=60)
        return self.virsh.returncode, out

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.virsh.kill()
        self.virsh.wait()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


def rules_let_in_and_keep_out():
    with daemon_with_polkit() as daemon:
        status, out = virsh(daemon, "kilnyes", "hostname")
        assert status == 0 and out.strip(), out
        status, out = virsh(daemon, "kilnno", "hostname")
        assert status == 1 and "authentication failed: access denied by policy" in out, out
        # what was refused is refused for all calls of that connection, and others go on
        status, out = virsh(daemon, "kilnyes", "net-list", "--all")
        assert status == 0, out
        assert "may not 'org.libvirt.unix.manage'" in daemon.messages(), daemon.messages()


def looking_is_an_action_of_its_own():
    with daemon_with_polkit() as daemon:
        status, out = virsh(daemon, "kilnask", "hostname", read_only=True)
        assert status == 0, out
        status, out = virsh(daemon, "kilnno", "hostname", read_only=True)
        assert status == 1 and "access denied by policy" in out and "org.libvirt.unix.monitor" in out, out


def the_group_libvirt_manages():
    with daemon_with_polkit() as daemon:
        status, out = virsh(daemon, "kilngroup", "hostname")
        assert status == 0, out


def root_is_not_asked():
    with daemon_with_polkit() as daemon:
        assert daemon.virsh("hostname").strip()


def without_an_agent_it_says_so():
    with daemon_with_polkit() as daemon:
        status, out = virsh(daemon, "kilnask", "hostname")
        assert status == 1, out
        assert ("authentication unavailable: no polkit agent available to authenticate action "
                "'org.libvirt.unix.manage'") in out, out


def password_lets_in():
    with daemon_with_polkit() as daemon, AskedVirsh(daemon, "kilnask", "hostname") as asked:
        asked.expect("Managing virtual machines of the system needs authentication")
        asked.expect("Password: ")
        asked.answer(PASSWORD)
        asked.expect("AUTHENTICATION COMPLETE")
        status, out = asked.wait()
        assert status == 0 and out.strip(), out


def wrong_password_does_not():
    with daemon_with_polkit() as daemon, AskedVirsh(daemon, "kilnask", "hostname") as asked:
        # virsh tries five times before it gives up
        for _ in range(5):
            asked.expect("Password: ")
            asked.text = ""
            asked.answer("battery staple")
            asked.expect("AUTHENTICATION FAILED")
        status, out = asked.wait()
        assert status == 1 and "authentication failed: access denied by policy" in out, out


def waiting_for_a_password_holds_up_nobody():
    with daemon_with_polkit() as daemon:
        with AskedVirsh(daemon, "kilnask", "hostname") as asked:
            asked.expect("Password: ")
            assert virsh(daemon, "kilnyes", "hostname")[0] == 0
        # Whoever is gone is not waited for: the daemon ends at once.
        begun = time.monotonic()
        assert daemon.stop() == 0 and time.monotonic() - begun < 5


def daemon_outlives_the_bus():
    with daemon_with_polkit() as daemon:
        with AskedVirsh(daemon, "kilnask", "hostname") as asked:
            asked.expect("Password: ")
            POLKIT.stop()
            status, out = asked.wait()
            # virsh tries again where it hears that polkit has gone before it hears of its refusal
            assert status == 1, out
            assert re.search("authentication (failed: polkit|unavailable: no polkit)", out), out
        status, out = virsh(daemon, "kilnyes", "hostname")
        assert status == 1 and "authentication unavailable: no polkit" in out, out
        assert daemon.virsh("hostname").strip()
        POLKIT.start()
        status, out = virsh(daemon, "kilnyes", "hostname")
        assert status == 0, out
        assert daemon.process.poll() is None


if __name__ == "__main__":
    TESTS = [rules_let_in_and_keep_out, looking_is_an_action_of_its_own, the_group_libvirt_manages,
             root_is_not_asked, without_an_agent_it_says_so, password_lets_in, wrong_password_does_not,
             waiting_for_a_password_holds_up_nobody, daemon_outlives_the_bus]
    MISSING = [what for what, there in (
        ("root", os.geteuid() == 0), ("polkitd", POLKITD), ("dbus-daemon", shutil.which("dbus-daemon")),
        ("dbus-send", shutil.which("dbus-send")), ("pkttyagent", shutil.which("pkttyagent"))) if not there]
    if MISSING:
        for test in TESTS:
            print("skip %s - needs %s" % (test.__name__.replace("_", "-"), ", ".join(MISSING)))
        sys.exit(0)
    if sys.argv[1:] != ["--inside"]:
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable,
                              os.path.abspath(__file__), "--inside"])
    POLKIT = Polkit()
    try:
        run(TESTS)
    finally:
        POLKIT.stop()
        shutil.rmtree(POLKIT.dir, ignore_errors=True)
