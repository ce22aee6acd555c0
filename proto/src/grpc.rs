//! The messages and services of gRPC, made by the build from `tributary/v1/*.proto`.

/// Version 1: `tributary.v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    rustdoc::all,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::wildcard_enum_match_arm,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("tributary.v1");
}

/// Everything that the proto files say, comments included, in the form that reflection serves.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("descriptors");
