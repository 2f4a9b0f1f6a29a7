"""What keeps the pages safe in a browser: headers, where a request comes from, cookies, and forms of bounded size."""

from __future__ import annotations

import asyncio
import re
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect, Request

from receiver.dashboard.render import ROOT

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: browsers would then send no origin with our own forms either.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}
MAX_FORM: Final = 16 * 1024
FORM_SECONDS: Final = 10.0
_SECURE_COOKIE: Final = "__Host-hiloop_dashboard"
_COOKIE: Final = "hiloop_dashboard"
_LOCAL_PATH: Final = re.compile(rf"{ROOT}/[A-Za-z0-9_./?&=%:+*~-]{{0,1000}}", re.ASCII)


class BadForm(Exception):
    """A form that is too large, too slow or no form."""


def is_same_origin(headers: Headers) -> bool:
    """Whether a browser sent this from a page of ours. Browsers say so themselves, and no page can make them lie."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # Browsers leave the above away on plain http, where a proxy cannot have changed the host's name.
    origin, host = headers.get("origin", ""), headers.get("host", "")
    return bool(host) and urlsplit(origin).netloc.lower() == host.lower()


def is_secure(request: Request) -> bool:
    """Whether the browser speaks https, if need be with a router in front of us."""
    proto = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return "https" in (request.url.scheme, proto) or request.headers.get("origin", "").startswith("https://")


def session_cookie(request: Request) -> str:
    """The cookie of a session, or nothing. One for https counts alone where there are both."""
    return request.cookies.get(_SECURE_COOKIE) or request.cookies.get(_COOKIE) or ""


def set_cookie(value: str, seconds: int, *, secure: bool) -> str:
    """The header that sets the session's cookie; with 0 seconds one that takes it away."""
    name = _SECURE_COOKIE if secure else _COOKIE
    end = f"{name}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict"
    return f"{end}; Secure" if secure else end


def local_path(text: str) -> str:
    """``text`` if it is an address in the dashboard, else that of the overview: nobody is sent elsewhere."""
    return text if _LOCAL_PATH.fullmatch(text) and ".." not in text and "//" not in text else f"{ROOT}/"


async def read_form(request: Request) -> QueryParams:
    """The fields of a form. Raises `BadForm`."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise BadForm
    body = b""
    try:
        async with asyncio.timeout(FORM_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_FORM:
                    raise BadForm
        return QueryParams(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=300))
    except (TimeoutError, ClientDisconnect, ValueError):
        raise BadForm from None
