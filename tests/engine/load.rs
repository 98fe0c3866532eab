//! Many commands.

use std::thread;

use serde_json::json;

use crate::support::{assert_response, dexec};

fn run(number: usize) {
    let exit = number % 120;
    let script = format!("echo out {number}; echo err {number} >&2; exit {exit}");
    let response = dexec(["dexec-shell", "sh", "-c", &script]).response();
    let expected = json!({
        "exitCode": exit,
        "stdout": format!("out {number}"),
        "stderr": format!("err {number}"),
        "success": exit == 0,
    });
    assert_response(&response, expected);
}

#[test]
fn two_hundred_in_a_row_are_right() {
    (0..200).for_each(run);
}

#[test]
fn fifty_at_once_are_right() {
    let runs: Vec<_> = (0..50).map(|number| thread::spawn(move || run(number))).collect();
    for run in runs {
        run.join().expect("each is right");
    }
}
