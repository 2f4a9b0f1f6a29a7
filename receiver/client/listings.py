"""Lists that come in pages: `Listing` without I/O, `Page` and `AsyncPage` around it for the two clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from receiver.client import fields
from receiver.client.caller import Caller
from receiver.client.exchange import Call, exchange
from receiver.client.routes import Route
from receiver.errors import HiloopError, MalformedAnswer, ValidationFailed

T = TypeVar("T")

# A list that is gathered whole is refused beyond this many pages: a server that never ends must not fill the
# memory.
MAX_PAGES: Final = 1000


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """One page of a list: its items, and the cursor of the next page (None at the end)."""

    items: tuple[T, ...]
    next_cursor: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    follow: Callable[[str], Call[Listing[T]]] = field(repr=False, compare=False)


def listing(
    caller: Caller,
    route: Route,
    parse: Callable[[fields.Fields], T],
    *,
    ids: Mapping[str, str] | None = None,
    query: Mapping[str, str | int | None] | None = None,
    cursor: str | None = None,
) -> Call[Listing[T]]:
    """Fetch the page at ``cursor`` (the first if None). Raises `HiloopError`."""
    limit = (query or {}).get("limit")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise ValidationFailed("limit must be a whole number above 0")
    answer = yield from exchange(caller, route, ids=ids, query={**(query or {}), "cursor": cursor})
    next_cursor = fields.optional_text(answer, "nextCursor")
    if next_cursor is not None and next_cursor == cursor:
        raise MalformedAnswer("the answer's nextCursor leads to the same page again")
    return Listing(
        items=tuple(parse(item) for item in fields.children(answer, "items")),
        next_cursor=next_cursor,
        raw=answer,
        follow=lambda cursor: listing(caller, route, parse, ids=ids, query=query, cursor=cursor),
    )


def gather(first: Listing[T]) -> Call[Listing[T]]:
    """Follow a list to its end and return it as one page. Raises `HiloopError`, also if it does not end."""
    items, raws, page = list(first.items), list(first.raw["items"]), first
    for _ in range(MAX_PAGES):
        if page.next_cursor is None:
            return Listing(tuple(items), None, {"items": raws, "nextCursor": None}, first.follow)
        page = yield from page.follow(page.next_cursor)
        items += page.items
        raws += page.raw["items"]
    raise HiloopError(f"the list has more than {MAX_PAGES} pages", hint="pass a limit and go through it page by page")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list. ``items`` are this page's; iterating goes on through all pages to the end."""

    items: tuple[T, ...]
    next_cursor: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    _listing: Listing[T] = field(repr=False, compare=False)
    _run: Callable[[Call[Listing[T]]], Listing[T]] = field(repr=False, compare=False)

    @classmethod
    def of(cls, listing: Listing[T], run: Callable[[Call[Listing[T]]], Listing[T]]) -> Page[T]:
        """The page of ``listing``, whose next pages ``run`` fetches."""
        return cls(listing.items, listing.next_cursor, listing.raw, listing, run)

    def next_page(self) -> Page[T] | None:
        """The next page, None after the last. Raises `HiloopError`."""
        if self.next_cursor is None:
            return None
        return Page.of(self._run(self._listing.follow(self.next_cursor)), self._run)

    def __iter__(self) -> Iterator[T]:
        page: Page[T] | None = self
        while page is not None:
            yield from page.items
            page = page.next_page()


@dataclass(frozen=True, slots=True)
class AsyncPage(Generic[T]):
    """One page of a list. ``items`` are this page's; ``async for`` goes on through all pages to the end."""

    items: tuple[T, ...]
    next_cursor: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)
    _listing: Listing[T] = field(repr=False, compare=False)
    _run: Callable[[Call[Listing[T]]], Awaitable[Listing[T]]] = field(repr=False, compare=False)

    @classmethod
    def of(cls, listing: Listing[T], run: Callable[[Call[Listing[T]]], Awaitable[Listing[T]]]) -> AsyncPage[T]:
        """The page of ``listing``, whose next pages ``run`` fetches."""
        return cls(listing.items, listing.next_cursor, listing.raw, listing, run)

    async def next_page(self) -> AsyncPage[T] | None:
        """The next page, None after the last. Raises `HiloopError`."""
        if self.next_cursor is None:
            return None
        return AsyncPage.of(await self._run(self._listing.follow(self.next_cursor)), self._run)

    async def __aiter__(self) -> AsyncIterator[T]:
        page: AsyncPage[T] | None = self
        while page is not None:
            for item in page.items:
                yield item
            page = await page.next_page()
