#!/usr/bin/env bash
# Installs the real programs that the interop tests use as clients. Quick when nothing is missing.
set -euo pipefail

# program:Debian package
CLIENTS=(
  ip:iproute2 ping:iputils-ping arping:iputils-arping traceroute:traceroute telnet:telnet nc:netcat-openbsd socat:socat curl:curl
  ntpdate:ntpsec-ntpdate ntpdig:ntpsec-ntpdig chronyd:chrony mpop:mpop fetchmail:fetchmail nft:nftables tshark:tshark
  tcpdump:tcpdump python3:python3 ethtool:ethtool
)

PATH="$PATH:/usr/sbin:/sbin"
missing=()
for client in "${CLIENTS[@]}"; do
  command -v "${client%%:*}" >/dev/null || missing+=("${client##*:}")
done
((${#missing[@]} == 0)) && exit 0

if ((EUID != 0)); then
  echo "not installed: ${missing[*]}. The interop tests that need them will be skipped; to install: sudo apt-get install ${missing[*]}" >&2
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "not installed: ${missing[*]}, and there is no apt-get here. Install the programs with this system's package manager" >&2
  exit 1
fi

export DEBIAN_FRONTEND=noninteractive
echo "installing ${missing[*]}"
# No program of these is to start serving because it was installed.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
apt-get -qq update </dev/null
apt-get -qq install -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null
