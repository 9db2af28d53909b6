//! What the engine promises, one test per promise; `sim` drives the same code through seeded schedules with faults.

mod claims;
mod commits;
mod conflicts;
mod drains;
mod handlers;
mod harness;
mod leases;
mod orders;
mod pauses;
mod sim;
mod suspects;
mod tracker;
