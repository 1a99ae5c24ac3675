# A server and nodes around a switch, in namespaces of their own. Run by `unshare --net --pid --fork`.
#
#   sh network.sh NODES MBIT PROGRAM...
#
# Each link, the server's too, carries MBIT megabits per second in each direction. The program runs on
# the server, 10.98.0.1; node number i, from 0, is 10.98.1.(1 + i), and $NODES has its process ids.
set -eu
count=$1 rate=$2
shift 2

# holder: a namespace; its process id in $holder
holder() {
    unshare --net sleep 100000 &
    holder=$!
    until [ "$(readlink "/proc/$holder/ns/net")" != "$(readlink /proc/$$/ns/net)" ]; do sleep 0.01; done
    nsenter -t "$holder" -n ip link set lo up
}
# A bucket of some milliseconds: smaller ones do not reach the rate.
burst=$((rate * 1000000 / 8 / 100))
[ "$burst" -gt 65536 ] || burst=65536
shape() { "$@" root tbf rate "${rate}mbit" burst "$burst" latency 50ms; }

ip link set lo up
holder
switch=$holder
nsenter -t "$switch" -n ip link add switch type bridge mcast_snooping 0
nsenter -t "$switch" -n ip link set switch up
ip link add eth type veth peer name server netns "$switch"
nsenter -t "$switch" -n ip link set server master switch up
ip addr add 10.98.0.1/16 brd + dev eth
ip link set eth up
ip route add 224.0.0.0/4 dev eth
shape tc qdisc add dev eth
shape nsenter -t "$switch" -n tc qdisc add dev server

NODES=
i=0
while [ "$i" -lt "$count" ]; do
    holder
    NODES="$NODES $holder"
    ip link add "port$i" netns "$switch" type veth peer name eth netns "$holder"
    nsenter -t "$switch" -n ip link set "port$i" master switch up
    nsenter -t "$holder" -n ip addr add "10.98.1.$((1 + i))/16" brd + dev eth
    nsenter -t "$holder" -n ip link set eth up
    nsenter -t "$holder" -n ip route add 224.0.0.0/4 dev eth
    shape nsenter -t "$holder" -n tc qdisc add dev eth
    shape nsenter -t "$switch" -n tc qdisc add dev "port$i"
    i=$((i + 1))
done
export NODES
"$@"
