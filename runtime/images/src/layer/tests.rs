//! Tests of the conversion of a layer.
