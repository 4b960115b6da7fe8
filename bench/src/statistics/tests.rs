#![allow(clippy::unwrap_used, clippy::expect_used)]

mod acceptance;
mod fixtures;
mod layout;
mod power;
