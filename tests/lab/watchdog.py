"""watchdog.py - notices when the lab, or one of its processors, has stopped for good.

The emulator's nested SVM loses an interrupt now and then: the processor that should have had it
stays halted, or stays in a guest that never leaves it, and with it whatever the lab's kernel had put
on it. The lab's first process gives a sign every few seconds; and a living Linux processor runs its
own watchdog timer every 4 seconds, so one whose thread used no time at all for STILL seconds has
stopped as well. An NMI often sets it going again; where it does not, the lab has to be given up.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import json
import socket
import threading
import time

STILL, SILENT, PERIOD = 40, 90, 4


class Watchdog(threading.Thread):
    """Looks after the QEMU process @pid with its QMP socket at @path; calls @give_up(text) from its
    own thread when a processor cannot be woken."""

    def __init__(self, pid, path, say, give_up):
        super().__init__(daemon=True)
        self.pid, self.path, self.say, self.give_up = pid, path, say, give_up
        self.ended = threading.Event()
        self.sign = time.monotonic()
        self.called = None      # when the silent lab was given an NMI

    def beat(self):
        """The lab has given a sign."""
        self.sign = time.monotonic()

    def end(self):
        self.ended.set()

    def used(self, thread):
        """Nanoseconds that a thread ran."""
        with open("/proc/%d/task/%d/schedstat" % (self.pid, thread), encoding="ascii") as file:
            return int(file.read().split()[0])

    def silent(self, execute):
        """Looks after the lab's signs; whether there is no hope left."""
        now = time.monotonic()
        if self.called and self.sign > self.called:
            self.say("the lab goes on")
            self.called = None
        elif self.called and now - self.called > SILENT:
            self.give_up("the lab gave no sign for %d s" % (now - self.sign))
            return True
        elif not self.called and now - self.sign > SILENT:
            self.say("the lab gave no sign for %d s; it gets an NMI" % SILENT)
            execute("inject-nmi")
            self.called = now
        return False

    def watch(self, qmp):
        reader = qmp.makefile("r", encoding="utf-8")

        def execute(name):
            qmp.sendall(json.dumps({"execute": name}).encode() + b"\n")
            while True:
                answer = json.loads(reader.readline())
                if "return" in answer or "error" in answer:
                    return answer.get("return")

        reader.readline()
        execute("qmp_capabilities")
        threads = {cpu["cpu-index"]: cpu["thread-id"] for cpu in execute("query-cpus-fast")}
        seen = {cpu: (self.used(thread), time.monotonic()) for cpu, thread in threads.items()}
        woken = {}
        while not self.ended.wait(PERIOD):
            if self.silent(execute):
                return
            for cpu, thread in threads.items():
                used, now = self.used(thread), time.monotonic()
                if used != seen[cpu][0]:
                    if cpu in woken:
                        self.say("processor %d of the lab runs again" % cpu)
                        del woken[cpu]
                    seen[cpu] = (used, now)
                elif cpu in woken:
                    if now - woken[cpu] > STILL:
                        self.give_up("processor %d of the lab takes no interrupts any more" % cpu)
                        return
                elif now - seen[cpu][1] > STILL:
                    self.say("processor %d of the lab stood still for %d s (the emulator lost an interrupt);"
                             " it gets an NMI" % (cpu, STILL))
                    # what wakes it uses some time: only what comes after that counts
                    execute("inject-nmi")
                    time.sleep(1)
                    seen[cpu] = (self.used(thread), now)
                    woken[cpu] = now

    def run(self):
        try:
            with socket.socket(socket.AF_UNIX) as qmp:
                qmp.connect(self.path)
                self.watch(qmp)
        except (OSError, ValueError):
            pass  # the lab has ended
