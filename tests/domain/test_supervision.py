"""Lists of events and the effects they must have; no process, no clock."""

from __future__ import annotations

from math import inf

import pytest

from queued.domain.supervision import (
    MOVES,
    Abandon,
    Effect,
    Event,
    Exited,
    Finish,
    Heard,
    Kill,
    Limits,
    Loaded,
    Place,
    Registered,
    ReloadAsked,
    Say,
    Start,
    State,
    Stop,
    StopAsked,
    Switch,
    Tick,
    backoff,
    initial,
    rest,
    step,
)

APPLICATION = Place("application", "application")
DISPATCHER = Place("dispatcher-1", "dispatcher")
WORKER = Place("worker-1", "worker")
SECOND = Place("worker-2", "worker")
SCHEDULER = Place("scheduler", "scheduler")
EXPORTER = Place("exporter-1", "exporter")
LIMITS = Limits(start_retries=5, stop_grace=7.0, silence=30.0)


class Story:
    """A state that is told one event after the other."""

    def __init__(self, *plan: Place, threads: bool = False) -> None:
        self.state: State = initial(plan, threads=threads, limits=LIMITS)
        self.now = 100.0

    def tell(self, event: Event, after: float = 0.0) -> list[Effect]:
        self.now += after
        self.state, effects = step(self.state, event, self.now)
        return effects

    def do(self, event: Event, after: float = 0.0) -> list[Effect]:
        """What is to be done, without what is to be said."""
        return [effect for effect in self.tell(event, after) if not isinstance(effect, Say)]

    def said(self, event: Event, after: float = 0.0) -> list[str]:
        return [effect.event for effect in self.tell(event, after) if isinstance(effect, Say)]

    def states(self) -> dict[str, str]:
        return {key: actor.state for key, actor in self.state.actors.items()}

    def running(self) -> Story:
        """Everybody started and registered."""
        self.tell(Tick())
        if "application-1" in self.state.actors:
            self.tell(Loaded("application-1"))
        for key in list(self.state.actors):
            if not key.startswith("application"):
                self.tell(Registered(key))
        assert set(self.states().values()) == {"RUNNING"}
        return self


def test_the_table_names_only_states_it_has() -> None:
    for state, targets in MOVES.items():
        assert targets <= set(MOVES), state


def test_dispatchers_start_at_once_and_workers_when_the_application_is_loaded() -> None:
    story = Story(SCHEDULER, WORKER, DISPATCHER, APPLICATION)
    assert story.do(Tick()) == [Start("application-1", "application", 1), Start("dispatcher-1", "dispatcher", 1)]
    assert story.do(Registered("dispatcher-1")) == []
    assert story.do(Loaded("application-1"), after=2.0) == [
        Switch("application-1"),
        Start("worker-1", "worker", 1),
        Start("scheduler", "scheduler", 1),
    ]


def test_an_exporter_waits_for_nobody_and_answers_for_those_who_do_not_come() -> None:
    story = Story(APPLICATION, DISPATCHER, WORKER, EXPORTER)
    assert story.do(Tick()) == [
        Start("application-1", "application", 1),
        Start("exporter-1", "exporter", 1),
        Start("dispatcher-1", "dispatcher", 1),
    ]
    for _ in range(LIMITS.start_retries + 1):
        story.tell(Exited("exporter-1", "its address is taken"))
        story.tell(Tick(), after=20.0)
        story.tell(Heard("dispatcher-1"))
    assert story.states()["exporter-1"] == "FATAL"
    assert story.do(Loaded("application-1"))[-1] == Start("worker-1", "worker", 1)


def test_a_scheduler_does_not_wait_for_ever_for_a_slow_application() -> None:
    story = Story(SCHEDULER, WORKER, APPLICATION)
    assert story.do(Tick()) == [Start("application-1", "application", 1)]
    assert story.do(Tick(), after=9.0) == []
    assert story.do(Tick(), after=2.0) == [Start("scheduler", "scheduler", 1)]


def test_without_an_application_everybody_starts_in_the_order_dispatchers_workers_scheduler() -> None:
    story = Story(SCHEDULER, WORKER, DISPATCHER)
    assert [effect.key for effect in story.do(Tick()) if isinstance(effect, Start)] == [
        "dispatcher-1",
        "worker-1",
        "scheduler",
    ]


def test_an_actor_that_ran_for_a_while_is_replaced_at_once() -> None:
    story = Story(WORKER).running()
    assert story.do(Exited("worker-1", "killed by SIGKILL"), after=10.0) == [Start("worker-1", "worker", 1)]
    assert story.state.actors["worker-1"].retries == 0


def test_quick_exits_back_off_and_become_fatal_and_the_rest_keeps_running() -> None:
    story = Story(WORKER, SECOND).running()
    for wait in (1.0, 2.0, 4.0, 8.0, 16.0):
        effects = story.tell(Exited("worker-1", "exited with status 1"))
        assert [effect.data["retry_in"] for effect in effects if isinstance(effect, Say)] == [wait]
        assert story.do(Tick(), after=wait - 0.1) == []
        assert story.do(Tick(), after=0.1) == [Start("worker-1", "worker", 1)]
    assert story.said(Exited("worker-1", "exited with status 1")) == ["actor_fatal"]
    story.tell(Heard("worker-2"))
    assert story.states() == {"worker-1": "FATAL", "worker-2": "RUNNING"}
    assert story.do(Tick(), after=29.0) == []


def test_a_fatal_actor_is_said_again_every_minute() -> None:
    story = Story(WORKER)
    story.state = initial([WORKER], limits=Limits(start_retries=0))
    story.tell(Tick())
    assert story.said(Exited("worker-1", "exited with status 1")) == ["actor_fatal"]
    assert story.said(Tick(), after=59.0) == []
    assert story.said(Tick(), after=1.0) == ["actor_still_fatal"]
    assert story.said(Tick(), after=30.0) == []
    assert story.said(Tick(), after=30.0) == ["actor_still_fatal"]


def test_a_start_that_lasted_long_is_still_a_quick_exit_as_long_as_it_never_ran() -> None:
    story = Story(APPLICATION, WORKER)
    story.tell(Tick())
    effects = story.tell(Exited("application-1", "app.py:3: NameError"), after=45.0)
    assert effects == [
        Say(
            "actor_died",
            {"key": "application-1", "kind": "application", "reason": "app.py:3: NameError", "retry_in": 1.0},
        )
    ]


def test_running_workers_stay_when_the_application_dies_and_new_ones_wait_for_it() -> None:
    story = Story(APPLICATION, WORKER, SECOND).running()
    assert story.do(Exited("application-1", "killed by SIGKILL"), after=20.0) == [
        Start("application-1", "application", 1)
    ]
    assert story.states() == {"application-1": "STARTING", "worker-1": "RUNNING", "worker-2": "RUNNING"}
    assert story.do(Exited("worker-1", "killed by SIGKILL")) == []
    assert story.do(Tick(), after=5.0) == []
    assert story.do(Loaded("application-1")) == [Switch("application-1"), Start("worker-1", "worker", 1)]


def test_a_fatal_application_leaves_dispatchers_running_and_workers_waiting() -> None:
    story = Story(APPLICATION, DISPATCHER, WORKER)
    story.tell(Tick())
    story.tell(Registered("dispatcher-1"))
    for _ in range(5):
        story.tell(Exited("application-1", "app.py:3: NameError"))
        story.tell(Heard("dispatcher-1"))
        story.tell(Tick(), after=16.0)
    story.tell(Exited("application-1", "app.py:3: NameError"))
    assert story.states() == {"application-1": "FATAL", "dispatcher-1": "RUNNING", "worker-1": "STOPPED"}


def test_a_slow_start_is_mentioned_after_ten_seconds_and_then_every_minute() -> None:
    story = Story(APPLICATION)
    story.tell(Tick())
    assert story.said(Tick(), after=9.0) == []
    assert story.said(Tick(), after=1.0) == ["actor_slow"]
    assert story.said(Tick(), after=59.0) == []
    assert story.said(Tick(), after=1.0) == ["actor_slow"]
    story.tell(Loaded("application-1"))
    assert story.said(Tick(), after=100.0) == []


# Stopping


def test_a_stop_asks_everybody_then_the_application_then_ends_with_zero() -> None:
    story = Story(APPLICATION, DISPATCHER, WORKER).running()
    assert story.do(StopAsked()) == [Stop("dispatcher-1"), Stop("worker-1")]
    assert story.do(Exited("worker-1", "ended")) == []
    assert story.do(Exited("dispatcher-1", "ended")) == [Stop("application-1")]
    assert story.do(Exited("application-1", "ended")) == [Finish(0)]


def test_a_stop_kills_who_is_left_after_the_deadline_and_says_so_with_its_status() -> None:
    story = Story(APPLICATION, WORKER, SECOND).running()
    story.tell(StopAsked())
    story.tell(Exited("worker-1", "ended"))
    assert story.do(Tick(), after=6.9) == []
    effects = story.tell(Tick(), after=0.2)
    assert Say("shutdown_timeout_exceeded", {"actors": ["worker-2"]}) in effects
    assert [effect for effect in effects if isinstance(effect, Kill)] == [Kill("application-1"), Kill("worker-2")]
    story.tell(Exited("application-1", "killed by SIGKILL"))
    assert story.do(Exited("worker-2", "killed by SIGKILL")) == [Finish(1)]


def test_an_application_that_does_not_go_is_killed_without_a_bad_status() -> None:
    story = Story(APPLICATION, WORKER).running()
    story.tell(StopAsked())
    assert story.do(Exited("worker-1", "ended")) == [Stop("application-1")]
    assert story.do(Tick(), after=5.0) == [Kill("application-1")]
    assert story.do(Exited("application-1", "killed by SIGKILL")) == [Finish(0)]


@pytest.mark.parametrize("first", [True, False])
def test_a_second_stop_or_an_immediate_one_kills_at_once(first: bool) -> None:
    story = Story(APPLICATION, WORKER).running()
    if first:
        effects = story.do(StopAsked(immediate=True))
    else:
        story.tell(StopAsked())
        effects = story.do(StopAsked())
    assert effects == [Kill("application-1"), Kill("worker-1")]
    assert story.do(StopAsked()) == []
    story.tell(Exited("application-1", "killed by SIGKILL"))
    assert story.do(Exited("worker-1", "killed by SIGKILL")) == [Finish(1)]


def test_a_stop_before_anything_started_ends_at_once() -> None:
    story = Story(APPLICATION, WORKER)
    assert story.do(StopAsked()) == [Finish(0)]
    assert story.do(StopAsked()) == []


def test_a_stop_while_backing_off_does_not_wait_for_the_next_start() -> None:
    story = Story(WORKER, SECOND).running()
    story.tell(Exited("worker-1", "exited with status 1"))
    assert story.do(StopAsked()) == [Stop("worker-2")]
    assert story.do(Exited("worker-2", "ended"), after=5.0) == [Finish(0)]


def test_an_actor_that_dies_while_stopping_is_not_replaced() -> None:
    story = Story(WORKER).running()
    story.tell(StopAsked())
    assert story.do(Exited("worker-1", "killed by SIGSEGV")) == [Finish(0)]


def test_threads_that_do_not_stop_end_the_whole_process() -> None:
    story = Story(APPLICATION, WORKER, threads=True).running()
    story.tell(StopAsked())
    assert story.do(Tick(), after=7.0) == [Kill("worker-1")]
    assert story.do(Tick(), after=4.9) == []
    assert story.do(Tick(), after=0.1) == [Abandon(1)]
    assert story.do(Tick(), after=1.0) == []


def test_threads_that_drop_what_they_have_let_the_process_end_in_order() -> None:
    story = Story(APPLICATION, WORKER, threads=True).running()
    assert story.do(StopAsked(immediate=True)) == [Kill("worker-1")]
    assert story.do(Exited("worker-1", "ended")) == [Stop("application-1")]
    assert story.do(Exited("application-1", "ended")) == [Finish(1)]


# Silence


def test_a_silent_actor_is_killed_and_its_exit_treated_like_any_other() -> None:
    story = Story(WORKER, SECOND).running()
    story.tell(Tick())
    for _ in range(3):
        story.tell(Heard("worker-2"))
        assert story.do(Tick(), after=10.0) == []
    assert story.do(Tick(), after=1.0) == [Kill("worker-1")]
    assert story.do(Tick(), after=1.0) == []
    assert story.do(Exited("worker-1", "killed by SIGKILL")) == [Start("worker-1", "worker", 1)]


def test_a_silent_thread_ends_the_process_with_status_seventy() -> None:
    story = Story(WORKER, threads=True).running()
    for _ in range(3):
        story.tell(Tick(), after=10.0)
    assert story.do(Tick(), after=1.0) == [Abandon(70)]


def test_a_supervisor_that_slept_itself_blames_nobody() -> None:
    story = Story(WORKER).running()
    story.tell(Tick())
    assert story.do(Tick(), after=300.0) == []
    assert story.do(Tick(), after=10.0) == []


def test_an_application_may_load_for_as_long_as_it_needs() -> None:
    story = Story(APPLICATION)
    story.tell(Tick())
    for _ in range(20):
        assert story.do(Tick(), after=10.0) == []


# Reload


def test_a_reload_loads_the_new_application_first_and_then_replaces_one_actor_after_the_other() -> None:
    story = Story(APPLICATION, DISPATCHER, WORKER).running()
    assert story.do(ReloadAsked((APPLICATION, DISPATCHER, WORKER))) == [Start("application-2", "application", 2)]
    assert story.states()["worker-1"] == "RUNNING"
    assert story.do(Loaded("application-2")) == [Switch("application-2"), Stop("dispatcher-1")]
    assert story.do(Exited("dispatcher-1", "ended")) == [Start("dispatcher-1", "dispatcher", 2)]
    assert story.do(Registered("dispatcher-1")) == [Stop("worker-1")]
    assert story.do(Exited("worker-1", "ended")) == [Start("worker-1", "worker", 2)]
    effects = story.tell(Registered("worker-1"))
    assert effects == [Say("reloaded", {"generation": 2}), Stop("application-1")]
    assert story.do(Exited("application-1", "ended")) == []
    assert story.states() == {"application-2": "RUNNING", "dispatcher-1": "RUNNING", "worker-1": "RUNNING"}


def test_a_reload_whose_application_does_not_load_changes_nothing() -> None:
    story = Story(APPLICATION, WORKER).running()
    story.tell(ReloadAsked((APPLICATION, WORKER, SECOND)))
    assert story.tell(Exited("application-2", "app.py:3: SyntaxError")) == [
        Say("reload_failed", {"reason": "app.py:3: SyntaxError"})
    ]
    assert story.states() == {"application-1": "RUNNING", "worker-1": "RUNNING"}
    assert story.do(ReloadAsked((APPLICATION, WORKER))) == [Start("application-3", "application", 3)]


def test_a_reload_starts_what_is_new_and_stops_what_is_gone() -> None:
    story = Story(DISPATCHER, WORKER).running()
    assert story.do(ReloadAsked((WORKER, SECOND))) == [Start("worker-2", "worker", 2)]
    assert story.do(Registered("worker-2")) == [Stop("dispatcher-1")]
    assert story.do(Exited("dispatcher-1", "ended")) == [Stop("worker-1")]
    assert story.do(Exited("worker-1", "ended")) == [Start("worker-1", "worker", 2)]
    assert story.said(Registered("worker-1")) == ["reloaded"]
    assert story.states() == {"worker-1": "RUNNING", "worker-2": "RUNNING"}


def test_a_second_reload_gives_up_the_application_that_is_still_loading() -> None:
    story = Story(APPLICATION, WORKER).running()
    story.tell(ReloadAsked((APPLICATION, WORKER)))
    assert story.do(ReloadAsked((APPLICATION, WORKER))) == [
        Kill("application-2"),
        Start("application-3", "application", 3),
    ]
    assert story.do(Exited("application-2", "killed by SIGKILL")) == []
    assert story.do(Loaded("application-3")) == [Switch("application-3"), Stop("worker-1")]


def test_a_reload_clears_a_fatal_application() -> None:
    story = Story(APPLICATION, WORKER)
    story.state = initial([APPLICATION, WORKER], limits=Limits(start_retries=0))
    story.tell(Tick())
    story.tell(Exited("application-1", "app.py:3: NameError"))
    assert story.do(ReloadAsked((APPLICATION, WORKER))) == [Start("application-2", "application", 2)]
    assert story.do(Loaded("application-2")) == [Switch("application-2"), Start("worker-1", "worker", 2)]
    assert story.states() == {"application-2": "RUNNING", "worker-1": "STARTING"}


def test_a_new_worker_that_does_not_start_halts_the_replacement_of_the_others() -> None:
    story = Story(WORKER, SECOND).running()
    assert story.do(ReloadAsked((WORKER, SECOND))) == [Stop("worker-1")]
    assert story.do(Exited("worker-1", "ended")) == [Start("worker-1", "worker", 2)]
    assert story.do(Exited("worker-1", "exited with status 1")) == []
    assert story.states()["worker-2"] == "RUNNING"
    assert story.do(Tick(), after=1.0) == [Start("worker-1", "worker", 2)]
    assert story.do(Registered("worker-1")) == [Stop("worker-2")]


def test_a_replaced_actor_that_does_not_go_is_killed_after_its_grace() -> None:
    story = Story(WORKER).running()
    assert story.do(ReloadAsked((WORKER,))) == [Stop("worker-1")]
    assert story.do(Tick(), after=7.1) == [Kill("worker-1")]
    assert story.do(Exited("worker-1", "killed by SIGKILL")) == [Start("worker-1", "worker", 2)]


def test_a_stop_during_a_reload_stops_both_applications() -> None:
    story = Story(APPLICATION, WORKER).running()
    story.tell(ReloadAsked((APPLICATION, WORKER)))
    assert story.do(StopAsked()) == [Stop("worker-1")]
    assert story.do(Exited("worker-1", "ended")) == [Stop("application-1"), Stop("application-2")]
    story.tell(Exited("application-2", "ended"))
    assert story.do(Exited("application-1", "ended")) == [Finish(0)]


# Odds and ends


def test_words_of_an_actor_that_is_done_with_change_nothing() -> None:
    story = Story(WORKER).running()
    story.tell(Exited("worker-1", "exited with status 1"))
    before = story.state
    for event in (Heard("worker-1"), Registered("worker-1"), Exited("worker-1", "again"), Heard("nobody")):
        assert story.tell(event) == []
    assert story.state == before


def test_a_rest_ends_when_time_alone_changes_something() -> None:
    story = Story(WORKER).running()
    assert rest(story.state, story.now, longest=60.0) == 60.0
    story.tell(Exited("worker-1", "exited with status 1"))
    assert rest(story.state, story.now, longest=60.0) == 1.0
    assert rest(story.state, story.now + 2.0) == 0.0


def test_the_backoff_is_one_two_four_eight_sixteen_and_no_more() -> None:
    assert [backoff(count) for count in range(1, 8)] == [1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 16.0]


def test_a_state_is_a_value_that_no_step_changes() -> None:
    story = Story(WORKER, DISPATCHER)
    before = story.state
    copies = dict(before.actors)
    step(before, Tick(), 1.0)
    assert before.actors == copies
    assert before.deadline == inf
