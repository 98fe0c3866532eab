#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use proptest::prelude::*;

const ID: &str = "4f2a09bc71de5566778899aabbccddeeff00112233445566778899aabbccddee";

fn rule(given: &str) -> ContainerRule {
    given.parse().unwrap()
}

fn is_denied(given: &str, name: &str) -> bool {
    rule(given).denies(name, ID)
}

fn is_allowed(given: &str, name: &str) -> bool {
    rule(given).allows(name, ID)
}

#[test]
fn id_prefix_matches_the_container() {
    for length in [12, 13, 20, 63, 64] {
        let given = &ID[..length];
        for given in [given.to_owned(), given.to_uppercase(), format!("{given}*")] {
            assert!(is_denied(&given, "web") && is_allowed(&given, "web"), "{given}");
        }
    }
    for given in [
        "4f2a09bc71d?",
        "4f2a09bc71de5?6",
        "4f2a09bc71de[0-5]",
        "4f2a09bc71de5*66",
    ] {
        assert_eq!(is_denied(given, "web"), !given.starts_with("4f2a09bc71d?"), "{given}");
    }
    for given in [
        "4f2a09bc71d",
        "4f2a*",
        "4f2a09bc71df",
        "4f2a09bc71de-web",
        "*71de*",
        "????????????*de",
    ] {
        assert!(!is_allowed(given, "web"), "{given}");
    }
}

/// The ability to choose a container's name must not give it the rights of another container.
#[test]
fn name_that_looks_like_an_id_is_denied_but_never_allowed() {
    let name = "aaaabbbbcccc";
    assert!(is_denied(name, name) && !is_allowed(name, name));
    assert!(is_denied("aaaabbbbcccc*", name) && !is_allowed("aaaabbbbcccc*", name));
    assert!(is_allowed("aaaabbbbcccc-*", "aaaabbbbcccc-web-1"));
    assert!(is_allowed("/web", "web") && is_denied("/web", "web") && !is_allowed("web", "Web"));
}

#[test]
fn rule_that_matches_nothing_is_refused() {
    for given in [
        "",
        "/",
        " web",
        "web ",
        "a,b",
        "{a,b}",
        "a|b",
        "we[^b]",
        "we b",
        "a/b",
        "sha256:4f2a",
        "w\u{e9}b",
        "[",
        "a***b",
    ] {
        assert!(given.parse::<ContainerRule>().is_err(), "{given}");
    }
}

proptest! {
    #[test]
    fn every_id_prefix_matches_the_container(length in 12usize..=64, case in any::<u64>()) {
        let given: String = ID[..length]
            .chars()
            .enumerate()
            .map(|(at, digit)| if case >> (at % 64) & 1 == 1 { digit.to_ascii_uppercase() } else { digit })
            .collect();
        prop_assert!(is_denied(&given, "web") && is_allowed(&given, "web"));
    }

    #[test]
    fn rule_denies_everything_that_it_allows(given in "/?[a-f0-9*?._-]{1,20}", name in "[a-f0-9_.-]{1,16}") {
        if let Ok(rule) = given.parse::<ContainerRule>() {
            prop_assert!(!rule.allows(&name, ID) || rule.denies(&name, ID));
        }
    }
}
