"""A private network: one segment, a wire for each host, and what can happen to a wire."""

from __future__ import annotations

from typing import Literal

from system.lab import Lab

Fault = Literal["carrier", "silence"]


class Network:
    """A bridge in a network namespace of its own, 10.0.0.0/24; no way leads out of it."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._addresses: dict[str, str] = {}
        self._do("ip netns add hub", "ip -n hub link add hub type bridge", "ip -n hub link set hub up")

    @property
    def addresses(self) -> dict[str, str]:
        """The address of each host that has joined."""
        return dict(self._addresses)

    def join(self, name: str, address: str) -> None:
        """Make the network namespace of a host and its wire, `eth0` there. It outlives the host's systemd."""
        self._addresses[name] = address
        self._do(
            f"ip netns add {name}",
            f"ip -n hub link add {name} type veth peer name eth0 netns {name}",
            f"ip -n hub link set {name} master hub up",
            f"ip -n {name} addr add {address}/24 dev eth0",
            f"ip -n {name} link set eth0 up",
            f"ip -n {name} link set lo up",
        )

    def leave(self, name: str) -> None:
        """Take a host's network away; the host must be off."""
        del self._addresses[name]
        self._do(f"ip netns delete {name}")

    def cut(self, name: str, fault: Fault) -> None:
        """Break a host's wire: it loses its carrier and knows, or all frames vanish and nobody is told."""
        if fault == "carrier":
            self._do(f"ip -n hub link set {name} down")
        else:
            self._do(f"ip netns exec hub bridge link set dev {name} state 0")

    def heal(self, name: str) -> None:
        """Mend a host's wire, whatever was wrong with it."""
        self._do(f"ip -n hub link set {name} up", f"ip netns exec hub bridge link set dev {name} state 3")

    def _do(self, *commands: str) -> None:
        self._lab.run("sh", "-euc", "\n".join(commands))
