#!/bin/sh
# Builds optimised programs, and copies connection_bin and server_bin to the root directory, where
# server_bin looks for connection_bin.
set -eu
cd "$(dirname "$0")/.."
cargo build --release --workspace --bins
target=${CARGO_TARGET_DIR:-target}
for program in connection_bin server_bin; do
    # Rename, because writing to a program that is running fails.
    cp "$target/release/$program" ".$program.new"
    mv ".$program.new" "$program"
done
