"""Environments: which section speaks, and that a missing one is an error."""

from __future__ import annotations

from configuration.files import DATABASE, Files

SECTIONS = """\
production:
  database: sqlite:////var/lib/queued/production
staging:
  database: sqlite:////var/lib/queued/staging
"""


def test_production_is_the_section_when_nobody_says_otherwise(files: Files) -> None:
    settings = files.load(SECTIONS).settings
    assert settings.environment == "production"
    assert settings.database.url.endswith("/production")


def test_queued_env_chooses_and_the_option_wins_over_it(files: Files) -> None:
    assert files.load(SECTIONS, {"QUEUED_ENV": "staging"}).settings.database.url.endswith("/staging")
    loaded = files.load(SECTIONS, {"QUEUED_ENV": "staging"}, environment="production")
    assert loaded.settings.environment == "production"


def test_an_empty_queued_env_counts_as_unset(files: Files) -> None:
    assert files.load(SECTIONS, {"QUEUED_ENV": ""}).settings.environment == "production"


def test_a_missing_section_is_an_error_that_lists_the_sections_there_are(files: Files) -> None:
    problem = files.problem(SECTIONS, environment="test")
    assert problem == (
        'queue.yml: there is no section "test"; there are: production, staging. '
        "Choose one with --env or QUEUED_ENV, or write the section"
    )


def test_a_flat_file_serves_every_environment(files: Files) -> None:
    for environment in ("production", "test"):
        assert files.load(DATABASE, environment=environment).settings.environment == environment


def test_a_misspelt_setting_in_a_flat_file_is_not_taken_for_a_section(files: Files) -> None:
    assert files.problems(DATABASE + "wrokers: []\n") == [
        "queue.yml:2: wrokers: is not a setting; did you mean workers?"
    ]
    assert "did you mean database?" in files.problem("databse: {url: x}\n")


def test_a_setting_beside_the_sections_is_an_error(files: Files) -> None:
    problem = files.problem(SECTIONS + "shutdown_timeout: 3\n")
    assert problem.startswith("queue.yml:5: shutdown_timeout: stands beside the environment sections; move it below")


def test_an_empty_file_is_an_error(files: Files) -> None:
    for text in ("", "# nothing\n", "---\n", "~\n"):
        assert files.problem(text).startswith("queue.yml: the file is empty; write production:")


def test_a_file_that_is_a_list_or_a_text_is_an_error(files: Files) -> None:
    assert files.problem("- a\n").startswith("queue.yml:1: the file holds a list; write ")
    assert files.problem("hello\n").startswith("queue.yml:1: the file holds a text; write ")


def test_an_empty_mapping_names_no_section(files: Files) -> None:
    assert files.problem("{}").startswith("queue.yml: the file has no section; write production:")


def test_only_the_chosen_section_needs_its_variables(files: Files) -> None:
    text = SECTIONS + "other:\n  database: ${UNSET_URL}\n"
    assert files.load(text).settings.environment == "production"
    assert "UNSET_URL is not set" in files.problem(text, environment="other")
