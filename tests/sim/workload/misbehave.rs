//! What ends a connection: the broker has to say so, and to go on with the others.

use haremq_protocol::method::{AMQPClass, basic, write_method};

use crate::simulation::Simulation;

/// A channel that nobody opens.
const UNKNOWN_CHANNEL: u16 = 77;
/// A header frame for channel 1, with nothing in it.
const BARE_HEADER: [u8; 8] = [2, 0, 1, 0, 0, 0, 0, 0xce];
/// `channel.open`.
const OPEN: [u8; 5] = [0, 20, 0, 10, 0];

impl Simulation {
    /// Breaks the protocol in one of several ways.
    pub(super) fn misbehave(&mut self, client: usize, number: u16) {
        let mut out = Vec::new();
        match self.workload.below(5) {
            0 => out.extend((0..40).map(|_| self.workload.next() as u8 | 0x10)),
            1 => {
                let flow = basic::AMQPMethod::Recover(basic::Recover { requeue: true });
                write_method(&mut out, UNKNOWN_CHANNEL, &AMQPClass::Basic(flow));
            }
            2 => out.extend(BARE_HEADER),
            3 => write_frame(&mut out, number, &OPEN),
            // The frame's end is missing.
            _ => {
                write_frame(&mut out, number, &OPEN);
                *out.last_mut().expect("a frame has octets") = 0;
            }
        }
        let client = &mut self.clients[client];
        client.session.send_raw(&out);
        client.must_break = true;
    }
}

fn write_frame(out: &mut Vec<u8>, channel: u16, payload: &[u8]) {
    out.push(1);
    out.extend(channel.to_be_bytes());
    out.extend((payload.len() as u32).to_be_bytes());
    out.extend(payload);
    out.push(0xce);
}
