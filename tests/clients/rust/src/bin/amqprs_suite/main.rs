//! amqprs: a Rust client with callbacks instead of results for what the broker does by itself.

mod consuming;
mod expiry_and_transactions;
mod kit;
mod publishing;
mod queues;
mod routing;

use haremq_clients::suite;

suite!("amqprs":
    queues::server_introduces_itself_as_rabbitmq,
    queues::connection_closes_and_reopens,
    queues::wrong_password_drops_a_client_without_the_capability,
    queues::many_channels_work_side_by_side,
    queues::server_names_queues,
    queues::exclusive_queue_is_locked_to_its_connection,
    queues::exclusive_queue_is_gone_after_close_ok,
    queues::auto_delete_queue_goes_with_its_last_consumer,
    queues::redeclare_must_be_equivalent,
    queues::what_is_missing_is_404,
    queues::purge_and_delete_count_what_they_drop,
    publishing::every_publish_is_confirmed_once,
    publishing::mandatory_message_is_returned_before_its_ack,
    publishing::bodies_of_all_sizes_survive,
    publishing::properties_and_nested_headers_survive,
    routing::topic_patterns_match_as_the_table_says,
    routing::headers_match_as_bound,
    routing::fanout_copies_to_every_queue_once,
    routing::exchanges_route_to_exchanges,
    routing::exchange_errors_have_their_codes,
    consuming::consumer_gets_all_in_order,
    consuming::get_says_how_many_remain,
    consuming::prefetch_limits_what_is_unacked,
    consuming::consumers_take_turns,
    consuming::double_ack_is_406,
    consuming::duplicate_consumer_tag_closes_the_connection,
    consuming::exclusive_consumer_shuts_others_out,
    consuming::requeued_messages_return_to_their_place,
    consuming::rejected_messages_are_dropped,
    consuming::cancel_stops_deliveries_and_keeps_unacked,
    consuming::deleting_the_queue_cancels_its_consumers,
    expiry_and_transactions::messages_expire_on_time,
    expiry_and_transactions::unused_queue_expires,
    expiry_and_transactions::transaction_publishes_at_commit,
    expiry_and_transactions::transaction_settles_at_commit,
);
