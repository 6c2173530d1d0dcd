//! Allocates and touches memory in steps of 1 MiB until an allocation fails.

use std::hint::black_box;

fn main() {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![1u8; 1 << 20]));
    }
}
