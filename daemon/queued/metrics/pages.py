"""Pages: what is answered to whom. Nothing here asks the database: an answer comes at once, from what is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus

from queued.domain.health import Verdict, as_json
from queued.metrics.server import Answer, Request

#: Text and content type for an Accept header.
Expose = Callable[[str], tuple[bytes, str]]
Judge = Callable[[], Verdict]


class Pages:
    """Answers for one daemon. `verdicts` are the questions of life and health by their path."""

    def __init__(self, expose: Expose, verdicts: Mapping[str, Judge]) -> None:
        self._expose = expose
        self._verdicts = verdicts

    def respond(self, request: Request) -> Answer:
        """The answer to one request."""
        if request.path == "/metrics":
            body, content_type = self._expose(request.accept)
            return Answer(HTTPStatus.OK, body, content_type)
        judge = self._verdicts.get(request.path)
        if judge is not None:
            return verdict(judge())
        known = ", ".join(["/metrics", *self._verdicts])
        status = HTTPStatus.OK if request.path == "/" else HTTPStatus.NOT_FOUND
        return Answer(status, f"queued. There are: {known}\n".encode())


def verdict(found: Verdict) -> Answer:
    """200 or 503, and the verdict as JSON."""
    status = HTTPStatus.OK if found.ok else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, (json.dumps(as_json(found), ensure_ascii=False) + "\n").encode(), "application/json")
