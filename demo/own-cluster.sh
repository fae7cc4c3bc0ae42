#!/bin/sh
# Three coordinators and two participants as processes of this machine, over two databases that are there already:
#
#   sh demo/own-cluster.sh postgres://user:password@host/one postgres://user:password@host/two
#
# Coordinators answer at 127.0.0.1:8501 to 8503 (BASE_PORT=8500). Data and logs go to own-cluster/ (DATA_DIR). Ctrl-C ends it all.
set -eu
[ $# -eq 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }

base=${BASE_PORT:-8500}
dir=${DATA_DIR:-own-cluster}
dist=$(dirname "$0")/../dist
mkdir -p "$dir"

# Who is there: the same for everybody.
export SYNOD_CLUSTER_ID=shop
export SYNOD_COORDINATORS="1=http://127.0.0.1:$((base + 1)),2=http://127.0.0.1:$((base + 2)),3=http://127.0.0.1:$((base + 3))"
peers="1=127.0.0.1:$((base + 11)),2=127.0.0.1:$((base + 12)),3=127.0.0.1:$((base + 13))"
participants="s1=127.0.0.1:$((base + 21)),s2=127.0.0.1:$((base + 22))"

pids=
trap 'trap - EXIT; kill $pids 2>/dev/null || true; wait' EXIT
trap 'exit 0' INT TERM

shard=1
for url in "$@"; do
  SYNOD_SHARD_ID=s$shard SYNOD_LISTEN=127.0.0.1:$((base + 20 + shard)) SYNOD_DATABASE_URL=$url \
    node "$dist/participant/main.js" >>"$dir/participant-s$shard.log" 2>&1 &
  pids="$pids $!"
  shard=$((shard + 1))
done
for node in 1 2 3; do
  SYNOD_NODE_ID=$node SYNOD_DATA_DIR=$dir/coordinator-$node \
    SYNOD_HTTP_LISTEN=127.0.0.1:$((base + node)) SYNOD_PEER_LISTEN=127.0.0.1:$((base + 10 + node)) \
    SYNOD_PEERS=$peers SYNOD_PARTICIPANTS=$participants \
    node "$dist/coordinator/main.js" >>"$dir/coordinator-$node.log" 2>&1 &
  pids="$pids $!"
done

for port in $((base + 21)) $((base + 22)) $((base + 1)) $((base + 2)) $((base + 3)); do
  if ! curl -fs -o /dev/null --retry 30 --retry-delay 1 --retry-connrefused "http://127.0.0.1:$port/readyz"; then
    echo "127.0.0.1:$port is not ready; the ends of the logs:" >&2
    tail -n 3 "$dir"/*.log >&2
    exit 1
  fi
done
echo "ready: --endpoints http://127.0.0.1:$((base + 1)),http://127.0.0.1:$((base + 2)),http://127.0.0.1:$((base + 3))"
wait
