"""The file for node_exporter's textfile collector: replaced in one step, readable by everybody, gone after a clean stop."""

from __future__ import annotations

import os


class Textfile:
    """`path` ends in .prom, or node_exporter passes it over."""

    def __init__(self, path: str) -> None:
        self.path = path

    def write(self, text: bytes) -> None:
        """Replace the file. Raises OSError."""
        # Beside it, for a rename does not cross file systems; and no *.prom, or half a file might be read.
        fresh = f"{self.path}.{os.getpid()}"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text)
                # A daemon with a narrow umask would leave a file that node_exporter cannot read.
                os.fchmod(file.fileno(), 0o644)
            os.replace(fresh, self.path)
        except OSError:
            os.unlink(fresh)
            raise

    def remove(self) -> None:
        """Take it away: its last values would be told for ever. One that is gone is fine; others that hinder raise OSError."""
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
