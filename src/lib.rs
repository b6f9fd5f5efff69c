//! pointweld.
