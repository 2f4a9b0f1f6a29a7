"""What happens when a human has answered. Every module that HILOOP_HANDLERS names looks like this."""

import logging

from workers import OpenedEvent, on, on_response

logger = logging.getLogger(__name__)


@on_response(action="approve")
async def approved(event: OpenedEvent) -> None:
    """The human said yes. The id of the event is the same at every try: use it to do the work only once."""
    await event.reply("Thank you. On it …")


@on_response(action="reject")
async def rejected(event: OpenedEvent) -> None:
    """The human said no: a result like any other."""
    await event.reply("Understood, nothing happens.")


@on("session.closed")
def closed(event: OpenedEvent) -> None:
    """The session is over. Plain functions run in threads."""
    logger.info("session closed: %s", event.session_id)
