//! From the protocol header to `open-ok` (SEMANTICS.md section 2).

use haremq_broker::ids::Time;
use haremq_protocol::frame::{HeaderCheck, PROTOCOL_HEADER, check_protocol_header};
use haremq_protocol::method::{AMQPClass, connection};
use haremq_protocol::reply::{ProtocolError, ReplyCode};
use haremq_protocol::sasl::{Credentials, SaslError, parse_amqplain, parse_plain};
use haremq_protocol::table::table_content;
use haremq_protocol::types::{AMQPValue, FieldTable, LongString};

use crate::event::ConnectionSlot;
use crate::front::Flow;
use crate::front::connection::{Farewell, Identity, State};
use crate::limits::{
    CHANNELS_PER_CONNECTION_MAX, FRAME_BYTES_MAX, FRAME_BYTES_MIN, HANDSHAKE_TIMEOUT_MS,
    HEARTBEAT_S, HEARTBEAT_STEP_MS_MAX, REFUSAL_DELAY_MS,
};
use crate::report;
use crate::shard::Shard;
use crate::timers::Timer;

/// Reported as `version`: clients choose their dialect by it (CONN-11, CONN-12).
const COMPATIBLE_VERSION: &str = "3.13.7";

/// What we can do, and so what clients may rely on (CONN-11).
const CAPABILITIES: [&str; 6] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "authentication_failure_close",
    "per_consumer_qos",
];

impl Shard {
    /// Looks at the first octets of a connection; returns how many were used.
    pub(crate) fn handle_protocol_header(&mut self, slot: ConnectionSlot, input: &[u8]) -> usize {
        match check_protocol_header(input) {
            HeaderCheck::Incomplete => 0,
            HeaderCheck::Accepted => {
                self.connection_mut(slot).state = State::StartOk;
                self.send(slot, 0, &start(&self.cluster_name));
                PROTOCOL_HEADER.len()
            }
            HeaderCheck::Mismatch => {
                self.report(slot, report::stranger(input));
                self.flush_and_forget(slot);
                self.output_mut(slot).extend_from_slice(&PROTOCOL_HEADER);
                self.mark_dirty(slot);
                input.len()
            }
        }
    }

    /// A method on channel 0 before the connection is open.
    pub(crate) fn handle_handshake_method(
        &mut self,
        slot: ConnectionSlot,
        method: connection::AMQPMethod,
    ) -> Flow {
        use connection::AMQPMethod as Method;
        match (self.connection_mut(slot).state, method) {
            (State::StartOk, Method::StartOk(start_ok)) => self.handle_start_ok(slot, &start_ok),
            (State::TuneOk, Method::TuneOk(tune_ok)) => self.handle_tune_ok(slot, &tune_ok),
            (State::Open, Method::Open(open)) => {
                self.handle_open(slot, open.virtual_host.as_str());
            }
            (State::Open, Method::Close(_)) => {
                self.close_connection(slot, Farewell::CloseOk);
            }
            _ => self.refuse_silently(slot, "unexpected method"),
        }
        Flow::Continue
    }

    fn handle_start_ok(&mut self, slot: ConnectionSlot, start_ok: &connection::StartOk) {
        let identity = &mut self.connection_mut(slot).identity;
        read_client_properties(identity, &start_ok.client_properties);
        let mechanism = start_ok.mechanism.as_str();
        let response = start_ok.response.as_bytes();
        let credentials = match mechanism {
            "PLAIN" => parse_plain(response),
            "AMQPLAIN" => parse_amqplain(response),
            _ => {
                let text = format!("unknown authentication mechanism '{mechanism}'");
                return self.refuse_silently(slot, &text);
            }
        };
        let is_loopback = self.connection_mut(slot).peer.is_loopback;
        let login = match credentials {
            Ok(Credentials { user, password }) => {
                let login = self.catalog.authenticate(user, password, is_loopback);
                login.map_err(|refusal| report::login_refusal(user, refusal))
            }
            Err(error @ SaslError::NotAString) => Err(error.to_string()),
            Err(error) => return self.refuse_silently(slot, &error.to_string()),
        };
        let user = match login {
            Ok(user) => (user.id, user.name.to_string()),
            Err(reason) => return self.refuse_login(slot, mechanism, &reason),
        };
        let connection = self.connection_mut(slot);
        (connection.identity.user, connection.identity.user_name) = user;
        connection.state = State::TuneOk;
        self.send(slot, 0, &tune());
    }

    /// CONN-30, CONN-31.
    fn refuse_login(&mut self, slot: ConnectionSlot, mechanism: &str, reason: &str) {
        if !self.connection_mut(slot).identity.wants_failure_close {
            return self.refuse_silently(slot, reason);
        }
        self.report(slot, reason);
        let text = format!(
            "Login was refused using authentication mechanism {mechanism}. For details see the \
             broker logfile."
        );
        let refusal = ProtocolError::new(ReplyCode::AccessRefused, text);
        self.send_close(slot, &refusal);
        *self.connection_mut(slot).identity = Identity::default();
        self.flush_and_forget(slot);
    }

    /// CONN-41: what is asked for must lie within what we proposed.
    fn handle_tune_ok(&mut self, slot: ConnectionSlot, tune_ok: &connection::TuneOk) {
        let is_frame_max_valid = (FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&tune_ok.frame_max);
        let is_channel_max_valid = (1..=CHANNELS_PER_CONNECTION_MAX).contains(&tune_ok.channel_max);
        if !is_frame_max_valid || !is_channel_max_valid {
            let (frames, channels) = (tune_ok.frame_max, tune_ok.channel_max);
            let text = format!(
                "tune-ok asks for frame_max {frames} and channel_max {channels}: \
                 {FRAME_BYTES_MIN} to {FRAME_BYTES_MAX} and 1 to {CHANNELS_PER_CONNECTION_MAX} \
                 are possible, and 0 (no limit) is not"
            );
            return self.refuse_silently(slot, &text);
        }
        let connection = self.connection_mut(slot);
        connection.frame_max = tune_ok.frame_max;
        connection.channel_max = tune_ok.channel_max;
        connection.state = State::Open;
        self.start_heartbeats(slot, tune_ok.heartbeat);
    }

    /// CONN-50.
    fn handle_open(&mut self, slot: ConnectionSlot, vhost: &str) {
        let user = self.connection_mut(slot).identity.user;
        let id = match self.catalog.check_open(user, vhost) {
            Ok(id) => id,
            Err(refusal) => return self.close_connection(slot, Farewell::Close(refusal)),
        };
        let connection = self.connection_mut(slot);
        connection.vhost = id;
        connection.state = State::Running;
        let open_ok = connection::AMQPMethod::OpenOk(connection::OpenOk {});
        self.send(slot, 0, &AMQPClass::Connection(open_ok));
    }

    /// CONN-26: no frame; the socket is dropped after a while, which slows guessing down.
    pub(crate) fn refuse_silently(&mut self, slot: ConnectionSlot, reason: &str) {
        self.report(slot, &format!("refused before it was open: {reason}"));
        let now = self.now;
        let connection = self.connection_mut(slot);
        connection.state = State::Refused;
        *connection.identity = Identity::default();
        let generation = connection.generation;
        self.stop_reading(slot);
        self.wheel.arm(now.after_ms(REFUSAL_DELAY_MS), Timer::Drop(slot, generation));
    }

    /// A connection has had its time to get to `open-ok` (CONN-3).
    pub(crate) fn handle_handshake_timeout(&mut self, slot: ConnectionSlot) {
        let state = self.connection_mut(slot).state;
        if matches!(state, State::Header | State::StartOk | State::TuneOk | State::Open) {
            // Who has said nothing at all may be a probe, which is nothing to tell of (CONN-3).
            if state != State::Header {
                let text = format!("dropped: not open within {} s", HANDSHAKE_TIMEOUT_MS / 1000);
                self.report(slot, &text);
            }
            self.drop_connection(slot);
        }
    }

    /// CONN-60 to CONN-62: from tune-ok on.
    fn start_heartbeats(&mut self, slot: ConnectionSlot, heartbeat_s: u16) {
        let now = self.now;
        let connection = self.connection_mut(slot);
        connection.heartbeat_ms = u64::from(heartbeat_s) * 1000;
        connection.silence.checked_at = now;
        connection.silence.received_at_last_check = connection.received_at;
        let (generation, step) = (connection.generation, heartbeat_step(connection.heartbeat_ms));
        if step > 0 {
            self.wheel.arm(now.after_ms(step), Timer::Heartbeat(slot, generation));
        }
    }

    /// Half a heartbeat interval has passed, or a minute.
    pub(crate) fn handle_heartbeat(&mut self, slot: ConnectionSlot) {
        let now = self.now;
        let connection = self.connection_mut(slot);
        let (interval, half) = (connection.heartbeat_ms, connection.heartbeat_ms / 2);
        if connection.is_socket_gone || matches!(connection.state, State::Refused) {
            return;
        }
        if is_peer_dead(connection, now, interval) {
            self.report(slot, &format!("dropped: no heartbeat within {} s", 2 * interval / 1000));
            return self.handle_disconnected(slot);
        }
        let connection = self.connection_mut(slot);
        let is_idle = connection.unsent().is_empty() && connection.sent_at.after_ms(half) <= now;
        let generation = connection.generation;
        if is_idle {
            haremq_protocol::frame::write_heartbeat(self.output_mut(slot));
            self.mark_dirty(slot);
        }
        self.wheel.arm(now.after_ms(heartbeat_step(interval)), Timer::Heartbeat(slot, generation));
    }
}

/// How often a heartbeat is looked at: a timer outlives its connection by no more than this.
fn heartbeat_step(interval_ms: u64) -> u64 {
    (interval_ms / 2).min(HEARTBEAT_STEP_MS_MAX)
}

/// CONN-60: checked once per interval; two checks in a row without any octet. CONN-63: while we
/// do not read, silence does not count; but a peer that takes nothing for two intervals is dead.
fn is_peer_dead(
    connection: &mut crate::front::connection::Connection,
    now: Time,
    interval_ms: u64,
) -> bool {
    let is_reading_stopped = connection.is_reading_stopped;
    let received_at = connection.received_at;
    let takes_nothing =
        !connection.unsent().is_empty() && connection.sent_at.after_ms(2 * interval_ms) < now;
    if takes_nothing {
        return true;
    }
    let silence = &mut connection.silence;
    if silence.checked_at.after_ms(interval_ms) > now {
        return false;
    }
    silence.checked_at = now;
    let is_silent = received_at == silence.received_at_last_check && !is_reading_stopped;
    silence.silent_checks = if is_silent { silence.silent_checks + 1 } else { 0 };
    silence.received_at_last_check = received_at;
    silence.silent_checks >= 2
}

fn read_client_properties(identity: &mut Identity, properties: &FieldTable) {
    identity.client_properties = table_content(properties);
    let Some(AMQPValue::FieldTable(capabilities)) = properties.inner().get("capabilities") else {
        return;
    };
    let has = |name: &str| matches!(capabilities.inner().get(name), Some(AMQPValue::Boolean(true)));
    identity.wants_failure_close = has("authentication_failure_close");
    identity.wants_cancel_notify = has("consumer_cancel_notify");
}

fn start(cluster_name: &str) -> AMQPClass {
    let mut capabilities = FieldTable::default();
    for name in CAPABILITIES {
        capabilities.insert(name.into(), AMQPValue::Boolean(true));
    }
    let text = |text: &str| AMQPValue::LongString(LongString::from(text));
    let mut properties = FieldTable::default();
    properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
    properties.insert("cluster_name".into(), text(cluster_name));
    properties.insert("copyright".into(), text("HareMQ's authors, Apache-2.0"));
    properties.insert("information".into(), text("HareMQ, compatible with RabbitMQ"));
    properties.insert("platform".into(), text("Linux"));
    properties.insert("product".into(), text("RabbitMQ"));
    properties.insert("version".into(), text(COMPATIBLE_VERSION));
    properties.insert("haremq_version".into(), text(env!("CARGO_PKG_VERSION")));
    AMQPClass::Connection(connection::AMQPMethod::Start(connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties: properties,
        mechanisms: LongString::from("PLAIN AMQPLAIN"),
        locales: LongString::from("en_US"),
    }))
}

fn tune() -> AMQPClass {
    AMQPClass::Connection(connection::AMQPMethod::Tune(connection::Tune {
        channel_max: CHANNELS_PER_CONNECTION_MAX,
        frame_max: FRAME_BYTES_MAX,
        heartbeat: HEARTBEAT_S,
    }))
}
