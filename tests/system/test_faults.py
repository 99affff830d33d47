"""What dies, hangs and is cut off in a network of three hosts, while jobs run: nothing is lost.

The oracle is the ledger that jobs write on worker, which no database can take back.
"""

from __future__ import annotations

import pytest

from fixtures.troubleshooting import quoted
from system.network import Fault, Network
from system.shop import Shop

UNIT = "queued@worker"


def main_process(shop: Shop) -> int:
    """The supervisor of worker; 0 while there is none."""
    return int(shop.worker.show(UNIT, "MainPID"))


def test_a_supervisor_that_hangs_is_restarted_by_systemd(shop: Shop) -> None:
    drop_in = "/etc/systemd/system/queued@worker.service.d/watchdog.conf"
    shop.worker.write(drop_in, "[Service]\nWatchdogSec=6\n")
    try:
        shop.worker.systemctl("daemon-reload")
        shop.worker.systemctl("restart", UNIT)
        numbers = shop.numbers(40)
        shop.order(numbers, seconds=0.5)
        shop.ledger.wait_for("start", job=numbers[0])
        hung = main_process(shop)
        shop.worker.run("kill", "-STOP", str(hung))
        shop.worker.wait_for(lambda: main_process(shop) not in (0, hung), "another supervisor", 60)
        assert "Watchdog timeout" in shop.worker.journal("-u", UNIT, "-n", "200")
        shop.all_done()
        shop.nothing_lost(numbers)
    finally:
        shop.worker.shell(f"rm -f {drop_in}; systemctl daemon-reload; systemctl restart {UNIT}")


def test_a_worker_that_hangs_is_replaced_by_the_supervisor(shop: Shop) -> None:
    supervisor = main_process(shop)
    (hung,) = shop.worker_processes()
    numbers = shop.numbers(20)
    shop.worker.run("kill", "-STOP", str(hung))
    shop.order(numbers)
    shop.worker.wait_for(lambda: shop.worker_processes() not in ([], [hung]), "another worker", 60)
    assert quoted("Heartbeats come late")[2] in shop.worker.journal("-u", UNIT, "-n", "50")
    shop.all_done()
    shop.nothing_lost(numbers)
    assert main_process(shop) == supervisor
    assert int(shop.worker.show(UNIT, "NRestarts")) == 0


def test_a_daemon_that_is_killed_comes_back_and_its_jobs_are_run_again(shop: Shop) -> None:
    numbers = shop.numbers(60)
    shop.order(numbers, seconds=0.3)
    shop.ledger.wait_for("start", job=numbers[3])
    killed = main_process(shop)
    shop.worker.run("kill", "-KILL", str(killed))
    shop.worker.wait_for(lambda: main_process(shop) not in (0, killed), "another supervisor")
    shop.all_done()
    shop.nothing_lost(numbers)
    repeated = [number for number in numbers if shop.ledger.jobs("start")[number] > 1]
    assert repeated, "no job was running when the daemon was killed"
    assert len(repeated) <= 3, "only what ran in the three threads is run again"
    # What was running is told: the attempt that was lost, and why.
    ids = [shop.ledger.starts(number)[0]["id"] for number in repeated]
    assert set(shop.crashes(ids)) == {1}


def test_a_worker_host_that_loses_its_power_goes_on_when_it_is_back(shop: Shop, network: Network) -> None:
    gates, orders = shop.numbers(3), shop.numbers(20)
    ids = shop.gates(gates)
    shop.order(orders)
    # Without power nobody closes connections: the wire goes first.
    network.cut("worker", "silence")
    shop.worker.kill()
    shop.open()
    network.heal("worker")
    shop.worker.boot()
    assert shop.worker.systemctl("is-active", UNIT).strip() == "active"
    shop.all_done()
    shop.nothing_lost(gates + orders)
    assert shop.crashes(ids) == [1, 1, 1]
    assert {shop.ledger.jobs("start")[number] for number in orders} == {1}


@pytest.mark.parametrize("fault", ["carrier", "silence"])
def test_a_short_cut_between_worker_and_database_costs_no_attempt(shop: Shop, network: Network, fault: Fault) -> None:
    supervisor = main_process(shop)
    gates, orders = shop.numbers(3), shop.numbers(20)
    ids = shop.gates(gates)
    shop.order(orders)
    network.cut("worker", fault)
    shop.open()
    # What ends now cannot be told to the database.
    for number in gates:
        shop.ledger.wait_for("end", job=number)
    shop.worker.run("sleep", "5")
    network.heal("worker")
    shop.all_done()
    shop.nothing_lost(gates + orders)
    assert {shop.ledger.jobs("start")[number] for number in gates + orders} == {1}
    assert shop.crashes(ids) == [0, 0, 0]
    assert main_process(shop) == supervisor


def test_a_worker_that_was_cut_off_for_long_has_lost_its_jobs_and_its_late_results_do_not_count(
    shop: Shop, network: Network
) -> None:
    """The supervisor of web notices; alive_threshold is 25 s as shipped."""
    supervisor = main_process(shop)
    gates, orders = shop.numbers(3), shop.numbers(20)
    ids = shop.gates(gates)
    shop.order(orders)
    network.cut("worker", "silence")
    waiting = f"SELECT count(*) FROM queued.ready WHERE job_id IN ({', '.join(map(str, ids))})"
    retried = f"{waiting.replace('ready', 'scheduled')}"
    shop.web.wait_for(lambda: int(shop.sql(waiting)) + int(shop.sql(retried)) == 3, "the jobs to be given away", 60)
    shop.open()
    for number in gates:
        shop.ledger.wait_for("end", job=number)
    network.heal("worker")
    shop.all_done()
    shop.nothing_lost(gates + orders)
    assert shop.crashes(ids) == [1, 1, 1]
    assert [shop.ledger.jobs("end")[number] for number in gates] == [2, 2, 2]
    assert {shop.ledger.jobs("start")[number] for number in orders} == {1}
    assert main_process(shop) == supervisor


def test_a_database_host_that_loses_its_power_is_waited_for(shop: Shop) -> None:
    numbers = shop.numbers(40)
    shop.order(numbers, seconds=0.3)
    shop.ledger.wait_for("start", job=numbers[3])
    shop.db.kill()
    shop.worker.run("sleep", "3")
    shop.db.boot()
    shop.all_done()
    shop.nothing_lost(numbers)
