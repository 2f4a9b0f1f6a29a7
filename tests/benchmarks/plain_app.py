"""What the endpoint is compared with: the plain way to do the same job."""

from __future__ import annotations

import json
import os

import uvicorn
from redis import Redis
from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.serializers import JSONSerializer
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from receiver.settings import WebSettings
from receiver.signature import verify_bearer, verify_signature
from receiver.web import server_options


class PlainWay:
    """Verify, then enqueue with RQ in a thread."""

    def __init__(self, settings: WebSettings) -> None:
        self.settings = settings
        self.queue = Queue("plain", connection=Redis.from_url(settings.redis_url), serializer=JSONSerializer)

    async def __call__(self, request: Request) -> Response:
        """Handle one webhook."""
        body = await request.body()
        signature = request.headers.get("x-hiloop-signature", "").encode()
        token = verify_bearer(self.settings.webhook_tokens, request.headers.get("authorization", "").encode())
        if token is None or verify_signature(self.settings.webhook_secrets, body, signature) is None:
            return JSONResponse({"error": "unauthorized"}, status_code=401)
        event = json.loads(body)
        try:
            await run_in_threadpool(
                self.queue.enqueue,
                "tests.benchmarks.jobs.run",
                body.decode(),
                signature.decode(),
                job_id=event["id"],
                unique=True,
                description=event["type"],
            )
        except DuplicateJobError:
            return JSONResponse({"status": "duplicate", "id": event["id"]})
        return JSONResponse({"status": "accepted", "id": event["id"]}, status_code=202)


def main() -> None:
    """Serve it with the very server options of ours."""
    settings = WebSettings.from_environment(os.environ)
    plain = PlainWay(settings)

    async def endpoint(request: Request) -> Response:
        return await plain(request)

    app = Starlette(routes=[Route("/webhooks/hiloop", endpoint, methods=["POST"])])
    uvicorn.run(app, **{**server_options(settings), "http": "httptools"})


if __name__ == "__main__":
    main()
