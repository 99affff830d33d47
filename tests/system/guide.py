"""The commands of docs/three-hosts.md, so that what is written there is what is tested."""

from __future__ import annotations

import re

from system.host import Host
from system.wheels import ROOT

PAGE = ROOT / "docs" / "three-hosts.md"


def follow(host: Host, page: str | None = None) -> str:
    """Run all blocks of shell of the host's section, in order; gives what they printed."""
    section = re.search(rf"^## {host.name}:.*?(?=^## |\Z)", page or PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert section is not None, f"{PAGE} has no section of {host.name}"
    blocks = re.findall(r"^```sh\n(.*?)^```$", section[0], re.MULTILINE | re.DOTALL)
    # Packages come over the machine's network, all else goes over the private one.
    return "".join(host.shell(block, online=block.startswith("apt "), timeout=300) for block in blocks)
