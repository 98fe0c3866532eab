//! Invalid bytes instead of a command's output.

use super::*;

#[test]
fn invalid_frames_end_the_stream_and_keep_the_output() {
    let cases = vec![
        ("an unknown type", b"\x04\0\0\0\0\0\0\x01y".to_vec()),
        ("the last type", b"\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        ("text", b"Welcome to the container!\n".to_vec()),
        ("another answer", json("200 OK", "{}")),
        ("a cut header", b"\x01\0\0".to_vec()),
        ("a cut frame", b"\x01\0\0\0\0\0\0\x09y".to_vec()),
        ("a frame of 4 GiB", b"\x02\0\0\0\xff\xff\xff\xffy".to_vec()),
        ("a message of 4 GiB", b"\x03\0\0\0\xff\xff\xff\xffy".to_vec()),
        ("a message that is no text", frame(3, b"\xff\x1b[31m\0\n")),
        ("an empty message", frame(3, b"")),
    ];
    let cases = cases
        .into_iter()
        .map(|(name, bytes)| (name, Answer::Bytes(stream(&[frame(1, b"x"), bytes]))));
    test_each(cases.collect(), |answer| {
        let ran = run(Script {
            start: answer,
            ..Script::default()
        });
        assert_eq!((ran.code(), ran.kind()), (255, "connectionLost"), "{}", ran.response);
        let stdout = ran.response["stdout"].as_str().unwrap_or_default();
        assert!(["x", "xy"].contains(&stdout), "{}", ran.response);
        ran.assert_message("part of the output may be missing");
        ran.assert_little_memory();
        ran
    });
}

#[test]
fn endless_empty_frames_do_not_delay_the_timeout() {
    let cases = vec![
        ("output", Answer::Endless(stream(&[]), frame(1, b""))),
        (
            "a message",
            Answer::Endless(stream(&[b"\x03\0\0\0\xff\xff\xff\xff".to_vec()]), b"x".to_vec()),
        ),
    ];
    test_each(cases, |answer| {
        let script = Script {
            start: answer,
            inspect: json("200 OK", RUNNING).into(),
            ..Script::default()
        };
        let ran = run_with(script, &["--timeout=1"]);
        ran.assert_little_memory();
        ran
    });
}

#[test]
fn captured_endless_output_uses_bounded_memory() {
    let ran = run_with(
        Script {
            start: Answer::Endless(stream(&[]), frame(1, &vec![b'x'; 32 * 1024])),
            inspect: json("200 OK", RUNNING).into(),
            ..Script::default()
        },
        &["--timeout=5"],
    );
    assert_eq!((ran.code(), &ran.response["isTruncated"]), (124, &true.into()));
    println!("{} KiB, {:?}", ran.peak, ran.time);
    // The limit covers the received bytes and the text that is made from them.
    assert!(ran.peak < 4 * MAX_MEMORY, "{} KiB", ran.peak);
}

#[test]
fn raw_endless_output_uses_bounded_memory() {
    let fake = Fake::start(Script {
        start: Answer::Endless(stream(&[]), frame(1, &[b'x'; 32])),
        inspect: json("200 OK", RUNNING).into(),
        ..Script::default()
    });
    let mut child = dexec(["--raw", "--timeout=2", "-H", &fake.host, "web", "yes"]).spawn();
    let mut stdout = child.stdout.take().expect("it is a pipe");
    let reader = thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    let watched = watch(child);
    let length = reader.join().expect("it does not panic").expect("it can be read");
    println!("{length} bytes, {} KiB, {:?}", watched.peak, watched.time);
    assert_eq!(watched.done.code, 124, "{:?}", watched.done);
    assert!(
        watched.done.stderr_text().contains("may still be running"),
        "{:?}",
        watched.done
    );
    assert!(watched.peak < MAX_MEMORY);
}
