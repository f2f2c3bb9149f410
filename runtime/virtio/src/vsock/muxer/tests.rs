//! Tests of turns and bounds.
