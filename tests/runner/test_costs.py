"""What a job costs on the socket between its worker and its runner, in counts."""

from __future__ import annotations

import pytest

from runner.harness import Start

JOBS = 1500


@pytest.mark.parametrize("threads", [1, 3])
def test_the_ends_of_short_jobs_travel_together(start: Start, threads: int) -> None:
    runner = start("plain").runner(threads=threads)
    runner.deliver(*[("plain.nothing",)] * JOBS)
    runner.until(lambda: len(runner.outcomes()) == JOBS)
    told = [len(frame["o"]) for frame in runner.frames if frame["t"] in {"done", "out"}]
    # 22 to 25 where the machine does nothing else; a busy one has the runner tell sooner.
    assert len(told) <= JOBS / 10, f"{len(told)} frames for {JOBS} jobs: {told}"
