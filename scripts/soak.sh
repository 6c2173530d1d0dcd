#!/bin/sh
# Runs tests that take too long for every change:
#
# - the simulation with 200,000 seeds;
# - a run with a journal that is killed a thousand times, and one with a fault at every system call
#   that changes its journal;
# - the chaos program, which recounts every job at the end;
# - the fuzz targets;
# - all tests, repeatedly, while both processors are busy.
#
# The first argument is the duration of each of the last three in minutes; the default is 10.
set -eu
cd "$(dirname "$0")/.."
minutes=${1:-10}
cargo build --workspace --bins --examples
cargo test --workspace --no-run
echo "+ simulation, 200000 seeds"
SUPERVISOR_SIM_SEEDS=200000 cargo test -p pool --release sim -- --nocapture

echo "+ a run with a journal, killed a thousand times"
KILL_CYCLES=1000 cargo test -p supervisor --test it every_job_is_accounted_for -- --nocapture
echo "+ a fault at every system call that changes a journal, in each kind of run"
SWEEP_ALL=1 cargo test -p supervisor --test it syscall_faults -- --nocapture
echo "+ chaos, $minutes minutes"
cargo run --quiet -p chaos -- --seconds $((minutes * 60))
echo "+ fuzz targets, $minutes minutes"
FUZZ_SECONDS=$((minutes * 60)) cargo test --workspace -- any_

end=$(($(date +%s) + minutes * 60))
busy=
log=$(mktemp)
trap 'kill $busy 2>/dev/null || true; rm -f "$log"' EXIT INT TERM
for _ in 1 2; do
    sh -c 'while :; do :; done' &
    busy="$busy $!"
done
rounds=0
while [ "$(date +%s)" -lt "$end" ]; do
    rounds=$((rounds + 1))
    cargo test --workspace --quiet >"$log" 2>&1 || {
        echo "soak.sh: round $rounds failed"
        cat "$log"
        exit 1
    }
done
echo "soak.sh: $rounds rounds of all tests under load passed"
