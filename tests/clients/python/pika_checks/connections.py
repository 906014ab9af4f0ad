"""Connections and channels."""

import pika
from pika.exceptions import (
    ConnectionClosedByBroker, ProbableAccessDeniedError, ProbableAuthenticationError,
)

from pika_checks.kit import (
    check, closes_channel, connected, exclusive_queue, on_channel, ready, send, take, take_all,
    until,
)


@check
def server_introduces_itself_as_rabbitmq():
    with connected() as connection:
        server = connection._impl.server_properties  # pylint: disable=protected-access
        assert server["product"] in ("RabbitMQ", b"RabbitMQ"), server
        version = server["version"]
        text = version.decode() if isinstance(version, bytes) else version
        assert all(part.isdigit() for part in text.split("+")[0].split("-")[0].split("."))
        for capability in (
            "publisher_confirms", "basic.nack", "consumer_cancel_notify",
            "exchange_exchange_bindings", "authentication_failure_close",
        ):
            assert server["capabilities"][capability] is True, capability


@check
def wrong_password_is_403():
    wrong = pika.PlainCredentials("guest", "wrong")
    try:
        with connected(credentials=wrong):
            raise AssertionError("let in with a wrong password")
    except ProbableAuthenticationError as error:
        assert "403" in repr(error) and "ACCESS_REFUSED" in repr(error), error


@check
def unknown_vhost_is_530():
    try:
        with connected(virtual_host="no-such-vhost"):
            raise AssertionError("let into a vhost that does not exist")
    except (ProbableAccessDeniedError, ConnectionClosedByBroker) as error:
        assert "530" in repr(error) and "no-such-vhost" in repr(error), error


@check
def connection_closes_and_reopens():
    for _ in range(20):
        with on_channel() as (_, channel):
            queue = exclusive_queue(channel)
            send(channel, queue, b"x")
            assert take(channel, queue) == (b"x", False)


@check
def many_channels_work_side_by_side():
    with connected() as connection:
        channels = [connection.channel() for _ in range(300)]
        queue = exclusive_queue(channels[0])
        for number, channel in enumerate(channels):
            send(channel, queue, b"%d" % number)
        # Only a channel's own requests are in order with its publishes.
        for channel in channels:
            channel.queue_declare(queue, passive=True)
        until(connection, lambda: ready(channels[0], queue) == len(channels))
        bodies = take_all(channels[-1], queue)
        assert sorted(map(int, bodies)) == list(range(len(channels)))


@check
def closed_channel_number_is_reused():
    with connected() as connection:
        for _ in range(30):
            channel = connection.channel(7)
            exclusive_queue(channel)
            channel.close()


@check
def channel_error_leaves_the_connection_open():
    with on_channel() as (connection, channel):
        queue = exclusive_queue(channel)
        with closes_channel(404, "NOT_FOUND - no exchange 'no-such-exchange' in vhost '/'"):
            # What is in flight behind the failing publish must be swallowed.
            for _ in range(100):
                channel.basic_publish("no-such-exchange", "key", b"x" * 1000)
            channel.queue_declare(queue, passive=True)
        assert ready(connection.channel(), queue) == 0


@check
def idle_connection_lives_on_heartbeats():
    with on_channel(heartbeat=1) as (connection, channel):
        # pika ends the connection when no heartbeat comes, the broker when it gets none.
        connection.process_data_events(time_limit=3.5)
        exclusive_queue(channel)
