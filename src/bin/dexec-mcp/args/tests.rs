use clap::CommandFactory as _;

use super::*;

#[test]
fn the_manual_can_be_made() {
    crate::manual::write(Args::command());
}
