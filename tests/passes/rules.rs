//! Each rule outside of `patterns`: where it fires, and where it must not.
