"""What the checks are written with.

On what RabbitMQ and HareMQ do differently on purpose ("Ours" in the semantics) the expectation is
HareMQ's when the server says that it is HareMQ, else RabbitMQ's, so that both can pass.
"""

import contextlib
import time

import pika
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

from checks import URI, Suite

SUITE = Suite("pika")
check = SUITE.check

EVENT_SECONDS_MAX = 10


@contextlib.contextmanager
def connected(**overrides):
    """A connection that is closed at the end, unless the broker closed it."""
    parameters = pika.URLParameters(URI)
    for name, value in overrides.items():
        setattr(parameters, name, value)
    connection = pika.BlockingConnection(parameters)
    try:
        yield connection
    finally:
        if connection.is_open:
            connection.close()


@contextlib.contextmanager
def on_channel(confirms=False, **overrides):
    """A connection with one channel."""
    with connected(**overrides) as connection:
        channel = connection.channel()
        if confirms:
            channel.confirm_delivery()
        yield connection, channel


@contextlib.contextmanager
def closes_channel(code, text):
    """The body must make the broker close the channel with this code and text."""
    yield from _refused(ChannelClosedByBroker, code, text)


@contextlib.contextmanager
def closes_connection(code, text):
    """The body must make the broker close the connection with this code and text."""
    yield from _refused(ConnectionClosedByBroker, code, text)


def _refused(kind, code, text):
    try:
        yield
    except kind as error:
        assert error.reply_code == code, error
        assert text in error.reply_text, error
    else:
        raise AssertionError(f"the broker did not answer with {code}")


def until(connection, is_done):
    """Lets pika work until the condition holds; events wake it, the deadline ends it."""
    deadline = time.monotonic() + EVENT_SECONDS_MAX
    while not is_done():
        assert time.monotonic() < deadline, f"nothing came within {EVENT_SECONDS_MAX} s"
        connection.process_data_events(time_limit=0.05)


def is_ours(connection):
    """Whether the server is HareMQ."""
    # pylint: disable=protected-access
    return "haremq_version" in connection._impl.server_properties


def exclusive_queue(channel, **kwargs):
    """The name of a new queue that goes with the connection."""
    return channel.queue_declare("", exclusive=True, **kwargs).method.queue


def ready(channel, queue):
    """How many messages wait in the queue."""
    return channel.queue_declare(queue, passive=True).method.message_count


def send(channel, queue, *bodies, **kwargs):
    """Publishes through the default exchange."""
    for body in bodies:
        channel.basic_publish("", queue, body, **kwargs)


def take(channel, queue):
    """Gets and settles one message: (body, redelivered), or None."""
    method, _, body = channel.basic_get(queue, auto_ack=True)
    return (body, method.redelivered) if method else None


def take_all(channel, queue):
    """The bodies of all that is ready."""
    return list(iter(lambda: (take(channel, queue) or (None,))[0], None))


def collect(channel, queue, **kwargs):
    """A consumer that keeps what it gets: (consumer tag, list of (method, properties, body))."""
    got = []
    tag = channel.basic_consume(
        queue, lambda _channel, method, properties, body: got.append((method, properties, body)),
        **kwargs,
    )
    return tag, got
