'use strict';

// amqplib: the Node client, with its promise interface.

const assert = require('node:assert/strict');
const amqplib = require('amqplib');
const { Suite, URI, event, topicCases, unique, until, within, EVENT_MS_MAX } = require('./checks');

const suite = new Suite('amqplib');

// --- What the checks are written with -----------------------------------------------------------

/** Runs the body with a connection that is closed at the end, unless the broker closed it. */
async function connected(body, options) {
  const connection = await amqplib.connect(URI, options);
  connection.failure = new Promise((resolve) => connection.once('error', resolve));
  try {
    return await body(connection);
  } finally {
    await connection.close().catch(() => {});
  }
}

/** A channel whose errors are kept in `channel.failure` instead of ending the process. */
async function open(connection, kind = 'createChannel') {
  const channel = await connection[kind]();
  channel.failure = new Promise((resolve) => channel.once('error', resolve));
  return channel;
}

/** Runs the body with a connection and one channel. */
function onChannel(body, options) {
  return connected(async (connection) => body(await open(connection), connection), options);
}

/** Runs the body with a connection and one channel that has confirms. */
function onConfirmChannel(body) {
  return connected(async (connection) =>
    body(await open(connection, 'createConfirmChannel'), connection));
}

/** The emitter must fail with this code and text; what the body itself throws is not looked at. */
async function closes(emitter, code, text, body) {
  await Promise.resolve(body()).catch(() => {});
  const error = await within(EVENT_MS_MAX, emitter.failure);
  assert.equal(error.code, code, error.message);
  assert.ok(error.message.includes(text), error.message);
}

/** The name of a new queue that goes with the connection. */
async function exclusiveQueue(channel, options) {
  return (await channel.assertQueue('', { exclusive: true, durable: false, ...options })).queue;
}

/** Publishes through the default exchange. */
function send(channel, queue, bodies, options) {
  for (const body of bodies) channel.sendToQueue(queue, Buffer.from(body), options);
}

/** How many messages wait in the queue. */
async function ready(channel, queue) {
  return (await channel.checkQueue(queue)).messageCount;
}

/** Gets and settles one message: [body, redelivered], or null. */
async function take(channel, queue) {
  const message = await channel.get(queue, { noAck: true });
  return message && [message.content.toString(), message.fields.redelivered];
}

/** The bodies of all that is ready. */
async function takeAll(channel, queue) {
  const bodies = [];
  for (let got = await take(channel, queue); got; got = await take(channel, queue)) {
    bodies.push(got[0]);
  }
  return bodies;
}

/** A consumer that keeps what it gets; `got.count(n)` waits until there are n deliveries. */
async function collect(channel, queue, options) {
  const got = [];
  const waiting = [];
  got.count = (count) => within(EVENT_MS_MAX, new Promise((resolve) => {
    waiting.push({ count, resolve });
    wake();
  }));
  const wake = () => {
    for (const each of waiting) if (got.length >= each.count) each.resolve();
  };
  const reply = await channel.consume(queue, (message) => {
    got.push(message);
    wake();
  }, options);
  got.tag = reply.consumerTag;
  return got;
}

const bodiesOf = (messages) => messages.map((message) => message.content.toString());
const numbers = (count) => Array.from({ length: count }, (_, number) => String(number));

// --- Connections and channels -------------------------------------------------------------------

suite.check(async function server_introduces_itself_as_rabbitmq() {
  await connected(async (connection) => {
    const server = connection.connection.serverProperties;
    assert.equal(server.product, 'RabbitMQ');
    assert.match(server.version, /^\d+\.\d+\.\d+/);
    assert.equal(server.capabilities.publisher_confirms, true);
  });
});

suite.check(async function wrong_password_is_403() {
  const wrong = URI.replace(/\/\/[^@]*@/, '//guest:wrong@');
  await assert.rejects(amqplib.connect(wrong), /403 \(ACCESS[-_]REFUSED\)/);
});

suite.check(async function connection_closes_and_reopens() {
  for (let round = 0; round < 20; round += 1) {
    await onChannel(async (channel) => {
      const queue = await exclusiveQueue(channel);
      send(channel, queue, ['x']);
      assert.deepEqual(await take(channel, queue), ['x', false]);
    });
  }
});

suite.check(async function channels_go_up_to_the_negotiated_limit() {
  await connected(async (connection) => {
    const opened = Array.from({ length: 2047 }, () => open(connection));
    const channels = await Promise.all(opened);
    const queue = await exclusiveQueue(channels[0]);
    channels.forEach((channel, number) => send(channel, queue, [String(number)]));
    await Promise.all(channels.map((channel) => channel.checkQueue(queue)));
    await until(async () => (await ready(channels[0], queue)) === channels.length);
    const got = await Promise.all(channels.map((channel) => take(channel, queue)));
    assert.equal(new Set(got.map(([body]) => body)).size, channels.length);
  });
});

suite.check(async function channel_error_leaves_the_connection_open() {
  await onChannel(async (channel, connection) => {
    await closes(channel, 404, "NOT_FOUND - no exchange 'no-such-exchange' in vhost '/'", () => {
      // What is in flight behind the failing publish must be swallowed.
      for (let count = 0; count < 100; count += 1) {
        channel.publish('no-such-exchange', 'key', Buffer.alloc(1000));
      }
    });
    await exclusiveQueue(await open(connection));
  });
});

suite.check(async function idle_connection_lives_on_heartbeats() {
  await onChannel(async (channel, connection) => {
    // amqplib fails the connection when it misses heartbeats, the broker when it gets none.
    const idle = new Promise((resolve) => { setTimeout(resolve, 3500); });
    const failure = await Promise.race([connection.failure, idle]);
    assert.equal(failure, undefined);
    await exclusiveQueue(channel);
  }, { heartbeat: 1 });
});

// --- Queues -------------------------------------------------------------------------------------

suite.check(async function server_names_queues() {
  await onChannel(async (channel) => {
    const names = await Promise.all(numbers(20).map(() => exclusiveQueue(channel)));
    assert.equal(new Set(names).size, 20);
    for (const name of names) assert.match(name, /^amq\.gen-[A-Za-z0-9_-]{22}$/);
  });
});

suite.check(async function exclusive_queue_is_locked_to_its_connection() {
  await onChannel(async (own) => connected(async (other) => {
    const queue = await exclusiveQueue(own);
    const text = `RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '${queue}'`;
    for (const refused of [
      (channel) => channel.checkQueue(queue),
      (channel) => channel.consume(queue, () => {}),
      (channel) => channel.get(queue),
      (channel) => channel.purgeQueue(queue),
      (channel) => channel.deleteQueue(queue),
      (channel) => channel.bindQueue(queue, 'amq.direct', 'key'),
    ]) {
      const channel = await open(other);
      await closes(channel, 405, text, () => refused(channel));
    }
    const stranger = await open(other, 'createConfirmChannel');
    send(stranger, queue, ['hello'], { mandatory: true });
    await stranger.waitForConfirms();
    assert.deepEqual(await take(own, queue), ['hello', false]);
  }));
});

suite.check(async function exclusive_queue_is_gone_after_close_ok() {
  const name = unique('exclusive-gone');
  await connected(async (other) => {
    await onChannel((channel) => channel.assertQueue(name, { exclusive: true }));
    const channel = await open(other);
    await closes(channel, 404, `no queue '${name}'`, () => channel.checkQueue(name));
  });
});

suite.check(async function auto_delete_queue_goes_with_its_last_consumer() {
  await onChannel(async (channel) => {
    const name = unique('auto-delete');
    await channel.assertQueue(name, { autoDelete: true });
    const first = await collect(channel, name);
    const second = await collect(channel, name);
    await channel.cancel(first.tag);
    assert.equal((await channel.checkQueue(name)).consumerCount, 1);
    await channel.cancel(second.tag);
    await closes(channel, 404, `no queue '${name}'`, () => channel.checkQueue(name));
  });
});

suite.check(async function redeclare_must_be_equivalent() {
  const name = unique('equivalence');
  await onChannel(async (setup, connection) => {
    await setup.assertQueue(name, { durable: true, messageTtl: 1000 });
    await setup.assertQueue(name, { durable: true, messageTtl: 1000 });
    try {
      for (const [options, code, text] of [
        [{ durable: false }, 406, "inequivalent arg 'durable'"],
        [{ messageTtl: 2000 }, 406, "received '2000' but current is '1000'"],
        [{ exclusive: true }, 405, 'RESOURCE_LOCKED'],
      ]) {
        const channel = await open(connection);
        await closes(channel, code, text, () =>
          channel.assertQueue(name, { durable: true, messageTtl: 1000, ...options }));
      }
    } finally {
      await setup.deleteQueue(name);
    }
  });
});

suite.check(async function what_is_missing_is_404() {
  const name = unique('missing');
  await connected(async (connection) => {
    for (const [text, missing] of [
      [`NOT_FOUND - no queue '${name}' in vhost '/'`, (channel) => channel.checkQueue(name)],
      [`NOT_FOUND - no exchange '${name}' in vhost '/'`, (channel) => channel.checkExchange(name)],
      [`NOT_FOUND - no queue '${name}' in vhost '/'`, (channel) => channel.get(name)],
      [`NOT_FOUND - no queue '${name}' in vhost '/'`, (channel) => channel.consume(name, () => {})],
      [`NOT_FOUND - no queue '${name}' in vhost '/'`, (channel) => channel.purgeQueue(name)],
    ]) {
      const channel = await open(connection);
      await closes(channel, 404, text, () => missing(channel));
    }
  });
});

suite.check(async function purge_and_delete_count_what_they_drop() {
  await onConfirmChannel(async (channel) => {
    const name = unique('counts');
    await channel.assertQueue(name);
    send(channel, name, numbers(10));
    await channel.waitForConfirms();
    await channel.get(name);
    assert.equal((await channel.purgeQueue(name)).messageCount, 9);
    send(channel, name, numbers(3));
    await channel.waitForConfirms();
    assert.equal((await channel.deleteQueue(name)).messageCount, 3);
    assert.equal((await channel.deleteQueue(name)).messageCount, 0);
  });
});

// --- Publishing ---------------------------------------------------------------------------------

suite.check(async function every_publish_is_confirmed_once() {
  await onConfirmChannel(async (channel) => {
    const queue = await exclusiveQueue(channel);
    const confirmed = numbers(2000).map((body) => new Promise((resolve, reject) => {
      channel.sendToQueue(queue, Buffer.from(body), {}, (error) =>
        (error ? reject(error) : resolve()));
    }));
    await Promise.all(confirmed);
    assert.equal(await ready(channel, queue), 2000);
    assert.deepEqual(await takeAll(channel, queue), numbers(2000));
  });
});

suite.check(async function mandatory_message_is_returned_before_its_ack() {
  await onConfirmChannel(async (channel) => {
    const order = [];
    channel.on('return', (message) => order.push(message));
    channel.on('ack', () => order.push('ack'));
    const nowhere = unique('nowhere');
    const options = { mandatory: true, messageId: 'm' };
    channel.publish('amq.direct', nowhere, Buffer.from('back'), options);
    await channel.waitForConfirms();
    const [returned, ack] = order;
    assert.equal(ack, 'ack');
    const { replyCode, replyText, exchange, routingKey } = returned.fields;
    assert.deepEqual([replyCode, replyText, exchange, routingKey],
      [312, 'NO_ROUTE', 'amq.direct', nowhere]);
    assert.equal(returned.properties.messageId, 'm');
    assert.equal(returned.content.toString(), 'back');
    channel.publish('amq.direct', nowhere, Buffer.from('dropped'));
    await channel.waitForConfirms();
    assert.deepEqual(order.slice(2), ['ack']);
  });
});

suite.check(async function confirms_go_on_after_a_channel_error_elsewhere() {
  await onConfirmChannel(async (channel, connection) => {
    const queue = await exclusiveQueue(channel);
    const failing = await open(connection);
    failing.publish('no-such-exchange', '', Buffer.from('x'));
    send(channel, queue, numbers(100));
    await channel.waitForConfirms();
    assert.equal((await within(EVENT_MS_MAX, failing.failure)).code, 404);
    assert.equal(await ready(channel, queue), 100);
  });
});

suite.check(async function bodies_of_all_sizes_survive() {
  await onConfirmChannel(async (channel) => {
    const queue = await exclusiveQueue(channel);
    const frame = channel.connection.frameMax - 8;
    const sizes = [0, 1, frame - 1, frame, frame + 1, 2 * 1024 * 1024];
    const bodies = sizes.map((size) => Buffer.alloc(size, '0123456789'));
    send(channel, queue, bodies);
    await channel.waitForConfirms();
    const got = await collect(channel, queue, { noAck: true });
    await got.count(bodies.length);
    got.forEach((message, index) => assert.ok(message.content.equals(bodies[index])));
  });
});

suite.check(async function properties_and_nested_headers_survive() {
  const headers = {
    bool: true, int: 7, negative: -7, long: 2 ** 40, float: 0.5, string: 'straße', void: null,
    list: [1, 'two', [3], { four: 4 }], table: { deep: { deeper: { deepest: [true, null] } } },
    bytes: Buffer.from([0, 255, 206]), empty: {},
  };
  const sent = {
    contentType: 'text/plain', contentEncoding: 'utf-8', deliveryMode: 2, priority: 5,
    correlationId: 'correlation', replyTo: 'reply', expiration: '60000', messageId: 'message',
    timestamp: 1700000000, type: 'type', userId: 'guest', appId: 'app',
  };
  await onChannel(async (channel) => {
    const queue = await exclusiveQueue(channel);
    send(channel, queue, ['x'], { ...sent, persistent: true, headers });
    const { properties } = await channel.get(queue, { noAck: true });
    assert.deepEqual(properties.headers, headers);
    for (const [name, value] of Object.entries(sent)) assert.equal(properties[name], value, name);
  });
});

// --- Exchanges and routing ----------------------------------------------------------------------

suite.check(async function topic_patterns_match_as_the_table_says() {
  await onConfirmChannel(async (channel) => {
    const exchange = unique('topic');
    await channel.assertExchange(exchange, 'topic', { autoDelete: true });
    const queues = new Map();
    const keys = new Set();
    for (const [pattern, cases] of topicCases()) {
      const queue = await exclusiveQueue(channel);
      await channel.bindQueue(queue, exchange, pattern);
      queues.set(queue, [pattern, cases]);
      for (const [key] of cases) keys.add(key);
    }
    for (const key of keys) channel.publish(exchange, key, Buffer.from(key));
    await channel.waitForConfirms();
    for (const [queue, [pattern, cases]] of queues) {
      const got = await takeAll(channel, queue);
      for (const [key, matches] of cases) {
        assert.equal(got.includes(key), matches, `pattern '${pattern}', key '${key}'`);
      }
    }
  });
});

suite.check(async function headers_match_as_bound() {
  const bindings = {
    all: { 'x-match': 'all', a: 1, b: 'two' },
    any: { 'x-match': 'any', a: 1, b: 'two' },
    present: { 'x-match': 'all', a: null },
    ignored: { 'x-match': 'all', a: 1, 'x-b': 'other' },
  };
  await onConfirmChannel(async (channel) => {
    const exchange = unique('headers');
    await channel.assertExchange(exchange, 'headers', { autoDelete: true });
    const queues = {};
    for (const [name, pattern] of Object.entries(bindings)) {
      queues[name] = await exclusiveQueue(channel);
      await channel.bindQueue(queues[name], exchange, '', pattern);
    }
    for (const [headers, expected] of [
      [{ a: 1, b: 'two', c: 3 }, ['all', 'any', 'present', 'ignored']],
      [{ a: 1 }, ['any', 'present', 'ignored']],
      [{ a: '1' }, ['present']],
      [{ b: 'two' }, ['any']],
      [{}, []],
    ]) {
      channel.publish(exchange, '', Buffer.from('x'), { headers });
      await channel.waitForConfirms();
      const got = [];
      for (const [name, queue] of Object.entries(queues)) {
        if (await take(channel, queue)) got.push(name);
      }
      assert.deepEqual(got, expected, JSON.stringify(headers));
    }
  });
});

suite.check(async function fanout_copies_to_every_queue_once() {
  await onConfirmChannel(async (channel) => {
    const exchange = unique('fanout');
    await channel.assertExchange(exchange, 'fanout', { autoDelete: true });
    const queues = await Promise.all(numbers(5).map(() => exclusiveQueue(channel)));
    for (const queue of queues) {
      await channel.bindQueue(queue, exchange, 'one');
      await channel.bindQueue(queue, exchange, 'two');
    }
    channel.publish(exchange, 'any', Buffer.from('copy'));
    await channel.waitForConfirms();
    for (const queue of queues) assert.deepEqual(await takeAll(channel, queue), ['copy']);
  });
});

suite.check(async function exchanges_route_to_exchanges() {
  await onConfirmChannel(async (channel) => {
    const [source, sink] = [unique('source'), unique('sink')];
    await channel.assertExchange(source, 'direct');
    await channel.assertExchange(sink, 'fanout', { internal: true });
    const queue = await exclusiveQueue(channel);
    await channel.bindExchange(sink, source, 'key');
    await channel.bindQueue(queue, sink, '');
    channel.publish(source, 'key', Buffer.from('through'));
    await channel.waitForConfirms();
    await channel.unbindExchange(sink, source, 'key');
    channel.publish(source, 'key', Buffer.from('unbound'));
    await channel.waitForConfirms();
    assert.deepEqual(await takeAll(channel, queue), ['through']);
    await channel.deleteExchange(source);
    await channel.deleteExchange(sink);
  });
});

suite.check(async function exchange_errors_have_their_codes() {
  const name = unique('errors');
  await onChannel(async (setup, connection) => {
    await setup.assertExchange(name, 'direct');
    await setup.bindQueue(await exclusiveQueue(setup), name, 'key');
    for (const [code, text, refused] of [
      [406, "inequivalent arg 'type'", (channel) => channel.assertExchange(name, 'fanout')],
      [403, 'reserved prefix', (channel) => channel.assertExchange('amq.mine', 'direct')],
      [403, 'ACCESS_REFUSED', (channel) => channel.deleteExchange('amq.topic')],
      [406, 'in use', (channel) => channel.deleteExchange(name, { ifUnused: true })],
    ]) {
      const channel = await open(connection);
      await closes(channel, code, text, () => refused(channel));
    }
    await setup.deleteExchange(name);
  });
});

// --- Consuming and settling ---------------------------------------------------------------------

suite.check(async function consumer_gets_all_in_order() {
  await onChannel(async (channel) => {
    const queue = await exclusiveQueue(channel);
    const got = await collect(channel, queue);
    send(channel, queue, numbers(5000));
    await got.count(5000);
    assert.deepEqual(bodiesOf(got), numbers(5000));
    assert.deepEqual(got.map((message) => message.fields.deliveryTag),
      numbers(5000).map((number) => Number(number) + 1));
    channel.ackAll();
    await channel.close();
  });
});

suite.check(async function get_says_how_many_remain() {
  await onChannel(async (channel) => {
    const queue = await exclusiveQueue(channel);
    assert.equal(await channel.get(queue), false);
    send(channel, queue, ['1', '2', '3']);
    const counts = [];
    for (let count = 0; count < 3; count += 1) {
      counts.push((await channel.get(queue)).fields.messageCount);
    }
    assert.deepEqual(counts, [2, 1, 0]);
    assert.equal(await channel.get(queue), false);
  });
});

suite.check(async function prefetch_limits_what_is_unacked() {
  await onConfirmChannel(async (channel) => {
    const queue = await exclusiveQueue(channel);
    send(channel, queue, numbers(20));
    await channel.waitForConfirms();
    await channel.prefetch(5);
    const got = await collect(channel, queue);
    await got.count(5);
    assert.deepEqual([await ready(channel, queue), got.length], [15, 5]);
    channel.ack(got[0]);
    await got.count(6);
    channel.ack(got[5], true);
    await got.count(11);
    assert.deepEqual([await ready(channel, queue), got.length], [9, 11]);
  });
});

suite.check(async function global_prefetch_is_shared() {
  await onConfirmChannel(async (channel) => {
    const queue = await exclusiveQueue(channel);
    send(channel, queue, numbers(10));
    await channel.waitForConfirms();
    await channel.prefetch(3, true);
    const [first, second] = [await collect(channel, queue), await collect(channel, queue)];
    const out = () => first.length + second.length;
    await until(async () => (await ready(channel, queue)) === 7 && out() === 3);
    channel.ack([...first, ...second].find((message) => message.fields.deliveryTag === 1));
    await until(async () => (await ready(channel, queue)) === 6 && out() === 4);
  });
});

suite.check(async function consumers_take_turns() {
  await onChannel(async (channel) => {
    const queue = await exclusiveQueue(channel);
    const [first, second] = [await collect(channel, queue), await collect(channel, queue)];
    send(channel, queue, numbers(10));
    await first.count(5);
    await second.count(5);
    assert.deepEqual(bodiesOf(first), ['0', '2', '4', '6', '8']);
    assert.deepEqual(bodiesOf(second), ['1', '3', '5', '7', '9']);
  });
});

suite.check(async function double_ack_is_406() {
  await onChannel(async (channel, connection) => {
    const queue = await exclusiveQueue(channel);
    send(channel, queue, ['x']);
    const message = await channel.get(queue);
    await closes(channel, 406, 'PRECONDITION_FAILED - unknown delivery tag 1', () => {
      channel.ack(message);
      channel.ack(message);
    });
    assert.equal(await ready(await open(connection), queue), 0);
  });
});

suite.check(async function duplicate_consumer_tag_closes_the_connection() {
  await onChannel(async (channel, connection) => {
    const queue = await exclusiveQueue(channel);
    await collect(channel, queue, { consumerTag: 'twice' });
    await closes(connection, 530, "attempt to reuse consumer tag 'twice'", () =>
      collect(channel, queue, { consumerTag: 'twice' }));
  });
});

suite.check(async function exclusive_consumer_shuts_others_out() {
  await onChannel(async (channel, connection) => {
    const queue = await exclusiveQueue(channel);
    await collect(channel, queue, { exclusive: true });
    const second = await open(connection);
    await closes(second, 403, `queue '${queue}' in vhost '/' in exclusive use`, () =>
      collect(second, queue));
  });
});

suite.check(async function requeued_messages_return_to_their_place() {
  await onConfirmChannel(async (channel, connection) => {
    const queue = await exclusiveQueue(channel);
    for (const settle of [
      async (own) => own.nackAll(true),
      async (own, messages) => messages.reverse().forEach((message) => own.reject(message, true)),
      async (own, messages) => own.nack(messages[2], true, true),
      async (own) => own.recover(),
      async () => {},
    ]) {
      send(channel, queue, ['1', '2', '3', '4']);
      await channel.waitForConfirms();
      const own = await open(connection);
      const messages = [];
      for (let count = 0; count < 3; count += 1) messages.push(await own.get(queue));
      await settle(own, messages);
      await own.close();
      const got = [];
      for (let count = 0; count < 5; count += 1) got.push(await take(channel, queue));
      assert.deepEqual(got, [['1', true], ['2', true], ['3', true], ['4', false], false]);
    }
  });
});

suite.check(async function rejected_messages_are_dropped() {
  await onChannel(async (channel) => {
    const queue = await exclusiveQueue(channel);
    send(channel, queue, ['1', '2', '3']);
    channel.reject(await channel.get(queue), false);
    channel.nack(await channel.get(queue), false, false);
    assert.deepEqual(await takeAll(channel, queue), ['3']);
  });
});

suite.check(async function cancel_stops_deliveries_and_keeps_unacked() {
  await onConfirmChannel(async (channel) => {
    const queue = await exclusiveQueue(channel);
    const got = await collect(channel, queue);
    send(channel, queue, ['1']);
    await got.count(1);
    await channel.cancel(got.tag);
    send(channel, queue, ['2']);
    await channel.waitForConfirms();
    assert.deepEqual([await ready(channel, queue), got.length], [1, 1]);
    channel.ack(got[0]);
    assert.deepEqual(await takeAll(channel, queue), ['2']);
  });
});

suite.check(async function deleting_the_queue_cancels_its_consumers() {
  await onChannel(async (channel, connection) => {
    const name = unique('cancel');
    await channel.assertQueue(name);
    // amqplib hands a null to the consumer that the broker cancels.
    const got = await collect(channel, name);
    await (await open(connection)).deleteQueue(name);
    await got.count(1);
    assert.equal(got[0], null);
    await exclusiveQueue(channel);
  });
});

// --- Time to live -------------------------------------------------------------------------------

suite.check(async function messages_expire_on_time() {
  await onConfirmChannel(async (channel) => {
    const byQueue = await exclusiveQueue(channel, { messageTtl: 200 });
    const byMessage = await exclusiveQueue(channel);
    const start = performance.now();
    send(channel, byQueue, ['x']);
    send(channel, byMessage, ['x'], { expiration: 200 });
    await channel.waitForConfirms();
    await until(async () => (await ready(channel, byQueue)) === 0);
    await until(async () => (await ready(channel, byMessage)) === 0);
    const took = performance.now() - start;
    assert.ok(took >= 200 && took < 2000, `took ${took} ms`);
  });
});

suite.check(async function unused_queue_expires() {
  await onConfirmChannel(async (channel) => {
    const name = unique('expires');
    const start = performance.now();
    await channel.assertQueue(name, { expires: 400 });
    // Publishing is no use in the sense of x-expires, so it may watch.
    const returned = event(channel, 'return').then(() => true);
    await until(async () => {
      send(channel, name, [''], { mandatory: true });
      await channel.waitForConfirms();
      return Promise.race([returned, false]);
    });
    assert.ok(performance.now() - start >= 400);
  });
});

suite.run();
