//! The file as a tree of places: sections that know which keys they were asked for, and values that know where they
//! stand.

mod section;
mod value;

pub(super) use section::Section;
pub(super) use value::{Item, Spot};
