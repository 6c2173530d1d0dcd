#!/bin/sh
# Runs all tests. This needs Rust and a C compiler, and the network only to download crates. Some tests
# use Python, Node and Java if they are installed. Others compare with GNU parallel, open pages in
# Chromium, or use strace to make system calls fail; the script tries to install these three.
set -eu
cd "$(dirname "$0")/.."
# want PACKAGE TESTS CHECK...: installs PACKAGE unless the command CHECK succeeds. If the command still
# fails afterwards, prints that TESTS are skipped.
want() {
    package=$1 tests=$2
    shift 2
    if ! "$@" && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get update && apt-get install --yes --no-install-recommends "$package"; } >/dev/null 2>&1 || true
    fi
    "$@" || echo "test.sh: SKIPPED without $package: $tests"
}
is_gnu_parallel() {
    parallel --version 2>/dev/null | grep -q "^GNU parallel"
}
has_one_of() {
    for name; do
        ! command -v "$name" >/dev/null || return 0
    done
    return 1
}
want parallel "comparisons with GNU parallel" is_gnu_parallel
want chromium "tests of the page in a browser" has_one_of chromium chromium-browser google-chrome
want strace "tests with failing system calls" has_one_of strace
# Builds the programs and fixtures that tests start.
cargo build --workspace --bins --examples
cargo test --workspace --no-fail-fast "$@"
