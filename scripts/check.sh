#!/bin/sh
# Runs all checks other than tests: format, lints, documentation, scripts, licences and bans.
set -eu
cd "$(dirname "$0")/.."
step() {
    echo "+ $*"
    "$@"
}
step cargo fmt --all --check
step cargo clippy --workspace --all-targets -- -D warnings
# The library without the command line, as a program that embeds it builds it.
step cargo clippy -p supervisor --lib --no-default-features -- -D warnings
# The program without optional features: no journal, and therefore no SQLite.
step cargo clippy -p supervisor --all-targets --no-default-features --features cli -- -D warnings
RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps
for script in scripts/*.sh .ci/run; do
    step sh -n "$script"
done
if ! cargo deny --version >/dev/null 2>&1; then
    step cargo install --locked cargo-deny --version "^0.20"
fi
# Advisories are not checked here, because their database must be downloaded: see deny.toml.
step cargo deny --workspace check bans licenses sources
echo "check.sh: all good"
