#!/usr/bin/python3
"""kill -9 of the daemon under a running guest, and of the VMM under a running daemon.

# timeout: 900

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import (Daemon, TMP, address, check, console, define, gone, run, state, test, virsh, vmm_pid,
                   wait_for, wait_ready)  # noqa: E402

daemon = Daemon()
daemon.start()
try:
    with test("a guest outlives kill -9 of the daemon"):
        define("stays")
        virsh("start", "stays")
        wait_ready("stays")
        pid, before = vmm_pid("stays"), virsh("domid", "stays").strip()
        lease = address("stays")
        xml = virsh("dumpxml", "stays")
        daemon.kill()
        check(vmm_pid("stays") == pid, "the guest died with the daemon")
        run("ping", "-c", "1", "-W", "5", lease)
        daemon.start()
        check(state("stays") == "running", "its state is '%s'" % state("stays"))
        check(virsh("domid", "stays").strip() == before, "its id changed")
        check(virsh("dumpxml", "stays") == xml, "its live XML changed")
    with test("its console and its life go on under the new daemon"):
        with console("stays") as terminal:
            terminal.expect("Connected to domain", 20)
            terminal.wake(30)
            answer, status = terminal.command("echo still $((40 + 2))")
            check("still 42" in answer and status == 0, answer)
    with test("a client that dies in the middle of a stream gives the console back"):
        holder = console("stays")
        holder.expect("Connected to domain", 20)
        os.kill(holder.pid, signal.SIGKILL)
        os.waitpid(holder.pid, 0)
        with console("stays") as terminal:
            terminal.expect("Connected to domain", 20)
            terminal.wake(30)
    with test("a paused guest is still paused for a new daemon"):
        virsh("suspend", "stays")
        check(state("stays") == "paused", state("stays"))
        daemon.kill()
        daemon.start()
        check(state("stays") == "paused", "after a restart: " + state("stays"))
        virsh("resume", "stays")
    with test("a guest that died meanwhile is known to be gone"):
        daemon.kill()
        os.kill(vmm_pid("stays"), signal.SIGKILL)
        daemon.start()
        wait_for("the guest is known to be off", lambda: state("stays") == "shut off", 20)
        gone("stays")
    with test("the network outlives the daemon"):
        virsh("start", "stays")
        wait_ready("stays")
        run("ping", "-c", "1", "-W", "5", address("stays"))
    with test("kill -9 of the VMM is seen, named and cleaned up"):
        events = subprocess.Popen(["virsh", "-c", "qemu:///system", "event", "stays", "lifecycle",
                                   "--timeout", "30"], stdout=subprocess.PIPE, text=True)
        time.sleep(2)
        os.kill(vmm_pid("stays"), signal.SIGKILL)
        out = events.communicate(timeout=60)[0]
        check("Stopped" in out, "the event was: " + out)
        wait_for("the guest is off", lambda: state("stays") == "shut off", 20)
        reason = virsh("domstate", "--reason", "stays")
        check("crashed" in reason or "failed" in reason, reason)
        gone("stays")
    with test("kill -9 of the daemon at any moment of a start leaves a guest that can be used"):
        rng = random.Random(7)
        for _ in range(6):
            start = subprocess.Popen(["virsh", "-c", "qemu:///system", "start", "stays"],
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(rng.uniform(0, 1.2))
            daemon.kill()
            start.wait(30)
            daemon.start()
            now = wait_for("a settled state", lambda: state("stays") in ("running", "shut off", "paused")
                           and state("stays"), 20)
            if now != "shut off":
                check(vmm_pid("stays"), "said to be %s without a process" % now)
                virsh("destroy", "stays")
            wait_for("nothing is left", lambda: state("stays") == "shut off", 20)
            gone("stays")
        virsh("start", "stays")
        wait_ready("stays")
        virsh("destroy", "stays")
    with test("undefine after all that"):
        virsh("undefine", "stays")
        gone("stays")
finally:
    print(daemon.tail()[-1500:] if daemon.process.poll() is not None else "")
    daemon.stop()
