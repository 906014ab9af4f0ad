//! The headers exchange: binding arguments are patterns of headers (HDR-1 to HDR-6).
//!
//! A pattern is taken apart at bind into *predicates*: "header `k` is there", "header `k` has the
//! value `v`". Patterns share them. A message is read once, and each of its headers makes at most
//! two predicates true. A pattern in mode `any` is found through each of its predicates; one in
//! mode `all` only through the one that had the fewest patterns when it was bound, and then the
//! others are looked at. So what a message costs hardly depends on how much is bound.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use haremq_protocol::table::{TableReader, Value};
use haremq_protocol::types::{AMQPValue, FieldTable};
use slab::Slab;

use super::targets::{Moved, Place, Target, Targets};
use super::{Found, NONE};
use crate::catalog::integer_of;

/// The list of the patterns that match every message; other lists are numbers of patterns.
const UNCONDITIONAL: u32 = NONE;
/// The argument that names the mode.
const MODE_KEY: &str = "x-match";

/// What must hold of a pattern's keys (HDR-1, HDR-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    All { with_x: bool },
    Any { with_x: bool },
}

/// Why arguments are no pattern (HDR-1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PatternRefusal<'a> {
    /// `x-match` is a string, but none of the four.
    UnknownMode(&'a AMQPValue),
    /// `x-match` is no string.
    NotAString(&'a AMQPValue),
}

/// What a binding's arguments ask of a message, taken apart.
pub(crate) struct Pattern<'a> {
    mode: Mode,
    arguments: &'a FieldTable,
}

/// A value as far as two can be equal (HDR-3): types of one sort do not differ by their width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scalar {
    Bool(bool),
    Integer(i64),
    /// Bits of a double that is a number and not minus zero.
    Float(u64),
    Decimal(u8, u32),
}

/// What a predicate asks of the value of its header.
#[derive(Clone)]
enum Form {
    Present,
    Scalar(Scalar),
    Octets(Arc<[u8]>),
    /// No value equals it: timestamps, tables, arrays.
    Never,
}

impl<'a> Pattern<'a> {
    /// Reads the mode; all else is a pattern whatever it is.
    pub(crate) fn parse(arguments: &'a FieldTable) -> Result<Pattern<'a>, PatternRefusal<'a>> {
        let mode = match arguments.inner().get(MODE_KEY) {
            None => Mode::All { with_x: false },
            Some(value) => Mode::parse(value)?,
        };
        Ok(Pattern { mode, arguments })
    }

    fn forms(&self) -> impl Iterator<Item = (&'a [u8], Form)> {
        let with_x = match self.mode {
            Mode::All { with_x } | Mode::Any { with_x } => with_x,
        };
        let is_asked = move |key: &str| {
            if with_x { key != MODE_KEY } else { !key.starts_with("x-") }
        };
        let entries = self.arguments.inner().iter();
        entries
            .filter(move |(key, _)| is_asked(key.as_str()))
            .map(|(key, value)| (key.as_str().as_bytes(), Form::of(value)))
    }
}

impl Mode {
    fn parse(value: &AMQPValue) -> Result<Mode, PatternRefusal<'_>> {
        let AMQPValue::LongString(name) = value else {
            return Err(PatternRefusal::NotAString(value));
        };
        match name.as_bytes() {
            b"all" => Ok(Mode::All { with_x: false }),
            b"any" => Ok(Mode::Any { with_x: false }),
            b"all-with-x" => Ok(Mode::All { with_x: true }),
            b"any-with-x" => Ok(Mode::Any { with_x: true }),
            _ => Err(PatternRefusal::UnknownMode(value)),
        }
    }
}

impl Scalar {
    fn float(value: f64) -> Option<Scalar> {
        // Adding zero makes a plus zero of a minus zero.
        (!value.is_nan()).then(|| Scalar::Float((value + 0.0).to_bits()))
    }

    /// `None` for what is no scalar, or equals nothing.
    fn of_header(value: &Value<'_>) -> Option<Scalar> {
        match *value {
            Value::Bool(value) => Some(Scalar::Bool(value)),
            Value::Float(value) => Scalar::float(f64::from(value)),
            Value::Double(value) => Scalar::float(value),
            Value::Decimal { scale, unscaled } => Some(Scalar::Decimal(scale, unscaled)),
            ref value => value.as_integer().map(Scalar::Integer),
        }
    }
}

impl Form {
    fn of(value: &AMQPValue) -> Form {
        let scalar = |scalar: Option<Scalar>| scalar.map_or(Form::Never, Form::Scalar);
        if let Some(integer) = integer_of(value) {
            return Form::Scalar(Scalar::Integer(integer));
        }
        match value {
            AMQPValue::Void => Form::Present,
            AMQPValue::Boolean(value) => Form::Scalar(Scalar::Bool(*value)),
            AMQPValue::Float(value) => scalar(Scalar::float(f64::from(*value))),
            AMQPValue::Double(value) => scalar(Scalar::float(*value)),
            AMQPValue::DecimalValue(value) => {
                Form::Scalar(Scalar::Decimal(value.scale, value.value))
            }
            AMQPValue::ShortString(value) => Form::Octets(value.as_str().as_bytes().into()),
            AMQPValue::LongString(value) => Form::Octets(value.as_bytes().into()),
            AMQPValue::ByteArray(value) => Form::Octets(value.as_slice().into()),
            // Timestamps match nothing (a quirk); nobody relies on tables and arrays.
            _ => Form::Never,
        }
    }
}

/// The patterns of one exchange.
pub(crate) struct Headers {
    hash: RandomState,
    keys: Slab<Key>,
    /// Lookups only, like all maps here.
    key_numbers: HashMap<Arc<[u8]>, u32, RandomState>,
    predicates: Slab<Predicate>,
    patterns: Slab<Bound>,
    unconditional: Targets,
}

/// A header that some pattern asks for.
struct Key {
    name: Arc<[u8]>,
    present: u32,
    scalars: HashMap<Scalar, u32, RandomState>,
    octets: HashMap<Arc<[u8]>, u32, RandomState>,
    /// Number of its predicates.
    predicates: u32,
}

/// A question that one header answers.
struct Predicate {
    key: u32,
    form: Form,
    /// Number of patterns that ask it.
    askers: u32,
    /// The patterns that are found through it: pattern, and the entry of that pattern.
    found: Vec<(u32, u32)>,
}

/// A pattern with at least one key.
struct Bound {
    target: Target,
    mode: Mode,
    /// All its predicates.
    asked: Box<[u32]>,
    /// Those through which it is found.
    entries: Box<[Entry]>,
}

struct Entry {
    predicate: u32,
    /// Position of the pattern among those that are found through the predicate.
    position: u32,
}

/// Memory for matching. All exchanges share it: a generation is never used twice.
#[derive(Default)]
pub(crate) struct HeadersScratch {
    generation: u64,
    /// By key: when it was last seen.
    seen: Vec<u64>,
    /// By predicate: when it last held.
    held: Vec<u64>,
    /// The predicates that hold now.
    holding: Vec<u32>,
}

impl Headers {
    pub(crate) fn new(hash: &RandomState) -> Headers {
        Headers {
            hash: hash.clone(),
            keys: Slab::new(),
            key_numbers: HashMap::with_hasher(hash.clone()),
            predicates: Slab::new(),
            patterns: Slab::new(),
            unconditional: Targets::default(),
        }
    }

    pub(crate) fn insert(&mut self, arguments: &FieldTable, target: Target) -> Place {
        let Ok(pattern) = Pattern::parse(arguments) else {
            unreachable!("arguments of a headers binding are checked before they are bound");
        };
        let forms: Vec<_> = pattern.forms().collect();
        let keys = number(forms.len());
        let is_all = matches!(pattern.mode, Mode::All { .. });
        if is_all && keys == 0 {
            return Place { list: UNCONDITIONAL, position: self.unconditional.insert(target) };
        }
        let list = number(self.patterns.vacant_key());
        let (asked, entries) =
            if is_all && forms.iter().any(|(_, form)| matches!(form, Form::Never)) {
                // Nothing will ever match, so there is no way to it.
                Default::default()
            } else {
                let asked = self.ask_all(forms);
                let entries = self.enter(list, &asked, is_all);
                (asked, entries)
            };
        self.patterns.insert(Bound { target, mode: pattern.mode, asked, entries });
        Place { list, position: 0 }
    }

    pub(crate) fn remove(&mut self, place: Place) -> Option<Moved> {
        if place.list == UNCONDITIONAL {
            return self.unconditional.remove(place.position);
        }
        let pattern = self.patterns.remove(place.list as usize);
        for entry in &pattern.entries {
            self.leave(entry);
        }
        for predicate in &pattern.asked {
            self.ask_no_more(*predicate);
        }
        None
    }

    pub(crate) fn collect(
        &self,
        headers: Option<&[u8]>,
        scratch: &mut HeadersScratch,
        found: &mut Found,
    ) {
        self.unconditional.collect(found);
        let Some(headers) = headers.filter(|_| !self.patterns.is_empty()) else { return };
        scratch.begin(self.keys.capacity(), self.predicates.capacity());
        for (name, value) in TableReader::new(headers) {
            let Some(number) = self.key_numbers.get(name) else { continue };
            if scratch.is_first(*number) {
                let key = &self.keys[*number as usize];
                scratch.hold(key.predicate(&Form::Present));
                scratch.hold(key.predicate_of(&value));
            }
        }
        for predicate in &scratch.holding {
            for (pattern, _) in &self.predicates[*predicate as usize].found {
                let pattern = &self.patterns[*pattern as usize];
                if pattern.is_met(scratch) {
                    pattern.target.collect(found);
                }
            }
        }
    }

    /// True if nothing is left of the patterns that were there.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        let counts = (self.keys.len(), self.predicates.len(), self.patterns.len());
        counts == (0, 0, 0) && self.key_numbers.is_empty() && self.unconditional.is_empty()
    }

    /// The numbers of a pattern's predicates.
    fn ask_all(&mut self, forms: Vec<(&[u8], Form)>) -> Box<[u32]> {
        let askable = forms.into_iter().filter(|(_, form)| !matches!(form, Form::Never));
        askable.map(|(key, form)| self.ask(key, form)).collect()
    }

    fn ask(&mut self, name: &[u8], form: Form) -> u32 {
        let key = self.key_or_new(name);
        if let Some(predicate) = self.keys[key as usize].predicate(&form) {
            self.predicates[predicate as usize].askers += 1;
            return predicate;
        }
        let predicate = number(self.predicates.vacant_key());
        self.keys[key as usize].insert(form.clone(), predicate);
        self.predicates.insert(Predicate { key, form, askers: 1, found: Vec::new() });
        predicate
    }

    /// Makes a pattern findable: through the least used of its predicates if all have to hold,
    /// else through each.
    fn enter(&mut self, pattern: u32, asked: &[u32], is_all: bool) -> Box<[Entry]> {
        let least_used = |predicate: &&u32| self.predicates[**predicate as usize].found.len();
        let through: Vec<u32> = if is_all {
            asked.iter().min_by_key(least_used).copied().into_iter().collect()
        } else {
            asked.to_vec()
        };
        let enter = |(predicate, entry): (u32, u32)| {
            let found = &mut self.predicates[predicate as usize].found;
            found.push((pattern, entry));
            Entry { predicate, position: number(found.len() - 1) }
        };
        through.into_iter().zip(0..).map(enter).collect()
    }

    fn leave(&mut self, entry: &Entry) {
        let found = &mut self.predicates[entry.predicate as usize].found;
        found.swap_remove(entry.position as usize);
        if let Some((pattern, of_pattern)) = found.get(entry.position as usize) {
            let moved = &mut self.patterns[*pattern as usize];
            moved.entries[*of_pattern as usize].position = entry.position;
        }
    }

    fn ask_no_more(&mut self, predicate: u32) {
        let asked = &mut self.predicates[predicate as usize];
        asked.askers -= 1;
        if asked.askers == 0 {
            assert!(asked.found.is_empty());
            self.drop_predicate(predicate);
        }
    }

    fn drop_predicate(&mut self, predicate: u32) {
        let Predicate { key, form, .. } = self.predicates.remove(predicate as usize);
        if self.keys[key as usize].remove(&form) {
            let key = self.keys.remove(key as usize);
            self.key_numbers.remove(&key.name);
        }
    }

    fn key_or_new(&mut self, name: &[u8]) -> u32 {
        if let Some(known) = self.key_numbers.get(name) {
            return *known;
        }
        let name: Arc<[u8]> = name.into();
        let key = number(self.keys.insert(Key::new(Arc::clone(&name), &self.hash)));
        self.key_numbers.insert(name, key);
        key
    }
}

impl Bound {
    /// One of its predicates holds: is that enough?
    fn is_met(&self, scratch: &HeadersScratch) -> bool {
        match self.mode {
            Mode::Any { .. } => true,
            Mode::All { .. } => self.asked.iter().all(|predicate| scratch.holds(*predicate)),
        }
    }
}

impl Key {
    fn new(name: Arc<[u8]>, hash: &RandomState) -> Key {
        Key {
            name,
            present: NONE,
            scalars: HashMap::with_hasher(hash.clone()),
            octets: HashMap::with_hasher(hash.clone()),
            predicates: 0,
        }
    }

    fn predicate(&self, form: &Form) -> Option<u32> {
        match form {
            Form::Present => Some(self.present).filter(|present| *present != NONE),
            Form::Scalar(scalar) => self.scalars.get(scalar).copied(),
            Form::Octets(octets) => self.octets.get(octets).copied(),
            Form::Never => None,
        }
    }

    /// The predicate that asks for just this value.
    fn predicate_of(&self, value: &Value<'_>) -> Option<u32> {
        match value {
            Value::LongString(octets) | Value::ByteArray(octets) => {
                self.octets.get(*octets).copied()
            }
            value => self.scalars.get(&Scalar::of_header(value)?).copied(),
        }
    }

    fn insert(&mut self, form: Form, predicate: u32) {
        match form {
            Form::Present => self.present = predicate,
            Form::Scalar(scalar) => drop(self.scalars.insert(scalar, predicate)),
            Form::Octets(octets) => drop(self.octets.insert(octets, predicate)),
            Form::Never => unreachable!("what never matches is not asked for"),
        }
        self.predicates += 1;
    }

    /// True if that was its last predicate.
    fn remove(&mut self, form: &Form) -> bool {
        match form {
            Form::Present => self.present = NONE,
            Form::Scalar(scalar) => drop(self.scalars.remove(scalar)),
            Form::Octets(octets) => drop(self.octets.remove(octets)),
            Form::Never => unreachable!("what never matches is not asked for"),
        }
        self.predicates -= 1;
        self.predicates == 0
    }
}

impl HeadersScratch {
    fn begin(&mut self, keys: usize, predicates: usize) {
        if self.seen.len() < keys {
            self.seen.resize(keys, 0);
        }
        if self.held.len() < predicates {
            self.held.resize(predicates, 0);
        }
        self.holding.clear();
        self.generation += 1;
    }

    /// Of a header that occurs twice the first one counts (HDR-5).
    fn is_first(&mut self, key: u32) -> bool {
        let seen = &mut self.seen[key as usize];
        let is_first = *seen != self.generation;
        *seen = self.generation;
        is_first
    }

    fn hold(&mut self, predicate: Option<u32>) {
        if let Some(predicate) = predicate {
            self.held[predicate as usize] = self.generation;
            self.holding.push(predicate);
        }
    }

    fn holds(&self, predicate: u32) -> bool {
        self.held[predicate as usize] == self.generation
    }
}

fn number(index: usize) -> u32 {
    let number = u32::try_from(index).expect("fewer than 2^32 patterns fit in memory");
    assert!(number != NONE);
    number
}
