//! The log's one gate, behind `log`: every line, of a library too, is made printable, cut and counted
//! here before a machine writes it anywhere.
mod gate;
mod line;
mod source;

pub use gate::Gate;
pub use line::{Line, Printable, cut};
pub use source::{About, Source, about, current};
