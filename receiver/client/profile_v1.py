"""What Hiloop does not publish of its API and this project has chosen: profile v1 of the wire contract. Pure.

Another profile would replace this module, and nothing else of the client.
"""

from __future__ import annotations

from typing import Final

from receiver.client.routes import Route

AWAIT_RESPONSE: Final = Route("GET", "/v1/agent/sessions/{session_id}/await")
LIST_KEYS: Final = Route("GET", "/v1/agent/keys")
PUBLISH_KEY: Final = Route("PUT", "/v1/agent/keys")
LIST_DELIVERIES: Final = Route("GET", "/v1/agent/webhook-deliveries")
GET_DELIVERY_STATS: Final = Route("GET", "/v1/agent/webhook-deliveries/stats")
GET_DELIVERY: Final = Route("GET", "/v1/agent/webhook-deliveries/{delivery_id}")
# A single delivery, not one in a list, may carry what the platform sends: its raw body as text, and the value of its
# X-Hiloop-Signature. Null: not kept any more. Absent: this platform never tells.
PAYLOAD: Final = "payload"
SIGNATURE: Final = "signature"
RETRY_DELIVERY: Final = Route("POST", "/v1/agent/webhook-deliveries/{delivery_id}/retry")

# Names of encrypted fields; they are part of what is authenticated.
TITLE: Final = "encryptedTitle"
DESCRIPTION: Final = "encryptedDescription"
METADATA: Final = "encryptedMetadata"
CONTENT: Final = "encryptedContent"
COMPONENTS: Final = "encryptedComponents"
RESPONSE: Final = "encryptedResponse"

# The API's code for "a participant has got a key that you have not sealed for".
KEYS_CHANGED: Final = "keys_changed"

ENDED_STATUSES: Final = frozenset({"Closed", "Archived"})
FAILED_STATUS: Final = "Failed"
