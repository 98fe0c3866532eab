use clap::CommandFactory as _;

use super::*;

#[test]
fn the_manual_can_be_made() {
    test_support::manual::write(Args::command());
}

#[test]
fn the_page_of_the_options_is_what_they_say() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/mcp-options.md");
    test_support::manual::compare_options_page(Args::command(), &page);
}
