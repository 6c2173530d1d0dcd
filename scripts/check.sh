#!/bin/sh
# All that is checked besides tests: format, lints, documentation, licences and bans.
set -eu
cd "$(dirname "$0")/.."
step() {
    echo "+ $*"
    "$@"
}
step cargo fmt --all --check
step cargo clippy --workspace --all-targets -- -D warnings
# The library alone, as others embed it: without the command line.
step cargo clippy -p supervisor --lib --no-default-features -- -D warnings
# And without the journal, which brings SQLite.
step cargo clippy -p supervisor --all-targets --no-default-features --features cli -- -D warnings
RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps
for script in scripts/*.sh .ci/run; do
    step sh -n "$script"
done
if ! cargo deny --version >/dev/null 2>&1; then
    step cargo install --locked cargo-deny --version "^0.20"
fi
# Advisories need a database that is fetched from elsewhere: see deny.toml.
step cargo deny --workspace check bans licenses sources
echo "check.sh: all good"
