"""Exchanges, bindings and what they route."""

import pika

from checks import topic_cases, unique
from pika_checks.kit import (
    check, closes_channel, closes_connection, exclusive_queue, is_ours, on_channel, take, take_all,
)


@check
def topic_patterns_match_as_the_table_says():
    with on_channel(confirms=True) as (_, channel):
        exchange = unique("topic")
        channel.exchange_declare(exchange, "topic", auto_delete=True)
        cases = topic_cases()
        queues = {pattern: exclusive_queue(channel) for pattern in cases}
        for pattern, queue in queues.items():
            channel.queue_bind(queue, exchange, pattern)
        for key in {key for keys in cases.values() for key in keys}:
            channel.basic_publish(exchange, key, key.encode())
        for pattern, keys in cases.items():
            got = {body.decode() for body in take_all(channel, queues[pattern])}
            for key, matches in keys.items():
                assert (key in got) == matches, (pattern, key)


@check
def headers_match_as_bound():
    bindings = {
        "all": {"x-match": "all", "a": 1, "b": "two"},
        "default": {"a": 1, "b": "two"},
        "any": {"x-match": "any", "a": 1, "b": "two"},
        "present": {"x-match": "all", "a": None},
        "x ignored": {"x-match": "all", "a": 1, "x-b": "other"},
        "with x": {"x-match": "all-with-x", "a": 1, "x-b": "other"},
        "all of nothing": {"x-match": "all"},
        "any of nothing": {"x-match": "any"},
        "text": {"x-match": "all", "a": "1"},
    }
    everything = {"all of nothing"}
    messages = (
        ({"a": 1, "b": "two", "c": True},
         everything | {"all", "default", "any", "present", "x ignored"}),
        ({"a": 1}, everything | {"any", "present", "x ignored"}),
        ({"a": 2**40}, everything | {"present"}),
        ({"b": "two"}, everything | {"any"}),
        ({"a": "1"}, everything | {"present", "text"}),
        ({"a": 1, "x-b": "other"}, everything | {"any", "present", "x ignored", "with x"}),
        ({}, everything),
        (None, everything),
    )
    with on_channel(confirms=True) as (connection, channel):
        # RabbitMQ knows the -with-x modes since 3.10 only.
        exchange = unique("headers")
        channel.exchange_declare(exchange, "headers", auto_delete=True)
        queues = {name: exclusive_queue(channel) for name in bindings}
        for name, arguments in bindings.items():
            channel.queue_bind(queues[name], exchange, "", arguments)
        for headers, expected in messages:
            channel.basic_publish(
                exchange, "ignored", b"x", pika.BasicProperties(headers=headers)
            )
            got = {name for name, queue in queues.items() if take(channel, queue)}
            assert got == expected, (headers, got ^ expected)
        with closes_channel(406, "Invalid x-match field value"):
            connection.channel().queue_bind(
                queues["all"], exchange, "", {"x-match": "sometimes"}
            )


@check
def fanout_copies_to_every_queue_once():
    with on_channel(confirms=True) as (_, channel):
        exchange = unique("fanout")
        channel.exchange_declare(exchange, "fanout", auto_delete=True)
        queues = [exclusive_queue(channel) for _ in range(5)]
        for queue in queues:
            channel.queue_bind(queue, exchange, "one")
            channel.queue_bind(queue, exchange, "two")
        channel.basic_publish(exchange, "any", b"copy")
        assert [take_all(channel, queue) for queue in queues] == [[b"copy"]] * 5


@check
def exchanges_route_to_exchanges():
    with on_channel(confirms=True) as (_, channel):
        source, middle, sink = (unique(f"e2e-{part}") for part in ("source", "middle", "sink"))
        channel.exchange_declare(source, "direct")
        channel.exchange_declare(middle, "topic")
        channel.exchange_declare(sink, "fanout", internal=True)
        queue = exclusive_queue(channel)
        channel.exchange_bind(middle, source, "a.b")
        channel.exchange_bind(sink, middle, "a.*")
        channel.exchange_bind(source, sink)  # A cycle.
        channel.queue_bind(queue, sink)
        channel.basic_publish(source, "a.b", b"through", mandatory=True)
        channel.basic_publish(source, "a.c", b"not bound")
        assert take_all(channel, queue) == [b"through"]
        channel.exchange_unbind(middle, source, "a.b")
        channel.basic_publish(source, "a.b", b"unbound")
        assert take_all(channel, queue) == []
        for exchange in (source, middle, sink):
            channel.exchange_delete(exchange)


@check
def unbinding_stops_routing_and_is_idempotent():
    with on_channel(confirms=True) as (_, channel):
        queue = exclusive_queue(channel)
        key = unique("key")
        for _ in range(2):
            channel.queue_bind(queue, "amq.direct", key)
        channel.basic_publish("amq.direct", key, b"bound", mandatory=True)
        assert take_all(channel, queue) == [b"bound"]
        for _ in range(2):
            channel.queue_unbind(queue, "amq.direct", key)
        channel.basic_publish("amq.direct", key, b"not bound")
        assert take_all(channel, queue) == []


@check
def auto_delete_exchange_goes_with_its_last_binding():
    with on_channel() as (_, channel):
        exchange, queue = unique("auto-delete"), exclusive_queue(channel)
        channel.exchange_declare(exchange, "direct", auto_delete=True)
        channel.queue_bind(queue, exchange, "key")
        channel.exchange_declare(exchange, passive=True)
        channel.queue_delete(queue)
        with closes_channel(404, f"no exchange '{exchange}'"):
            channel.exchange_declare(exchange, passive=True)


@check
def exchange_errors_have_their_codes():
    with on_channel() as (connection, setup):
        name, internal = unique("errors"), unique("internal")
        setup.exchange_declare(name, "direct")
        setup.exchange_declare(internal, "fanout", internal=True)
        setup.exchange_declare("amq.topic", "topic", durable=True)
        setup.queue_bind(exclusive_queue(setup), name, "key")
        of = f"for exchange '{name}' in vhost '/': received"

        def publish_to_internal(channel):
            channel.basic_publish(internal, "", b"")
            exclusive_queue(channel)

        for code, text, refused in (
            (406, f"inequivalent arg 'type' {of} 'fanout' but current is 'direct'",
             lambda ch: ch.exchange_declare(name, "fanout")),
            (406, f"inequivalent arg 'durable' {of} 'true' but current is 'false'",
             lambda ch: ch.exchange_declare(name, "direct", durable=True)),
            (403, "exchange name 'amq.mine' contains reserved prefix 'amq.*'",
             lambda ch: ch.exchange_declare("amq.mine", "direct")),
            (403, "operation not permitted on the default exchange",
             lambda ch: ch.queue_bind("", "", "key") if exclusive_queue(ch) else None),
            (403, f"cannot publish to internal exchange '{internal}' in vhost '/'",
             publish_to_internal),
            (403, "ACCESS_REFUSED", lambda ch: ch.exchange_delete("amq.direct")),
            (406, f"exchange '{name}' in vhost '/' in use",
             lambda ch: ch.exchange_delete(name, if_unused=True)),
        ):
            with closes_channel(code, text):
                refused(connection.channel())
        setup.exchange_delete(name)
        setup.exchange_delete(internal)
        setup.exchange_delete(name)  # Deleting what is gone is no error.


@check
def unknown_exchange_type_is_refused():
    with on_channel() as (connection, channel):
        # Releases before 4.0 close the connection with 503.
        refusal = closes_channel if is_ours(connection) else closes_connection
        with refusal(406 if is_ours(connection) else 503, "exchange type 'no-such-type'"):
            channel.exchange_declare(unique("type"), "no-such-type")
