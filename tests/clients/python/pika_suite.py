"""pika: the blocking Python client.

On what RabbitMQ and HareMQ do differently on purpose ("Ours" in the semantics) the expectation is
HareMQ's when the server says that it is HareMQ, else RabbitMQ's, so that both can pass.
"""

import contextlib
import datetime
import decimal
import time

import pika
from pika.exceptions import (
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    UnroutableError,
)

from checks import URI, Suite, topic_cases, unique

SUITE = Suite("pika")
check = SUITE.check

EVENT_SECONDS_MAX = 10
LOCKED = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue"


# --- What the checks are written with -------------------------------------------------------------


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


# --- Connections and channels ---------------------------------------------------------------------


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


# --- Queues ---------------------------------------------------------------------------------------


@check
def server_names_queues():
    with on_channel() as (_, channel):
        names = {exclusive_queue(channel) for _ in range(10)}
        assert len(names) == 10
        assert all(name.startswith("amq.gen-") and len(name) == 30 for name in names), names
        # The empty name now stands for the queue that was declared last.
        send(channel, exclusive_queue(channel), b"last")
        assert take(channel, "") == (b"last", False)


@check
def reserved_queue_name_is_403():
    with on_channel() as (_, channel):
        with closes_channel(403, "queue name 'amq.mine' contains reserved prefix 'amq.*'"):
            channel.queue_declare("amq.mine", exclusive=True)


@check
def empty_name_without_a_queue_is_404():
    with on_channel() as (_, channel):
        with closes_channel(404, "NOT_FOUND - no previously declared queue"):
            channel.basic_get("")


@check
def exclusive_queue_is_locked_to_its_connection():
    name = unique("exclusive")
    with on_channel() as (owner, own), connected() as other:
        own.queue_declare(name, exclusive=True)
        for refused in (
            lambda ch: ch.queue_declare(name, passive=True),
            lambda ch: ch.queue_declare(name, exclusive=True),
            lambda ch: ch.queue_declare(name),
            lambda ch: ch.basic_get(name),
            lambda ch: ch.basic_consume(name, print),
            lambda ch: ch.queue_purge(name),
            lambda ch: ch.queue_delete(name),
            lambda ch: ch.queue_bind(name, "amq.direct", "key"),
        ):
            with closes_channel(405, f"{LOCKED} '{name}' in vhost '/'"):
                refused(other.channel())
        # Publishing is open to everyone.
        stranger = other.channel()
        stranger.confirm_delivery()
        stranger.basic_publish("", name, b"hello", mandatory=True)
        assert take(owner.channel(), name) == (b"hello", False)


@check
def exclusive_queue_is_gone_after_close_ok():
    name = unique("exclusive-gone")
    with connected() as other:
        for _ in range(10):
            with on_channel() as (_, channel):
                channel.queue_declare(name, exclusive=True)
            with closes_channel(404, f"NOT_FOUND - no queue '{name}' in vhost '/'"):
                other.channel().queue_declare(name, passive=True)


@check
def auto_delete_queue_goes_with_its_last_consumer():
    name = unique("auto-delete")
    with on_channel() as (connection, channel):
        channel.queue_declare(name, auto_delete=True)
        tags = [collect(channel, name)[0] for _ in range(2)]
        channel.basic_cancel(tags[0])
        assert channel.queue_declare(name, passive=True).method.consumer_count == 1
        channel.basic_cancel(tags[1])
        with closes_channel(404, f"no queue '{name}'"):
            channel.queue_declare(name, passive=True)
        # It goes with the channel of its consumer too.
        setup, consuming = connection.channel(), connection.channel()
        setup.queue_declare(name, auto_delete=True)
        collect(consuming, name)
        consuming.close()
        with closes_channel(404, f"no queue '{name}'"):
            setup.queue_declare(name, passive=True)


@check
def passive_declare_counts_and_changes_nothing():
    with on_channel(confirms=True) as (_, channel):
        queue = exclusive_queue(channel)
        send(channel, queue, b"1", b"2", b"3")
        channel.basic_get(queue)
        tag, _ = collect(channel, exclusive_queue(channel))
        # Flags are not looked at, unacked messages are not counted.
        reply = channel.queue_declare(queue, passive=True, durable=True, auto_delete=True).method
        assert (reply.message_count, reply.consumer_count) == (2, 0), reply
        channel.basic_cancel(tag)


@check
def passive_declare_of_what_is_missing_is_404():
    with connected() as connection:
        queue, exchange = unique("missing"), unique("missing")
        with closes_channel(404, f"NOT_FOUND - no queue '{queue}' in vhost '/'"):
            connection.channel().queue_declare(queue, passive=True)
        with closes_channel(404, f"NOT_FOUND - no exchange '{exchange}' in vhost '/'"):
            connection.channel().exchange_declare(exchange, passive=True)
        with closes_channel(404, f"NOT_FOUND - no queue '{queue}' in vhost '/'"):
            connection.channel().basic_get(queue)
        with closes_channel(404, f"NOT_FOUND - no queue '{queue}' in vhost '/'"):
            connection.channel().queue_bind(queue, "amq.direct", "key")


@check
def redeclare_must_be_equivalent():
    name = unique("equivalence")
    with connected() as connection:
        setup = connection.channel()
        setup.queue_declare(name, durable=True, arguments={"x-message-ttl": 60000})
        setup.queue_declare(name, durable=True, arguments={"x-message-ttl": 60000})
        arg = "PRECONDITION_FAILED - inequivalent arg"
        of = f"for queue '{name}' in vhost '/': received"
        try:
            for kwargs, code, text in (
                ({"durable": False}, 406, f"{arg} 'durable' {of} 'false' but current is 'true'"),
                ({"auto_delete": True}, 406,
                 f"{arg} 'auto_delete' {of} 'true' but current is 'false'"),
                ({"arguments": {"x-message-ttl": 1}}, 406,
                 f"{arg} 'x-message-ttl' {of} '1' but current is '60000'"),
                ({"arguments": {}}, 406, f"{arg} 'x-message-ttl' {of} none but current is"
                 " the value '60000' of type"),
                ({"exclusive": True}, 405, LOCKED),
            ):
                flags = {"durable": True, "arguments": {"x-message-ttl": 60000}} | kwargs
                with closes_channel(code, text):
                    connection.channel().queue_declare(name, **flags)
        finally:
            connection.channel().queue_delete(name)


@check
def invalid_arguments_are_406():
    name = unique("arguments")
    with connected() as connection:
        for arguments, reason in (
            ({"x-message-ttl": "10"}, "invalid arg 'x-message-ttl' for queue"),
            ({"x-message-ttl": -1}, "invalid arg 'x-message-ttl' for queue"),
            ({"x-expires": 0}, "invalid arg 'x-expires' for queue"),
        ):
            with closes_channel(406, reason):
                connection.channel().queue_declare(name, exclusive=True, arguments=arguments)


@check
def purge_and_delete_count_what_they_drop():
    name = unique("counts")
    with on_channel(confirms=True) as (connection, channel):
        channel.queue_declare(name)
        send(channel, name, *[b"x"] * 10)
        channel.basic_get(name)
        assert channel.queue_purge(name).method.message_count == 9
        assert channel.queue_purge(name).method.message_count == 0
        send(channel, name, *[b"x"] * 5)
        with closes_channel(406, f"PRECONDITION_FAILED - queue '{name}' in vhost '/' not empty"):
            connection.channel().queue_delete(name, if_empty=True)
        collect(channel, name)
        with closes_channel(406, f"PRECONDITION_FAILED - queue '{name}' in vhost '/' in use"):
            connection.channel().queue_delete(name, if_unused=True)
    with on_channel() as (_, channel):
        # All six came back when the connection of their consumer ended.
        assert channel.queue_delete(name).method.message_count == 6
        assert channel.queue_delete(name).method.message_count == 0


# --- Publishing -----------------------------------------------------------------------------------


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
        bodies = [body[:size] for body, size in zip(bodies, sizes)]
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
        with closes_channel(406, "user_id property set to 'eve' but authenticated user was 'guest'"):
            send(channel, queue, b"x", properties=pika.BasicProperties(user_id="eve"))
            ready(channel, queue)


# --- Exchanges and routing ------------------------------------------------------------------------


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


# --- Consuming and settling -----------------------------------------------------------------------


@check
def get_says_how_many_remain():
    with on_channel() as (_, channel):
        queue = exclusive_queue(channel)
        assert channel.basic_get(queue) == (None, None, None)
        send(channel, queue, b"1", b"2", b"3")
        tags, counts = zip(*(
            (method.delivery_tag, method.message_count)
            for method, _, _ in (channel.basic_get(queue) for _ in range(3))
        ))
        assert (tags, counts) == ((1, 2, 3), (2, 1, 0))
        assert channel.basic_get(queue) == (None, None, None)
        channel.basic_ack(3, multiple=True)
        channel.basic_ack(0, multiple=True)  # Nothing outstanding: no error.
        assert ready(channel, queue) == 0


@check
def consumer_gets_all_in_order():
    with on_channel() as (connection, channel):
        queue = exclusive_queue(channel)
        _, got = collect(channel, queue)
        send(channel, queue, *(b"%d" % number for number in range(1000)))
        until(connection, lambda: len(got) == 1000)
        assert [body for _, _, body in got] == [b"%d" % number for number in range(1000)]
        assert [method.delivery_tag for method, _, _ in got] == list(range(1, 1001))
        assert got[0][0].exchange == "" and got[0][0].routing_key == queue
        channel.basic_ack(1000, multiple=True)
        channel.close()
        assert ready(connection.channel(), queue) == 0


@check
def prefetch_limits_what_is_unacked():
    with on_channel(confirms=True) as (connection, channel):
        queue = exclusive_queue(channel)
        send(channel, queue, *[b"x"] * 20)
        channel.basic_qos(prefetch_count=5)
        _, got = collect(channel, queue)
        until(connection, lambda: len(got) == 5)
        assert ready(channel, queue) == 15
        channel.basic_ack(1)
        until(connection, lambda: len(got) == 6)
        channel.basic_ack(6, multiple=True)
        until(connection, lambda: len(got) == 11)
        assert ready(channel, queue) == 9
        channel.basic_nack(11, multiple=True, requeue=False)
        until(connection, lambda: len(got) == 16)
        assert ready(channel, queue) == 4


@check
def prefetch_is_per_consumer_unless_global():
    with on_channel(confirms=True) as (connection, channel):
        first, second = exclusive_queue(channel), exclusive_queue(channel)
        for queue in (first, second):
            send(channel, queue, *[b"x"] * 10)
        channel.basic_qos(prefetch_count=1)
        _, got_first = collect(channel, first)
        channel.basic_qos(prefetch_count=5)  # Changes nothing for the first.
        _, got_second = collect(channel, second)
        until(connection, lambda: len(got_first) == 1 and len(got_second) == 5)
        assert (ready(channel, first), ready(channel, second)) == (9, 5)
    with on_channel(confirms=True) as (connection, channel):
        queue = exclusive_queue(channel)
        send(channel, queue, *[b"x"] * 10)
        channel.basic_qos(prefetch_count=3, global_qos=True)
        consumers = [collect(channel, queue)[1] for _ in range(2)]
        until(connection, lambda: sum(map(len, consumers)) == 3)
        assert ready(channel, queue) == 7


@check
def consumers_take_turns():
    with on_channel(confirms=True) as (connection, channel):
        queue = exclusive_queue(channel)
        consumers = [collect(channel, queue)[1] for _ in range(2)]
        send(channel, queue, *(b"%d" % number for number in range(10)))
        until(connection, lambda: sum(map(len, consumers)) == 10)
        assert [len(got) for got in consumers] == [5, 5]
        assert {int(body) % 2 for _, _, body in consumers[0]} == {0}


@check
def unacked_tag_is_406_when_unknown():
    with on_channel() as (connection, setup):
        queue = exclusive_queue(setup)

        def double_ack(channel):
            channel.basic_ack(1)
            channel.basic_ack(1)

        for tag, settle in (
            (1, double_ack),
            (9, lambda ch: ch.basic_ack(9)),
            (9, lambda ch: ch.basic_ack(9, multiple=True)),
            (0, lambda ch: ch.basic_ack(0)),
            (9, lambda ch: ch.basic_nack(9)),
            (9, lambda ch: ch.basic_reject(9)),
        ):
            channel = connection.channel()
            send(channel, queue, b"x")
            assert channel.basic_get(queue)[0].delivery_tag == 1
            with closes_channel(406, f"PRECONDITION_FAILED - unknown delivery tag {tag}"):
                settle(channel)
                ready(channel, queue)
        # Nothing was settled but by the first.
        until(connection, lambda: ready(setup, queue) == 5)


@check
def duplicate_consumer_tag_closes_the_connection():
    with connected() as connection:
        channel = connection.channel()
        queue = exclusive_queue(channel)
        # pika refuses a duplicate by itself; it is made to forget the first.
        collect(channel, queue, consumer_tag="twice")
        del channel._consumer_infos["twice"]  # pylint: disable=protected-access
        del channel._impl._consumers["twice"]  # pylint: disable=protected-access
        with closes_connection(530, "NOT_ALLOWED - attempt to reuse consumer tag 'twice'"):
            collect(channel, queue, consumer_tag="twice")


@check
def exclusive_consumer_shuts_others_out():
    with on_channel() as (connection, channel):
        queue = exclusive_queue(channel)
        tag, _ = collect(channel, queue, exclusive=True)
        refusal = f"ACCESS_REFUSED - queue '{queue}' in vhost '/' in exclusive use"
        with closes_channel(403, refusal):
            collect(connection.channel(), queue)
        channel.basic_cancel(tag)
        collect(channel, queue)
        with closes_channel(403, refusal):
            collect(connection.channel(), queue, exclusive=True)


@check
def requeued_messages_return_to_their_place():
    with on_channel() as (connection, setup):
        queue = exclusive_queue(setup)

        def requeue_with(settle):
            channel = connection.channel()
            send(channel, queue, b"1", b"2", b"3", b"4")
            for _ in range(3):
                channel.basic_get(queue)
            settle(channel)
            got = [take(setup, queue) for _ in range(5)]
            assert got == [(b"1", True), (b"2", True), (b"3", True), (b"4", False), None], got

        def reject_in_reverse(channel):
            for tag in (3, 2, 1):
                channel.basic_reject(tag, requeue=True)
            channel.queue_declare(queue, passive=True)
            channel.close()

        def nack_all(channel):
            channel.basic_nack(0, multiple=True, requeue=True)
            channel.close()

        requeue_with(lambda channel: channel.close())
        requeue_with(reject_in_reverse)
        requeue_with(nack_all)
        requeue_with(lambda channel: (channel.basic_recover(requeue=True), channel.close()))


@check
def rejected_messages_are_dropped():
    with on_channel() as (connection, channel):
        queue = exclusive_queue(channel)
        send(channel, queue, b"1", b"2", b"3")
        for _ in range(3):
            channel.basic_get(queue)
        channel.basic_reject(2, requeue=False)
        channel.basic_nack(3, requeue=False)
        channel.close()
        assert take_all(connection.channel(), queue) == [b"1"]


@check
def recover_redelivers_to_the_consumer():
    with on_channel() as (connection, channel):
        queue = exclusive_queue(channel)
        send(channel, queue, b"1", b"2")
        _, got = collect(channel, queue)
        until(connection, lambda: len(got) == 2)
        channel.basic_recover(requeue=True)
        until(connection, lambda: len(got) == 4)
        assert [(body, method.redelivered) for method, _, body in got[2:]] == [
            (b"1", True), (b"2", True),
        ]


@check
def cancel_stops_deliveries_and_keeps_unacked():
    with on_channel(confirms=True) as (connection, channel):
        queue = exclusive_queue(channel)
        tag, got = collect(channel, queue)
        send(channel, queue, b"1")
        until(connection, lambda: len(got) == 1)
        channel.basic_cancel(tag)
        channel.basic_cancel("no-such-tag")
        send(channel, queue, b"2")
        assert ready(channel, queue) == 1 and len(got) == 1
        channel.basic_ack(1)
        assert take_all(channel, queue) == [b"2"]


@check
def deleting_the_queue_cancels_its_consumers():
    with on_channel() as (connection, channel):
        queue = unique("cancel")
        channel.queue_declare(queue)
        tag, got = collect(channel, queue)
        cancelled = []
        channel.add_on_cancel_callback(cancelled.append)
        send(channel, queue, b"1")
        until(connection, lambda: len(got) == 1)
        connection.channel().queue_delete(queue)
        until(connection, lambda: cancelled)
        assert cancelled[0].method.consumer_tag == tag
        channel.basic_ack(1)  # For a queue that is gone: no error.
        exclusive_queue(channel)


# --- Time to live ---------------------------------------------------------------------------------


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


# --- Transactions ---------------------------------------------------------------------------------


@check
def transaction_publishes_at_commit():
    with on_channel() as (connection, channel):
        queue, reader = exclusive_queue(channel), connection.channel()
        channel.tx_select()
        send(channel, queue, b"1", b"2")
        assert take(channel, queue) is None
        channel.tx_commit()
        assert take_all(reader, queue) == [b"1", b"2"]
        send(channel, queue, b"3")
        channel.tx_rollback()
        channel.tx_commit()
        assert take_all(reader, queue) == []


@check
def transaction_settles_at_commit():
    with on_channel() as (connection, channel):
        queue, reader = exclusive_queue(channel), connection.channel()
        send(reader, queue, b"1", b"2")
        until(connection, lambda: ready(reader, queue) == 2)
        channel.tx_select()
        tags = [channel.basic_get(queue)[0].delivery_tag for _ in range(2)]
        channel.basic_ack(tags[0])
        channel.tx_rollback()
        channel.basic_ack(tags[0])  # Unacked again after the rollback.
        channel.tx_commit()
        channel.basic_ack(tags[1])
        channel.close()  # As a rollback: the second comes back.
        assert take(reader, queue) == (b"2", True)
        assert take(reader, queue) is None


@check
def transaction_errors_are_406():
    with connected() as connection:
        with closes_channel(406, "PRECONDITION_FAILED - channel is not transactional"):
            connection.channel().tx_commit()
        with closes_channel(406, "PRECONDITION_FAILED - channel is not transactional"):
            connection.channel().tx_rollback()
        confirming = connection.channel()
        confirming.confirm_delivery()
        with closes_channel(406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode"):
            confirming.tx_select()
        transactional = connection.channel()
        transactional.tx_select()
        with closes_channel(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode"):
            transactional.confirm_delivery()


if __name__ == "__main__":
    SUITE.run()
