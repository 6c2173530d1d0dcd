#!/bin/sh
# All tests. Needs Rust and a C compiler, and no network but for fetching crates. Python, Node, Java and
# GNU parallel are compared with where they are, pages are opened with Chromium, and strace makes the
# kernel refuse things; the last three are installed where that can be done.
set -eu
cd "$(dirname "$0")/.."
# want PACKAGE WHAT CHECK...: installs the package unless the check holds, and says what is skipped.
want() {
    package=$1 what=$2
    shift 2
    if ! "$@" && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get update && apt-get install --yes --no-install-recommends "$package"; } >/dev/null 2>&1 || true
    fi
    "$@" || echo "test.sh: without $package: SKIPPED is $what"
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
want parallel "what is compared with it" is_gnu_parallel
want chromium "the page in a browser" has_one_of chromium chromium-browser google-chrome
want strace "what the kernel is made to refuse" has_one_of strace
# The programs and the fixtures that tests start, then the tests.
cargo build --workspace --bins --examples
cargo test --workspace --no-fail-fast "$@"
