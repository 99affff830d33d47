"""Where a server listens: HOST:PORT, or the path of a socket."""

from __future__ import annotations

import re
from dataclasses import dataclass

TCP = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+(%\w+)?\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})")
#: Bytes that the name of a socket may have.
LONGEST_PATH = 107


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path, or a host and a port; port 0 takes any that is free."""

    path: str | None = None
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.path is not None:
            return self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str) -> Endpoint:
    """The endpoint that a text names; ValueError, which says what to write, when it names none."""
    text = text.removeprefix("unix:")
    if "/" in text:
        if len(text.encode("utf-8", "surrogateescape")) > LONGEST_PATH:
            raise ValueError(f"is longer than the {LONGEST_PATH} bytes that the path of a socket may have")
        return Endpoint(path=text)
    match = TCP.fullmatch(text)
    if match is None:
        raise ValueError("is neither HOST:PORT nor a path; write 127.0.0.1:10940, [::1]:10940, a path with a /, or off")
    if int(match["port"]) > 65535:
        raise ValueError("has a port above 65535")
    return Endpoint(host=match["host"].strip("[]"), port=int(match["port"]))
