//! One producer: what it sends next, when, and what it waits for.

use haremq_protocol::frame::FRAME_HEAD_BYTES;
use haremq_protocol::publish::write_publish;

use crate::body::{BodyFormat, Stamp};
use crate::confirm_window::{ConfirmWindow, SendTime};
use crate::ledger::{Fate, Origin, Recorder};
use crate::meter::{Meter, note};
use crate::schedule::Schedule;
use crate::seq_set::SeqSet;
use crate::verify::{Published, expand};

/// Numbers on record ahead of the next one: enough for what can be sent while the medium is busy,
/// and no more, as after a kill nobody knows which of them were used.
const RESERVED_MIN: u64 = 1024;
const RESERVED_MAX: u64 = 65_536;

/// The frames of one publish, encoded once; a message is a copy with another head of its body.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    frames: Vec<u8>,
    body_at: usize,
    body_bytes: usize,
    format: BodyFormat,
}

impl Template {
    /// For messages with this key and body.
    pub(crate) fn new(publish: &TemplateParts<'_>, key: &str, body: &[u8]) -> Template {
        let mut frames = Vec::new();
        let TemplateParts { channel, frame_max, exchange, mandatory, properties } = *publish;
        write_publish(
            &mut frames,
            channel,
            frame_max,
            exchange,
            key.as_bytes(),
            mandatory,
            properties,
            body,
        );
        // The body's first frame: behind the method frame and the content header.
        let mut body_at = 0;
        for _ in 0..2 {
            let size = &frames[body_at + 3..body_at + FRAME_HEAD_BYTES];
            let size = u32::from_be_bytes(size.try_into().expect("four octets"));
            body_at += FRAME_HEAD_BYTES + size as usize + 1;
        }
        body_at += FRAME_HEAD_BYTES;
        let format = BodyFormat::new(body);
        Template { frames, body_at, body_bytes: body.len(), format }
    }

    /// Appends one message.
    #[inline]
    pub(crate) fn write(&self, out: &mut Vec<u8>, stamp: &Stamp) {
        let start = out.len() + self.body_at;
        out.extend_from_slice(&self.frames);
        let head = &mut out[start..start + self.format.head_bytes()];
        self.format.write(head, stamp);
    }
}

/// What all templates of a producer have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TemplateParts<'a> {
    pub(crate) channel: u16,
    pub(crate) frame_max: u32,
    pub(crate) exchange: &'a [u8],
    pub(crate) mandatory: bool,
    pub(crate) properties: &'a [u8],
}

/// Sizes of bodies over time: which of the sets of templates holds.
#[derive(Clone, Debug)]
pub(crate) struct SizeSteps {
    /// How long each holds, in ns, repeated.
    pub(crate) durations_ns: Vec<u64>,
}

impl SizeSteps {
    fn at(&self, elapsed_ns: u64) -> usize {
        let total: u64 = self.durations_ns.iter().sum();
        let mut rest = elapsed_ns % total.max(1);
        for (index, duration_ns) in self.durations_ns.iter().enumerate() {
            if rest < *duration_ns {
                return index;
            }
            rest -= duration_ns;
        }
        0
    }
}

/// One producer on its channel.
#[derive(Debug)]
pub(crate) struct Publisher {
    pub(crate) number: u16,
    /// By body (or size), then by key.
    pub(crate) templates: Vec<Vec<Template>>,
    /// By key, how many consumed queues a message reaches.
    pub(crate) deliveries: Vec<u64>,
    pub(crate) sizes: Option<SizeSteps>,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) window: Option<ConfirmWindow>,
    /// Messages in all; `u64::MAX` is unlimited.
    pub(crate) limit: u64,
    /// Numbers confirmed, if somebody wants to know at the end.
    pub(crate) confirmed: Option<SeqSet>,
    /// Requests without a reply, and how many there may be.
    pub(crate) requests: Option<Requests>,
    pub(crate) next: u64,
    /// With a ledger: numbers below this are on record as perhaps sent, the others must wait.
    pub(crate) reserved: u64,
    /// The same, once what is under way to the ledger has arrived there.
    reserving: u64,
    /// Until then the broker held it back, by its confirms or its socket: in ns after the start.
    free_from_ns: u64,
    is_held_back: bool,
    nacked: SeqSet,
    returned: SeqSet,
}

/// Requests of one producer that wait for their reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requests {
    pub(crate) open: u64,
    pub(crate) open_max: u64,
}

/// Why a producer has stopped for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// The output is full enough for now.
    Full,
    /// The window is used up.
    Window,
    /// Nothing is due before this, in ns after the start.
    Until(u64),
    /// Everything is sent.
    Done,
}

/// What a producer does with time and space.
pub(crate) struct Round<'a> {
    pub(crate) out: &'a mut Vec<u8>,
    /// Stop when `out` has so many octets.
    pub(crate) out_bytes_max: usize,
    /// Now, in ns after the start.
    pub(crate) now_ns: u64,
    pub(crate) start_unix_ns: u64,
    pub(crate) meter: &'a mut Meter,
}

impl Publisher {
    pub(crate) fn new(number: u16) -> Publisher {
        Publisher {
            number,
            templates: Vec::new(),
            deliveries: Vec::new(),
            sizes: None,
            schedule: None,
            window: None,
            limit: u64::MAX,
            confirmed: None,
            requests: None,
            next: 0,
            reserved: u64::MAX,
            reserving: u64::MAX,
            free_from_ns: 0,
            is_held_back: false,
            nacked: SeqSet::default(),
            returned: SeqSet::default(),
        }
    }

    /// Appends what may be sent now; returns why it stopped, and the deliveries to expect.
    pub(crate) fn publish(&mut self, round: &mut Round<'_>) -> (Pause, u64) {
        let mut expected = 0;
        let pause = loop {
            if self.next >= self.limit {
                break Pause::Done;
            }
            if round.out.len() >= round.out_bytes_max {
                break Pause::Full;
            }
            // The broker does not hold it back: what is late now is the generator's fault.
            if self.next >= self.reserved {
                break Pause::Window;
            }
            if self.window.as_ref().is_some_and(|window| !window.has_room()) {
                self.is_held_back = true;
                break Pause::Window;
            }
            if self.requests.is_some_and(|requests| requests.open >= requests.open_max) {
                self.is_held_back = true;
                break Pause::Window;
            }
            let intended_ns = match &mut self.schedule {
                None => round.now_ns,
                Some(schedule) => {
                    let due_ns = schedule.next_ns();
                    if due_ns > round.now_ns {
                        break Pause::Until(due_ns);
                    }
                    schedule.advance_one();
                    due_ns
                }
            };
            if std::mem::take(&mut self.is_held_back) {
                self.free_from_ns = round.now_ns;
            }
            expected += self.write(intended_ns, round);
        };
        (pause, expected)
    }

    #[inline]
    fn write(&mut self, intended_ns: u64, round: &mut Round<'_>) -> u64 {
        let now_ns = round.now_ns;
        let lag_ns = now_ns - intended_ns;
        let key = (self.next % self.deliveries.len() as u64) as usize;
        let body = match &self.sizes {
            Some(sizes) => sizes.at(now_ns),
            None => (self.next % self.templates.len() as u64) as usize,
        };
        let template = &self.templates[body][key];
        let stamp = Stamp {
            seq: self.next as u32,
            time: round.start_unix_ns + intended_ns,
            publisher: self.number,
            lag: u32::try_from(lag_ns).unwrap_or(u32::MAX),
        };
        template.write(round.out, &stamp);
        if let Some(window) = &mut self.window {
            window.send(SendTime { intended_ns, sent_ns: now_ns });
        }
        if self.schedule.is_some() {
            note(&mut round.meter.lag, now_ns - intended_ns.max(self.free_from_ns));
        }
        if let Some(requests) = &mut self.requests {
            requests.open += 1;
        }
        round.meter.counts.sent += 1;
        round.meter.counts.sent_bytes += template.body_bytes as u64;
        self.next += 1;
        self.deliveries[key]
    }

    /// The broker settled one publish, or all up to it; returns the deliveries that are not to be
    /// expected any more. `None` if it settled what was not open.
    pub(crate) fn settle(
        &mut self,
        delivery_tag: u64,
        multiple: bool,
        is_accepted: bool,
        now_ns: u64,
        meter: &mut Meter,
        mut recorder: Option<&mut Recorder>,
    ) -> Option<u64> {
        let Publisher { number, window, confirmed, nacked, deliveries, next, .. } = self;
        let window = window.as_mut()?;
        // Tag 0 with `multiple` means all.
        let seq = match (delivery_tag.checked_sub(1), multiple) {
            (Some(seq), _) => seq,
            (None, true) => next.checked_sub(1)?,
            (None, false) => return None,
        };
        let mut refused = 0;
        let fate = if is_accepted { Fate::Confirmed } else { Fate::Refused };
        let is_known = window.settle(seq, multiple, |seq, time| {
            if let Some(recorder) = recorder.as_deref_mut() {
                recorder.settle(fate, Origin { publisher: *number, seq });
            }
            if !is_accepted {
                nacked.insert(seq);
                refused += deliveries[(seq % deliveries.len() as u64) as usize];
                meter.counts.nacked += 1;
                return;
            }
            if let Some(confirmed) = confirmed {
                confirmed.insert(seq);
            }
            meter.counts.confirmed += 1;
            note(&mut meter.confirm, now_ns.saturating_sub(time.intended_ns));
            note(&mut meter.confirm_raw, now_ns.saturating_sub(time.sent_ns));
        });
        is_known.then_some(refused)
    }

    /// A request has its reply.
    pub(crate) fn handle_reply(&mut self) {
        if let Some(requests) = &mut self.requests {
            requests.open = requests.open.saturating_sub(1);
        }
    }

    /// A message came back; returns the deliveries that are not to be expected any more.
    pub(crate) fn handle_return(&mut self, stamp: &Stamp, recorder: Option<&mut Recorder>) -> u64 {
        let seq = expand(stamp.seq, self.next);
        if stamp.publisher != self.number || !self.returned.insert(seq) {
            return 0;
        }
        if let Some(recorder) = recorder {
            recorder.settle(Fate::Returned, Origin { publisher: self.number, seq });
        }
        self.deliveries[(seq % self.deliveries.len() as u64) as usize]
    }

    /// From now on numbers must be on record before they are used.
    pub(crate) fn begin_reserving(&mut self) {
        (self.reserved, self.reserving) = (0, 0);
    }

    /// Numbers up to which it should be on record, if that is more than it is; it then counts on
    /// [`Publisher::handle_reserved`].
    pub(crate) fn poll_reservation(&mut self) -> Option<u64> {
        let open_max = self.window.as_ref().map_or(0, ConfirmWindow::open_max);
        let ahead = (open_max * 2).clamp(RESERVED_MIN, RESERVED_MAX);
        let wanted = self.next.saturating_add(ahead).min(self.limit);
        let is_enough = self.reserving >= wanted || self.reserving - self.next > ahead / 2;
        if is_enough {
            return None;
        }
        self.reserving = wanted;
        Some(wanted)
    }

    /// What it wanted is on record; true if it may have waited for that.
    pub(crate) fn handle_reserved(&mut self) -> bool {
        let had_to_wait = self.next >= self.reserved && self.reserving > self.reserved;
        self.reserved = self.reserving;
        had_to_wait
    }

    /// The broker does not read: what is late from here on is not the generator's fault.
    pub(crate) fn hold_back(&mut self) {
        self.is_held_back = true;
    }

    /// What it did, at the end.
    pub(crate) fn into_published(self) -> Published {
        Published {
            number: usize::from(self.number),
            sent: self.next,
            confirmed: self.confirmed,
            nacked: self.nacked,
            returned: self.returned,
        }
    }
}
