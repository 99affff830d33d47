"""The layers put together: command line over environment over file over default. Defaults come last."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from queued.configuration.actors import Actors, actors, build
from queued.configuration.addresses import absolute, is_sqlite, mistaken, url_fault
from queued.configuration.application import application, runnable
from queued.configuration.credentials import DATABASE_URL, credential
from queued.configuration.document import Document, Notes, one_line
from queued.configuration.reading import BROKEN, Reader, Tree
from queued.configuration.sections import DEFAULT_ENVIRONMENT, choose
from queued.configuration.values import FALSE, TRUE, shown, text_fault
from queued.domain.errors import ConfigurationError
from queued.domain.insights import ALIVE_THRESHOLD
from queued.domain.jobs import SHELL
from queued.domain.settings import (
    BY_PATH,
    USUAL_TASKS,
    DatabaseSettings,
    MetricsSettings,
    Mode,
    RetentionSettings,
    SchedulerSettings,
    Settings,
)

#: Looked for in this order, relative to the working directory, when nobody names a file.
USUAL_FILES = ("queue.yml", "config/queue.yml", "/etc/queued/queue.yml")

#: Bytes. A socket's address holds 107, and the longest name below the runtime directory takes 27 of them.
LONGEST_RUNTIME_DIRECTORY = 80

NO_DATABASE = "no database is given; write database: sqlite:///PATH or postgresql://…, or set QUEUED_DATABASE_URL"

#: What an application may do that has a file and no PyYAML.
APPLICATION_LACKING = "pip install pyyaml, or set QUEUED_DATABASE_URL instead of QUEUED_CONFIG"


@dataclass(frozen=True, slots=True)
class GivenUrl:
    """An address that stands in no file, and what to call its place."""

    url: str
    source: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings that can be used, and what is odd about them without standing in the way."""

    settings: Settings
    warnings: tuple[str, ...] = ()
    #: Where the job of each recurring task is named: FILE:LINE: PATH, by its key.
    places: Mapping[str, str] = field(default_factory=dict)
    #: The line of the file on which each setting stands, by its path: `workers[0].threads`.
    lines: Mapping[str, int] = field(default_factory=dict)


def load(
    config_path: str | None = None,
    *,
    environment: str | None = None,
    environ: Mapping[str, str] = os.environ,
    recurring: str | None = None,
    mode: str | None = None,
    skip_recurring: bool | None = None,
    role: str | None = None,
    instance: str | None = None,
    cwd: str | None = None,
) -> Loaded:
    """The settings of a supervisor; ConfigurationError with every problem at once.

    The arguments are the command line's options, None where one was not given. An empty variable counts as unset.
    An `instance` has a file of its own, INSTANCE.yml beside the usual one; where there is none it is the role of that name.
    """
    here = cwd if cwd is not None else os.getcwd()
    usual = own_file(instance, config_path, environ, here) if instance is not None else None
    own = usual if usual is not None and os.path.isfile(usual) else None
    lacking = usual if own is None else None
    file = own or find(config_path, environ, here)
    role = instance if instance is not None and own is None else role
    chosen = environment or environ.get("QUEUED_ENV") or DEFAULT_ENVIRONMENT
    document = Document(file)
    notes = document.notes
    try:
        node = choose(document, chosen)
        given_url = _given_url(environ, notes, credentials=True)
        reader = Reader(document, environ, skip=["database.url"] if given_url else [])
        tree = reader.section(node) if node is not None else {}
        settings = _settings(
            reader, tree, chosen, given_url, environ, here, mode, role, node is not None, own is not None, lacking
        )
        skip = skip_recurring if skip_recurring is not None else _skip_recurring(environ, notes)
        path = _recurring(recurring, environ, here, file, skip, notes)
    except RecursionError:
        raise ConfigurationError(f"{one_line(file)}: the file is nested too deeply; write it flatter") from None
    settings = replace(settings, role=role or instance, skip_recurring=skip, recurring_path=path)
    problems = notes.sorted()
    if path is not None and not skip and os.path.isfile(path):
        wanted = settings.role is None or settings.scheduler is not None
        settings, more = _with_tasks(settings, path, environ, notes, wanted)
        problems += more
    if not settings.workers and not problems:
        settings = _for_scheduler(settings, notes)
    if settings.workers and settings.app is None and not skip:
        _warn_of_jobs(settings, notes)
    if problems:
        raise ConfigurationError(problems)
    return Loaded(settings, tuple(dict.fromkeys(notes.warnings)), notes.places, dict(reader.lines))


def _warn_of_jobs(settings: Settings, notes: Notes) -> None:
    """Say which tasks this host cannot run itself: without an application it runs programs alone."""
    if not settings.recurring:
        return  # schedules are dear to import
    from queued.domain.recurring import CHORES

    for task in settings.recurring:
        if task.class_name != SHELL and task.class_name not in CHORES:
            notes.warnings.append(
                f"{notes.places[task.key]}: needs an application, and this host has none (app:), so its runs wait for a worker of "
                "another host that has one; without such, write shell:"
            )


def _for_scheduler(settings: Settings, notes: Notes) -> Settings:
    """Without workers nobody needs the application but the scheduler, which asks it about jobs, and can do without."""
    app = settings.app
    if app is None or settings.skip_recurring or not (settings.scheduler or settings.recurring):
        return settings
    if os.path.isdir(app.path) and (runnable(app.python) or shutil.which(app.python)):
        return settings
    from queued.domain.recurring import CHORES

    if any(task.class_name not in CHORES for task in settings.recurring):
        notes.warn(
            0,
            "app",
            f"is not on this host ({app.path}, {app.python}), so its scheduler enqueues jobs without their limits, unique keys and "
            "callbacks; run the scheduler on a host that has it",
        )
    return replace(settings, app=None)


def _with_tasks(
    settings: Settings, path: str, environ: Mapping[str, str], notes: Notes, wanted: bool
) -> tuple[Settings, list[str]]:
    """The settings with the tasks of recurring.yml, if they are wanted here, and the file's problems. Its warnings are noted."""
    from queued.configuration import recurring as recurring_tasks

    zone = (settings.scheduler or SchedulerSettings()).timezone
    try:
        tasks, found = recurring_tasks.from_file(path, settings.environment, environ, zone)
    except RecursionError:
        return settings, [f"{one_line(path)}: the file is nested too deeply; write it flatter"]
    except ConfigurationError as error:
        return settings, error.problems
    notes.warnings += found.warnings
    notes.places.update(found.places)
    own = {task.key for task in settings.recurring}
    for key in sorted(own & {task.key for task in tasks}):
        found.problem(0, key, f"is given in {one_line(settings.source)} too; keep one of the two")
    return (replace(settings, recurring=(*settings.recurring, *tasks)) if wanted else settings), found.sorted()


def database_from_file(
    path: str, environment: str | None = None, environ: Mapping[str, str] = os.environ, credentials: bool = False
) -> DatabaseSettings:
    """The database of a file and nothing else: what an application needs in order to enqueue.

    Only the keys under `database` are read, so an application is not stopped by wrong settings that the daemon alone
    uses; what is wrong YAML, such as a key given twice, is refused anywhere. QUEUED_DATABASE_URL wins over the file's URL.
    Credentials are the daemon's: a `database-url` that an application's own unit was given is that of another database.
    """
    chosen = environment or environ.get("QUEUED_ENV") or DEFAULT_ENVIRONMENT
    document = Document(os.path.abspath(path) if "\0" not in path else path, APPLICATION_LACKING)
    try:
        node = choose(document, chosen)
        given_url = _given_url(environ, document.notes, credentials)
        reader = Reader(document, environ, skip=["database.url"] if given_url else [])
        tree = reader.section(node, keys=("database",), strict=False) if node is not None else {}
        settings = _database(reader, tree, given_url, os.getcwd(), node is not None)
    except RecursionError:
        raise ConfigurationError(f"{one_line(path)}: the file is nested too deeply; write it flatter") from None
    document.notes.check()
    return settings


@dataclass(frozen=True, slots=True)
class Monitoring:
    """What a file says of monitoring: the section's own settings, every address that it or a role listens on, and the threshold."""

    metrics: MetricsSettings
    addresses: tuple[str, ...]
    alive_threshold: float


def monitoring_from_file(
    path: str, environment: str | None = None, environ: Mapping[str, str] = os.environ
) -> Monitoring:
    """What a file says of monitoring and nothing else, for a host that only looks. Raises ConfigurationError."""
    chosen = environment or environ.get("QUEUED_ENV") or DEFAULT_ENVIRONMENT
    document = Document(os.path.abspath(path))
    try:
        node = choose(document, chosen)
        reader = Reader(document, environ)
        keys = ("metrics", "roles", "alive_threshold")
        tree = reader.section(node, keys=keys, strict=False) if node is not None else {}
    except RecursionError:
        raise ConfigurationError(f"{one_line(path)}: the file is nested too deeply; write it flatter") from None
    document.notes.check()
    directory = os.path.dirname(document.notes.file)
    own = tree.get("metrics", {})
    every = [
        _metrics({**own, **more}, directory)
        for more in ({}, *(r.get("metrics", {}) for r in tree.get("roles", {}).values()))
    ]
    addresses = dict.fromkeys(metrics.listen for metrics in every if metrics.listen is not None)
    return Monitoring(every[0], tuple(addresses), float(tree.get("alive_threshold", ALIVE_THRESHOLD)))


def find(config_path: str | None, environ: Mapping[str, str], cwd: str) -> str:
    """The path of the file: the option's, the variable's, or the first usual one that is there."""
    named = config_path or environ.get("QUEUED_CONFIG")
    if named:
        return os.path.normpath(os.path.join(cwd, named))
    closed = None
    for usual in USUAL_FILES:
        file = os.path.join(cwd, usual)
        try:
            os.stat(file)
        except PermissionError:
            # Not that of a directory that the caller happens to be in.
            closed = file if os.path.isabs(usual) else closed
        except OSError:
            continue
        else:
            return file
    if closed is not None:
        return closed  # whoever reads it says what is wrong with it
    raise ConfigurationError(
        f"there is no configuration file; name one with --config or QUEUED_CONFIG (looked for {', '.join(USUAL_FILES)})"
    )


def own_file(instance: str, config_path: str | None, environ: Mapping[str, str], cwd: str) -> str:
    """The file that an instance may have for itself, beside the one it would be a role of."""
    if not instance or "/" in instance or "\0" in instance:
        raise ConfigurationError(f"--instance: {shown(instance)} cannot be the name of a file; write a role's name")
    try:
        directory = os.path.dirname(find(config_path, environ, cwd))
    except ConfigurationError:
        directory = os.path.dirname(USUAL_FILES[-1])
    return os.path.join(directory, f"{instance}.yml")


def _settings(
    reader: Reader,
    tree: Tree,
    environment: str,
    given_url: GivenUrl | None,
    environ: Mapping[str, str],
    cwd: str,
    mode: str | None,
    role: str | None,
    found: bool,
    named: bool,
    lacking: str | None,
) -> Settings:
    directory = os.path.dirname(reader.notes.file)
    database = _database(reader, tree, given_url, cwd, found)
    team = actors(reader, tree, role, named, lacking) if found else Actors()
    app = None
    if "app" in tree:
        app = application(reader, tree["app"], directory, environ.get("PATH"), bool(team.workers))
    elif team.workers:
        reader.notes.warn(
            0, "app", "is not given, so workers run shell: programs alone; write app: with path and import"
        )
    plain = {
        key: value
        for key, value in tree.items()
        if BY_PATH[key].kind in ("integer", "seconds", "choice") and key != "mode" and value is not BROKEN
    }
    settings = Settings(
        environment=environment,
        mode=_mode(mode, environ, tree, database, reader.notes),
        database=database,
        app=app,
        dispatchers=team.dispatchers,
        workers=team.workers,
        # Sections say what one host runs; where nothing is said of a scheduler, tasks must not lie idle for it.
        scheduler=team.scheduler or (SchedulerSettings() if role is None and not named else None),
        recurring=team.tasks,
        retention=build(RetentionSettings, tree.get("retention", {})),
        metrics=_metrics({**tree.get("metrics", {}), **team.metrics}, directory),
        runtime_directory=_runtime_directory(reader, tree, directory, environ),
        source=reader.notes.file,
        **plain,
    )
    if settings.alive_threshold <= 2 * settings.heartbeat_interval:
        line = reader.lines.get("alive_threshold", reader.lines.get("heartbeat_interval", 0))
        reader.notes.problem(
            line,
            "alive_threshold",
            f"{settings.alive_threshold:g} is not more than twice heartbeat_interval ({settings.heartbeat_interval:g}), "
            f"so one late heartbeat would take jobs from a living process; write {settings.heartbeat_interval * 5:g}",
        )
    return settings


def _metrics(values: Tree, directory: str) -> MetricsSettings:
    settings = build(MetricsSettings, values)
    listen, textfile = settings.listen, settings.textfile
    if listen is not None and "/" in listen:
        listen = os.path.normpath(os.path.join(directory, listen.removeprefix("unix:")))
    if textfile is not None:
        textfile = os.path.normpath(os.path.join(directory, textfile))
    return replace(settings, listen=listen, textfile=textfile)


def _database(reader: Reader, tree: Tree, given_url: GivenUrl | None, cwd: str, found: bool) -> DatabaseSettings:
    values = dict(tree.get("database", {}))
    notes = reader.notes
    line = reader.lines.get("database.url", reader.lines.get("database", 0))
    directory = os.path.dirname(notes.file)
    if given_url:
        if values.pop("listen_url", None) is not None:
            notes.warn(
                reader.lines["database.listen_url"],
                "database.listen_url",
                f"is not used: {given_url.source} names another database",
            )
        values["url"] = given_url.url
        directory = cwd
    elif "url" not in values and found:
        notes.problem(line, "database", NO_DATABASE)
    settings = build(DatabaseSettings, {"url": "sqlite:///", **{k: v for k, v in values.items() if v is not BROKEN}})
    slashes = mistaken(settings.url)
    if slashes:
        notes.warnings.append(
            f"{given_url.source}: {slashes}" if given_url else notes.place(line, "database.url", slashes)
        )
    if settings.listen_url is not None and is_sqlite(settings.listen_url):
        notes.problem(reader.lines["database.listen_url"], "database.listen_url", "is for PostgreSQL; remove it")
    return replace(settings, url=absolute(settings.url, directory))


def _given_url(environ: Mapping[str, str], notes: Notes, credentials: bool) -> GivenUrl | None:
    """The URL that stands above the file's: the variable's, else the credential's."""
    source, url = "QUEUED_DATABASE_URL", environ.get("QUEUED_DATABASE_URL")
    if not url and credentials:
        source, url = f"credential {DATABASE_URL}", credential(DATABASE_URL, environ, notes)
    wrong = (text_fault(url) or url_fault(url)) if url else None
    if wrong:
        notes.refuse(source, wrong)
        return GivenUrl("sqlite:///queue.sqlite3", source)
    return GivenUrl(url, source) if url else None


def _mode(option: str | None, environ: Mapping[str, str], tree: Tree, database: DatabaseSettings, notes: Notes) -> Mode:
    choices = BY_PATH["mode"].choices
    for source, word in (("--mode", option), ("QUEUED_SUPERVISOR_MODE", environ.get("QUEUED_SUPERVISOR_MODE"))):
        if word:
            if word not in choices:
                notes.refuse(source, f"{shown(word)} is no mode; write {BY_PATH['mode'].type}")
            return cast(Mode, word)
    if tree.get("mode") in choices:
        return cast(Mode, tree["mode"])
    return "async" if is_sqlite(database.url) else "fork"


def _runtime_directory(reader: Reader, tree: Tree, directory: str, environ: Mapping[str, str]) -> str:
    given = tree.get("runtime_directory")
    if isinstance(given, str):
        path = os.path.normpath(os.path.join(directory, given))
    elif environ.get("RUNTIME_DIRECTORY"):
        # systemd joins several directories of one unit with colons; the first is the unit's own.
        path = environ["RUNTIME_DIRECTORY"].split(":")[0]
    elif environ.get("XDG_RUNTIME_DIR"):
        path = os.path.join(environ["XDG_RUNTIME_DIR"], "queued")
    else:
        path = f"/tmp/queued-{os.getuid()}"
    wrong = text_fault(path)
    if wrong is None and len(os.fsencode(path)) > LONGEST_RUNTIME_DIRECTORY:
        wrong = (
            f"is longer than {LONGEST_RUNTIME_DIRECTORY} bytes, too long for the sockets in it; write a shorter path"
        )
    if wrong:
        reader.notes.problem(reader.lines.get("runtime_directory", 0), "runtime_directory", wrong)
    return path


def _skip_recurring(environ: Mapping[str, str], notes: Notes) -> bool:
    written = environ.get("QUEUED_SKIP_RECURRING", "")
    word = written.strip().lower()
    if word in TRUE or word == "1":
        return True
    if word in FALSE or word in {"", "0"}:
        return False
    notes.refuse("QUEUED_SKIP_RECURRING", f"{shown(written)} is neither true nor false; write one of them")
    return False


def _recurring(
    option: str | None, environ: Mapping[str, str], cwd: str, file: str, skip: bool, notes: Notes
) -> str | None:
    """The path of the recurring tasks' file: named, or `recurring.yml` beside the configuration when it is there."""
    for source, named in (
        ("--recurring", option),
        ("QUEUED_RECURRING_SCHEDULE", environ.get("QUEUED_RECURRING_SCHEDULE")),
    ):
        if named:
            path = os.path.normpath(os.path.join(cwd, named))
            if not skip and not os.path.isfile(path):
                notes.refuse(source, f"there is no file {path}; correct the path, or use --skip-recurring")
            return path
    beside = os.path.join(os.path.dirname(file), USUAL_TASKS)
    return beside if os.path.isfile(beside) else None
