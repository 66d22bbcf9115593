#!/bin/sh
# Serves a site on three nodes of a cluster, with a NATS server, on this machine, until Ctrl-C:
# cluster.sh SITE FOLDER. The logs are in FOLDER.
set -eu

site=$1
folder=$2
jackfield=${JACKFIELD:-target/release/jackfield}
port=${PORT:-8081}
nats_port=${NATS_PORT:-4222}
running=

stop() {
    trap - EXIT INT TERM
    for process in $running; do
        kill "$process" 2>/dev/null || true
    done
    wait
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start NAME COMMAND...: the program has to be ready within 30 seconds.
start() {
    name=$1
    log=$folder/$name.log
    shift
    : >"$log"
    "$@" >>"$log" 2>&1 &
    process=$!
    running="$running $process"
    tries=0
    until grep -q -e 'listening on' -e 'Server is ready' "$log"; do
        tries=$((tries + 1))
        if ! kill -0 "$process" 2>/dev/null || [ "$tries" = 300 ]; then
            tail -n 5 "$log" >&2
            echo "failed to start $name: its log is in $log" >&2
            echo "  = help: PORT=9081 and NATS_PORT=4223 select other ports" >&2
            exit 1
        fi
        sleep 0.1
    done
}

mkdir -p "$folder"
start nats nats-server --addr 127.0.0.1 --port "$nats_port" --jetstream --store_dir "$folder/nats"
for node in 1 2 3; do
    start "web-$node" "$jackfield" serve --demo "$site" \
        --listen "127.0.0.1:$((port + node - 1))" \
        --set "data=$folder/web-$node" \
        --set "control.socket=$folder/web-$node.sock" \
        --set "cluster.node=web-$node" \
        --set cluster.leases=auto \
        --set "cluster.nats.urls=[nats://127.0.0.1:$nats_port]"
done

cat <<EOF

  Three nodes serve the demo: http://127.0.0.1:$port/demo/, and the same on the ports
  $((port + 1)) and $((port + 2)). Their logs are in $folder.

  To chat across nodes, run in two other terminals:

    JACKFIELD_URL=ws://127.0.0.1:$port/ node --experimental-websocket docs/demo/chat.mjs lobby Alice
    JACKFIELD_URL=ws://127.0.0.1:$((port + 2))/ node --experimental-websocket docs/demo/chat.mjs lobby Bob

  To see the nodes, and the home of each plugin:

    $jackfield status --socket $folder/web-1.sock

  Ctrl-C stops all of them.

EOF
wait
