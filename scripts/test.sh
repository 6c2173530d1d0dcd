#!/bin/sh
# All tests. Needs Rust and a C compiler, and no network but for fetching crates. Python, Node and GNU
# parallel are compared with where they are, and pages are opened with Chromium; the last two are
# installed where that can be done.
set -eu
cd "$(dirname "$0")/.."
is_gnu_parallel() {
    parallel --version 2>/dev/null | grep -q "^GNU parallel"
}
if ! is_gnu_parallel && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update && apt-get install --yes parallel; } >/dev/null 2>&1 || true
fi
is_gnu_parallel || echo "test.sh: without GNU parallel: SKIPPED is what is compared with it"
has_browser() {
    for name in chromium chromium-browser google-chrome; do
        ! command -v "$name" >/dev/null || return 0
    done
    return 1
}
if ! has_browser && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update && apt-get install --yes --no-install-recommends chromium; } >/dev/null 2>&1 || true
fi
has_browser || echo "test.sh: without Chromium: SKIPPED is the page in a browser"
# The programs and the fixtures that tests start, then the tests.
cargo build --workspace --bins --examples
cargo test --workspace --no-fail-fast "$@"
