"""hiloop-receiver: a signed webhook becomes a durable job, and a worker acts on the human's answer."""

__version__ = "0.1.0"
