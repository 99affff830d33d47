"""Commands and programs as jobs: what a failure of one tells."""

from __future__ import annotations

from typing import Any

import pytest

from queued.client.failure import describe
from queued.client.programs import ProgramFailed, command, shell
from queued.domain.backtraces import fingerprint


def failure(job: Any, program: str | list[str]) -> dict[str, Any]:
    with pytest.raises(Exception) as raised:  # noqa: PT011
        job(program)
    return describe(raised.value)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("echo said; exit 3", "the program exited with status 3: said"),
        ("echo said; echo wrong >&2; echo; exit 3", "the program exited with status 3: wrong"),
        (["sh", "-c", "kill -TERM $$"], "the program ended by SIGTERM"),
    ],
)
def test_a_program_that_fails_is_quoted(program: str | list[str], message: str) -> None:
    with pytest.raises(ProgramFailed) as raised:
        shell(program)
    assert str(raised.value) == message


def test_failures_of_different_programs_are_different_causes() -> None:
    told = [
        failure(shell, program)
        for program in ("exit 3", 'test "a b" = c', "exit 3", ["false"], "exit 3" + " " * 300 + ";")
    ]
    assert told[0]["backtrace"][-2:] == [
        '  File "<shell: exit 3>", line 1, in <module>',
        "queued.ProgramFailed: the program exited with status 3",
    ]
    assert "<shell: test 'a b' = c>" in told[1]["backtrace"][-2]
    found = [fingerprint("queued.shell", one["class"], one["backtrace"]) for one in told]
    assert found[0] == found[2]
    assert len(set(found)) == 4


def test_a_command_that_fails_is_named_in_its_traceback() -> None:
    told = [failure(command, source) for source in ("1 / 0", "x = 1\n1 / 0")]
    assert told[0]["class"] == "ZeroDivisionError"
    assert '  File "<command: 1 / 0>", line 1, in <module>' in told[0]["backtrace"]
    assert '  File "<command: x = 1 1 / 0>", line 2, in <module>' in told[1]["backtrace"]
