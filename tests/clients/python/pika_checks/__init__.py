"""The checks of pika_suite.py, by what they are about."""
