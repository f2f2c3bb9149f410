//! The share server, for its program, and for the fuzz target that is its hostile guest. Main types: [`session::Session`], which answers
//! messages, and [`jail`], in which the program does.

pub mod jail;

pub mod serve;
pub mod session;

pub mod limits;
