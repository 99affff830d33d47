"""The commands of docs/three-hosts.md, so that what is written there is what is tested."""

from __future__ import annotations

import re

from system.host import Host
from system.wheels import ROOT

PAGE = ROOT / "docs" / "three-hosts.md"


def follow(host: Host, heading: str | None = None) -> None:
    """Run all blocks of shell below a heading, in order; unless given it is the one that begins with the host's name."""
    begins = heading or f"{host.name}:"
    section = re.search(rf"^## {begins}.*?(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None, f"{PAGE} has no section {begins}"
    for block in re.findall(r"^```sh\n(.*?)^```$", section[0], re.MULTILINE | re.DOTALL):
        # Packages come over the machine's network, all else goes over the private one.
        host.shell(block, online=block.startswith("apt "), timeout=300)
