#!/bin/sh
# Measures the cost of supervision and the throughput of jobs, beside references in the same run.
# IDLE_SECONDS (default 20) is the time for which idle workers are observed. With --check, the script
# fails if the benchmark of jobs misses a goal.
set -eu
cd "$(dirname "$0")/.."
cargo build --release --workspace --bins --examples
cargo bench -p supervisor --bench supervise
cargo bench -p supervisor --bench journal
cargo bench -p supervisor --bench jobs -- "$@"
