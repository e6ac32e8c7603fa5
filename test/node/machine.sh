#!/bin/bash
# Copyright The Postern Authors
# SPDX-License-Identifier: Apache-2.0

# Process 1 of a machine, in new namespaces: mounts what is the machine's own, and then only reaps orphans. The
# arguments are the name of the machine, its address, its gateway if it has one, and its directory.
set -euo pipefail

name=$1 address=$2 gateway=$3 dir=$4
read -r pid _ < /proc/self/stat # /proc is still the host's, and so is the number
hostname "$name"

mount --make-rprivate /
mount -t proc proc /proc
mount -t sysfs sysfs /sys
for path in /run /var/lib /var/log; do
    mount -t tmpfs tmpfs "$path"
done
mkdir -p /run/lock /run/netns
# What survives a reboot.
for path in kubelet containerd cni; do
    mkdir -p "$dir/$path" "/var/lib/$path"
    mount --bind "$dir/$path" "/var/lib/$path"
done
# Each hierarchy of cgroups; the machine sees its own as the root of it.
mount -t tmpfs tmpfs /sys/fs/cgroup
while IFS=: read -r _ controllers _; do
    directory=/sys/fs/cgroup/${controllers#name=}
    case $controllers in
    "") mkdir -p "${directory}unified" && mount -t cgroup2 cgroup2 "${directory}unified" ;;
    name=*) mkdir -p "$directory" && mount -t cgroup -o "none,$controllers" cgroup "$directory" ;;
    *) mkdir -p "$directory" && mount -t cgroup -o "$controllers" cgroup "$directory" ;;
    esac
done < /proc/self/cgroup
# The kubelet writes these, which have no namespace. It has to find its values, and must not change the host's.
mkdir -p "$dir/sysctl"
while read -r path value; do
    echo "$value" > "$dir/sysctl/${path//\//.}"
    mount --bind "$dir/sysctl/${path//\//.}" "/proc/sys/$path"
done <<'SYSCTLS'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
SYSCTLS
mount --make-rshared / # the kubelet's mounts have to reach containers

ip link set lo up
# All machines of a cluster are ports of a bridge on the first one, which has no gateway.
if [ -z "$gateway" ]; then
    ip link add lan type bridge
    ip address add "$address" dev lan
    ip link add uplink type veth peer name router # without a default route, addresses of Services have none
    ip link set router up
    ip link set uplink master lan up
    ip link set lan up
    ip route add default dev lan
fi
sysctl -q -w net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1

echo "$pid" > "$dir/pid.new"
mv "$dir/pid.new" "$dir/pid"
while :; do
    sleep infinity &
    wait $!
done
