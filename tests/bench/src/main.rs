//! being built

fn main() {}
