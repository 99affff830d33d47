"""The fixtures of `fixtures.supervised`, for every test of this directory."""

from fixtures.supervised import settings, sqlite_settings, store, supervise

__all__ = ["settings", "sqlite_settings", "store", "supervise"]
