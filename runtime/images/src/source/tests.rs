//! Tests of sources live with the store, which sees whole archives.
