//! The contents of a batch's messages, one behind the other.

use std::ops::Range;
use std::slice;

use bytes::Bytes;
use haremq_broker::octets::is_same;
use haremq_broker::store::Content;
use haremq_protocol::blank::Blank;

/// The contents of a batch's messages, copied one behind the other into one area, whose room is
/// made once and kept. Messages of one section have their names in common, which lie before them.
#[derive(Debug, Default)]
pub(super) struct Contents {
    messages: Vec<Lengths>,
    /// The area. Octets from `used` on are left over from earlier batches.
    octets: Vec<u8>,
    used: usize,
}

/// How long the properties and the body of a message are, which lie one behind the other.
#[derive(Clone, Copy, Debug)]
struct Lengths {
    properties: u32,
    /// 0 when the body travels as a buffer of its own.
    body: u32,
}

/// Messages that have exchange and routing key in common.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Section {
    first_message: u32,
    /// Where the names lie; the first message is behind them.
    octet: usize,
    exchange: u8,
    routing_key: u8,
}

/// Messages of one section, to be read in order.
pub(crate) struct Messages<'a> {
    exchange: &'a [u8],
    routing_key: &'a [u8],
    /// The next one's place in the section.
    pub(crate) place: u32,
    lengths: slice::Iter<'a, Lengths>,
    octets: &'a [u8],
    /// Where the next one lies.
    octet: &'a mut usize,
}

impl Contents {
    /// Copies the names of the messages that are pushed from now on.
    pub(super) fn begin(&mut self, content: &Content<'_>) -> Section {
        let Content { exchange, routing_key, .. } = *content;
        let section = Section {
            first_message: u32::try_from(self.messages.len()).expect("memory bounds them"),
            octet: self.used,
            exchange: octet_length(exchange),
            routing_key: octet_length(routing_key),
        };
        let mut blank = self.room(exchange.len() + routing_key.len());
        blank.put_octets(exchange);
        blank.put_octets(routing_key);
        blank.finish();
        section
    }

    /// Whether a message has the names of a section.
    #[inline]
    pub(super) fn are_of(&self, section: Section, content: &Content<'_>) -> bool {
        let (exchange, routing_key) = self.names(section);
        is_same(exchange, content.exchange) && is_same(routing_key, content.routing_key)
    }

    #[inline]
    fn names(&self, section: Section) -> (&[u8], &[u8]) {
        let (exchange, rest) = self.octets[section.octet..].split_at(section.exchange.into());
        (exchange, &rest[..section.routing_key.into()])
    }

    /// Copies a message of the section that was begun last; its body only if that does not travel
    /// by itself.
    #[inline]
    pub(super) fn push(&mut self, content: &Content<'_>, has_large_body: bool) {
        let properties = content.properties;
        let body: &[u8] = if has_large_body { &[] } else { content.body };
        self.messages.push(Lengths {
            properties: u32::try_from(properties.len()).expect("bounded by frame-max"),
            body: u32::try_from(body.len()).expect("bounded by the copy limit"),
        });
        let mut blank = self.room(properties.len() + body.len());
        blank.put_octets(properties);
        blank.put_octets(body);
        blank.finish();
    }

    /// Messages of a section by their places in it. `octet` says where the first of them lies if it
    /// is not the section's first, and is kept up to date.
    pub(super) fn messages<'a>(
        &'a self,
        section: Section,
        places: Range<u32>,
        octet: &'a mut usize,
    ) -> Messages<'a> {
        let (exchange, routing_key) = self.names(section);
        if places.start == 0 {
            *octet = section.octet + exchange.len() + routing_key.len();
        }
        let lengths = &self.messages[section.first_message as usize..];
        let lengths = lengths[places.start as usize..places.end as usize].iter();
        let place = places.start;
        Messages { exchange, routing_key, place, lengths, octets: &self.octets, octet }
    }

    /// Forgets all contents and keeps the room.
    pub(super) fn clear(&mut self) {
        self.messages.clear();
        self.used = 0;
    }

    /// Bytes that the contents take.
    pub(super) fn bytes_used(&self) -> usize {
        self.used + self.messages.len() * size_of::<Lengths>()
    }

    /// Bytes that are kept for contents.
    pub(super) fn bytes_reserved(&self) -> usize {
        self.octets.capacity() + self.messages.capacity() * size_of::<Lengths>()
    }

    /// So many octets of the area, to be written.
    #[inline]
    fn room(&mut self, len: usize) -> Blank<'_> {
        let start = self.used;
        self.used += len;
        if self.used > self.octets.len() {
            self.grow();
        }
        Blank::new(&mut self.octets[start..self.used])
    }

    #[cold]
    fn grow(&mut self) {
        self.octets.reserve(self.used - self.octets.len());
        // All of it, so that the next content finds its room made.
        self.octets.resize(self.octets.capacity(), 0);
    }
}

impl Messages<'_> {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.lengths.len()
    }

    /// The next one; its body is `large_body` if that has travelled by itself.
    #[inline]
    pub(crate) fn next<'a>(&'a mut self, large_body: Option<&'a Bytes>) -> Option<Content<'a>> {
        let lengths = *self.lengths.as_slice().first()?;
        let octet = *self.octet;
        self.skip();
        Some(self.content(octet, lengths, large_body))
    }

    /// The same, but it stays the next one.
    #[inline]
    pub(crate) fn peek<'a>(&'a self, large_body: Option<&'a Bytes>) -> Option<Content<'a>> {
        let lengths = *self.lengths.as_slice().first()?;
        Some(self.content(*self.octet, lengths, large_body))
    }

    /// Goes on to the one behind the next.
    #[inline]
    pub(crate) fn skip(&mut self) {
        if let Some(lengths) = self.lengths.next() {
            self.place += 1;
            *self.octet += lengths.properties as usize + lengths.body as usize;
        }
    }

    #[inline]
    fn content<'a>(
        &'a self,
        octet: usize,
        lengths: Lengths,
        large_body: Option<&'a Bytes>,
    ) -> Content<'a> {
        let (properties, rest) = self.octets[octet..].split_at(lengths.properties as usize);
        let body = &rest[..lengths.body as usize];
        let body = large_body.map_or(body, |body| &body[..]);
        Content { exchange: self.exchange, routing_key: self.routing_key, properties, body }
    }
}

fn octet_length(name: &[u8]) -> u8 {
    u8::try_from(name.len()).expect("short strings have at most 255 octets")
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: Content<'_> =
        Content { exchange: b"", routing_key: b"", properties: b"", body: b"" };

    #[test]
    fn messages_are_read_as_they_were_pushed() {
        let (long, large) = ([b'k'; 255], [b'b'; 5_000]);
        let named = Content { exchange: b"e", routing_key: &long, ..EMPTY };
        let sections = [
            vec![Content { properties: b"pp", body: b"body", ..named }, named],
            vec![EMPTY, Content { body: &large, ..EMPTY }, EMPTY],
        ];
        let mut contents = Contents::default();
        for _ in 0..2 {
            let begun = sections.each_ref().map(|messages| {
                let section = contents.begin(&messages[0]);
                messages.iter().for_each(|message| contents.push(message, false));
                section
            });
            for (section, messages) in begun.into_iter().zip(&sections) {
                let (mut octet, places) = (0, 0..messages.len() as u32);
                let mut read = contents.messages(section, places, &mut octet);
                for message in messages {
                    assert_eq!(read.next(None), Some(*message));
                }
                assert_eq!(read.next(None), None);
            }
            contents.clear();
            assert_eq!(contents.bytes_used(), 0);
        }
    }

    #[test]
    fn reading_goes_on_where_it_stopped() {
        let mut contents = Contents::default();
        let message = |body| Content { exchange: b"e", body, ..EMPTY };
        let section = contents.begin(&EMPTY);
        let bodies: [&[u8]; 3] = [b"one", b"two", b"three"];
        bodies.iter().for_each(|body| contents.push(&message(body), false));
        let mut octet = 0;
        for (place, body) in (0..).zip(bodies) {
            let mut read = contents.messages(section, place..place + 1, &mut octet);
            assert_eq!(read.next(None).expect("there is one").body, body);
            assert_eq!(read.next(None), None);
        }
    }

    #[test]
    fn a_body_that_travels_by_itself_is_not_copied() {
        let large = Bytes::from(vec![b'b'; 5_000]);
        let content = Content { properties: b"pp", body: &large, ..EMPTY };
        let mut contents = Contents::default();
        let section = contents.begin(&content);
        contents.push(&content, true);
        assert!(contents.bytes_used() < 100);
        let mut octet = 0;
        let mut read = contents.messages(section, 0..1, &mut octet);
        assert_eq!(read.next(Some(&large)), Some(content));
    }
}
