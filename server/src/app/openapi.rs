//! The OpenAPI document of all faces: the admin API's own, and a file for the tracking API, the profile API and
//! health, whose handlers take their requests apart themselves.

use utoipa::openapi::OpenApi;

/// The whole document.
///
/// # Panics
/// Never: a test reads the file.
pub(super) fn document() -> OpenApi {
    let mut document = crate::admin::openapi::document();
    let faces: OpenApi =
        serde_json::from_str(include_str!("faces.openapi.json")).expect("the file is an OpenAPI document");
    document.merge(faces);
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_face_is_described() {
        let document = document();
        let paths = &document.paths.paths;
        for path in [
            "/admin/v1/sources",
            "/v1/batch",
            "/v1/identify",
            "/v1/spaces/{workspace}/collections/users/profiles/{identifier}/traits",
            "/v1/spaces/{workspace}/collections/users/profiles/{identifier}/unmerge",
            "/readyz",
        ] {
            assert!(paths.contains_key(path), "{path}");
        }
    }
}
