//! Files of a release for a program: shell completions and the manual page.
//!
//! A test writes them, because it can use the program's command line and adds nothing to the program.

use std::fs;
use std::path::Path;

use clap::Command;
use clap_complete::{Shell, generate_to};

/// Writes them below `DEXEC_MANUAL`, which `script/release` sets, or to a temporary directory, only to check them.
pub fn write(mut command: Command) {
    let temporary = tempfile::tempdir().expect("a directory can be made");
    let directory = std::env::var_os("DEXEC_MANUAL");
    let directory = directory.as_deref().map_or(temporary.path(), Path::new);
    let name = command.get_name().to_owned();

    let completions = directory.join("completions");
    fs::create_dir_all(&completions).expect("a directory can be made");
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let file = generate_to(shell, &mut command, &name, &completions).expect("it can be written");
        assert_tells(&file);
    }

    let pages = directory.join("man");
    fs::create_dir_all(&pages).expect("a directory can be made");
    let page = pages.join(format!("{name}.1"));
    let mut text = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut text)
        .expect("it can be made");
    fs::write(&page, text).expect("it can be written");
    assert_tells(&page);
}

fn assert_tells(file: &Path) {
    let text = fs::read_to_string(file).expect("it was written");
    assert!(
        text.contains("tlsverify"),
        "{} does not tell the options",
        file.display()
    );
}
