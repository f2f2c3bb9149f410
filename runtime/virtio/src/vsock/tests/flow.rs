//! Tests of amounts: many bytes, many connections, and the stalls in between.
