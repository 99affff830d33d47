"""Every fault of a file is told at once, each with its file, line, path and remedy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from configuration.files import DATABASE, Files
from queued.configuration import load, loading
from queued.domain.errors import ConfigurationError


def test_all_faults_of_a_file_are_told_at_once_in_the_order_of_lines(files: Files) -> None:
    problems = files.problems(
        """\
        production:
          database: mysql://me:secret@host/db
          wrokers: []
          threads: 3
          workers:
            - threads: 0
              queues: [a, "*b", -]
              procesess: 2
            - threads: "3"
            - 5
            - polling_interval: -1
          dispatchers:
            polling_interval: 1
          retention: {finished: 1 dya, failed: never}
          mode: frok
          log_level: [a]
          heartbeat_interval: 30
        """
    )
    places = [int(problem.split(":")[1]) for problem in problems]
    assert places == [2, 3, 4, 6, 7, 7, 8, 9, 10, 11, 12, 14, 15, 16, 17]
    assert not any("secret" in problem for problem in problems)
    assert all(";" in problem or "did you mean" in problem for problem in problems), "every fault has its remedy"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("shutdwon_timeout: 3", "shutdwon_timeout: is not a setting; did you mean shutdown_timeout?"),
        ("shutdown-timeout: 3", "shutdown-timeout: is not a setting; did you mean shutdown_timeout?"),
        ("batch_size: 3", "batch_size: is not a setting here; it is dispatchers[].batch_size and retention.batch_size"),
        ("zzz: 3", "zzz: is not a setting; here may stand: database, app, mode, workers"),
        ("workers: [{threads: 0}]", "workers[0].threads: 0 is too small; write a whole number from 1"),
        ("workers: [{threads: -2}]", "workers[0].threads: -2 is too small"),
        ("workers: [{threads: 2.5}]", "workers[0].threads: '2.5' is not a whole number"),
        ("workers: [{threads: 010}]", "workers[0].threads: '010' is not a whole number"),
        ("workers: [{threads: many}]", "workers[0].threads: 'many' is not a whole number"),
        (
            "workers: [{threads: 99999999999999999999999}]",
            "workers[0].threads: '99999999999999999999999' is not a whole",
        ),
        ("workers: [{threads: 10001}]", "workers[0].threads: 10001 is too large; write a whole number up to 10000"),
        ("workers: [{threads: [1]}]", "workers[0].threads: is a list; write whole number from 1"),
        ("workers: [{threads: {a: 1}}]", "workers[0].threads: is a mapping; write whole number from 1"),
        ("workers: [{threads: '3'}]", "workers[0].threads: '3' is text; write 3 without quotes"),
        ("workers: [{threads: }]", "workers[0].threads: has no value; write whole number from 1, or remove the key"),
        ("workers: [{threads: 1, tasks: 2}]", "workers[0].tasks: stands beside threads; keep one of them"),
        ("workers: [{tasks: 1, fibers: 2}]", "workers[0].fibers: stands beside tasks; keep one of them"),
        ("workers: [{tasks: 0}]", "workers[0].tasks: 0 is too small"),
        ("workers: [{polling_interval: 0}]", "workers[0].polling_interval: 0 is too small; write seconds from 0.01"),
        ("workers: [{polling_interval: .nan}]", "workers[0].polling_interval: '.nan' is not a length of time"),
        ("workers: [{polling_interval: '1'}]", "workers[0].polling_interval: '1' is text; write 1 without quotes"),
        ("workers: [{queues: 'fo*o'}]", "workers[0].queues: 'fo*o' has a * that is not at its end"),
        ("workers: [{queues: []}]", 'workers[0].queues: names no queue; write names, or "*" for all of them'),
        ("workers: [{queues: ','}]", "workers[0].queues: names no queue"),
        ("workers: [{name: a}, {name: b}, {name: a}]", 'workers[2].name: "a" is the name of another worker too'),
        ("workers: [{queues: [[a]]}]", "workers[0].queues[0]: is a list; write text or list of texts"),
        ("workers: [{queues: {a: 1}}]", "workers[0].queues: is a mapping; write text or list of texts"),
        ("workers: {threads: 3}", "workers: is a mapping; write a list, each entry with - before it"),
        ("workers:", "workers: is a text; write a list, each entry with - before it, or workers: [] for none"),
        ("workers: [3]", "workers[0]: is a text; write a mapping, or {} for the defaults"),
        ('workers: [{name: "a\\nb"}]', "workers[0].name: 'a\\nb' holds control characters; remove them"),
        ("dispatchers: [{batch_size: 0}]", "dispatchers[0].batch_size: 0 is too small"),
        (
            "dispatchers: [{concurrency_maintenance: maybe}]",
            "dispatchers[0].concurrency_maintenance: 'maybe' is neither",
        ),
        ("scheduler: 5", "scheduler: is a text; write a mapping: polling_interval, dynamic_tasks_enabled"),
        ("scheduler: [a]", "scheduler: is a list; write a mapping: polling_interval, dynamic_tasks_enabled"),
        ("shutdown_timeout: -1", "shutdown_timeout: -1 is too small; write seconds from 0"),
        ("shutdown_timeout: soon", "shutdown_timeout: 'soon' is not a length of time; write seconds, or text such as"),
        ("shutdown_timeout: 3 parsecs", "shutdown_timeout: '3 parsecs' has the unit 'parsec', which is not one"),
        ("crash_limit: 0", "crash_limit: 0 is too small"),
        ("alive_threshold: 10", "alive_threshold: 10 is not more than twice heartbeat_interval (5)"),
        ("retention: {finished: ever}", "retention.finished: 'ever' is not a length of time"),
        (
            "retention: {finished: 1 dya}",
            "retention.finished: '1 dya' has the unit 'dya', which is not one; did you mean day?",
        ),
        (
            "retention: {delete_finished: [-mail]}",
            'retention.delete_finished: names only what is left out; write ["*", -mail] for all others',
        ),
        (
            'retention: {delete_finished: [mail, "a*b"]}',
            "retention.delete_finished: 'a*b' has a * that is not at its end, and only queues that begin alike can be",
        ),
        (
            "retention: {delete_finished: {mail: true}}",
            "retention.delete_finished: is a mapping; write text or list of texts",
        ),
        ("retention: {failed: -1}", "retention.failed: -1 is too small; write never, or seconds from 0"),
        ("retention: {audit: 99999999999}", "retention.audit: 99999999999 is too large; write never, or seconds up to"),
        ("retention: {batch_size: 0}", "retention.batch_size: 0 is too small"),
        ("mode: frok", "mode: 'frok' is not one of fork, async; did you mean fork?"),
        (
            "log_level: loud",
            "log_level: 'loud' is not one of debug, info, warning, error; write debug, info, warning or error",
        ),
        ("log_level: !loud info", "log_level: the tag !loud is not understood; remove it"),
        ("runtime_directory: /" + "x" * 90, "runtime_directory: is longer than 80 bytes"),
        ('runtime_directory: "a\\0b"', "runtime_directory: holds a NUL character; remove it"),
        ("? [a]\n: 1", "a key is a list or a mapping; write a plain word"),
        ("<<: 3", "<< merges mappings only; write <<: *name of an anchored mapping"),
        ("log_level: info\nlog_level: debug", "log_level: is given twice, first in line 2; keep one of the two"),
        ("roles: [a]", "roles: is a list; write role names with workers, dispatchers, scheduler, metrics below each"),
        ("app: {import: a/b.py}", "app.import: 'a/b.py' is not the name of a module; write a.b"),
        ("app: {import: 3x}", "app.import: '3x' is not the name of a module; write package.module"),
        ("app: {path: .}", "app.import: names no module; write the modules that define the jobs"),
        ("app: {import: a, environment: [a]}", "app.environment: is a list; write names and texts"),
        ("app: {import: a, environment: {A=B: c}}", "app.environment.A=B: is not the name of a variable"),
        ("app: {import: a, path: nowhere}", "app.path: there is no directory"),
        ("app: {import: a, python: no/such}", "app.python: no/such is no program that can be run; write the path"),
        ("app: {import: a, python: ''}", "app.python: is empty; write a text, or remove the key"),
    ],
)
def test_a_fault_names_its_line_its_path_and_its_remedy(files: Files, line: str, problem: str) -> None:
    actors = "" if line.startswith(("workers", "dispatchers", "scheduler")) else "\nworkers: [{}]"
    (found,) = files.problems(DATABASE + line + actors + "\n", {"PATH": os.environ["PATH"]})
    number = 3 if "given twice" in problem else 2
    assert found.startswith(f"queue.yml:{number}: {problem}"), found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a:\n\tb: 1\n", "queue.yml:2: the file is not YAML: a tab; indent with spaces"),
        (
            "a:\n  queues: *\n",
            "queue.yml:2: the file is not YAML: a * or & without a name behind it; the selector of all",
        ),
        ("a: *b\n", "queue.yml:1: the file is not YAML: found undefined alias 'b'; an anchor"),
        ("a: b: c\n", "queue.yml:1: the file is not YAML: a colon where no key can stand"),
        ("a: 1\nb\nc: 2\n", "queue.yml:3: the file is not YAML: a key without its colon; write key: value"),
        ("a: 'b\nc: d\n", "queue.yml:"),
        ("a: [b\n", "queue.yml:"),
        (
            "a: 1\n---\nb: 1\n",
            "queue.yml:2: the file is not YAML: a second document begins with ---; write one document",
        ),
        ("a: 1\nb: \x07\n", "queue.yml:2: the file is not YAML: the character U+0007 may not stand in YAML; remove it"),
        (b"a: 1\nb: \xff\n", "queue.yml:2: byte 0xff is not UTF-8; save the file as UTF-8"),
        ("a: 1\n".encode("utf-16"), "queue.yml:1: byte 0xff is not UTF-8; save the file as UTF-8"),
        ('a: "\\UFFFFFFFF"\n', "queue.yml: the file is not YAML: "),
        ("[" * 3000, "queue.yml: the file is nested too deeply; write it flatter"),
        ("# " + "x" * (1 << 20), "queue.yml: is larger than 1 MiB, so it is no configuration"),
    ],
)
def test_what_is_not_yaml_is_told_with_its_line(files: Files, text: str | bytes, problem: str) -> None:
    assert files.problem(text).startswith(problem)


def test_a_byte_order_mark_and_windows_line_ends_are_no_fault(files: Files) -> None:
    assert files.load(b"\xef\xbb\xbf" + DATABASE.replace("\n", "\r\n").encode()).settings.workers


def test_duplicate_keys_are_found_in_sections_that_nobody_chose(files: Files) -> None:
    problem = files.problem("production:\n  " + DATABASE + "test:\n  workers: []\n  workers: []\n")
    assert problem == "queue.yml:5: test.workers: is given twice, first in line 4; keep one of the two"


def test_a_fault_in_a_merged_mapping_is_told_where_it_is_written(files: Files) -> None:
    problem = files.problem(
        """\
        default: &default
          database: sqlite:////x/y
          workers:
            - threads: 0
        production:
          <<: *default
          log_level: debug
        """
    )
    assert problem.startswith("queue.yml:4: workers[0].threads: 0 is too small")


def test_a_key_of_ones_own_wins_over_a_merged_one_and_an_earlier_merge_over_a_later(files: Files) -> None:
    settings = files.load(
        """\
        one: &one {log_level: debug, crash_limit: 7}
        two: &two {log_level: error, crash_limit: 8, start_retries: 9}
        production:
          log_level: warning
          <<: [*one, *two]
          database: sqlite:////x/y
        """
    ).settings
    assert (settings.log_level, settings.crash_limit, settings.start_retries) == ("warning", 7, 9)


def test_an_alias_stands_for_its_value(files: Files) -> None:
    text = DATABASE + "workers:\n  - &w {threads: 2}\n  - *w\n  - {<<: *w, processes: 4}\n"
    workers = files.load(text).settings.workers
    assert [(worker.threads, worker.processes) for worker in workers] == [(2, 1), (2, 1), (2, 4)]


def test_a_mapping_that_merges_itself_is_a_fault_not_a_loop(files: Files) -> None:
    problem = files.problem("production: &p\n  <<: *p\n  database: sqlite:////x/y\n")
    assert problem == "queue.yml:2: <<: the mapping merges itself; remove the <<"


def test_a_file_that_is_not_there_a_directory_or_unreadable_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"no-such\.yml: there is no such file; write the path of a queue\.yml"
    ):
        load(str(tmp_path / "no-such.yml"), environ={})
    with pytest.raises(ConfigurationError, match="is a directory; write the path of the file in it"):
        load(str(tmp_path), environ={})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load("a\0b", environ={})
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot be read: Not a directory"):
        load(str(tmp_path / "file" / "queue.yml"), environ={})
    with pytest.raises(ConfigurationError, match="is larger than 1 MiB"):
        load("/dev/zero", environ={})


def test_a_file_that_may_not_be_read_says_what_to_change(files: Files) -> None:
    files.path.write_text(DATABASE)
    files.path.chmod(0)
    user = os.geteuid()
    if user == 0:  # root may read everything, so be somebody else meanwhile
        os.seteuid(65534)
    try:
        with pytest.raises(ConfigurationError, match="may not be read by this user; change its owner, group or mode"):
            load(str(files.path), environ={})
    finally:
        os.seteuid(user)


def test_the_hosts_file_in_a_closed_directory_is_not_taken_for_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As /etc/queued/queue.yml is to who is not in the group queued, whatever directory they are in."""
    (tmp_path / "queue.yml").write_text(DATABASE)
    monkeypatch.setattr(loading, "USUAL_FILES", ("queue.yml", str(tmp_path / "queue.yml")))
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(ConfigurationError, match=r"/queue\.yml: may not be read by this user"):
            load(environ={})
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)
