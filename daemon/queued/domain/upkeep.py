"""When to look again for what is over its time: as soon as it comes in numbers, and never for most of the time."""

from __future__ import annotations

#: Seconds between two looks when hardly anything is over its time.
EVERY = 60.0
#: Seconds until the next look after one that deleted more than a batch: at ten thousand ends a second that is 10 000 jobs.
SOON = 1.0
#: A rest between two rounds of a look is so many times as long as the round before it: a fifth of the time is work, and a
#: twentieth where nothing is found.
RESTS, VAIN_RESTS = 4.0, 19.0
#: And a rest between two looks so many times as long as the rounds of the last one that found nothing: some jobs may be kept for
#: ever, and are passed by in each.
KEPT_RESTS = 200.0


class Looks:
    """The looks of one dispatcher for what is over its time; each goes on in rounds until nothing is left."""

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._deleted = 0
        self._in_vain = 0.0

    def rest(self, deleted: int, more: bool, took: float) -> float:
        """Seconds until the next round, after one that deleted so much in `took` seconds and left `more` behind, or did not."""
        self._deleted += deleted
        self._in_vain += 0.0 if deleted else took
        if more:
            return took * (RESTS if deleted else VAIN_RESTS)
        rest = max(SOON if self._deleted >= self._batch_size else EVERY, took * VAIN_RESTS, self._in_vain * KEPT_RESTS)
        self._deleted, self._in_vain = 0, 0.0
        return rest
