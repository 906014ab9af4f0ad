"""Declaring, purging and deleting queues."""

from checks import unique
from pika_checks.kit import (
    check, closes_channel, collect, connected, exclusive_queue, on_channel, send, take,
)

LOCKED = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue"


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
