#!/usr/bin/python3
"""The watchdog i6300esb under its driver in a stock kernel: a guest that does not feed it meets each
action.

# timeout: 1200

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import TMP, check, test, wait_for  # noqa: E402
from vmm import Guest, initrd_with  # noqa: E402

SECONDS = 300                       # of a guest, on a busy host
WATCH = """
for module in /extra/*.ko; do insmod $module heartbeat=4 2> /dev/null; done
sleep 1
exec 3> /dev/watchdog
for round in 1 2 3 4 5 6; do
    echo a >&3
    echo "ARMED $round"
    sleep 8
done
"""

with Guest("-device", "i6300esb", "-action", "watchdog=none", "-no-shutdown",
           initrd=initrd_with(os.path.join(TMP, "initrd-watchdog"), ["i6300esb"],
                              {"run": WATCH.encode()}),
           cmdline='kiln.run="sh /extra/run"') as guest:
    def watchdogs():
        guest.qmp.do("query-status")
        return [event["data"]["action"] for event in guest.qmp.events
                if event["event"] == "WATCHDOG"]

    def bites(action, count, then):
        guest.wait_output("ARMED %d" % count, timeout=SECONDS)
        wait_for("the watchdog's event", lambda: len(watchdogs()) >= count, 200)
        check(watchdogs()[count - 1] == action, "the events are %r" % watchdogs())
        check(guest.qmp.do("query-status")["status"] == then, "the guest is not " + then)

    with test("i6300esb: none goes on"):
        bites("none", 1, "running")
    with test("i6300esb: pause stops the guest"):
        guest.qmp.do("watchdog-set-action", action="pause")
        bites("pause", 2, "watchdog")
        guest.qmp.do("watchdog-set-action", action="inject-nmi")
        guest.qmp.do("cont")
    with test("i6300esb: inject-nmi reaches the kernel"):
        bites("inject-nmi", 3, "running")
        guest.wait_output("NMI received", timeout=SECONDS)
        guest.qmp.do("watchdog-set-action", action="reset")
    with test("i6300esb: reset boots the guest anew"):
        guest.wait_output("ARMED 4", timeout=SECONDS)
        wait_for("RESET", lambda: (watchdogs(), "RESET" in guest.qmp.names())[1], 200)
        check(watchdogs()[3:] == ["reset"], "the events are %r" % watchdogs())
        guest.qmp.do("watchdog-set-action", action="poweroff")
        guest.wait_output("ARMED 1", times=2, timeout=SECONDS)
    with test("i6300esb: poweroff ends the guest"):
        wait_for("SHUTDOWN", lambda: (watchdogs(), "SHUTDOWN" in guest.qmp.names())[1], 200)
        check(watchdogs()[-2:] == ["reset", "poweroff"], "the events are %r" % watchdogs())
        guest.qmp.do("quit")
