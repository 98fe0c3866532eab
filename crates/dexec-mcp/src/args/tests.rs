use clap::CommandFactory as _;

use super::*;

#[test]
fn manual_page_is_generated() {
    test_support::manual::write(Args::command());
}

#[test]
fn options_page_matches_the_options() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/mcp-options.md");
    test_support::manual::compare_options_page(Args::command(), &page);
}
