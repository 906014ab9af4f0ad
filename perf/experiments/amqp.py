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
PUBLISH = (60, 40)


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
            kind, _, size = struct.unpack(">BHI", self.receive(7))
            payload = self.receive(size + 1)[:-1]
        found = struct.unpack(">HH", payload[:4])
        assert kind == METHOD and found == method, f"{method} was to come: {found} {payload}"
        return payload[4:]

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
