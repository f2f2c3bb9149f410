//! Tests in random orders.
