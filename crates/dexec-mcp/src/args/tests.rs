use clap::CommandFactory as _;

use super::*;

#[test]
fn the_manual_can_be_made() {
    test_support::manual::write(Args::command());
}
