#!/bin/bash
# 00-lab.sh - proves the lab itself: a KVM that runs code, what networks are made of, the outside.
# timeout: 300
#
# SPDX-License-Identifier: LGPL-2.1-or-later

set -u

# Runs COMMAND... as the test NAME.
try()
{
    local name=$1 answer
    shift
    if answer=$("$@" 2>&1); then
        echo "ok $name"
    else
        echo "not ok $name - ${answer//$'\n'/; }"
    fi
}

# The emulator's, which the kernels of lab and guests depend on for each piece of memory they take.
flags_stay()
{
    cc -O1 -static -o "$KILN_SUITE_TMP/flags" "$KILN_PROJECT/tests/lab/flags.c" && "$KILN_SUITE_TMP/flags"
}

bridge_with_tap()
{
    ip link add lab-br type bridge && ip tuntap add lab-tap mode tap vnet_hdr &&
        ip link set lab-tap master lab-br && ip link set lab-br up && ip link set lab-tap up &&
        ip -o link show master lab-br | grep -q lab-tap && ip link del lab-tap && ip link del lab-br
}

nftables_table()
{
    nft add table inet lab && nft add chain inet lab c '{ type filter hook input priority 0; }' &&
        nft list table inet lab | grep -q 'hook input' && nft delete table inet lab
}

vhost_net()
{
    # VHOST_SET_OWNER, linux/vhost.h
    python3 -c 'import fcntl, os
fcntl.ioctl(os.open("/dev/vhost-net", os.O_RDWR), 0xaf01)'
}

outside_by_name()
{
    [ "$(busybox wget -q -O - http://world.test/hello.txt)" = "hello from the world" ]
}

# The outside must have no way back to a network behind the lab, or NAT would not be needed.
outside_needs_nat()
{
    local status=1 answer
    ip netns add behind
    ip link add behind0 type veth peer name eth0 netns behind
    ip address add 192.168.99.1/24 dev behind0
    ip link set behind0 up
    ip -n behind address add 192.168.99.2/24 dev eth0
    ip -n behind link set eth0 up
    ip -n behind route add default via 192.168.99.1
    echo 1 > /proc/sys/net/ipv4/ip_forward
    if ip netns exec behind ping -q -c 1 -W 1 203.0.113.1; then
        echo "reached without NAT"
    else
        nft add table ip lab
        nft add chain ip lab post '{ type nat hook postrouting priority srcnat; }'
        nft add rule ip lab post ip saddr 192.168.99.0/24 oifname outside0 masquerade
        answer=$(ip netns exec behind busybox wget -q -O - http://203.0.113.1/cgi-bin/peer)
        if [[ $answer == *203.0.113.2* ]]; then
            status=0
        else
            echo "with NAT the world sees '$answer'"
        fi
        nft delete table ip lab
    fi
    echo 0 > /proc/sys/net/ipv4/ip_forward
    ip link del behind0
    ip netns del behind
    return $status
}

cgroups()
{
    local controller
    for controller in cpu cpuset io memory pids; do
        grep -qw $controller /sys/fs/cgroup/cgroup.subtree_control || return
    done
}

scratch_disk()
{
    [ "$(cat /sys/block/vda/serial)" = labdisk0 ] || { echo "no disk labdisk0"; return 1; }
    mkfs.ext4 -q /dev/vda 64M
}

reopened_output()
{
    echo "to standard error" > /dev/stderr && cat <(echo through /dev/fd) >/dev/null
}

# An ordinary user may make user namespaces only when the root is a real one.
user_namespaces()
{
    unshare --user --map-root-user true
}

try flags-stay flags_stay
try kvm-runs-code "$KILN_PROJECT/tests/lab/kvm-smoke"
try bridge-and-tap bridge_with_tap
try nftables nftables_table
try vhost-net vhost_net
try outside-by-name outside_by_name
try outside-needs-nat outside_needs_nat
try cgroup2-controllers cgroups
try scratch-disk scratch_disk
try hugepages grep -q '^HugePages_Total: *64$' /proc/meminfo
try numa-nodes test -d /sys/devices/system/node/node1
try reopened-output reopened_output
try user-namespaces user_namespaces
