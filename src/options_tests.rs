use clap::CommandFactory;
use clap::error::ErrorKind;

use super::*;

fn parse(words: &[&str]) -> Result<ServerOptions, clap::Error> {
    let options = Options::try_parse_from([&["haremq"], words].concat())?;
    match options.command {
        None => Ok(options.server),
        Some(Command::Server(server)) => Ok(server),
        Some(Command::Doctor(_)) => panic!("no doctor was asked for"),
    }
}

#[test]
fn flags_are_consistent() {
    Options::command().debug_assert();
}

#[test]
fn the_server_needs_no_word() {
    for words in [&["--spin-us", "7"][..], &["server", "--spin-us", "7"]] {
        assert_eq!(parse(words).expect("both are usage").spin_us, 7);
    }
}

#[test]
fn listeners_repeat_and_are_separated_by_commas() {
    let words = ["--listen", "127.0.0.1:0,[::1]:5672", "--listen", "0.0.0.0:1"];
    let listen = parse(&words).expect("three addresses").machine.listen;
    assert_eq!(listen.len(), 3);
    assert_eq!(listen[1].to_string(), "[::1]:5672");
}

#[test]
fn pinning_can_be_chosen_or_left_open() {
    let cases = [
        (&[][..], None),
        (&["--pin"], Some(true)),
        (&["--no-pin"], Some(false)),
        (&["--pin", "--no-pin"], Some(false)),
        (&["--no-pin", "--pin"], Some(true)),
        (&["--pin=false"], Some(false)),
        (&["--pin=false", "--pin"], Some(true)),
        (&["--no-pin", "--no-pin"], Some(false)),
    ];
    for (words, expected) in cases {
        assert_eq!(parse(words).expect("usage").pin(), expected, "{words:?}");
    }
}

#[test]
fn wrong_values_say_how_to_write_them() {
    let cases = [
        (&["--listen", "5672"][..], "127.0.0.1:5672"),
        (&["--cores", "0"], "at least 1"),
        (&["--cores", "many"], "0-3,8"),
        (&["--cores", "0-0,"], "nothing beside it"),
        (&["--cores", "-1"], "0-3,8"),
        (&["--memory", "lots"], "512MiB"),
        (&["--memory", "-5"], "512MiB"),
        (&["--log-level", "chatty"], "debug"),
        (&["--log-level", ""], "debug"),
        (&["--log-level", "info,"], "debug"),
        (&["--log-level", "haremq="], "debug"),
        (&["--spin-us", "1000000"], "10000"),
        (&["--spin-us", "-1"], "10000"),
        (&["--log-format", "xml"], "json"),
    ];
    for (words, expected) in cases {
        let error = parse(words).expect_err("a wrong value");
        assert!(error.to_string().contains(expected), "{words:?}: {error}");
    }
}

#[test]
fn the_nearest_flag_is_named() {
    let error = parse(&["--data-dri", "x"]).expect_err("no such flag");
    assert_eq!(error.kind(), ErrorKind::UnknownArgument);
    assert!(error.to_string().contains("--data-dir"), "{error}");
}

#[test]
fn log_levels_go_by_part() {
    for level in ["off", "warn", "info,haremq_runtime=debug"] {
        assert_eq!(parse(&["--log-level", level]).expect("a level").log.level, level);
    }
}

#[test]
fn every_value_has_an_environment_name() {
    let command = Options::command();
    let server = command.find_subcommand("server").expect("there is one");
    let unnamed = server.get_arguments().filter(|argument| argument.get_env().is_none());
    let unnamed: Vec<_> = unnamed.map(|argument| argument.get_id().as_str()).collect();
    assert_eq!(unnamed, ["no_pin"], "--no-pin is HAREMQ_PIN=false");
}

#[test]
fn the_first_state_directory_is_ours() {
    assert_eq!(first_state_directory("/var/lib/a:/var/lib/b".into()), Some("/var/lib/a".into()));
    assert_eq!(first_state_directory("".into()), None);
}
