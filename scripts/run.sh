#!/usr/bin/env bash
# `make run`: a demo host with POP3, NTP and echo on a TAP. Whatever way it ends, nothing stays behind.
#
# With CAP_NET_ADMIN it runs in the present network namespace. Without, in a private user and network namespace, with a shell inside to
# try it from.
set -euo pipefail

TAP=${TAP:-tapstack0}
ADDRESS=${ADDRESS:-10.9.0.2/24}
HOST=${HOST:-10.9.0.1/24}
SERVICES=${SERVICES:-pop3,ntp,echo}
NODE=${NODE:-node}
MAIN=$(dirname "$0")/../dist/cli/main.js

has_net_admin() {
  local effective
  effective=$(awk '/^CapEff:/ { print $2 }' /proc/self/status)
  (((0x$effective >> 12) & 1))
}

fail() {
  echo "make run: $1" >&2
  exit 1
}

if [[ ${1-} != --inside ]] && ! has_net_admin; then
  unshare -Urn true 2>/dev/null ||
    fail 'needs root: this user may not configure interfaces, nor make a network namespace of its own (unshare -Urn). Try: sudo make run'
  exec unshare -Urn bash "$0" --inside
fi
[[ -e /dev/net/tun ]] || fail 'there is no /dev/net/tun: load the module (modprobe tun), or give the container --device /dev/net/tun'
[[ -r /dev/net/tun && -w /dev/net/tun ]] || fail 'this user may not open /dev/net/tun: chmod 666 /dev/net/tun, or use sudo'

demo=$(mktemp -d "${TMPDIR:-/tmp}/tapstack-demo-XXXXXX")
stack=
stop() {
  trap '' INT TERM HUP
  if [[ -n $stack ]]; then
    kill -TERM "$stack" 2>/dev/null || true
    wait "$stack" 2>/dev/null || true
  fi
  rm -rf "$demo"
}
trap stop EXIT
trap 'exit 0' INT TERM HUP

up=("$NODE" "$MAIN" up --tap "$TAP" --address "$ADDRESS" --host "$HOST" --service "$SERVICES"
  --maildir "$demo/maildir" --hints)

if [[ ${1-} == --inside && -t 0 && -t 1 ]]; then
  # The service directory of the real user is not ours to write to from in here, root's is not ours at all.
  export XDG_RUNTIME_DIR="$demo"
  ip link set lo up 2>/dev/null || true
  mkfifo "$demo/said"
  "${up[@]}" >"$demo/said" </dev/null &
  stack=$!
  exec 3<"$demo/said"
  ready=
  while IFS= read -r line <&3; do
    echo "$line"
    [[ $line == ready* ]] && ready=yes
    [[ -n $ready && -z $line ]] && break
  done
  [[ -n $ready ]] || { wait "$stack"; exit 1; }
  echo 'You are in a private network namespace; the host above can be reached from this shell only. "exit" ends both.'
  export PS1='tapstack$ '
  cat <&3 &
  bash --norc -i || true
else
  [[ ${1-} == --inside ]] && export XDG_RUNTIME_DIR="$demo"
  "${up[@]}" </dev/null &
  stack=$!
  [[ ${1-} == --inside ]] && echo "This host is in a private network namespace; enter it with: nsenter --target $stack --user --net --preserve-credentials"
  status=0
  wait "$stack" || status=$?
  stack=
  exit "$status"
fi
