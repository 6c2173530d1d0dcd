//! Limits on workers, and the causes of death that follow from them.

mod causes;
mod memory;
