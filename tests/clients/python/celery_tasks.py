"""The application that the Celery worker of celery_suite.py runs."""

import os

from celery import Celery

app = Celery("clients", broker=os.environ["AMQP_URI"], backend="rpc://")
app.conf.update(
    task_default_queue=os.environ.get("CLIENTS_CELERY_QUEUE", "clients.celery"),
    worker_prefetch_multiplier=4,
    worker_send_task_events=True,
    task_send_sent_event=True,
    # Acked when done: what a worker holds back for later stays unacked at the broker.
    task_acks_late=True,
    broker_connection_retry_on_startup=True,
    result_expires=600,
)


@app.task
def square(number):
    """The square."""
    return number * number


@app.task(bind=True, max_retries=2)
def succeed_at_third(self, number):
    """Fails twice; each retry is published anew, with a countdown."""
    if self.request.retries < 2:
        raise self.retry(countdown=0.2)
    return number


@app.task
def fail(number):
    """Fails for good."""
    raise ValueError(number)
