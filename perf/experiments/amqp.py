"""As much of AMQP 0-9-1 as it takes to make things on a broker: blocking, one channel."""

import socket
import struct

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
FRAME_END = b"\xce"
FRAME_MAX, CHANNEL_MAX = 131_072, 2047
SEND_OCTETS = 65_536

START, START_OK, TUNE, TUNE_OK, OPEN, OPEN_OK = [(10, id) for id in (10, 11, 30, 31, 40, 41)]
CHANNEL_OPEN, CHANNEL_OPEN_OK = (20, 10), (20, 11)
DECLARE, DECLARE_OK, BIND, BIND_OK = [(50, id) for id in (10, 11, 20, 21)]
DELETE, DELETE_OK, PURGE, PURGE_OK = [(50, id) for id in (40, 41, 30, 31)]
CHANNEL_CLOSE, CHANNEL_CLOSE_OK = (20, 40), (20, 41)
CONSUME, CONSUME_OK, CANCEL, CANCEL_OK = [(60, id) for id in (20, 21, 30, 31)]
PUBLISH, DELIVER, ACK, RECOVER, RECOVER_OK = [(60, id) for id in (40, 60, 80, 110, 111)]
CONFIRM, CONFIRM_OK = (85, 10), (85, 11)


class Connection:
    """A connection with channel 1, as guest. Requests with `nowait` are sent with the next one
    that waits."""

    def __init__(self, served, source=None):
        from_address = (source, 0) if source and served.host == "127.0.0.1" else None
        self.socket = socket.create_connection((served.host, served.port), 30, from_address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received, self.sending = b"", bytearray(b"AMQP\0\0\x09\x01")
        self.await_method(START)
        login = table() + short("PLAIN") + long(b"\0guest\0guest") + short("en_US")
        self.call(0, START_OK, login, TUNE)
        self.send(0, TUNE_OK, struct.pack(">HIH", CHANNEL_MAX, FRAME_MAX, 0))
        self.call(0, OPEN, short("/") + short("") + b"\0", OPEN_OK)
        self.call(1, CHANNEL_OPEN, short(""), CHANNEL_OPEN_OK)

    def declare(self, queue, passive=False, nowait=False):
        """A transient queue; tells how many messages it has."""
        bits = (1 if passive else 0) | (16 if nowait else 0)
        arguments = b"\0\0" + short(queue) + bytes([bits]) + table()
        if nowait:
            return self.send(1, DECLARE, arguments)
        answer = self.call(1, DECLARE, arguments, DECLARE_OK)
        return struct.unpack(">I", answer[-8:-4])[0]

    def bind(self, queue, exchange, key, nowait=False):
        names = short(queue) + short(exchange) + short(key)
        arguments = b"\0\0" + names + bytes([nowait]) + table()
        if nowait:
            return self.send(1, BIND, arguments)
        self.call(1, BIND, arguments, BIND_OK)

    def publish(self, queue, body):
        """To the default exchange."""
        self.send(1, PUBLISH, b"\0\0" + short("") + short(queue) + b"\0")
        self.sending += frame(HEADER, 1, struct.pack(">HHQH", 60, 0, len(body), 0))
        self.sending += frame(BODY, 1, body)

    def delete(self, queue):
        self.call(1, DELETE, b"\0\0" + short(queue) + b"\0", DELETE_OK)

    def purge(self, queue):
        self.call(1, PURGE, b"\0\0" + short(queue) + b"\0", PURGE_OK)

    def consume(self, queue, tag):
        self.call(1, CONSUME, b"\0\0" + short(queue) + short(tag) + b"\0" + table(), CONSUME_OK)

    def cancel(self, tag):
        self.call(1, CANCEL, short(tag) + b"\0", CANCEL_OK)

    def skip_deliveries(self, count):
        """Takes in so many deliveries, with small bodies."""
        while count > 0:
            kind, _, payload = self.receive_frame()
            count -= kind == BODY

    def ack(self, tag, multiple=False):
        self.send(1, ACK, struct.pack(">QB", tag, multiple))

    def recover(self):
        self.call(1, RECOVER, b"\1", RECOVER_OK)

    def close_channel(self):
        self.call(1, CHANNEL_CLOSE, struct.pack(">H", 200) + short("") + bytes(4), CHANNEL_CLOSE_OK)

    def select_confirms(self):
        self.call(1, CONFIRM, b"\0", CONFIRM_OK)

    def await_ack(self):
        return self.await_method(ACK)

    def call(self, channel, method, arguments, answer):
        self.send(channel, method, arguments)
        return self.await_method(answer)

    def send(self, channel, method, arguments):
        self.sending += frame(METHOD, channel, struct.pack(">HH", *method) + arguments)
        if len(self.sending) >= SEND_OCTETS:
            self.flush()

    def flush(self):
        self.socket.sendall(self.sending)
        self.sending.clear()

    def await_method(self, method):
        """The arguments of the method that must come now."""
        self.flush()
        kind = HEARTBEAT
        while kind == HEARTBEAT:
            kind, _, payload = self.receive_frame()
        found = struct.unpack(">HH", payload[:4])
        assert kind == METHOD and found == method, f"{method} was to come: {found} {payload}"
        return payload[4:]

    def receive_frame(self):
        kind, channel, size = struct.unpack(">BHI", self.receive(7))
        return kind, channel, self.receive(size + 1)[:-1]

    def receive(self, octets):
        while len(self.received) < octets:
            more = self.socket.recv(65_536)
            assert more, "the broker has closed the connection"
            self.received += more
        taken, self.received = self.received[:octets], self.received[octets:]
        return taken


def frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + FRAME_END


def short(text):
    return bytes([len(text)]) + text.encode()


def long(octets):
    return struct.pack(">I", len(octets)) + octets


def table():
    """An empty one."""
    return long(b"")
