#!/usr/bin/python3
"""A stock kernel with few and many processors, and with little and much memory: it counts all of
them, and memory holds what is written to it.

Three of them here; all by
    KILN_WHOLE=1 run-suites 33-sizes

# timeout: 1800
# late:

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.environ["KILN_PROJECT"], "tests/lab"))
from suite import TMP, check, test  # noqa: E402
from vmm import Guest, initrd_with  # noqa: E402

WHOLE = "KILN_WHOLE" in os.environ
SECONDS = 600                       # of 64 processors on the lab's two
# The memory that a kernel gives away first lies above 4 GiB where there is some.
SCRIPT = """
mount -t tmpfs -o size=90% none /tmp
head -c 1M /dev/urandom > /tmp/one
mib=$(sed 's/.*kiln.mib=\\([0-9]*\\).*/\\1/' /proc/cmdline)
for n in $(seq $mib); do cat /tmp/one; done | tee /tmp/all | md5sum > /tmp/sum
md5sum < /tmp/all | cmp -s - /tmp/sum && echo SAME
echo CPUS $(nproc) of $(ls -d /sys/devices/system/cpu/cpu[0-9]* | wc -l)
grep MemTotal /proc/meminfo
grep 'System RAM' /proc/iomem | tail -n 1
dmesg | grep -i -E 'firmware bug|not responding|do_boot_cpu|topology.*(differ|wrong)' | sed 's/^/COMPLAINT /'
"""
# Machine, -smp, processors, MiB of memory, MiB of it that are filled. In 64 MiB a stock kernel has no
# room for anything but itself.
ALL = [("q35", "1", 1, 256, 8), ("q35", "2", 2, 256, 8), ("pc", "3", 3, 256, 8),
       ("q35", "8,sockets=2,cores=2,threads=2", 8, 256, 8), ("pc", "8", 8, 256, 8), ("q35", "16", 16, 384, 8),
       ("q35", "64", 64, 768, 8), ("pc", "64", 64, 768, 8), ("q35", "1", 1, 128, 8), ("q35", "1", 1, 5120, 64),
       ("pc", "2", 2, 4608, 64)]
FEW = [("pc", "3", 3, 256, 8), ("q35", "8,sockets=2,cores=2,threads=2", 8, 256, 8), ("q35", "1", 1, 5120, 64)]


def size(machine, smp, cpus, memory, filled):
    with test("%s, -smp %s, %d MiB" % (machine, smp, memory)), \
            Guest("-machine", machine, "-smp", smp, initrd=INITRD, memory=str(memory),
                  cmdline='kiln.mib=%d kiln.run="sh /extra/run"' % filled) as guest:
        guest.wait_output("KILN-RUN-END", timeout=SECONDS)
        out = guest.output()
        check("CPUS %d of %d" % (cpus, cpus) in out, "it has others: %s" % re.findall(r"CPUS.*", out))
        check("SAME" in out, "memory does not hold what was written to it")
        total = int(re.search(r"MemTotal:\s+(\d+)", out)[1]) / 1024
        check(memory * 0.7 - 40 < total <= memory, "it has %d MiB" % total)
        last = int(re.search(r"-([0-9a-f]+) : System RAM", out)[1], 16)
        check((last >= 1 << 32) == (memory > 3072), "its memory ends at %#x" % last)
        bad = re.findall(r"COMPLAINT .*", out)
        check(not bad, " | ".join(bad))


INITRD = initrd_with(os.path.join(TMP, "initrd"), [], {"run": SCRIPT.encode()})
for row in ALL if WHOLE else FEW:
    size(*row)
