"""watchdog.py - notices when a processor of the lab has stopped for good.

The emulator's nested SVM loses an interrupt now and then: the processor that should have had it
stays halted, and with it whatever the lab's kernel had put on it. A living Linux processor runs its
own watchdog timer every 4 seconds, so one whose thread used no time at all for STILL seconds is such
a case. An NMI often sets it going again; where it does not, the lab has to be given up.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import json
import socket
import threading
import time

STILL, PERIOD = 40, 4


class Watchdog(threading.Thread):
    """Looks after the QEMU process @pid with its QMP socket at @path; calls @give_up(text) from its
    own thread when a processor cannot be woken."""

    def __init__(self, pid, path, say, give_up):
        super().__init__(daemon=True)
        self.pid, self.path, self.say, self.give_up = pid, path, say, give_up
        self.ended = threading.Event()

    def end(self):
        self.ended.set()

    def used(self, thread):
        """Nanoseconds that a thread ran."""
        with open("/proc/%d/task/%d/schedstat" % (self.pid, thread), encoding="ascii") as file:
            return int(file.read().split()[0])

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
