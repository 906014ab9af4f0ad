"""Confirms, returns, bodies and properties."""

import datetime
import decimal

import pika
from pika.exceptions import UnroutableError

from checks import unique
from pika_checks.kit import (
    check, closes_channel, collect, exclusive_queue, on_channel, ready, send, take, take_all, until,
)


@check
def publishes_are_confirmed():
    with on_channel(confirms=True) as (_, channel):
        queue = exclusive_queue(channel)
        for number in range(200):
            send(channel, queue, b"%d" % number)
        assert ready(channel, queue) == 200
        assert take_all(channel, queue) == [b"%d" % number for number in range(200)]


@check
def publish_then_get_needs_no_confirm():
    with on_channel() as (_, channel):
        queue = exclusive_queue(channel)
        for _ in range(50):
            send(channel, queue, b"x")
            assert take(channel, queue) == (b"x", False)


@check
def mandatory_message_is_returned_before_its_ack():
    with on_channel(confirms=True) as (_, channel):
        try:
            # pika raises only if the return arrives before the ack.
            channel.basic_publish(
                "amq.direct", unique("nowhere"), b"back",
                properties=pika.BasicProperties(message_id="m"), mandatory=True,
            )
        except UnroutableError as error:
            (returned,) = error.messages
            assert returned.method.reply_code == 312
            assert returned.method.reply_text == "NO_ROUTE"
            assert returned.method.exchange == "amq.direct"
            assert (returned.properties.message_id, returned.body) == ("m", b"back")
        else:
            raise AssertionError("the message was not returned")


@check
def unroutable_message_is_confirmed():
    with on_channel(confirms=True) as (_, channel):
        channel.basic_publish("amq.direct", unique("nowhere"), b"dropped")
        channel.basic_publish("amq.fanout", "", b"", mandatory=False)


@check
def bodies_of_all_sizes_survive():
    with on_channel(confirms=True) as (connection, channel):
        queue = exclusive_queue(channel)
        frame = 131072 - 8
        sizes = [0, 1, 4088, frame - 1, frame, frame + 1, 2 * frame, 2 * 1024 * 1024]
        bodies = [bytes(index % 251 for index in range(251)) * (size // 251 + 1) for size in sizes]
        bodies = [body[:size] for body, size in zip(bodies, sizes, strict=True)]
        send(channel, queue, *bodies)
        assert take_all(channel, queue) == bodies
        _, got = collect(channel, queue, auto_ack=True)
        send(channel, queue, *bodies)
        until(connection, lambda: len(got) == len(bodies))
        assert [body for _, _, body in got] == bodies


@check
def small_frames_carry_large_bodies():
    body = bytes(range(256)) * 400
    with on_channel(frame_max=4096) as (_, channel):
        queue = exclusive_queue(channel)
        send(channel, queue, body)
        assert take(channel, queue) == (body, False)


@check
def properties_and_nested_headers_survive():
    when = datetime.datetime(2024, 2, 29, 12, 30, 15, tzinfo=datetime.timezone.utc)
    headers = {
        "bool": True, "false": False, "int": 7, "negative": -7, "long": 2**40,
        "string": "straße", "bytes": b"\x00\xff\xce", "void": None, "time": when,
        "decimal": decimal.Decimal("3.14"), "empty": {}, "list": [1, "two", [3], {"four": 4}],
        "table": {"deep": {"deeper": {"deepest": [True, None, "x"]}}}, "x-mine": "kept",
    }
    sent = pika.BasicProperties(
        content_type="text/plain", content_encoding="utf-8", headers=headers, delivery_mode=2,
        priority=5, correlation_id="correlation", reply_to="reply", expiration="60000",
        message_id="message", timestamp=1700000000, type="type", user_id="guest", app_id="app",
        cluster_id="cluster",
    )
    with on_channel() as (_, channel):
        queue = exclusive_queue(channel)
        send(channel, queue, b"x", properties=sent)
        _, got, _ = channel.basic_get(queue, auto_ack=True)
        for name, value in vars(sent).items():
            assert getattr(got, name) == value, (name, getattr(got, name))
        send(channel, queue, b"x", properties=pika.BasicProperties())
        _, got, _ = channel.basic_get(queue, auto_ack=True)
        assert all(value is None for value in vars(got).values()), got


@check
def wrong_user_id_is_406():
    with on_channel() as (_, channel):
        queue = exclusive_queue(channel)
        text = "user_id property set to 'eve' but authenticated user was 'guest'"
        with closes_channel(406, text):
            send(channel, queue, b"x", properties=pika.BasicProperties(user_id="eve"))
            ready(channel, queue)
