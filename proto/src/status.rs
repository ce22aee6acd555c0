//! Error codes to HTTP and gRPC statuses: the only such table.

use tonic::Code;
use tributary_model::ErrorCode;

/// The HTTP status that tells a caller about a failure of this kind.
pub const fn http_status(code: ErrorCode) -> u16 {
    match code {
        ErrorCode::InvalidRequest => 400,
        ErrorCode::Unauthenticated => 401,
        ErrorCode::Forbidden => 403,
        ErrorCode::NotFound => 404,
        ErrorCode::MethodNotAllowed => 405,
        ErrorCode::Conflict => 409,
        ErrorCode::PreconditionFailed => 412,
        ErrorCode::TooLarge => 413,
        ErrorCode::Internal => 500,
        ErrorCode::Unavailable => 503,
        ErrorCode::Timeout => 504,
    }
}

/// The gRPC status that tells a caller about a failure of this kind.
pub const fn grpc_status(code: ErrorCode) -> Code {
    match code {
        ErrorCode::InvalidRequest => Code::InvalidArgument,
        ErrorCode::Unauthenticated => Code::Unauthenticated,
        ErrorCode::Forbidden => Code::PermissionDenied,
        ErrorCode::NotFound => Code::NotFound,
        ErrorCode::MethodNotAllowed => Code::Unimplemented,
        ErrorCode::Conflict => Code::AlreadyExists,
        ErrorCode::PreconditionFailed => Code::FailedPrecondition,
        ErrorCode::TooLarge => Code::ResourceExhausted,
        ErrorCode::Internal => Code::Internal,
        ErrorCode::Unavailable => Code::Unavailable,
        ErrorCode::Timeout => Code::DeadlineExceeded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_own_status() {
        let codes = [
            (ErrorCode::InvalidRequest, 400, Code::InvalidArgument),
            (ErrorCode::Unauthenticated, 401, Code::Unauthenticated),
            (ErrorCode::Forbidden, 403, Code::PermissionDenied),
            (ErrorCode::NotFound, 404, Code::NotFound),
            (ErrorCode::MethodNotAllowed, 405, Code::Unimplemented),
            (ErrorCode::Conflict, 409, Code::AlreadyExists),
            (ErrorCode::PreconditionFailed, 412, Code::FailedPrecondition),
            (ErrorCode::TooLarge, 413, Code::ResourceExhausted),
            (ErrorCode::Internal, 500, Code::Internal),
            (ErrorCode::Unavailable, 503, Code::Unavailable),
            (ErrorCode::Timeout, 504, Code::DeadlineExceeded),
        ];
        for (code, http, grpc) in codes {
            assert_eq!((http_status(code), grpc_status(code)), (http, grpc), "{}", code.name());
        }
    }
}
