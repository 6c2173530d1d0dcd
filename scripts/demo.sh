#!/bin/sh
# Runs the main job from a fresh clone: a real server with one process per client, and four
# supervised connections that send it requests.
set -eu
cd "$(dirname "$0")/.."
sh scripts/prep.sh
target=${CARGO_TARGET_DIR:-target}

log=$(mktemp)
./server_bin --listen 127.0.0.1:0 2>"$log" &
server=$!
trap 'kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; rm -f "$log"' EXIT INT TERM

# The server logs its address before it accepts clients. A file sends no notification, so the loop
# reads it repeatedly.
address=
tries=0
while [ -z "$address" ]; do
    address=$(sed -n 's/.*listening on \([0-9.]*:[0-9]*\).*/\1/p' "$log")
    tries=$((tries + 1))
    if [ -z "$address" ] && { [ "$tries" -ge 200 ] || ! kill -0 "$server" 2>/dev/null; }; then
        echo "demo.sh: the server does not listen; its log:" >&2
        cat "$log" >&2
        exit 1
    fi
    [ -n "$address" ] || sleep 0.05
done

echo "+ supervisor run --workers 4 ./connection_bin http://$address/posts/1" >&2
status=0
"$target/release/supervisor" run --workers 4 ./connection_bin "http://$address/posts/1" || status=$?
kill "$server"
wait "$server" 2>/dev/null || true
echo "Log of the server, with one process per client:" >&2
sed 's/^/  /' "$log" >&2
exit "$status"
