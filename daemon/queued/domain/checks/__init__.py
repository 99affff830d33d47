"""What `queuectl doctor` decides: each check looks at facts that others have read, and says what it saw and what to do.

A *problem* keeps jobs from running or endangers them; a *warning* will, or costs speed. One module for each family of checks.
"""

from __future__ import annotations

from queued.domain.checks.verdict import Verdict

__all__ = ["Verdict"]
