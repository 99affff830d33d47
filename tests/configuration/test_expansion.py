"""Variables of the environment inside a file."""

from __future__ import annotations

import pytest

from configuration.files import DATABASE, Files
from queued.configuration.expansion import ExpansionError, evaluate, mask


@pytest.mark.parametrize(
    ("form", "environ", "value"),
    [
        ("${X}", {"X": "5"}, "5"),
        ("${X}", {"X": ""}, ""),
        ("${X:-3}", {}, "3"),
        ("${X:-3}", {"X": ""}, "3"),
        ("${X:-3}", {"X": "5"}, "5"),
        ("${X:-}", {}, ""),
        ("$$", {}, "$"),
        ('<%= ENV["X"] %>', {"X": "5"}, "5"),
        ("<%= ENV['X'] %>", {"X": "5"}, "5"),
        ("<%=ENV['X']%>", {"X": "5"}, "5"),
        ('<%= ENV.fetch("X") %>', {"X": "5"}, "5"),
        ('<%= ENV.fetch("X", 1) %>', {}, "1"),
        ('<%= ENV.fetch("X", 1) %>', {"X": "5"}, "5"),
        ('<%= ENV.fetch("X", 1) %>', {"X": ""}, ""),
        ("<%= ENV.fetch('X', 'a b') %>", {}, "a b"),
        ('<%= ENV.fetch("X", nil) %>', {}, ""),
        ('<%= ENV.fetch("X", 0.5) %>', {}, "0.5"),
        ('<%= ENV.fetch("X", 1_000) %>', {}, "1000"),
        ('<%= ENV.fetch("X") { 1 } %>', {}, "1"),
        ('<%= ENV.fetch("X") { "a" } %>', {}, "a"),
        ('<%= ENV["X"] || 1 %>', {}, "1"),
        ('<%= ENV["X"] || 1 %>', {"X": "5"}, "5"),
        ('<%= ENV.fetch("X", 1).to_i %>', {}, "1"),
        ('<%= ENV["X"].to_i %>', {"X": "5"}, "5"),
        ('<%= (ENV["X"] || 1).to_i %>', {}, "1"),
        ('<%= (ENV["X"] || "0.5").to_f -%>', {}, "0.5"),
        ('<%= ENV.fetch("X") { 2 }.to_i %>', {}, "2"),
    ],
)
def test_a_form_gives_the_value_of_the_variable_or_its_default(form: str, environ: dict[str, str], value: str) -> None:
    assert mask(form).tokens == (form,)
    assert evaluate(form, environ) == value


@pytest.mark.parametrize("form", ["${X}", '<%= ENV["X"] %>', '<%= ENV.fetch("X") %>', '<%= ENV["X"].to_i %>'])
def test_a_variable_that_is_not_set_and_has_no_default_is_an_error_that_says_how_to_give_one(form: str) -> None:
    with pytest.raises(ExpansionError, match=r"the environment variable X is not set; set it, or .* \$\{X:-default\}"):
        evaluate(form, {})


@pytest.mark.parametrize(
    "form",
    [
        "<% 3.times do %>",
        "<%= 1 + 1 %>",
        "<%= `id` %>",
        "<%= ENV[X] %>",
        '<%= ENV.fetch("X", "#{1}") %>',
        '<%= ENV.fetch("X", foo) %>',
        "<%= Rails.env %>",
        "<%",
        "${X",
        "${X:?no}",
        "${X-1}",
        "${1X}",
        "${}",
        "${A:-${B}",
    ],
)
def test_any_other_form_is_refused(form: str) -> None:
    with pytest.raises(ExpansionError, match=r"not understood.*write \$\{NAME\} or \$\{NAME:-default\}"):
        evaluate(form, {"X": "1", "A": "1", "B": "1"})


def test_a_number_that_is_asked_for_must_be_one() -> None:
    with pytest.raises(ExpansionError, match="X is not a number"):
        evaluate('<%= ENV["X"].to_i %>', {"X": "3 or so"})


def test_the_type_of_a_value_is_decided_after_expansion(files: Files) -> None:
    text = DATABASE + 'workers:\n  - threads: ${N:-7}\n    processes: "${P}"\n    queues: ${Q}\n'
    worker = files.load(text, {"P": "2", "Q": "urgent, mail*"}).settings.workers[0]
    assert (worker.threads, worker.processes, worker.queues) == (7, 2, ("urgent", "mail*"))


def test_a_list_that_comes_from_a_variable_needs_no_warning(files: Files) -> None:
    text = DATABASE + "app: {import: ${M}, path: .}\ndispatchers: []\nworkers:\n  - queues: ${Q}\n"
    assert files.load(text, {"Q": "a,b", "M": "shop.jobs"}, role=None).warnings == ()


def test_a_value_can_never_become_structure(files: Files) -> None:
    text = DATABASE + "workers:\n  - queues: [before, ${Q}, after]\n    name: ${N} # a comment\n"
    worker = files.load(text, {"Q": "a], b: [c", "N": "x # y"}).settings.workers[0]
    assert worker.queues == ("before", "a], b: [c", "after")
    assert worker.name == "x # y"


def test_forms_work_inside_flow_style_and_inside_longer_texts(files: Files) -> None:
    text = (
        "database: {url: postgresql://${U:-me}@${H}/db}\n"
        "dispatchers: [{batch_size: <%= ENV.fetch('B', 10) %>, polling_interval: ${I:-2}}]\n"
    )
    settings = files.load(text, {"H": "db.example"}).settings
    assert settings.database.url == "postgresql://me@db.example/db"
    assert settings.dispatchers[0].batch_size == 10
    assert settings.dispatchers[0].polling_interval == 2.0


def test_two_dollars_are_one_and_one_dollar_is_one(files: Files) -> None:
    text = "database: postgresql://me:a$$b$c$${d}@host/db\ndispatchers: [{}]\n"
    assert files.load(text).settings.database.url == "postgresql://me:a$b$c${d}@host/db"


def test_comments_are_never_expanded(files: Files) -> None:
    text = "# <% if x %> ${\n" + DATABASE + "dispatchers: # <%= nonsense %> ${UNSET}\n  - {} # ${\n  # <%# open\n"
    assert files.load(text).settings.dispatchers


def test_comments_of_erb_vanish_and_lines_keep_their_numbers(files: Files) -> None:
    text = "<%# written\nby the deploy %>\n" + DATABASE + "nonsense: 1\n"
    assert files.problem(text).startswith("queue.yml:4: nonsense: ")


def test_a_value_that_is_only_an_erb_comment_is_no_value(files: Files) -> None:
    text = DATABASE + "shutdown_timeout: <%# ENV.fetch('X', 1) %>\n"
    assert (
        files.problem(text)
        == 'queue.yml:2: shutdown_timeout: has no value; write seconds, or text such as "2 minutes", or remove the key'
    )


def test_erb_that_breaks_the_syntax_is_named_before_the_syntax(files: Files) -> None:
    problems = files.problems("production:\n<% 3.times do |i| %>\n  workers: []\n<% end %>\n")
    assert "queue.yml:2: <% 3.times do |i| %> is ERB that is not understood here" in problems[0]
    assert "queue.yml:4: <% end %>" in problems[-1]


def test_erb_that_is_not_understood_is_named_in_any_section(files: Files) -> None:
    text = "production:\n  database: sqlite:////x/y\ntest:\n  mode: <%= Rails.mode %>\n"
    assert files.problem(text).startswith("queue.yml:4: test.mode: <%= Rails.mode %> is ERB")


def test_a_variable_that_gives_nothing_is_no_value(files: Files) -> None:
    assert "queue.yml:2: mode: has no value" in files.problem(DATABASE + "mode: ${MODE:-}\n")


def test_marks_in_the_file_itself_do_no_harm(files: Files) -> None:
    text = DATABASE + "workers:\n  - queues: ['\ue0000\ue000', \"\\uE0000\\uE000\"]\n    threads: ${N:-4}\n"
    worker = files.load(text).settings.workers[0]
    assert worker.threads == 4
