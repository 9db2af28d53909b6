//! Which commits are sent, and when. No cluster needed.

use rdkafka::error::RDKafkaErrorCode;

use super::super::commits::Commits;
use super::super::refusal;
use crate::engine::Assignment;
use crate::observe::{CommitRefused, RefusalKind};
use crate::record::{Epoch, TopicPartition};

fn assignment(partition: i32) -> Assignment {
    Assignment { partition: TopicPartition::new("orders", partition), epoch: Epoch(3) }
}

#[test]
fn one_commit_of_a_partition_is_under_way_at_a_time() {
    let mut commits = Commits::default();
    let (one, other) = (assignment(0), assignment(1));
    assert!(commits.ask(one.clone(), 5).is_none());
    assert_eq!(commits.send(), [(one.partition.clone(), 5)]);
    // A repeated 5 could arrive after these and rewind the group.
    assert!(commits.ask(one.clone(), 7).is_none());
    assert!(commits.ask(one.clone(), 9).is_none());
    assert!(commits.ask(other.clone(), 1).is_none());
    assert_eq!(commits.send(), [(other.partition.clone(), 1)]);
    assert!(!commits.is_settled(&one.partition));

    assert_eq!(commits.answered(&one.partition, 5, Ok(())), [(one.clone(), 5, Ok(()))]);
    assert_eq!(commits.send(), [(one.partition.clone(), 9)]);
    let refused = Err(CommitRefused::failed("refused"));
    assert_eq!(
        commits.answered(&one.partition, 9, refused.clone()),
        [(one.clone(), 7, refused.clone()), (one.clone(), 9, refused)]
    );
    assert!(commits.is_settled(&one.partition) && !commits.all_settled());
    // What was refused may be asked for again; what was confirmed may not be undone.
    assert!(commits.ask(one.clone(), 7).is_none());
    assert!(commits.ask(one.clone(), 4).is_some_and(|(_, offset, result)| offset == 4 && result.is_err()));
}

#[test]
fn an_answer_that_belongs_to_nothing_changes_nothing() {
    let mut commits = Commits::default();
    let one = assignment(0);
    assert!(commits.answered(&one.partition, 5, Ok(())).is_empty());
    commits.ask(one.clone(), 5);
    assert!(commits.answered(&one.partition, 5, Ok(())).is_empty(), "it was not sent yet");
    commits.send();
    assert!(commits.answered(&one.partition, 4, Ok(())).is_empty());
    assert!(!commits.all_settled());
}

#[test]
fn what_is_under_way_is_answered_when_the_partition_goes() {
    let mut commits = Commits::default();
    let one = assignment(0);
    commits.ask(one.clone(), 5);
    commits.send();
    commits.ask(one.clone(), 6);
    let gone = Err(CommitRefused::by_rebalance("gone"));
    assert_eq!(commits.forget(&one.partition, "gone"), [(one.clone(), 5, gone.clone()), (one.clone(), 6, gone)]);
    assert!(commits.all_settled());
    // The broker's answer comes too late, into the next epoch.
    assert!(commits.answered(&one.partition, 5, Ok(())).is_empty());
}

#[test]
fn a_partition_that_begins_anew_waits_for_what_is_under_way_and_may_go_back() {
    let mut commits = Commits::default();
    let one = assignment(0);
    commits.ask(one.clone(), 1000);
    commits.send();
    commits.ask(one.clone(), 1001);
    let anew = Assignment { epoch: Epoch(one.epoch.0 + 1), ..one.clone() };
    let gone = Err(CommitRefused::by_rebalance("gone"));
    let answers = commits.begin_anew(&one.partition, anew.epoch, "gone");
    assert_eq!(answers, [(one.clone(), 1000, gone.clone()), (one.clone(), 1001, gone)]);
    assert!(commits.ask(anew.clone(), 4).is_none());
    assert!(commits.send().is_empty(), "librdkafka may still repeat the one before");
    assert!(commits.answered(&one.partition, 1000, Ok(())).is_empty());
    assert_eq!(commits.send(), [(one.partition.clone(), 4)]);
    assert_eq!(commits.answered(&one.partition, 4, Ok(())), [(anew, 4, Ok(()))]);
}

#[test]
fn refusals_are_sorted_by_what_they_mean() {
    use RDKafkaErrorCode as Code;
    for (kind, codes) in [
        (
            RefusalKind::Rebalance,
            &[
                Code::IllegalGeneration,
                Code::RebalanceInProgress,
                Code::UnknownMemberId,
                Code::StaleMemberEpoch,
                Code::FencedMemberEpoch,
                Code::AssignmentLost,
            ][..],
        ),
        (RefusalKind::Fenced, &[Code::FencedInstanceId, Code::UnreleasedInstanceId]),
        (
            RefusalKind::Failed,
            &[
                Code::CoordinatorNotAvailable,
                Code::CoordinatorLoadInProgress,
                Code::NotCoordinator,
                Code::RequestTimedOut,
                Code::BrokerTransportFailure,
                Code::FencedLeaderEpoch,
                Code::UnknownTopicOrPartition,
                Code::GroupAuthorizationFailed,
                Code::OffsetMetadataTooLarge,
            ],
        ),
    ] {
        for code in codes {
            assert_eq!(refusal::of_code(*code).kind, kind, "{code}");
        }
    }
}
