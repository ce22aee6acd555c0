//! What the storage's answers mean. Errors are XML with a code in it, see
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>.
//!
//! A file is like the other, so no answer rejects the deliveries in it: what does not pass by itself pauses the destination.

use super::connector::Answer;
use crate::connect::{InboundResponse, Masker};
use crate::exchange::Verdict;
use crate::failure::{Failure, Reason};

/// What was asked of the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// To take a file.
    Put,
    /// To list files.
    List,
}

/// What becomes of deliveries after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// They are tried again.
    Retry,
    /// The settings have to change, or something at the storage.
    Pause,
}

struct Known {
    code: &'static str,
    reason: Reason,
    then: Then,
    advice: &'static str,
}

const fn known(code: &'static str, reason: Reason, then: Then, advice: &'static str) -> Known {
    Known { code, reason, then, advice }
}

const ACCESS_DENIED: &str = "AccessDenied";
const CHECK_REGION: &str = "the bucket is in another region: check region, and endpoint if there is one";
const CHECK_BUCKET: &str = "there is no such bucket: create it, or correct bucket, endpoint or region";
const CHECK_TOKEN: &str = "the session token is not good any more: give a new access key, secret and token";
const CHECK_CREDENTIALS: &str = "check access_key_id, secret_access_key and what the key is allowed to do";
const MAY_NOT_PUT: &str = "the key may not write here: allow it s3:PutObject on the bucket and the prefix";
const MAY_NOT_LIST: &str = "the key may not list the bucket (s3:ListBucket); only the test call needs that, \
                            deliveries need s3:PutObject";

/// Codes that say more than the status that they come with.
static CODES: [Known; 20] = [
    known(
        "InvalidAccessKeyId",
        Reason::Unauthorized,
        Then::Pause,
        "the storage does not know the access key: check access_key_id",
    ),
    known(
        "SignatureDoesNotMatch",
        Reason::Unauthorized,
        Then::Pause,
        "the secret does not belong to the access key: check secret_access_key",
    ),
    known("ExpiredToken", Reason::Unauthorized, Then::Pause, CHECK_TOKEN),
    known("InvalidToken", Reason::Unauthorized, Then::Pause, CHECK_TOKEN),
    known("TokenRefreshRequired", Reason::Unauthorized, Then::Pause, CHECK_TOKEN),
    known(ACCESS_DENIED, Reason::PermissionDenied, Then::Pause, MAY_NOT_PUT),
    known("NoSuchBucket", Reason::NotFound, Then::Pause, CHECK_BUCKET),
    known("InvalidBucketName", Reason::BadRequest, Then::Pause, CHECK_BUCKET),
    known("PermanentRedirect", Reason::Redirected, Then::Pause, CHECK_REGION),
    known("AuthorizationHeaderMalformed", Reason::Unauthorized, Then::Pause, CHECK_REGION),
    known("IllegalLocationConstraintException", Reason::BadRequest, Then::Pause, CHECK_REGION),
    known(
        "RequestTimeTooSkewed",
        Reason::Forbidden,
        Then::Retry,
        "the clock of this machine is wrong: set it",
    ),
    known("TemporaryRedirect", Reason::Redirected, Then::Retry, "the bucket is being moved"),
    known("SlowDown", Reason::RateLimited, Then::Retry, "the storage takes fewer requests for now"),
    known("RequestTimeout", Reason::Timeout, Then::Retry, "the file did not arrive in time"),
    known("OperationAborted", Reason::UnexpectedStatus, Then::Retry, "the storage was busy with the bucket"),
    known("BadDigest", Reason::DataRefused, Then::Retry, "the file arrived damaged"),
    known("IncompleteBody", Reason::DataRefused, Then::Retry, "the file did not arrive whole"),
    known("XAmzContentSHA256Mismatch", Reason::DataRefused, Then::Retry, "the file arrived damaged"),
    known("EntityTooLarge", Reason::TooLarge, Then::Pause, "the file is too large: lower events_per_file"),
];

/// What an answer means for what was asked. Secrets that it repeats are hidden.
pub(super) fn verdict(asked: Asked, answer: &Answer, masker: &Masker) -> Verdict {
    match answer {
        Ok(answer) if (200..300).contains(&answer.status) => Verdict::Delivered,
        Ok(answer) => refusal(asked, answer, masker),
        Err(failure) if failure.reason == Reason::InvalidRequest => Verdict::Credentials(failure.clone()),
        Err(failure) => Verdict::Retry { failure: failure.clone(), after: None },
    }
}

fn refusal(asked: Asked, answer: &InboundResponse, masker: &Masker) -> Verdict {
    let code = code(&answer.body);
    let known = CODES.iter().find(|known| Some(known.code) == code);
    let (reason, then, advice) = match known {
        Some(known) => (known.reason, known.then, known.advice),
        None => of_status(answer.status),
    };
    let advice = match asked {
        Asked::List if code == Some(ACCESS_DENIED) => MAY_NOT_LIST,
        Asked::List | Asked::Put => advice,
    };
    let said = code.map(|code| format!(" {}", masker.text(code))).unwrap_or_default();
    let outage = answer.status >= 500 && reason != Reason::RateLimited;
    let text = format!("the storage answered {}{said}: {advice}", answer.status);
    let failure = Failure { reason, outage, ..Failure::answered(answer.status, text) };
    match then {
        Then::Retry => Verdict::Retry { failure, after: answer.retry_after },
        Then::Pause => Verdict::Credentials(failure),
    }
}

/// What a status means by itself. Nothing but the settings can be the cause of most: a file is like the other.
fn of_status(status: u16) -> (Reason, Then, &'static str) {
    let reason = Reason::of_status(status);
    match status {
        301 | 308 => (reason, Then::Pause, CHECK_REGION),
        300..=399 => (reason, Then::Retry, "it sent the request elsewhere, which is not followed"),
        401 | 403 => (reason, Then::Pause, CHECK_CREDENTIALS),
        404 | 405 | 410 => (reason, Then::Pause, CHECK_BUCKET),
        408 | 425 | 429 => (reason, Then::Retry, "it takes no more for now"),
        500..=599 => (reason, Then::Retry, "the storage has a problem"),
        413 => (reason, Then::Pause, "the file is too large: lower events_per_file"),
        400 | 422 => (Reason::DataRefused, Then::Pause, "it does not take the file; its answer says why"),
        _ => (reason, Then::Pause, "its answer says why"),
    }
}

/// The code in an answer.
fn code(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    let is_of_code = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.';
    let good = !code.is_empty() && code.len() <= 64 && code.bytes().all(is_of_code);
    good.then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn verdict(asked: Asked, answer: &Answer) -> Verdict {
        super::verdict(asked, answer, &Masker::new(["SECRETCODE"].into_iter()))
    }

    fn answer(status: u16, code: &str, retry_after: Option<Duration>) -> Answer {
        let body = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message><RequestId>1</RequestId></Error>"
        );
        Ok(InboundResponse { status, retry_after, body: body.into(), is_whole: true, is_encoded: false })
    }

    /// The verdict in short: what becomes of the delivery, why, and whether the storage seems to be out.
    fn short(verdict: &Verdict) -> (&'static str, Option<Reason>, bool) {
        match verdict {
            Verdict::Delivered => ("delivered", None, false),
            Verdict::Retry { failure, .. } => ("retry", Some(failure.reason), failure.outage),
            Verdict::Rejected(failure) => ("rejected", Some(failure.reason), failure.outage),
            Verdict::Credentials(failure) => ("paused", Some(failure.reason), failure.outage),
        }
    }

    #[test]
    fn answers_mean_what_their_codes_say() {
        let cases = [
            (200, "", ("delivered", None, false)),
            (403, "InvalidAccessKeyId", ("paused", Some(Reason::Unauthorized), false)),
            (403, "SignatureDoesNotMatch", ("paused", Some(Reason::Unauthorized), false)),
            (403, "AccessDenied", ("paused", Some(Reason::PermissionDenied), false)),
            (403, "SomethingNew", ("paused", Some(Reason::Forbidden), false)),
            (403, "RequestTimeTooSkewed", ("retry", Some(Reason::Forbidden), false)),
            (401, "", ("paused", Some(Reason::Unauthorized), false)),
            (400, "ExpiredToken", ("paused", Some(Reason::Unauthorized), false)),
            (404, "NoSuchBucket", ("paused", Some(Reason::NotFound), false)),
            (404, "", ("paused", Some(Reason::NotFound), false)),
            (301, "PermanentRedirect", ("paused", Some(Reason::Redirected), false)),
            (307, "TemporaryRedirect", ("retry", Some(Reason::Redirected), false)),
            (503, "SlowDown", ("retry", Some(Reason::RateLimited), false)),
            (429, "", ("retry", Some(Reason::RateLimited), false)),
            (503, "ServiceUnavailable", ("retry", Some(Reason::ServerError), true)),
            (500, "InternalError", ("retry", Some(Reason::ServerError), true)),
            (400, "RequestTimeout", ("retry", Some(Reason::Timeout), false)),
            (400, "BadDigest", ("retry", Some(Reason::DataRefused), false)),
            (400, "EntityTooLarge", ("paused", Some(Reason::TooLarge), false)),
            (413, "", ("paused", Some(Reason::TooLarge), false)),
            (400, "InvalidArgument", ("paused", Some(Reason::DataRefused), false)),
            (400, "KMS.DisabledException", ("paused", Some(Reason::DataRefused), false)),
            (418, "", ("paused", Some(Reason::UnexpectedStatus), false)),
        ];
        for (status, code, want) in cases {
            assert_eq!(short(&verdict(Asked::Put, &answer(status, code, None))), want, "{status} {code}");
        }
    }

    #[test]
    fn what_never_got_an_answer_is_tried_again_unless_it_can_not_be_asked() {
        let timeout = Err(Failure::outage(Reason::Timeout, "no answer in time"));
        assert_eq!(short(&verdict(Asked::Put, &timeout)), ("retry", Some(Reason::Timeout), true));
        let request = Err(Failure::new(Reason::InvalidRequest, "no"));
        assert_eq!(short(&verdict(Asked::Put, &request)), ("paused", Some(Reason::InvalidRequest), false));
    }

    #[test]
    fn a_wish_of_when_to_come_back_is_kept() {
        let after = Some(Duration::from_secs(7));
        let verdict = verdict(Asked::Put, &answer(503, "ServiceUnavailable", after));
        assert_eq!(short(&verdict), ("retry", Some(Reason::ServerError), true));
        assert!(matches!(verdict, Verdict::Retry { after: kept, .. } if kept == after));
    }

    #[test]
    fn texts_name_the_code_and_what_to_do() {
        let text = |asked, answer| match verdict(asked, &answer) {
            Verdict::Credentials(failure) => failure.text,
            Verdict::Delivered | Verdict::Retry { .. } | Verdict::Rejected(_) => panic!("it pauses"),
        };
        let disabled = text(Asked::Put, answer(400, "KMS.DisabledException", None));
        assert!(disabled.starts_with("the storage answered 400 KMS.DisabledException: "), "{disabled}");
        let secret = text(Asked::Put, answer(403, "SECRETCODE", None));
        assert_eq!(secret, format!("the storage answered 403 ********: {CHECK_CREDENTIALS}"));
        let missing = text(Asked::Put, answer(404, "NoSuchBucket", None));
        assert_eq!(missing, format!("the storage answered 404 NoSuchBucket: {CHECK_BUCKET}"));
        let put = text(Asked::Put, answer(403, ACCESS_DENIED, None));
        assert!(put.contains(MAY_NOT_PUT), "{put}");
        let list = text(Asked::List, answer(403, ACCESS_DENIED, None));
        assert!(list.contains(MAY_NOT_LIST), "{list}");
        let page = Ok(InboundResponse {
            status: 403,
            retry_after: None,
            body: "<h1>No</h1><Code>a b</Code>".into(),
            is_whole: true,
            is_encoded: false,
        });
        assert_eq!(text(Asked::Put, page), format!("the storage answered 403: {CHECK_CREDENTIALS}"));
    }
}
