"""The actors: supervisor, workers, dispatchers, and what carries them. The imperative shell around `queued.domain`."""
