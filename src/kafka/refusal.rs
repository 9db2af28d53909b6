//! What a refused commit means: the one place that decides it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::observe::{CommitRefused, RefusalKind};

use super::context::reason_of;

/// The refusal of a commit, from librdkafka's error.
pub(super) fn of(error: &KafkaError) -> CommitRefused {
    let kind = error.rdkafka_error_code().map_or(RefusalKind::Failed, kind);
    CommitRefused { kind, reason: reason_of(error) }
}

/// The refusal of a commit, from an error code.
pub(super) fn of_code(code: RDKafkaErrorCode) -> CommitRefused {
    CommitRefused { kind: kind(code), reason: code.to_string() }
}

fn kind(code: RDKafkaErrorCode) -> RefusalKind {
    use RDKafkaErrorCode as Code;
    match code {
        // The group has another generation than this member, or takes it for gone. The member joins again by itself.
        Code::IllegalGeneration
        | Code::RebalanceInProgress
        | Code::UnknownMemberId
        | Code::StaleMemberEpoch
        | Code::FencedMemberEpoch
        // librdkafka gave the partition up before the commit was sent.
        | Code::AssignmentLost => RefusalKind::Rebalance,
        Code::FencedInstanceId | Code::UnreleasedInstanceId => RefusalKind::Fenced,
        _ => RefusalKind::Failed,
    }
}
