//! Finds container names that the user may have meant.

use crate::container::Container;
use crate::error::sanitize_line;

/// The maximum length of a container name; no engine accepts a longer one.
pub(super) const MAX_NAME_LEN: usize = 255;

/// Returns up to three names that are similar to `wanted`, the most similar first.
pub(super) fn near_names(wanted: &str, containers: &[Container]) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let mut near: Vec<(f64, &str)> = containers
        .iter()
        .filter(|container| container.name.len() <= MAX_NAME_LEN)
        .map(|container| {
            let name = container.name.to_lowercase();
            let contains = name.contains(&wanted) || wanted.contains(&name) && !name.is_empty();
            let similarity = if contains {
                0.9
            } else {
                strsim::normalized_damerau_levenshtein(&wanted, &name)
            };
            (similarity, container.name.as_str())
        })
        .filter(|(similarity, _)| *similarity > 0.7)
        .collect();
    near.sort_by(|one, other| other.0.total_cmp(&one.0));
    near.into_iter()
        .take(3)
        .map(|(_, name)| format!("`{}`", sanitize_line(name, MAX_NAME_LEN)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn containers(names: &[&str]) -> Vec<Container> {
        names
            .iter()
            .map(|name| Container {
                name: (*name).to_owned(),
                is_running: true,
                ..Container::default()
            })
            .collect()
    }

    #[test]
    fn near_names_are_similar_to_the_given_name() {
        let containers = containers(&["web-1", "database", "shop_web_1", "worker"]);
        assert_eq!(near_names("web", &containers), ["`web-1`", "`shop_web_1`"]);
        assert_eq!(near_names("databse", &containers), ["`database`"]);
        assert_eq!(near_names("WORKER", &containers), ["`worker`"]);
        assert!(near_names("zzz", &containers).is_empty());
    }
}
