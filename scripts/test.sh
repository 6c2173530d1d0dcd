#!/bin/sh
# All tests. Needs Rust and a C compiler, and no network but for fetching crates. Python, Node and GNU
# parallel are compared with where they are; the last is installed where that can be done.
set -eu
cd "$(dirname "$0")/.."
is_gnu_parallel() {
    parallel --version 2>/dev/null | grep -q "^GNU parallel"
}
if ! is_gnu_parallel && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update && apt-get install --yes parallel; } >/dev/null 2>&1 || true
fi
is_gnu_parallel || echo "test.sh: without GNU parallel: SKIPPED is what is compared with it"
# The programs and the fixtures that tests start, then the tests.
cargo build --workspace --bins --examples
cargo test --workspace --no-fail-fast "$@"
