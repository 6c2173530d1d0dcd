#!/bin/sh
# Measures what supervision costs, and what jobs do, beside references measured in the same run.
# IDLE_SECONDS (default 20) is how long the idle ones are watched. With --check, it is an error
# if a goal of the jobs is missed.
set -eu
cd "$(dirname "$0")/.."
cargo build --release --workspace --bins --examples
cargo bench -p supervisor --bench supervise
cargo bench -p supervisor --bench journal
cargo bench -p supervisor --bench jobs -- "$@"
