#!/bin/sh
# Builds both halves of the pair and the supervisor, optimised, and puts connection_bin and
# server_bin in the root, where server_bin looks for its connection.
set -eu
cd "$(dirname "$0")/.."
cargo build --release --workspace --bins
target=${CARGO_TARGET_DIR:-target}
for program in connection_bin server_bin; do
    # By rename: a copy over a program that runs would fail.
    cp "$target/release/$program" ".$program.new"
    mv ".$program.new" "$program"
done
