"""Addresses of databases: which are understood, where a SQLite path leads, and how to show one without its password."""

from __future__ import annotations

import os
import re
from urllib.parse import quote, unquote

SQLITE = "sqlite://"
POSTGRESQL = ("postgresql://", "postgres://")
FORMS = "write sqlite:///PATH or postgresql://USER@HOST/DATABASE"

#: First directories of absolute paths, which three slashes make relative by mistake.
ROOTS = frozenset({"etc", "home", "mnt", "opt", "root", "run", "srv", "tmp", "usr", "var"})


def url_fault(url: str) -> str | None:
    """Why an address cannot be used, without showing it: it may hold a password. None when it can."""
    scheme, separator, rest = url.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        return f"is not a database URL; {FORMS}"
    if scheme == "sqlite":
        return _sqlite_fault(rest)
    if scheme in {"postgresql", "postgres"}:
        return "holds blanks or line ends; write them as %20, or remove them" if re.search(r"\s", rest) else None
    for family in ("postgresql", "postgres", "sqlite"):
        if scheme.lower().startswith(family):
            return f"the scheme {scheme}:// is not understood; write {family}://"
    return f"the scheme {scheme}:// is not understood; {FORMS}"


def _sqlite_fault(rest: str) -> str | None:
    path = rest[1:]
    if not rest.startswith("/"):
        return "sqlite:// needs a third slash; write sqlite:///relative/path or sqlite:////absolute/path"
    if path.strip("/") in {"", ":memory:", "."}:
        return "names no file, and a database in memory is seen by one process only; write sqlite:///PATH"
    if "?" in path or "#" in path:
        return "a SQLite URL has no parameters; write busy_timeout and the others as keys under database"
    if path.startswith("~"):
        return "~ is not expanded; write the whole path, or ${HOME}"
    if "\0" in unquote(path):
        return "holds a NUL character; remove it"
    if path.endswith("/"):
        return "names a directory; write the path of a file"
    return None


def is_sqlite(url: str) -> bool:
    return url.startswith(SQLITE)


def absolute(url: str, directory: str) -> str:
    """The address with a relative SQLite path made absolute from `directory`; others as they are."""
    if not is_sqlite(url):
        return url
    path = os.path.normpath(os.path.join(directory, unquote(url[len(SQLITE) + 1 :])))
    return f"{SQLITE}/{quote('/' + path.lstrip('/'), errors='surrogateescape')}"


def mistaken(url: str) -> str | None:
    """The warning that a relative SQLite path looks like an absolute one with a slash too few."""
    if not is_sqlite(url) or url[len(SQLITE) + 1 :].startswith("/"):
        return None
    path = unquote(url[len(SQLITE) + 1 :])
    if path.split("/")[0] not in ROOTS:
        return None
    return f"{SQLITE}/{path} is a relative path; if /{path} is meant, write {SQLITE}//{path}"


def masked(url: str) -> str:
    """The address with its passwords as ***. Rather too much is hidden than too little."""
    url = re.sub(r"^([a-z]+://[^:@/?]*):.*@", r"\1:***@", url, flags=re.S)
    return re.sub(r"([?&][a-z]*password=)[^&]*", r"\1***", url, flags=re.I)


def hidden(text: str) -> str:
    """A sentence in which no address shows its password: somebody may have written one where a key belongs."""
    return re.sub(r"(\w+://[^:@/\s]*):\S*@", r"\1:***@", text)
