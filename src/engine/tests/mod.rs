//! What the engine promises, one test per promise; `sim` drives the same code through seeded schedules with faults.

mod claims;
mod commits;
mod conflicts;
mod doubts;
mod drains;
mod fates;
mod halts;
mod handlers;
mod harness;
mod known;
mod leases;
mod letters;
mod orders;
mod pauses;
mod sim;
mod states;
mod stops;
mod suspects;
mod tracker;
