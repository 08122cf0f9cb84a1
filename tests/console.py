"""console - a guest's console through the stock `virsh console`, for tests.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import pty
import re
import select
import signal
import time

PROMPT = "kiln-guest# "


class ConsoleError(Exception):
    pass


class Console:
    """`virsh console NAME` in a terminal of its own. Text that was read and not yet matched is kept."""

    def __init__(self, virsh, name, device=None):
        argv = list(virsh) + ["console", name] + ([device] if device else [])
        self.text = ""
        self.all = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(argv[0], argv)

    def _read(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.fd], [], [], left)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            return False
        if not data:
            return False
        data = data.decode(errors="replace").replace("\r", "")
        self.text += data
        self.all += data
        return True

    def expect(self, pattern, timeout):
        """Waits for the regular expression; returns the match, and forgets the text up to its end."""
        deadline = time.monotonic() + timeout
        while True:
            match = re.search(pattern, self.text)
            if match:
                self.text = self.text[match.end():]
                return match
            if not self._read(deadline):
                raise ConsoleError("no %r on the console within %d s; it showed:\n%s"
                                   % (pattern, timeout, self.all[-2000:]))

    def send(self, text):
        os.write(self.fd, text.encode())

    def command(self, command, timeout=60):
        """Types a command at the guest's prompt and returns what it printed and its exit status."""
        # the echo of the command line, which the shell wraps where it likes, must look like neither
        self.send("echo KILN'-'BEGIN; %s; echo KILN'-'STATUS $?\n" % command)
        match = self.expect(r"(?s)KILN-BEGIN\n(.*?)KILN-STATUS (\d+)\n", timeout)
        return match.group(1), int(match.group(2))

    def wake(self, timeout):
        """Gets a prompt, whatever the guest was doing."""
        deadline = time.monotonic() + timeout
        while True:
            self.send("\n")
            try:
                self.expect(re.escape(PROMPT), 3)
                return
            except ConsoleError:
                if time.monotonic() > deadline:
                    raise

    def closed(self, timeout):
        """True when virsh ends by itself in time (the guest has gone)."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not self._read(min(deadline, time.monotonic() + 0.5)):
                pid, _ = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.pid = 0
                    return True
        return False

    def close(self):
        """Leaves by ^], as a person does: virsh lives through SIGTERM while it has a console."""
        if self.pid:
            try:
                self.send("\x1d")
            except OSError:
                pass
            if not self.closed(10):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                self.pid = 0
        os.close(self.fd)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
