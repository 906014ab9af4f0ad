"""aio-pika: the asyncio Python client, on its plain (not self-healing) connection.

aio-pika publishes with confirms and as mandatory unless told otherwise, so nearly every check
here has the broker confirm what it enqueues.
"""

import asyncio
import contextlib
import datetime
import logging
import time

import aio_pika
import aiormq
from aio_pika import ExchangeType, Message
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelLockedResource,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    ConnectionNotAllowed,
    PublishError,
)

from checks import URI, Suite, topic_cases, unique

SUITE = Suite("aio-pika")
check = SUITE.check

EVENT_SECONDS_MAX = 10
# The refusals that the checks provoke are no news.
logging.disable(logging.CRITICAL)


# --- What the checks are written with -------------------------------------------------------------


@contextlib.asynccontextmanager
async def connected():
    """A connection that is closed at the end, unless the broker closed it."""
    connection = await aio_pika.connect(URI)
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def on_channel(confirms=True):
    """A connection with one channel on which returns are raised."""
    async with connected() as connection:
        yield connection, await connection.channel(
            publisher_confirms=confirms, on_return_raises=confirms
        )


@contextlib.asynccontextmanager
async def refused(kind, text):
    """The body must make the broker refuse with this kind of error and this text."""
    try:
        yield
    except kind as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"no {kind.__name__}")


async def exclusive_queue(channel, **kwargs):
    """A new queue that goes with the connection."""
    return await channel.declare_queue("", exclusive=True, **kwargs)


class Watched:
    """A queue of the broker, and what the checks ask of it through one channel."""

    def __init__(self, channel, queue):
        self.channel = channel
        self.queue = queue
        self.name = queue.name

    @classmethod
    async def new(cls, channel, **kwargs):
        """A new exclusive queue."""
        return cls(channel, await exclusive_queue(channel, **kwargs))

    async def send(self, *bodies, **properties):
        """Publishes through the default exchange."""
        for body in bodies:
            await self.channel.default_exchange.publish(Message(body, **properties), self.name)

    async def ready(self):
        """How many messages wait."""
        again = await self.channel.declare_queue(self.name, passive=True)
        return again.declaration_result.message_count

    async def take(self):
        """Gets and settles one message: (body, redelivered), or None."""
        message = await self.queue.get(no_ack=True, fail=False)
        return message and (message.body, message.redelivered)

    async def take_all(self):
        """The bodies of all that is ready."""
        bodies = []
        while message := await self.queue.get(no_ack=True, fail=False):
            bodies.append(message.body)
        return bodies

    async def consume(self, **kwargs):
        """A consumer: (consumer tag, asyncio.Queue of its deliveries)."""
        got = asyncio.Queue()
        tag = await self.queue.consume(got.put, **kwargs)
        return tag, got


async def next_of(got, count):
    """The next deliveries of a consumer."""
    async with asyncio.timeout(EVENT_SECONDS_MAX):
        return [await got.get() for _ in range(count)]


async def until(is_done):
    """Asks the broker again until the condition holds; each question is a round trip."""
    async with asyncio.timeout(EVENT_SECONDS_MAX):
        while not await is_done():
            pass


# --- Connections and queues -----------------------------------------------------------------------


@check
async def connection_closes_and_reopens():
    for _ in range(20):
        async with on_channel() as (_, channel):
            queue = await Watched.new(channel)
            await queue.send(b"x")
            assert await queue.take() == (b"x", False)


@check
async def many_channels_work_side_by_side():
    async with connected() as connection:
        channels = await asyncio.gather(*(connection.channel() for _ in range(200)))
        queues = await asyncio.gather(*(Watched.new(channel) for channel in channels))
        await asyncio.gather(*(queue.send(b"%d" % n) for n, queue in enumerate(queues)))
        got = await asyncio.gather(*(queue.take() for queue in queues))
        assert got == [(b"%d" % n, False) for n in range(200)]


@check
async def many_connections_work_side_by_side():
    async def one_connection(number):
        async with on_channel() as (_, channel):
            queue = await Watched.new(channel)
            await queue.send(b"%d" % number)
            return await queue.take()

    got = await asyncio.gather(*map(one_connection, range(50)))
    assert got == [(b"%d" % number, False) for number in range(50)]


@check
async def server_names_queues():
    async with on_channel() as (_, channel):
        names = {(await exclusive_queue(channel)).name for _ in range(10)}
        assert len(names) == 10
        assert all(name.startswith("amq.gen-") for name in names)


@check
async def exclusive_queue_is_locked_to_its_connection():
    async with on_channel() as (_, own), connected() as other:
        queue = await Watched.new(own)
        locked = f"cannot obtain exclusive access to locked queue '{queue.name}' in vhost '/'"
        async with refused(ChannelLockedResource, locked):
            await (await other.channel()).get_queue(queue.name)
        async with refused(ChannelLockedResource, locked):
            stranger = await (await other.channel()).get_queue(queue.name, ensure=False)
            await stranger.consume(print)
        await (await other.channel()).default_exchange.publish(Message(b"hello"), queue.name)
        assert await queue.take() == (b"hello", False)


@check
async def exclusive_queue_is_gone_after_close_ok():
    name = unique("exclusive-gone")
    async with connected() as other:
        async with on_channel() as (_, channel):
            await channel.declare_queue(name, exclusive=True)
        async with refused(ChannelNotFoundEntity, f"no queue '{name}' in vhost '/'"):
            await (await other.channel()).get_queue(name)


@check
async def auto_delete_queue_goes_with_its_last_consumer():
    async with on_channel() as (_, channel):
        queue = await channel.declare_queue(unique("auto-delete"), auto_delete=True)
        tags = [await queue.consume(print) for _ in range(2)]
        await queue.cancel(tags[0])
        again = await channel.declare_queue(queue.name, passive=True)
        assert again.declaration_result.consumer_count == 1
        await queue.cancel(tags[1])
        async with refused(ChannelNotFoundEntity, f"no queue '{queue.name}'"):
            await channel.declare_queue(queue.name, passive=True)


@check
async def redeclare_must_be_equivalent():
    name = unique("equivalence")
    async with connected() as connection:
        setup = await connection.channel()
        await setup.declare_queue(name, arguments={"x-message-ttl": 1000})
        try:
            for kwargs, text in (
                ({"durable": True}, f"inequivalent arg 'durable' for queue '{name}' in vhost '/'"),
                ({"arguments": {"x-message-ttl": 2000}}, "received '2000' but current is '1000'"),
            ):
                async with refused(ChannelPreconditionFailed, text):
                    channel = await connection.channel()
                    await channel.declare_queue(name, **kwargs)
        finally:
            await setup.queue_delete(name)


@check
async def what_is_missing_is_404():
    name = unique("missing")
    async with connected() as connection:
        async with refused(ChannelNotFoundEntity, f"no queue '{name}' in vhost '/'"):
            await (await connection.channel()).get_queue(name)
        async with refused(ChannelNotFoundEntity, f"no exchange '{name}' in vhost '/'"):
            await (await connection.channel()).get_exchange(name)
        async with refused(ChannelNotFoundEntity, f"no exchange '{name}' in vhost '/'"):
            exchange = await (await connection.channel()).get_exchange(name, ensure=False)
            await exchange.publish(Message(b"x"), "key")


@check
async def purge_and_delete_count_what_they_drop():
    async with on_channel() as (_, channel):
        queue = await channel.declare_queue(unique("counts"))
        watched = Watched(channel, queue)
        await watched.send(*[b"x"] * 10)
        await queue.get()
        assert (await queue.purge()).message_count == 9
        await watched.send(*[b"x"] * 3)
        assert (await channel.queue_delete(queue.name)).message_count == 3
        assert (await channel.queue_delete(queue.name)).message_count == 0


# --- Publishing -----------------------------------------------------------------------------------


@check
async def pipelined_publishes_are_all_confirmed():
    async with on_channel() as (_, channel):
        queue = await Watched.new(channel)
        # All are on their way before the first is confirmed.
        await asyncio.gather(*(queue.send(b"%d" % number) for number in range(1000)))
        assert await queue.ready() == 1000
        assert await queue.take_all() == [b"%d" % number for number in range(1000)]


@check
async def mandatory_message_is_returned_before_its_ack():
    async with on_channel() as (_, channel):
        exchange = await channel.get_exchange("amq.direct")
        try:
            # aio-pika raises only if the return arrives before the ack.
            await exchange.publish(Message(b"back", message_id="m"), unique("nowhere"))
        except PublishError as error:
            assert error.message.delivery.reply_code == 312
            assert error.message.delivery.reply_text == "NO_ROUTE"
            assert error.message.body == b"back"
        else:
            raise AssertionError("the message was not returned")
        await exchange.publish(Message(b"dropped"), unique("nowhere"), mandatory=False)


@check
async def returns_among_confirms_stay_apart():
    async with on_channel() as (_, channel):
        queue = await Watched.new(channel)

        async def publish(number):
            routed = number % 3 > 0
            try:
                await channel.default_exchange.publish(
                    Message(b"%d" % number), queue.name if routed else unique("nowhere")
                )
            except PublishError:
                return not routed
            return routed

        assert all(await asyncio.gather(*map(publish, range(300))))
        assert await queue.ready() == 200


@check
async def bodies_of_all_sizes_survive():
    async with on_channel() as (_, channel):
        queue = await Watched.new(channel)
        frame = 131072 - 8
        sizes = (0, 1, frame - 1, frame, frame + 1, 2 * 1024 * 1024)
        bodies = [(b"0123456789" * (size // 10 + 1))[:size] for size in sizes]
        await queue.send(*bodies)
        assert await queue.take_all() == bodies
        await queue.send(*bodies)
        _, got = await queue.consume()
        assert [message.body for message in await next_of(got, len(bodies))] == bodies


@check
async def properties_and_nested_headers_survive():
    when = datetime.datetime(2024, 2, 29, 12, 30, 15, tzinfo=datetime.timezone.utc)
    headers = {
        "bool": True, "int": 7, "negative": -(2**20), "long": 2**40, "float": 0.5,
        "string": "straße", "bytes": bytearray(b"\x00\xff\xce"), "void": None, "time": when,
        "list": [1, "two", [3], {"four": 4}], "table": {"deep": {"deeper": [True, None]}},
    }
    sent = {
        "content_type": "text/plain", "content_encoding": "utf-8", "priority": 5,
        "delivery_mode": aio_pika.DeliveryMode.PERSISTENT, "correlation_id": "correlation",
        "reply_to": "reply", "expiration": 60, "message_id": "message", "timestamp": when,
        "type": "type", "user_id": "guest", "app_id": "app",
    }
    async with on_channel() as (_, channel):
        queue = await Watched.new(channel)
        await queue.send(b"x", headers=headers, **sent)
        got = await queue.queue.get(no_ack=True)
        assert dict(got.headers) == headers, dict(got.headers)
        for name, value in sent.items():
            assert getattr(got, name) == value, (name, getattr(got, name))


# --- Exchanges and routing ------------------------------------------------------------------------


@check
async def topic_patterns_match_as_the_table_says():
    async with on_channel() as (_, channel):
        exchange = await channel.declare_exchange(
            unique("topic"), ExchangeType.TOPIC, auto_delete=True
        )
        cases = topic_cases()
        queues = {pattern: await Watched.new(channel) for pattern in cases}
        for pattern, queue in queues.items():
            await queue.queue.bind(exchange, pattern)
        for key in {key for keys in cases.values() for key in keys}:
            await exchange.publish(Message(key.encode()), key)
        for pattern, keys in cases.items():
            got = {body.decode() for body in await queues[pattern].take_all()}
            for key, matches in keys.items():
                assert (key in got) == matches, (pattern, key)


@check
async def headers_match_as_bound():
    async with on_channel() as (_, channel):
        exchange = await channel.declare_exchange(
            unique("headers"), ExchangeType.HEADERS, auto_delete=True
        )
        bindings = {
            "all": {"x-match": "all", "a": 1, "b": "two"},
            "any": {"x-match": "any", "a": 1, "b": "two"},
            "present": {"x-match": "all", "a": None},
        }
        queues = {name: await Watched.new(channel) for name in bindings}
        for name, arguments in bindings.items():
            await queues[name].queue.bind(exchange, "", arguments=arguments)
        for headers, expected in (
            ({"a": 1, "b": "two", "c": 3}, {"all", "any", "present"}),
            ({"a": 1}, {"any", "present"}),
            ({"a": 2}, {"present"}),
            ({"b": "two"}, {"any"}),
            ({"b": 2}, set()),
        ):
            await exchange.publish(Message(b"x", headers=headers), "", mandatory=False)
            got = {name for name, queue in queues.items() if await queue.take()}
            assert got == expected, (headers, got)


@check
async def fanout_copies_to_every_queue_once():
    async with on_channel() as (_, channel):
        exchange = await channel.declare_exchange(
            unique("fanout"), ExchangeType.FANOUT, auto_delete=True
        )
        queues = [await Watched.new(channel) for _ in range(5)]
        for queue in queues:
            await queue.queue.bind(exchange, "one")
            await queue.queue.bind(exchange, "two")
        await exchange.publish(Message(b"copy"), "any")
        assert [await queue.take_all() for queue in queues] == [[b"copy"]] * 5
        await queues[0].queue.unbind(exchange, "one")
        await queues[0].queue.unbind(exchange, "two")
        await exchange.publish(Message(b"copy"), "any")
        assert await queues[0].take() is None


@check
async def exchanges_route_to_exchanges():
    async with on_channel() as (_, channel):
        source = await channel.declare_exchange(unique("source"), ExchangeType.DIRECT)
        sink = await channel.declare_exchange(unique("sink"), ExchangeType.FANOUT, internal=True)
        queue = await Watched.new(channel)
        await sink.bind(source, "key")
        await queue.queue.bind(sink)
        await source.publish(Message(b"through"), "key")
        assert await queue.take_all() == [b"through"]
        await sink.unbind(source, "key")
        async with refused(PublishError, ""):
            await source.publish(Message(b"unbound"), "key")
        await source.delete()
        await sink.delete()


@check
async def exchange_errors_have_their_codes():
    name = unique("errors")
    async with connected() as connection:
        setup = await connection.channel()
        await setup.declare_exchange(name, ExchangeType.DIRECT)
        inequivalent = f"inequivalent arg 'type' for exchange '{name}'"
        async with refused(ChannelPreconditionFailed, inequivalent):
            await (await connection.channel()).declare_exchange(name, ExchangeType.FANOUT)
        async with refused(ChannelAccessRefused, "contains reserved prefix 'amq.*'"):
            await (await connection.channel()).declare_exchange("amq.mine")
        await setup.exchange_delete(name)


# --- Consuming and settling -----------------------------------------------------------------------


@check
async def consumer_gets_all_in_order():
    async with on_channel() as (_, channel):
        queue = await Watched.new(channel)
        _, got = await queue.consume()
        await asyncio.gather(*(queue.send(b"%d" % number) for number in range(1000)))
        messages = await next_of(got, 1000)
        assert [message.body for message in messages] == [b"%d" % n for n in range(1000)]
        await messages[-1].ack(multiple=True)
        await channel.close()


@check
async def get_says_how_many_remain():
    async with on_channel() as (_, channel):
        queue = await Watched.new(channel)
        assert await queue.queue.get(fail=False) is None
        await queue.send(b"1", b"2", b"3")
        assert [(await queue.queue.get()).message_count for _ in range(3)] == [2, 1, 0]
        assert await queue.queue.get(fail=False) is None


@check
async def prefetch_limits_what_is_unacked():
    async with on_channel() as (_, channel):
        queue = await Watched.new(channel)
        await queue.send(*[b"x"] * 20)
        await channel.set_qos(prefetch_count=5)
        _, got = await queue.consume()
        first = await next_of(got, 5)
        assert (await queue.ready(), got.qsize()) == (15, 0)
        await first[0].ack()
        await next_of(got, 1)
        await first[4].ack(multiple=True)
        await next_of(got, 4)
        assert (await queue.ready(), got.qsize()) == (10, 0)


@check
async def global_prefetch_is_shared():
    async with on_channel() as (_, channel):
        queue = await Watched.new(channel)
        await queue.send(*[b"x"] * 10)
        await channel.set_qos(prefetch_count=3, global_=True)
        consumers = [(await queue.consume())[1] for _ in range(2)]
        await until(lambda: _has_ready(queue, 7))
        assert sum(got.qsize() for got in consumers) == 3


async def _has_ready(queue, count):
    return await queue.ready() == count


@check
async def consumers_take_turns():
    async with on_channel() as (_, channel):
        queue = await Watched.new(channel)
        consumers = [(await queue.consume())[1] for _ in range(2)]
        await queue.send(*(b"%d" % number for number in range(10)))
        bodies = [[m.body for m in await next_of(got, 5)] for got in consumers]
        assert bodies[0] == [b"0", b"2", b"4", b"6", b"8"], bodies


@check
async def double_ack_is_406():
    async with on_channel() as (_, channel):
        queue = await Watched.new(channel)
        await queue.send(b"x")
        await queue.queue.get()
        async with refused(ChannelPreconditionFailed, "unknown delivery tag 1"):
            underlay = await channel.get_underlay_channel()
            await underlay.basic_ack(1)
            await underlay.basic_ack(1)
            await queue.ready()


@check
async def duplicate_consumer_tag_closes_the_connection():
    connection = await aiormq.connect(URI)
    channel = await connection.channel()
    name = (await channel.queue_declare(exclusive=True)).queue
    await channel.basic_consume(name, print, consumer_tag="twice")
    # The library refuses a duplicate by itself; it is made to forget the first.
    channel.consumers.clear()
    try:
        await channel.basic_consume(name, print, consumer_tag="twice")
    except (ConnectionNotAllowed, asyncio.CancelledError, aiormq.exceptions.AMQPError):
        pass
    else:
        raise AssertionError("a second consumer with the same tag was accepted")
    async with asyncio.timeout(EVENT_SECONDS_MAX):
        async with refused(ConnectionNotAllowed, "attempt to reuse consumer tag 'twice'"):
            await connection.closing


@check
async def exclusive_consumer_shuts_others_out():
    async with on_channel() as (connection, channel):
        queue = await Watched.new(channel)
        await queue.consume(exclusive=True)
        async with refused(ChannelAccessRefused, f"queue '{queue.name}' in vhost '/' in exclusive"):
            second = await (await connection.channel()).get_queue(queue.name)
            await second.consume(print)


@check
async def requeued_messages_return_to_their_place():
    async with on_channel() as (connection, channel):
        queue = await Watched.new(channel)
        expected = [(b"1", True), (b"2", True), (b"3", True), (b"4", False), None]

        async def requeue_with(settle):
            await queue.send(b"1", b"2", b"3", b"4")
            own = await connection.channel()
            same = await own.get_queue(queue.name)
            messages = [await same.get() for _ in range(3)]
            await settle(messages)
            await own.close()
            assert [await queue.take() for _ in range(5)] == expected

        async def nack_at_once(messages):
            await messages[2].nack(multiple=True)

        async def reject_in_reverse(messages):
            for message in reversed(messages):
                await message.reject(requeue=True)

        async def leave(_messages):
            pass

        for settle in (nack_at_once, reject_in_reverse, leave):
            await requeue_with(settle)


@check
async def rejected_messages_are_dropped():
    async with on_channel() as (_, channel):
        queue = await Watched.new(channel)
        await queue.send(b"1", b"2")
        await (await queue.queue.get()).reject(requeue=False)
        await (await queue.queue.get()).nack(requeue=False)
        assert await queue.take() is None


@check
async def cancel_stops_deliveries_and_keeps_unacked():
    async with on_channel() as (_, channel):
        queue = await Watched.new(channel)
        tag, got = await queue.consume()
        await queue.send(b"1")
        (message,) = await next_of(got, 1)
        await queue.queue.cancel(tag)
        await queue.send(b"2")
        assert (await queue.ready(), got.qsize()) == (1, 0)
        await message.ack()
        assert await queue.take_all() == [b"2"]


@check
async def deleting_the_queue_cancels_its_consumers():
    async with on_channel() as (connection, channel):
        queue = await channel.declare_queue(unique("cancel"))
        cancelled = asyncio.get_running_loop().create_future()
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(cancelled.set_result)
        tag = await queue.consume(print)
        await (await connection.channel()).queue_delete(queue.name)
        async with asyncio.timeout(EVENT_SECONDS_MAX):
            assert (await cancelled).consumer_tag == tag
        await exclusive_queue(channel)


# --- Time to live, transactions -------------------------------------------------------------------


@check
async def messages_expire_on_time():
    async with on_channel() as (_, channel):
        by_queue = await Watched.new(channel, arguments={"x-message-ttl": 200})
        by_message = await Watched.new(channel)
        start = time.monotonic()
        await by_queue.send(b"x")
        await by_message.send(b"x", expiration=0.2)
        for queue in (by_queue, by_message):
            await until(lambda queue=queue: _has_ready(queue, 0))
        assert 0.2 <= time.monotonic() - start < 2


@check
async def unused_queue_expires():
    async with on_channel() as (_, channel):
        # The lease runs from the declaration, so from some time before its answer.
        start = time.monotonic()
        queue = await channel.declare_queue(unique("expires"), arguments={"x-expires": 400})

        async def is_gone():
            # Publishing is no use in the sense of x-expires, so it may watch.
            try:
                await channel.default_exchange.publish(Message(b""), queue.name)
            except PublishError:
                return True
            return False

        await until(is_gone)
        assert time.monotonic() - start >= 0.4


@check
async def transaction_publishes_at_commit():
    async with on_channel(confirms=False) as (connection, channel):
        queue = await Watched.new(channel)
        reader = Watched(channel, await (await connection.channel()).get_queue(queue.name))
        async with channel.transaction():
            await queue.send(b"1", b"2")
            assert await reader.take() is None
        assert await reader.take_all() == [b"1", b"2"]
        try:
            async with channel.transaction():
                await queue.send(b"3")
                raise InterruptedError
        except InterruptedError:
            pass
        assert await reader.take() is None


if __name__ == "__main__":
    SUITE.run()
