"""Many processes write one SQLite file at the same time, and nobody is turned away."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

from acceptance.conftest import Serve
from acceptance.load import Producer
from queued.storage import insights
from queued.storage.store import open_store

#: Seconds of load, and the longest that a writer may wait.
LOAD, BUSY_TIMEOUT = 8.0, 5.0


class Reader(threading.Thread):
    """Looks at everything, over and over, as an operator's page would."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.looks = 0
        self.error: Exception | None = None
        self._url = url
        self._going = True

    def run(self) -> None:
        store = open_store(self._url, label="reader")
        try:
            while self._going:
                with store.reading() as session:
                    insights.overview(session, 25.0)
                self.looks += 1
                time.sleep(0.02)
        except Exception as error:
            self.error = error
        finally:
            store.close()

    def stop(self) -> None:
        self._going = False
        self.join(60)


def test_eight_writers_four_workers_and_a_reader_share_one_file(
    serve: Serve, work: ModuleType, sqlite_url: str, tmp_path: Path
) -> None:
    service = serve(sqlite_url, mode="fork", workers=[{"threads": 2, "processes": 4, "polling_interval": 0.1}])
    reader = Reader(sqlite_url)
    reader.start()
    with ExitStack() as stack:
        producers = [
            stack.enter_context(Producer(sqlite_url, tmp_path / f"enqueued-{number}", milliseconds=1, pause=0.02))
            for number in range(8)
        ]
        service.until(lambda: all(producer.enqueued() for producer in producers), "all producers to have started")
        time.sleep(LOAD)
        service.until(lambda: all(len(producer.enqueued()) > 20 for producer in producers), "twenty enqueues of each")
        enqueued = [[*producer.stop()] for producer in producers]
    reader.stop()
    assert reader.error is None
    assert reader.looks > 20
    for each in enqueued:
        assert [one.error for one in each if one.error] == []
        # Fair to all: nobody waits longer than the time-out, and each gets its turn again and again.
        assert max(one.took for one in each) < BUSY_TIMEOUT
    ids = [one.id for each in enqueued for one in each if one.id is not None]
    service.wait_all(ids)
    starts = service.ledger.jobs("start")
    assert set(starts) == set(ids)
    assert set(starts.values()) == {1}
    assert "locked" not in service.daemon.log()
    assert service.daemon.stop() == 0
    for text in ("WARN", "ERROR", "Traceback"):
        assert text not in service.daemon.log()
    file = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    file.close()
