"""Time to live of messages and queues."""

import time

import pika
from pika.exceptions import UnroutableError

from checks import unique
from pika_checks.kit import (
    EVENT_SECONDS_MAX, check, closes_channel, collect, connected, exclusive_queue, is_ours,
    on_channel, ready, send, take, take_all, until,
)


@check
def messages_expire_on_time():
    with on_channel(confirms=True) as (connection, channel):
        by_queue = exclusive_queue(channel, arguments={"x-message-ttl": 300})
        by_message = exclusive_queue(channel)
        brief = pika.BasicProperties(expiration="300")
        start = time.monotonic()
        for queue, properties in ((by_queue, None), (by_message, brief)):
            send(channel, queue, b"in time", b"late", properties=properties)
            if time.monotonic() - start < 0.2:
                assert take(channel, queue) == (b"in time", False)
        for queue in (by_queue, by_message):
            until(connection, lambda queue=queue: ready(channel, queue) == 0)
        assert time.monotonic() - start >= 0.3, "expired too early"
        assert time.monotonic() - start < 2, "expired too late"


@check
def the_shorter_time_to_live_counts():
    with on_channel(confirms=True) as (connection, channel):
        queue = exclusive_queue(channel, arguments={"x-message-ttl": 100})
        send(channel, queue, b"x", properties=pika.BasicProperties(expiration="60000"))
        until(connection, lambda: ready(channel, queue) == 0)


@check
def expiry_does_not_wait_for_the_head():
    with on_channel(confirms=True) as (connection, channel):
        queue = exclusive_queue(channel)
        send(channel, queue, b"long", properties=pika.BasicProperties(expiration="60000"))
        send(channel, queue, b"short", properties=pika.BasicProperties(expiration="50"))
        send(channel, queue, b"forever")
        if is_ours(connection):
            until(connection, lambda: ready(channel, queue) == 2)
        # RabbitMQ expires at the head only: there the count falls when "long" is taken.
        assert take_all(channel, queue)[-1] == b"forever"


@check
def zero_time_to_live_needs_a_waiting_consumer():
    with on_channel(confirms=True) as (connection, channel):
        queue = exclusive_queue(channel)
        now_or_never = pika.BasicProperties(expiration="0")
        send(channel, queue, b"never", properties=now_or_never)
        assert take(channel, queue) is None
        _, got = collect(channel, queue)
        send(channel, queue, b"now", properties=now_or_never)
        until(connection, lambda: got)
        assert got[0][2] == b"now"


@check
def unacked_messages_expire_when_requeued():
    with on_channel(confirms=True) as (connection, channel):
        queue = exclusive_queue(channel)
        send(channel, queue, b"held", properties=pika.BasicProperties(expiration="100"))
        send(channel, queue, b"witness", properties=pika.BasicProperties(expiration="200"))
        method, _, _ = channel.basic_get(queue)
        until(connection, lambda: ready(channel, queue) == 0)
        channel.basic_nack(method.delivery_tag, requeue=True)
        assert take(channel, queue) is None


@check
def invalid_expiration_is_406():
    with connected() as connection:
        for value in ("10s", "-1", "", "315360000001"):
            channel = connection.channel()
            queue = exclusive_queue(channel)
            with closes_channel(406, "PRECONDITION_FAILED - invalid expiration"):
                send(channel, queue, b"x", properties=pika.BasicProperties(expiration=value))
                ready(channel, queue)


@check
def unused_queue_expires():
    with on_channel(confirms=True) as (_, channel):
        queue = unique("expires")
        start = time.monotonic()
        channel.queue_declare(queue, arguments={"x-expires": 500})

        def is_gone():
            # Publishing is no use in the sense of x-expires, so it may watch.
            try:
                channel.basic_publish("", queue, b"", mandatory=True)
            except UnroutableError:
                return True
            return False

        while not is_gone():
            assert time.monotonic() - start < EVENT_SECONDS_MAX, "did not expire"
        assert time.monotonic() - start >= 0.5, "expired too early"


@check
def used_queue_does_not_expire():
    with on_channel() as (connection, channel):
        queue = unique("in-use")
        channel.queue_declare(queue, arguments={"x-expires": 300})
        tag, _ = collect(channel, queue)
        brief = exclusive_queue(channel, arguments={"x-message-ttl": 600})
        send(channel, brief, b"clock")
        until(connection, lambda: ready(channel, brief) == 0)
        channel.queue_declare(queue, passive=True)
        channel.basic_cancel(tag)
        channel.queue_delete(queue)
