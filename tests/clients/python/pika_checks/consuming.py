"""Getting, consuming, prefetch and settling."""

from checks import unique
from pika_checks.kit import (
    check, closes_channel, closes_connection, collect, connected, exclusive_queue, on_channel,
    ready, send, take, take_all, until,
)


@check
def get_says_how_many_remain():
    with on_channel() as (_, channel):
        queue = exclusive_queue(channel)
        assert channel.basic_get(queue) == (None, None, None)
        send(channel, queue, b"1", b"2", b"3")
        tags, counts = zip(*(
            (method.delivery_tag, method.message_count)
            for method, _, _ in (channel.basic_get(queue) for _ in range(3))
        ), strict=True)
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
