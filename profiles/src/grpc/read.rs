//! `Get` and `BatchGet`: profiles as they are now.

use super::answer::{Parts, profile};
use super::status::Refusal;
use super::{ANSWER_BYTES_MAX, Api, blocking};
use crate::reader::ProfileReader;
use std::sync::Arc;
use tributary_model::{Identifier, Namespace, ProfileId, WorkspaceId};
use tributary_proto::convert::profile_bytes;
use tributary_proto::grpc::v1;
use tributary_proto::grpc::v1::{BatchGetResult, BatchGetStatus};

/// How many identifiers a batch names at most.
const BATCH_MAX: usize = 100;

/// Reads one profile.
pub(super) async fn one(
    api: &Arc<Api>,
    token: Option<&str>,
    request: v1::GetRequest,
) -> Result<v1::Profile, Refusal> {
    let workspace = api.admit(token, &request.workspace)?;
    let parts = Parts::parse(&request.include)?;
    let name = request.identifier.ok_or_else(|| Refusal::invalid("`identifier` is missing"))?;
    check(&name).map_err(|why| Refusal::invalid(format!("`identifier`: {why}")))?;
    let reader = api.reader()?;
    api.wait_for(&request.wait_for).await?;
    blocking(move || find(&reader, workspace, &name, parts)?.ok_or_else(Refusal::no_profile)).await
}

/// Reads several profiles, one result for each identifier.
pub(super) async fn batch(
    api: &Arc<Api>,
    token: Option<&str>,
    request: v1::BatchGetRequest,
) -> Result<Vec<BatchGetResult>, Refusal> {
    let workspace = api.admit(token, &request.workspace)?;
    let parts = Parts::parse(&request.include)?;
    let names = request.identifiers;
    if !(1..=BATCH_MAX).contains(&names.len()) {
        let message = format!("`identifiers` has {} of them; give 1 to {BATCH_MAX}", names.len());
        return Err(Refusal::invalid(message));
    }
    let reader = api.reader()?;
    api.wait_for(&request.wait_for).await?;
    blocking(move || within(names.into_iter().map(|name| result(&reader, workspace, name, parts)))).await
}

/// All results, if they are no more than an answer holds; so many are never read.
fn within(
    results: impl Iterator<Item = Result<BatchGetResult, Refusal>>,
) -> Result<Vec<BatchGetResult>, Refusal> {
    let (mut all, mut bytes) = (Vec::new(), 0);
    for result in results {
        let result = result?;
        bytes += result.profile.as_ref().map_or(0, profile_bytes);
        if bytes > ANSWER_BYTES_MAX {
            return Err(Refusal::Large);
        }
        all.push(result);
    }
    Ok(all)
}

fn result(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    name: v1::Identifier,
    parts: Parts,
) -> Result<BatchGetResult, Refusal> {
    let mut result = BatchGetResult::default();
    match check(&name) {
        Err(why) => {
            result.set_status(BatchGetStatus::Invalid);
            why.clone_into(&mut result.message);
        }
        Ok(()) => {
            result.profile = find(reader, workspace, &name, parts)?;
            let is_found = result.profile.is_some();
            result.set_status(if is_found { BatchGetStatus::Found } else { BatchGetStatus::NotFound });
        }
    }
    result.identifier = Some(name);
    Ok(result)
}

fn find(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    name: &v1::Identifier,
    parts: Parts,
) -> Result<Option<v1::Profile>, Refusal> {
    match reader.find(workspace, &name.namespace, &name.value)? {
        Some(found) => Ok(Some(profile(reader, workspace, &found, parts)?)),
        None => Ok(None),
    }
}

/// Whether it can be an identifier at all; if not, why.
pub(super) fn check(name: &v1::Identifier) -> Result<(), &'static str> {
    if name.namespace.is_empty() || name.value.is_empty() {
        return Err("give a namespace and a value, user_id and u1 for instance");
    }
    if name.namespace.len() > Identifier::BYTES_MAX || name.value.len() > Identifier::BYTES_MAX {
        return Err("namespace and value have 512 bytes at most");
    }
    if name.namespace == Namespace::PROFILE_ID && name.value.parse::<ProfileId>().is_err() {
        return Err("the id of a profile has 32 hexadecimal digits");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_so_much_and_no_more_is_read() {
        let result = |bytes: usize| {
            let profile = v1::Profile { profile_id: "x".repeat(bytes), ..v1::Profile::default() };
            Ok(BatchGetResult { profile: Some(profile), ..BatchGetResult::default() })
        };
        let half = ANSWER_BYTES_MAX / 2 - 100;
        assert_eq!(within([half, half].into_iter().map(result)).ok().map(|all| all.len()), Some(2));
        let mut read = 0;
        let refused = within([half, half, half, half].into_iter().inspect(|_| read += 1).map(result));
        assert!(matches!(refused, Err(Refusal::Large)));
        assert_eq!(read, 3);
    }

    #[test]
    fn what_can_be_no_identifier_is_refused() {
        let long = "x".repeat(513);
        let cases = [
            ("user_id", "u1", true),
            ("user_id", &long[..512], true),
            ("user_id", &long, false),
            (&long, "u1", false),
            ("", "u1", false),
            ("user_id", "", false),
            ("profile_id", "00", false),
            ("profile_id", "000102030405060708090a0b0c0d0e0f", true),
        ];
        for (namespace, value, want) in cases {
            let name = v1::Identifier { namespace: namespace.to_owned(), value: value.to_owned() };
            assert_eq!(check(&name).is_ok(), want, "{namespace} {value}");
        }
        assert_eq!(Identifier::BYTES_MAX, 512, "the message says so");
    }
}
