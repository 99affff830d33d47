"""The application's side: its own client library, found at run time, and what we ask of it."""

from __future__ import annotations

import importlib
import sys
from typing import Any, Protocol, cast

from . import wire
from .outcome import Delivery

#: The client's module that speaks with a runner. The name of a module of the application's, never imported by our own `import`.
MODULE = "queued.client.guest"


class Steps(Protocol):
    """How far an attempt has come, as the client knows it."""

    def news(self) -> dict[str, Any] | None:
        """What has changed since this was last asked, None when nothing has. Called by one thread of the runner's."""

    def state(self) -> dict[str, Any]:
        """All of it: `{"steps": JSON text or null, "progress": [done, total, message] or null}`."""


class Port(Protocol):
    """What an attempt may ask of its runner."""

    def enqueue(self, jobs: list[dict[str, Any]], batches: list[dict[str, Any]] | None = None) -> wire.Message:
        """Store jobs now, through the worker; waits for their `ids`, and `notes` where there are any. `batches` are opened."""

    def stopping(self) -> bool:
        """Whether a stop is near."""

    def watch(self, key: tuple[int, int], steps: Steps) -> None:
        """Tell the worker how far the attempt (job id, lease) has come, from now on to its end."""

    def save(self, key: tuple[int, int]) -> bool:
        """Have how far the attempt has come stored now; waits until it is. False when the attempt is no longer ours."""


class RunPort(Port, Protocol):
    """What the enqueue of a schedule's run may ask: see `question.QuestionPort`."""

    def bound(self, job: dict[str, Any]) -> wire.Message: ...
    def unbound(self, why: str, message: str) -> None: ...


class Guest(Protocol):
    """`queued.client.guest`, as docs/design.md describes it."""

    PROTOCOL: int

    def load(self, modules: list[str]) -> None: ...
    def manifest(self) -> dict[str, Any]: ...
    def is_coroutine(self, class_name: str) -> bool: ...
    def perform(self, delivery: Delivery, port: Port) -> dict[str, Any]: ...
    async def aperform(self, delivery: Delivery, port: Port) -> dict[str, Any]: ...
    def run_hooks(self, event: str, info: dict[str, Any]) -> None: ...
    def soft_exception(self, reason: str) -> type[BaseException]: ...
    def enqueue_run(self, run: wire.Message, port: RunPort) -> None: ...
    def unknown(self, names: list[str]) -> dict[str, str]: ...


def refusal(name: str | None = None) -> type[Exception]:
    """What a job expects to be raised when something cannot be stored: the client's own error, where it has one."""
    errors = sys.modules.get("queued.domain.errors")
    found = getattr(errors, name or "EnqueueError", None) or getattr(errors, "EnqueueError", None)
    return found if isinstance(found, type) and issubclass(found, Exception) else RuntimeError


class ClientError(Exception):
    """The application's `queued` cannot work with this daemon."""


def find(directory: str) -> Guest:
    """Import the application's own client; only where it has none, the one in `directory`, after everything else."""
    try:
        module = importlib.import_module(MODULE)
    except ModuleNotFoundError as error:
        if error.name is None or not (MODULE + ".").startswith(error.name + "."):
            raise
        if "queued" in sys.modules and getattr(sys.modules["queued"], "__file__", None):
            place = sys.modules["queued"].__file__
            raise ClientError(
                f"the application imports another package as `queued`, from {place}: "
                "install queued-jobs in its environment, or remove the other one"
            ) from None
        sys.modules.pop("queued", None)
        sys.path.append(directory)
        importlib.invalidate_caches()
        module = importlib.import_module(MODULE)
    protocol = getattr(module, "PROTOCOL", None)
    if protocol != wire.PROTOCOL:
        raise ClientError(
            f"the application has a `queued` that speaks protocol {protocol}, from {module.__file__}; this daemon speaks "
            f"{wire.PROTOCOL}: install the same release of queued-jobs in the application's environment"
        )
    return cast(Guest, module)
