"""The tx methods."""

from pika_checks.kit import (
    check, closes_channel, connected, exclusive_queue, on_channel, ready, send, take, take_all,
    until,
)


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
