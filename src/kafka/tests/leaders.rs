//! Which leader epoch goes with which offset.

use super::super::leaders::Leaders;

#[test]
fn a_commit_carries_the_epoch_of_the_last_record_before_it() {
    let mut leaders = Leaders::default();
    assert_eq!(leaders.of_commit(5), None);
    for (offset, epoch) in [(3, Some(1)), (4, Some(1)), (7, Some(4)), (8, Some(4)), (9, None), (10, Some(5))] {
        leaders.delivered(offset, epoch);
    }
    let carried = [3, 4, 5, 7, 8, 9, 10, 11].map(|next| leaders.of_commit(next));
    assert_eq!(carried, [None, Some(1), Some(1), Some(1), Some(4), Some(4), None, Some(5)]);
    // What lies before the commit is forgotten; what a later commit needs is not.
    leaders.committed(8);
    assert_eq!([8, 9, 11].map(|next| leaders.of_commit(next)), [Some(4), Some(4), Some(5)]);
}

#[test]
fn too_many_changes_forget_the_oldest_and_never_name_a_wrong_epoch() {
    let mut leaders = Leaders::default();
    (0..100).for_each(|number| leaders.delivered(i64::from(number), Some(number)));
    assert_eq!(leaders.of_commit(50), None);
    assert_eq!(leaders.of_commit(100), Some(99));
    assert_eq!(leaders.of_commit(90), Some(89));
}
