"""pika: the blocking Python client."""

from pika_checks import kit

# Importing a module puts its checks into the suite, in this order.
from pika_checks import connections  # noqa: F401
from pika_checks import queues  # noqa: F401
from pika_checks import publishing  # noqa: F401
from pika_checks import routing  # noqa: F401
from pika_checks import consuming  # noqa: F401
from pika_checks import expiry  # noqa: F401
from pika_checks import transactions  # noqa: F401

if __name__ == "__main__":
    kit.SUITE.run()
