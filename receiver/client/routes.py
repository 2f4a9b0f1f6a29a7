"""The paths of Hiloop's API that its reference publishes; the others stand in `profile_v1`. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from receiver.errors import ValidationFailed

_ID: Final = re.compile(r"[A-Za-z0-9_:-][A-Za-z0-9_.:-]{0,127}", re.ASCII)


class Route(NamedTuple):
    """A method and a path with places for ids."""

    method: str
    template: str

    def path(self, **ids: str) -> str:
        """Fill in the ids. Raises `ValidationFailed` for what is no id, so that none bends the path."""
        for name, value in ids.items():
            if not isinstance(value, str) or not _ID.fullmatch(value):
                raise ValidationFailed(
                    f"{name} is not an id", hint="an id has 1 to 128 characters of A-Z a-z 0-9 _ . : -"
                )
        return self.template.format(**ids)


CREATE_SESSION: Final = Route("POST", "/v1/agent/sessions")
LIST_SESSIONS: Final = Route("GET", "/v1/agent/sessions")
GET_SESSION: Final = Route("GET", "/v1/agent/sessions/{session_id}")
CLOSE_SESSION: Final = Route("POST", "/v1/agent/sessions/{session_id}/close")
ARCHIVE_SESSION: Final = Route("POST", "/v1/agent/sessions/{session_id}/archive")
SEND_MESSAGE: Final = Route("POST", "/v1/agent/sessions/{session_id}/messages")
GET_TIMELINE: Final = Route("GET", "/v1/agent/sessions/{session_id}/timeline")
ADD_PARTICIPANT: Final = Route("POST", "/v1/agent/sessions/{session_id}/participants")
LIST_PARTICIPANTS: Final = Route("GET", "/v1/agent/sessions/{session_id}/participants")
CREATE_GUEST_TOKEN: Final = Route("POST", "/v1/agent/sessions/{session_id}/guest-tokens")
SEND_TYPING: Final = Route("POST", "/v1/agent/sessions/{session_id}/typing")
