"""Web, worker and database hosts on a private network."""

from __future__ import annotations

from system.shop import Shop


def test_a_job_that_web_enqueues_is_run_on_worker_by_the_application_s_own_user(shop: Shop) -> None:
    shop.worker.wait_for(lambda: "Hello, world!" in shop.worker.journal("-u", "queued@worker"), "the greeting")
