//! `--pin`, `--no-pin` and `HAREMQ_PIN`: one choice, for which the derived parser has no form. It
//! would refuse a flag that contradicts the environment, which is to win.

use clap::builder::BoolishValueParser;
use clap::error::Error;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

const PIN: &str = "pin";
const NO_PIN: &str = "no_pin";

/// Whether the shards' threads stay on their CPUs; `None` if the user does not care.
#[derive(Clone, Copy, Debug)]
pub(super) struct PinChoice(pub(super) Option<bool>);

impl Args for PinChoice {
    fn augment_args(command: Command) -> Command {
        command.arg(pin()).arg(no_pin())
    }

    fn augment_args_for_update(command: Command) -> Command {
        PinChoice::augment_args(command)
    }
}

fn pin() -> Arg {
    Arg::new(PIN)
        .long("pin")
        .env("HAREMQ_PIN")
        .value_name("true|false")
        .help("Pin each shard's thread to its CPU [default: yes, unless a CPU quota is below the cores]")
        .num_args(0..=1)
        .require_equals(true)
        .default_missing_value("true")
        .overrides_with(PIN)
        .value_parser(BoolishValueParser::new())
}

fn no_pin() -> Arg {
    Arg::new(NO_PIN)
        .long("no-pin")
        .help("Leave the threads to the scheduler [env: HAREMQ_PIN=false]")
        .overrides_with(NO_PIN)
        .action(ArgAction::SetTrue)
}

impl FromArgMatches for PinChoice {
    fn from_arg_matches(matches: &ArgMatches) -> Result<PinChoice, Error> {
        // Of flags the last one counts.
        let place = |id| {
            let is_flag = matches.value_source(id) == Some(ValueSource::CommandLine);
            is_flag.then(|| matches.indices_of(id).and_then(Iterator::last)).flatten()
        };
        let value = matches.get_one::<bool>(PIN).copied();
        let is_off = place(NO_PIN).is_some() && place(NO_PIN) > place(PIN);
        Ok(PinChoice(if is_off { Some(false) } else { value }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = PinChoice::from_arg_matches(matches)?;
        Ok(())
    }
}
