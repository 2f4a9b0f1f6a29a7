"""Read the address of a Redis behind Sentinels. Pure.

``redis+sentinel://[user:password@]host[:port][,host[:port]…]/service[/db][?sentinel_password=…]``, the form that
redis-sentinel-url and Prefect read too. ``rediss+sentinel://`` is TLS to Redis and to the Sentinels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

SENTINEL_SCHEMES: Final = ("redis+sentinel", "rediss+sentinel")
_PORT: Final = 26379
_OF_SENTINELS: Final = {"sentinel_username": "username", "sentinel_password": "password"}


@dataclass(frozen=True, slots=True)
class SentinelAddress:
    """Where Sentinels are and what to ask them for.

    ``service``: the name under which they watch the primary. ``login`` and ``sentinel_login``: user name and password
    of Redis and of the Sentinels, by redis-py's names, where there are any.
    """

    hosts: tuple[tuple[str, int], ...]
    service: str
    db: int
    tls: bool
    login: dict[str, str] = field(repr=False)
    sentinel_login: dict[str, str] = field(repr=False)

    @classmethod
    def from_url(cls, url: str) -> Self | None:
        """The address in ``url``; None if its scheme is another. Raises `ValueError` that quotes nothing of it."""
        scheme, _, rest = url.partition("://")
        if scheme.lower() not in SENTINEL_SCHEMES:
            return None
        place, _, query = rest.partition("?")
        place, _, path = place.partition("/")
        login, _, hosts = place.rpartition("@")
        service, _, db = path.rstrip("/").partition("/")
        if not service or not hosts:
            raise ValueError("must name Sentinels and their service: redis+sentinel://host:26379,host:26379/mymaster/0")
        if db and not (db.isascii() and db.isdecimal()):
            raise ValueError("must end with the service's name and the number of a database, like /mymaster/0")
        return cls(
            hosts=tuple(_host(part) for part in hosts.split(",")),
            service=unquote(service),
            db=int(db or "0"),
            tls=scheme.lower().startswith("rediss"),
            login=_login(login),
            sentinel_login=_sentinel_login(query),
        )


def _host(text: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text}")
        name, port = parts.hostname, parts.port
    except ValueError:
        name, port = None, None
    if not name:
        raise ValueError("must separate its Sentinels by commas, each as host or host:port")
    return name, port or _PORT


def _login(text: str) -> dict[str, str]:
    user, _, password = text.partition(":")
    given = {"username": unquote(user), "password": unquote(password)}
    return {name: value for name, value in given.items() if value}


def _sentinel_login(query: str) -> dict[str, str]:
    given = dict(parse_qsl(query))
    if set(given) - set(_OF_SENTINELS):
        raise ValueError("takes no options after ? but sentinel_username and sentinel_password")
    return {_OF_SENTINELS[name]: value for name, value in given.items()}
