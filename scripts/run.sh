#!/bin/sh
# The shell variant: starts four servers in the background, each of which starts one connection, and
# prints how each server ended. Fails if any of them fails.
set -u
cd "$(dirname "$0")/.."
if [ ! -x ./server_bin ]; then
    sh scripts/prep.sh || exit
fi
pids=
for task in 1 2 3 4; do
    ./server_bin &
    pids="$pids $!"
    echo "Task $task started (PID $!)"
done
failed=0
task=1
for pid in $pids; do
    wait "$pid"
    code=$?
    echo "Task $task (PID $pid) exited with code $code"
    [ "$code" -eq 0 ] || failed=1
    task=$((task + 1))
done
exit "$failed"
