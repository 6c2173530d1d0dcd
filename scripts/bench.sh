#!/bin/sh
# Measures what supervision costs, beside references measured in the same run.
# IDLE_SECONDS (default 20) is how long the idle ones are watched.
set -eu
cd "$(dirname "$0")/.."
cargo build --release --workspace --bins --examples
cargo bench -p supervisor --bench supervise
