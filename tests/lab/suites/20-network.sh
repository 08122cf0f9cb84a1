#!/bin/bash
# timeout: 700
# 20-network.sh - host networks for real: the first `default`, a guest that gets an address, a name
# and the way out, recovery, clashes, and that nothing is left behind.
#
# The guest is a network namespace at the end of a cable plugged into the bridge. The networks are
# driven by network-tool, each call of which is like a restart of the daemon.
#
# SPDX-License-Identifier: LGPL-2.1-or-later

set -u
# An earlier suite's daemon leaves its networks on the host, as daemons do.
python3 -c 'import sys; sys.path.insert(0, sys.argv[1]); import suite' "$KILN_PROJECT/tests/lab" || exit 1
tool=$(find "$KILN_BUILD" -name network-tool -type f | head -1)
KILN_LEASES=$(find "$KILN_BUILD" -name kiln-leases -type f | head -1)
export KILN_LEASES
root=/run/kiln-network-suite
mkdir -p $root && chmod 755 $root
failed=0

net()
{
    "$tool" $root "$@"
}

# check NAME COMMAND...: the test passes when the command does.
check()
{
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then
        echo "ok $name"
    else
        echo "not ok $name - $(tail -n 1 <<< "$out")"
        echo "$out"
        failed=1
    fi
}

# refused NAME CODE TEXT COMMAND...: it fails with this error code and these words.
refused()
{
    local name=$1 code=$2 text=$3 out
    shift 3
    if out=$("$@" 2>&1); then
        echo "not ok $name - it was not refused"
        failed=1
    elif grep -q "error $code: .*$text" <<< "$out"; then
        echo "ok $name"
    else
        echo "not ok $name - $out"
        failed=1
    fi
}

# soon SECONDS COMMAND...: tries until it works.
soon()
{
    local end=$((SECONDS + $1)) out
    shift
    until out=$("$@" 2>&1); do
        [ "$SECONDS" -lt "$end" ] || { echo "$out"; return 1; }
        sleep 0.3
    done
}

has()
{
    grep -q -- "$1" <<< "$2" || { echo "no '$1' in: $2"; return 1; }
}

guest()
{
    ip netns exec guest "$@"
}

# A million bytes to a guest that may receive 200 KiB/s: however slow all else is, not under 3 seconds.
takes_time()
{
    local begin server got
    mkdir -p $root/www
    head -c 1000000 /dev/zero > $root/www/blob
    busybox httpd -f -p 192.168.151.1:7005 -h $root/www & server=$!
    sleep 1
    begin=$SECONDS
    got=$(guest busybox wget -q -O - http://192.168.151.1:7005/blob | wc -c)
    kill $server
    [ "$got" = 1000000 ] || { echo "only $got bytes came"; return 1; }
    [ $((SECONDS - begin)) -ge 3 ] || { echo "it took only $((SECONDS - begin)) seconds"; return 1; }
}

# What a network can leave on the host, for comparison.
host_state()
{
    ip -o link | grep -v -e world -e outside | awk '{print $2}' | sort
    nft list tables
    pgrep -a dnsmasq | grep -v kiln-world
    find $root/run -type f ! -name autostarted
    ip route
}

dnsmasq_pid()
{
    cat $root/run/"$1".pid
}

# Kills a network's dnsmasq while a manager runs, and waits for another.
killed_dnsmasq_returns()
{
    local old new watch
    sleep 11 # past the time in which a death is taken for a bad start
    net watch 20 & watch=$!
    sleep 2
    old=$(dnsmasq_pid default)
    kill -9 "$old"
    for _ in $(seq 50); do
        new=$(dnsmasq_pid default 2>/dev/null)
        [ -n "$new" ] && [ "$new" != "$old" ] && kill -0 "$new" 2>/dev/null && break
        sleep 0.3
    done
    kill $watch
    wait $watch 2>/dev/null
    [ "$new" != "$old" ] && kill -0 "$new"
}

port_joins()
{
    local out link holder
    mkfifo $root/hold
    net port default 4 < $root/hold > $root/port.out 2>&1 & holder=$!
    exec 9> $root/hold
    soon 10 grep -q '"domain" : "guest"' $root/dnsmasq/virbr0.macs
    out=$(cat $root/port.out)
    link=$(ip -d link show vnet0)
    exec 9>&-
    wait $holder
    has 'vnet0 virbr0 mtu 1500 fds 4' "$out" && has 'master virbr0' "$link" &&
        has 'fe:54:00:01:02:03' "$link" && has 'vnet_hdr on multi_queue' "$link" &&
        ! ip link show vnet0 2>/dev/null
}

# Kills whoever starts the network, at later and later moments. The next one finds it whole or not at
# all, and can stop it.
killed_starts()
{
    local moment
    for moment in 0.2 0.4 0.6 0.8 1.0 1.2 1.5 2.0; do
        timeout -s KILL $moment "$tool" $root start default > /dev/null 2>&1
        sleep 0.3
        case $(net list 2>&1) in
        *inactive*) ;;
        *) net destroy default > /dev/null 2>&1 || { echo "killed after $moment s: no stop"; return 1; } ;;
        esac
        [ "$before" = "$(host_state)" ] || { echo "killed after $moment s: left $(host_state)"; return 1; }
    done
}

mkdir -p $root
before=$(host_state 2>/dev/null)

check "doctor finds no fault" bash -c "! '$tool' $root check | grep -v 'other firewalls' | grep ^bad"
check "first start makes default" has 'default active persistent autostart' "$(net list 2>&1)"
check "default has its bridge" has virbr0 "$(net bridge default 2>&1)"
xml=$(net xml default)
check "live XML shows what was chosen" has "port start='1024' end='65535'" "$xml"
check "live XML has a MAC" has "mac address='52:54:00" "$xml"
check "address on the bridge" has 192.168.122.1/24 "$(ip address show virbr0)"
check "rules in a table of their own" has "table inet kiln_virbr0" "$(nft list tables)"
check "forwarding is on" test "$(cat /proc/sys/net/ipv4/ip_forward)" = 1
refused "second start" 55 "already active" net start default
check "network XML is libvirt's" bash -c "'$tool' $root xml default > $root/x.xml &&
    xmllint --noout --relaxng /usr/share/libvirt/schemas/network.rng $root/x.xml"

ip netns add guest
ip link add cable type veth peer name eth0 netns guest
guest ip link set lo up
guest ip link set eth0 address 52:54:00:00:00:99
guest ip link set eth0 up
ip link set cable master virbr0 up
mkdir -p /etc/netns/guest
cat > $root/udhcpc.script <<'SCRIPT'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address replace "$ip/$mask" dev "$interface"
ip route replace default via "$router"
echo "nameserver $dns" > /etc/resolv.conf
SCRIPT
chmod 755 $root/udhcpc.script
echo > /etc/netns/guest/resolv.conf
check "guest gets an address" guest busybox udhcpc -i eth0 -n -q -t 15 -T 1 -x hostname:alpha \
    -s $root/udhcpc.script
check "lease is listed" has "52:54:00:00:00:99 192.168.122.[0-9]*/24 alpha virbr0" "$(net leases default)"
check "leases by MAC" bash -c "'$tool' $root leases default 52:54:00:00:00:99 | grep -q alpha &&
    test -z \"\$('$tool' $root leases default 52:54:00:00:00:98)\""
check "lease file for libnss-libvirt" python3 -c "import json
l = json.load(open('$root/dnsmasq/virbr0.status'))
assert l[0]['mac-address'] == '52:54:00:00:00:99' and l[0]['expiry-time'] > 0, l"
check "guest reaches the host" guest busybox ping -c 1 -W 5 192.168.122.1
check "guest reaches the outside through NAT" has 203.0.113.2 \
    "$(guest busybox wget -q -O - http://203.0.113.1/cgi-bin/peer 2>&1)"
check "guest resolves a name of the outside" has 203.0.113.1 \
    "$(guest busybox nslookup world.test 192.168.122.1 2>&1)"
check "guest's own name resolves" has 192.168.122 "$(guest busybox nslookup alpha 192.168.122.1 2>&1)"
ip route add 192.168.122.0/24 via 203.0.113.2 2>/dev/null
check "outside cannot open connections to the guest" bash -c "ip netns exec world ip route add 192.168.122.0/24 via 203.0.113.2
    ! ip netns exec world busybox ping -c 1 -W 2 \$(ip netns exec guest hostname -I | cut -d' ' -f1)"
ip route del 192.168.122.0/24 via 203.0.113.2 2>/dev/null

check "tap with four queues joins the bridge" port_joins
check "static host is added live and in the definition" net update default 4 4 \
    "<host mac='52:54:00:00:00:99' name='beta' ip='192.168.122.77'/>" 3
refused "the same host again" 55 "existing dhcp host" net update default 4 4 \
    "<host mac='52:54:00:00:00:99' name='beta' ip='192.168.122.77'/>" 3
check "DNS host is added" net update default 3 10 \
    "<host ip='192.168.122.1'><hostname>gateway</hostname></host>" 1
check "DNS host resolves" soon 5 bash -c "ip netns exec guest busybox nslookup gateway 192.168.122.1"
check "static host gets its address" bash -c "ip netns exec guest ip address flush dev eth0
    ip netns exec guest busybox udhcpc -i eth0 -n -q -t 15 -T 1 -s $root/udhcpc.script &&
    ip netns exec guest ip address show eth0 | grep 192.168.122.77"
check "DNS host is in the live XML only" bash -c "'$tool' $root xml default | grep gateway &&
    ! '$tool' $root xml default inactive | grep gateway"

check "killed dnsmasq is started again" killed_dnsmasq_returns
check "leases survive that" has 192.168.122.77 "$(cat $root/dnsmasq/virbr0.status)"
kill -9 "$(dnsmasq_pid default)"
out=$(net load 2>&1)
check "dnsmasq killed while nobody looked is started again" has "dnsmasq of network 'default' is gone" "$out"

cat > $root/clash.xml <<'XML'
<network><name>clash</name><forward mode='nat'/><ip address='203.0.113.129' prefix='25'/></network>
XML
cat > $root/clash2.xml <<'XML'
<network><name>clash2</name><ip address='203.0.113.200' prefix='24'/></network>
XML
cat > $root/limited.xml <<'XML'
<network><name>limited</name><forward mode='nat'/><bridge name='virbr5' stp='off'/>
<bandwidth><inbound average='200' peak='400' burst='64'/><outbound average='300' burst='40'/></bandwidth>
<ip address='192.168.151.1' prefix='24'/></network>
XML
cat > $root/zone.xml <<'XML'
<network><name>zone</name><bridge zone='dmz'/><ip address='192.168.150.1' prefix='24'/></network>
XML
cat > $root/baddns.xml <<'XML'
<network xmlns:dnsmasq='http://libvirt.org/schemas/network/dnsmasq/1.0'><name>baddns</name>
<ip address='192.168.152.1' prefix='24'/>
<dnsmasq:options><dnsmasq:option value='no-such-option'/></dnsmasq:options></network>
XML
cat > $root/six.xml <<'XML'
<network><name>six</name><forward mode='nat'><nat ipv6='yes'/></forward><bridge name='virbr6' stp='off'/>
<ip address='192.168.153.1' prefix='24'><dhcp><range start='192.168.153.2' end='192.168.153.9'/></dhcp></ip>
<ip family='ipv6' address='fd00:153::1' prefix='64'><dhcp><range start='fd00:153::100' end='fd00:153::1ff'/></dhcp></ip>
</network>
XML
cat > $root/iso.xml <<'XML'
<network><name>iso</name><bridge name='virbr7' stp='off'/><ip address='192.168.154.1' prefix='24'>
<dhcp><range start='192.168.154.2' end='192.168.154.9'/></dhcp></ip></network>
XML
cat > $root/mute.xml <<'XML'
<network><name>mute</name><bridge name='virbr8' stp='off'/></network>
XML
cat > $root/owned.xml <<'XML'
<network><name>owned</name><bridge name='virbr9' stp='off'/><ip address='192.168.156.1' prefix='24'/></network>
XML
cat > $root/full.xml <<'XML'
<network><name>full</name><ip address='192.168.155.1' prefix='24'/></network>
XML
kept=$(host_state)
refused "clash with an address is named" 1 "outside0.*203.0.113.2/24" net create $root/clash2.xml
refused "what is not offered is refused by name" 67 "zone" net create $root/zone.xml
refused "dnsmasq's own words reach the error" 1 "bad option at line" net create $root/baddns.xml
refused "unknown network" 43 "nobody" net start nobody
export KILN_DNSMASQ=/nowhere/dnsmasq
refused "a missing dnsmasq is named" 1 "/nowhere/dnsmasq.*install" net create $root/full.xml
unset KILN_DNSMASQ
# A table that belongs to a process cannot be replaced by another.
mkfifo $root/owner
nft -i < $root/owner > /dev/null & owner=$!
exec 8> $root/owner
echo "add table inet kiln_virbr9 { flags owner; }" >&8
check "a table of rules has an owner" soon 10 bash -c "nft list tables | grep -q kiln_virbr9"
refused "nftables' own words reach the error" 1 "nft.*not permitted" net create $root/owned.xml
exec 8>&-
wait $owner
rm $root/owner
cp -a $root/networks $root/saved
mount -t tmpfs -o size=16k tmpfs $root/networks && cp -a $root/saved/. $root/networks/
dd if=/dev/zero of=$root/networks/filler bs=4k count=9 2>/dev/null
refused "a full disk fails the definition" 38 "No space left" net define $root/full.xml
check "and leaves no file" test ! -e $root/networks/full.xml
check "and no network" bash -c "! '$tool' $root list | grep full"
umount $root/networks
check "nothing is left of what failed" test "$kept" = "$(host_state)"
check "IPv6 network starts" net create $root/six.xml
check "IPv6 address" has fd00:153::1/64 "$(ip -6 address show virbr6)"
check "no autoconfiguration from guests" test "$(cat /proc/sys/net/ipv6/conf/virbr6/accept_ra)" = 0
check "IPv6 is translated" has "ip6 saddr fd00:153::/64" "$(nft list table inet kiln_virbr6)"
check "isolated network starts" net create $root/iso.xml
check "network without addresses starts" net create $root/mute.xml
check "transient networks are listed" has "iso active transient manual" "$(net list)"
ip link add cable2 type veth peer name eth1 netns guest
guest ip link set eth1 up
ip link set cable2 master virbr7 up
check "isolated guest gets an address" guest busybox udhcpc -i eth1 -n -q -t 15 -T 1 -s /bin/true
guest ip address add 192.168.154.8/24 dev eth1
check "isolated guest cannot get out" bash -c \
    "ip netns exec guest ip route add 203.0.113.1 via 192.168.154.1
     ip netns exec guest busybox ping -I eth1 -c 1 -W 2 203.0.113.1 2>&1 | grep -q '0 packets received\|nreachable'"
check "a network with limits starts" net create $root/limited.xml
check "what guests receive is queued" has "rate 1638Kbit ceil 3276Kbit burst 64Kb" "$(tc class show dev virbr5)"
check "what guests send is policed" has "rate 2457Kbit burst 40Kb" "$(tc filter show dev virbr5 ingress)"
ip link add cable3 type veth peer name eth2 netns guest
guest ip link set eth2 up
guest ip address add 192.168.151.2/24 dev eth2
ip link set cable3 master virbr5 up
check "the limit holds" takes_time
check "limits are put back by a new daemon" net load
check "and are as before" has "rate 1638Kbit ceil 3276Kbit burst 64Kb" "$(tc class show dev virbr5)"
check "limited network stops" net destroy limited
ip link del cable3
for name in six iso mute; do
    check "transient $name stops" net destroy $name
done
check "transient networks are gone when stopped" bash -c "! '$tool' $root list | grep -e six -e iso -e mute"

printf '#!/bin/sh\ncat > %s/hook.xml\necho "$*" >> %s/hook.log\n[ ! -e %s/hook-fails ]\n' $root $root $root > $root/hook
chmod 755 $root/hook
check "port hook has the port's XML" bash -c "'$tool' $root port default < /dev/null &&
    grep -q \"<plug type='network' bridge='virbr0'/>\" $root/hook.xml &&
    grep -q 'default port-deleted end -' $root/hook.log"
check "default stops" net destroy default
check "hook is told" has "default stopped end -" "$(cat $root/hook.log)"
ip link del cable; ip link del cable2
check "nothing is left of default" test "$before" = "$(host_state)"
touch $root/hook-fails
refused "a hook can refuse the start" 70 "hook default start begin - exited with status 1" net start default
rm -f $root/hook-fails $root/hook
check "nothing is left of the refused start" test "$before" = "$(host_state)"
check "a start killed at any moment leaves nothing unknown" killed_starts
ip link add busy0 type dummy && ip address add 192.168.122.50/24 dev busy0 && ip link set busy0 up
refused "clash of default is named" 1 "busy0.*192.168.122.50/24" net start default
check "default is undefined" net undefine default
check "and stays so" test -z "$(net list)"
rm -rf $root/networks $root/run
check "first start takes another network when 122 is taken" has "192.168.123.1" "$(net xml default 2>&1)"
check "and stops" net destroy default
ip link del busy0
ip netns del guest
exit $failed
