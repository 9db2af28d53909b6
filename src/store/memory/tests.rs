use std::time::Duration;

use super::*;
use crate::record::{Origin, TopicPartition};
use crate::store::Token;

fn claim(id: u32) -> Claim {
    let mut fingerprint = [0; 16];
    fingerprint[..4].copy_from_slice(&id.to_be_bytes());
    Claim {
        lease: Lease { fingerprint: Fingerprint::from_bytes(fingerprint), token: Token::from_bytes([1; 16]) },
        takes_over: false,
        origin: Origin { partition: TopicPartition::new("t", 0), offset: 0 },
        message: None,
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_over_leaves_the_memory() {
    let second = Duration::from_secs(1);
    let store = MemoryStore::new(LeaseTerms { lease: second, grace: second, window: second });
    for round in 0..1000_u32 {
        let claims: Vec<Claim> = (0..10).map(|i| claim(round * 10 + i)).collect();
        let held_for = Duration::from_millis(1);
        let completion = |c: &Claim| Completion { lease: c.lease, origin: c.origin.clone(), held_for, message: None };
        let completions = claims.iter().take(5).map(completion).collect();
        store.claim(claims).await;
        store.complete(completions).await;
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    // Ten leases a round live 20 rounds, five of them end as done IDs that live ten; a call is one round late at most.
    let held = store.shared.table.lock().len();
    assert!(held <= 5 * 21 + 5 * 11, "{held} entries are held");
}
