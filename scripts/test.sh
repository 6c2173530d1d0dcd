#!/bin/sh
# All tests. Needs Rust and a C compiler, and no network but for fetching crates.
set -eu
cd "$(dirname "$0")/.."
# The programs and the fixtures that tests start, then the tests.
cargo build --workspace --bins --examples
cargo test --workspace --no-fail-fast "$@"
