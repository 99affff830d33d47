"""Who acts, and what was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, as far as the system tells. `origin` is where the session came from: an address, or a terminal."""

    name: str
    uid: int | None
    hostname: str
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Deed:
    """One action that was done. `count` is how many jobs, queues or tasks it changed."""

    id: int
    acted_at: datetime
    actor: Actor
    action: str
    target: str
    count: int


def actor(environ: Mapping[str, str], user: str, uid: int, hostname: str, terminal: str | None) -> Actor:
    """Who acts, from what the system says: behind sudo the person who called it, over SSH the address it came from.

    These are words of the environment, which whoever has the database's password could change too: a record for colleagues, no
    proof against them.
    """
    asked = environ.get("SUDO_USER") or environ.get("DOAS_USER")
    name = f"{asked} as {user}" if asked and asked != user else asked or user
    told = environ.get("SUDO_UID", "")
    address = (environ.get("SSH_CONNECTION") or environ.get("SSH_CLIENT") or "").partition(" ")[0]
    return Actor(name, int(told) if told.isascii() and told.isdigit() else uid, hostname, address or terminal or None)
