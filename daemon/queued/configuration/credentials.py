"""Secrets as systemd hands them to a service: files in $CREDENTIALS_DIRECTORY that its user alone can read."""

from __future__ import annotations

import os
from collections.abc import Mapping

from queued.configuration.document import Notes

#: The credential that holds the database's URL: `LoadCredential=database-url:PATH`.
DATABASE_URL = "database-url"
#: Bytes. systemd takes no larger one.
LARGEST = 1 << 20


def credential(name: str, environ: Mapping[str, str], notes: Notes) -> str | None:
    """The text of a credential without the blanks around it; None where there is none, or an empty one."""
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return None
    try:
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            return file.read(LARGEST).strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        notes.refuse(f"credential {name}", f"cannot be read ({error.strerror}); correct LoadCredential= of the unit")
    except UnicodeDecodeError:
        notes.refuse(f"credential {name}", "is not text in UTF-8; correct the file that LoadCredential= names")
    return None
