'use strict';

// Runs the checks of one suite and prints one line for each.
//
// A line is `PASS <suite> <check>` or `FAIL <suite> <check>: <why>`; `run` counts them.

const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const CHECK_MS_MAX = 30_000;
const EVENT_MS_MAX = 10_000;
const URI = process.env.AMQP_URI || 'amqp://guest:guest@127.0.0.1:5672/%2F';
const TOPIC_CASES = path.join(__dirname, '..', 'topic_cases.tsv');

/** The checks of one client library, in the order in which they are written. */
class Suite {
  constructor(name) {
    this.name = name;
    this.checks = [];
  }

  /** Adds an async function; the check is named after it. */
  check(run) {
    this.checks.push(run);
  }

  /** Runs all checks and ends the process, with status 0 only if all passed. */
  async run() {
    let failed = 0;
    for (const check of this.checks) {
      const error = await within(CHECK_MS_MAX, check()).then(() => null, (error) => error);
      if (error) {
        failed += 1;
        const why = String(error.message || error).replace(/\s+/g, ' ');
        console.log(`FAIL ${this.name} ${check.name}: ${why} ${place(error)}`);
      } else {
        console.log(`PASS ${this.name} ${check.name}`);
      }
    }
    process.exit(failed || !this.checks.length ? 1 : 0);
  }
}

/** The line of the suite (not of the library) in which the error surfaced. */
function place(error) {
  const found = /_suite\.js:(\d+)/.exec(error.stack || '');
  return found ? `(line ${found[1]})` : '';
}

/** The promise, or a rejection when it takes longer. */
function within(ms, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing came within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The next emission of an event, or a rejection when it does not come. */
function event(emitter, name) {
  return within(EVENT_MS_MAX, new Promise((resolve) => emitter.once(name, resolve)));
}

/** Asks the broker again until the answer is yes; each question is a round trip. */
async function until(isDone) {
  const deadline = Date.now() + EVENT_MS_MAX;
  while (!(await isDone())) {
    if (Date.now() > deadline) throw new Error(`not so within ${EVENT_MS_MAX} ms`);
  }
}

/** A name that no earlier run has used. */
function unique(stem) {
  return `clients.${stem}.${crypto.randomBytes(6).toString('hex')}`;
}

/** The pairs of topic_cases.tsv: Map of pattern to [[routing key, whether it matches], ...]. */
function topicCases() {
  const cases = new Map();
  for (const line of fs.readFileSync(TOPIC_CASES, 'utf8').trimEnd().split('\n')) {
    const [pattern, key, verdict] = line.split('\t');
    if (!cases.has(pattern)) cases.set(pattern, []);
    cases.get(pattern).push([key, verdict === 'match']);
  }
  return cases;
}

module.exports = { EVENT_MS_MAX, Suite, URI, event, topicCases, unique, until, within };
