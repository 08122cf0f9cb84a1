#!/usr/bin/python3
"""25-reading - what can be read of a guest that is defined and of the host, through stock clients.

SPDX-License-Identifier: LGPL-2.1-or-later
"""

import os

import libvirt

from daemon import Daemon, refused, run

XML = """<domain type='kvm'>
  <name>read</name>
  <memory unit='MiB'>128</memory>
  <vcpu>2</vcpu>
  <cputune><shares>77</shares><period>50000</period><quota>-1</quota><emulator_quota>7000</emulator_quota></cputune>
  <numatune><memory mode='interleave' nodeset='0'/></numatune>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>/nonexistent</kernel></os>
  <devices>
    <disk type='file'><driver name='qemu' type='raw'/><source file='{dir}/a.img'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file'><driver name='qemu' type='qcow2'/><source file='{dir}/b.img'/><target dev='vdb' bus='virtio'/></disk>
    <disk type='file'><driver name='qemu' type='raw'/><source file='{dir}/none.img'/><target dev='vdc' bus='virtio'/></disk>
  </devices>
</domain>
"""


def tuning_of_a_definition():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.defineXML(XML.format(dir=daemon.root))
        mode = libvirt.VIR_DOMAIN_NUMATUNE_MEM_INTERLEAVE
        assert dom.numaParameters() == {"numa_mode": mode, "numa_nodeset": "0"}, dom.numaParameters()
        refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.numaParameters, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        assert dom.securityLabelList() == []
        if os.geteuid() != 0:
            refused(libvirt.VIR_ERR_OPERATION_UNSUPPORTED, dom.schedulerType)
        else:
            try:
                assert dom.schedulerType() == ("posix", 9)
            except libvirt.libvirtError as err:  # a host that lends no CPU controller says so
                assert err.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID and "cgroup" in str(err), err
                return "this host lends no cgroup CPU controller"
            want = {"cpu_shares": 77, "vcpu_period": 50000, "vcpu_quota": -1, "emulator_quota": 7000}
            got = dom.schedulerParameters()
            assert len(got) == 9 and {key: got[key] for key in want} == want, got
            assert {got[key] for key in got if key not in want} == {0}, got
            refused(libvirt.VIR_ERR_OPERATION_INVALID, dom.schedulerParametersFlags,
                    libvirt.VIR_DOMAIN_AFFECT_LIVE)
        conn.close()
    return None


def sizes_of_disks():
    with Daemon() as daemon:
        image = os.path.join(daemon.root, "a.img")
        with open(image, "wb") as stream:
            stream.write(os.urandom(1 << 20))
            stream.truncate(10 << 20)
        conn = libvirt.open(daemon.uri("qemu"))
        dom = conn.defineXML(XML.format(dir=daemon.root))
        allocated = os.stat(image).st_blocks * 512
        for path in ("vda", image):
            assert dom.blockInfo(path) == [10 << 20, allocated, 10 << 20], dom.blockInfo(path)
        for missing in ("vdb", "vdc"):
            refused(libvirt.VIR_ERR_SYSTEM_ERROR, dom.blockInfo, missing)
        refused(libvirt.VIR_ERR_INVALID_ARG, dom.blockInfo, "vdd")
        conn.close()


def host_memory():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        page = os.sysconf("SC_PAGESIZE") // 1024
        free = conn.getFreePages([page], 0, 1)
        with open("/proc/meminfo", encoding="ascii") as stream:
            total = int(stream.readline().split()[1]) // page
        assert 0 < free[0][page] < total, (free, total)
        refused(libvirt.VIR_ERR_OPERATION_FAILED, conn.getFreePages, [3], 0, 1)
        refused(libvirt.VIR_ERR_OPERATION_FAILED, conn.getFreePages, [page], 4096, 1)
        merging = conn.getMemoryParameters()
        if os.path.exists("/sys/kernel/mm/ksm/pages_to_scan"):
            with open("/sys/kernel/mm/ksm/pages_to_scan", encoding="ascii") as stream:
                assert merging["shm_pages_to_scan"] == int(stream.read()), merging
        else:
            assert merging == {}, merging
        conn.close()


def cpu_models():
    with Daemon() as daemon:
        conn = libvirt.open(daemon.uri("qemu"))
        names = conn.getCPUModelNames("x86_64")
        assert "qemu64" in names and "Skylake-Client" in names, names
        assert len(set(names)) == len(names)
        refused(libvirt.VIR_ERR_INVALID_ARG, conn.getCPUModelNames, "aarch64")
        assert daemon.virsh("cpu-models", "x86_64", scheme="qemu").split() == names
        conn.close()


if __name__ == "__main__":
    libvirt.registerErrorHandler(lambda *_: None, None)
    run([tuning_of_a_definition, sizes_of_disks, host_memory, cpu_models])
