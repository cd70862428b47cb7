//! The store against a model: random operations on both, with segments so small that sealing, writing runs, merging them
//! and opening again happen all the time. The store in memory does the same as a third party.
//!
//! `PROPTEST_CASES=n` runs more sequences than the few that run by default.

#![allow(clippy::unwrap_used, clippy::panic)]

mod operations;
mod reference;
mod system;

use operations::Operation;
use proptest::{
    prelude::*,
    test_runner::{Config, FileFailurePersistence},
};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use reference::Model;
use system::System;

const SEQUENCES: u32 = 8;

struct Store;

impl ReferenceStateMachine for Store {
    type State = Model;
    type Transition = Operation;

    fn init_state() -> BoxedStrategy<Model> {
        Just(Model::default()).boxed()
    }

    fn transitions(state: &Model) -> BoxedStrategy<Operation> {
        operations::operation(state)
    }

    fn apply(state: Model, operation: &Operation) -> Model {
        state.apply(operation)
    }
}

impl StateMachineTest for Store {
    type SystemUnderTest = System;
    type Reference = Store;

    fn init_test(_: &Model) -> System {
        System::new()
    }

    fn apply(mut system: System, model: &Model, operation: Operation) -> System {
        system.apply(model, operation);
        system
    }

    fn check_invariants(system: &System, model: &Model) {
        system.check(model);
    }

    fn teardown(system: System, model: Model) {
        system.finish(&model);
    }
}

fn config() -> Config {
    // Where the seeds of failures are kept.
    let seeds = FileFailurePersistence::Direct("tests/model/regressions.txt");
    let config = Config { failure_persistence: Some(Box::new(seeds)), max_shrink_iters: 2000, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() { config } else { Config { cases: SEQUENCES, ..config } }
}

prop_state_machine! {
    #![proptest_config(config())]

    #[test]
    fn whatever_is_done_the_store_answers_as_the_model_does(sequential 60..120 => Store);
}
