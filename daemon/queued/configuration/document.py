"""A YAML file as nodes with places: where every key and value stands, and what is wrong with the file as a file.

Only what YAML and the file decide is decided here: encoding, syntax, tags, duplicate keys, anchors, merge keys. PyYAML is
imported when a file is read, because applications import this package without needing a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from queued.configuration.addresses import hidden
from queued.configuration.expansion import Masked, fault, mask
from queued.domain.errors import ConfigurationError

#: Bytes. No file that a person writes is near it; a wrong path (a database, a log, /dev/zero) is beyond it.
LARGEST_FILE = 1 << 20

NULLS = frozenset({"", "~", "null", "Null", "NULL"})
TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "timestamp", "value", "merge", "map", "seq")
)
MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True, slots=True)
class Scalar:
    """The text of a scalar after expansion; `quoted` and `expanded` say how it was written."""

    text: str
    quoted: bool = False
    expanded: bool = False

    @property
    def null(self) -> bool:
        return not self.quoted and self.text in NULLS


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping, the line it stands in, and the node below it."""

    key: str
    line: int
    node: Any


@dataclass(slots=True)
class Notes:
    """The problems and warnings of one file, each with its place."""

    file: str
    problems: list[tuple[int, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    #: Where the job of each recurring task is named: FILE:LINE: PATH, by its key.
    places: dict[str, str] = field(default_factory=dict)

    def problem(self, line: int, path: str, text: str) -> None:
        note = (line, self.place(line, path, text))
        if note not in self.problems:
            self.problems.append(note)

    def refuse(self, source: str, text: str) -> None:
        """Note a problem of a variable or an option, which stands in no file."""
        self.problems.append((0, one_line(hidden(f"{source}: {text}"))))

    def warn(self, line: int, path: str, text: str) -> None:
        self.warnings.append(self.place(line, path, text))

    def place(self, line: int, path: str, text: str) -> str:
        where = f"{self.file}:{line}" if line else self.file
        return one_line(hidden(f"{where}: {path}: {text}" if path else f"{where}: {text}"))

    def sorted(self) -> list[str]:
        """Every problem, in the order of lines."""
        return [text for _, text in sorted(self.problems, key=lambda note: note[0])]

    def check(self) -> None:
        """Raise ConfigurationError with every problem, in the order of lines."""
        if self.problems:
            raise ConfigurationError(self.sorted())


class Document:
    """A file that is YAML. Faults of its syntax raise at once; all others go to `notes`."""

    def __init__(self, file: str, lacking: str = "pip install 'queued-jobs[daemon]'") -> None:
        """`lacking` says what to do where PyYAML is not installed."""
        self.file = file
        self.notes = Notes(file)
        self._masked: Masked = mask(read_text(file))
        self._merged: dict[int, list[Entry]] = {}
        self._merging: set[int] = set()
        try:
            self.root = compose(file, self._masked, lacking)
            self._inspect()
        except RecursionError:
            raise ConfigurationError(f"{one_line(file)}: the file is nested too deeply; write it flatter") from None

    def line(self, node: Any) -> int:
        return int(node.start_mark.line) + 1

    def entries(self, node: Any) -> list[Entry]:
        """The keys of a mapping. Its own win over merged ones, whose places are where they are written."""
        if id(node) in self._merged:
            return self._merged[id(node)]
        self._merging.add(id(node))
        found: dict[str, Entry] = {}
        merges: list[tuple[int, Any]] = []
        for key, value in node.value:
            if key.tag == MERGE:
                merges += [(self.line(key), item) for item in (value.value if value.id == "sequence" else [value])]
            elif key.id == "scalar":
                name = self._masked.restore(key.value)
                found.setdefault(name, Entry(name, self.line(key), value))
        for line, merged in merges:
            if id(merged) in self._merging:
                self.notes.problem(line, "<<", "the mapping merges itself; remove the <<")
            elif merged.id == "mapping":
                for entry in self.entries(merged):
                    found.setdefault(entry.key, entry)
        self._merging.discard(id(node))
        self._merged[id(node)] = list(found.values())
        return self._merged[id(node)]

    def scalar(self, node: Any, environ: Mapping[str, str]) -> Scalar:
        """The scalar with its variables expanded; raises ExpansionError."""
        expanded = bool(self._masked.within(node.value))
        return Scalar(self._masked.expand(node.value, environ), bool(node.style), expanded)

    def broken(self, node: Any) -> bool:
        """Whether the scalar holds a form that nobody understands, which `notes` has already."""
        return any(fault(self._masked.tokens[index]) for index in self._masked.within(node.value))

    def _inspect(self) -> None:
        """Note what is wrong anywhere in the file: also in parts that nobody asked for."""
        stack: list[tuple[Any, str]] = [(self.root, "")] if self.root is not None else []
        seen: set[int] = set()
        while stack:
            node, path = stack.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            if node.tag not in TAGS:
                self.notes.problem(self.line(node), path, f"the tag {node.tag} is not understood; remove it")
            if node.id == "scalar":
                for index in self._masked.within(node.value):
                    wrong = fault(self._masked.tokens[index])
                    if wrong:
                        self.notes.problem(self._masked.lines[index], path, wrong)
            elif node.id == "sequence":
                stack += [(item, f"{path}[{index}]") for index, item in enumerate(node.value)]
            else:
                stack += self._inspect_keys(node, path)

    def _inspect_keys(self, node: Any, path: str) -> Iterator[tuple[Any, str]]:
        first: dict[str, int] = {}
        for key, value in node.value:
            if key.id != "scalar":
                self.notes.problem(self.line(key), path, "a key is a list or a mapping; write a plain word")
                continue
            name = self._masked.restore(key.value)
            below = f"{path}.{name}" if path else name
            if key.tag == MERGE:
                merged = value.value if value.id == "sequence" else [value]
                if any(item.id != "mapping" for item in merged):
                    self.notes.problem(
                        self.line(key), path, "<< merges mappings only; write <<: *name of an anchored mapping"
                    )
            elif name in first:
                self.notes.problem(
                    self.line(key), below, f"is given twice, first in line {first[name]}; keep one of the two"
                )
            else:
                first[name] = self.line(key)
            yield value, below


def one_line(text: str) -> str:
    """The text with everything escaped that a terminal or a log would not show as it is."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def read_text(path: str) -> str:
    """The text of a file; ConfigurationError says why it cannot be had."""
    file = one_line(path)
    try:
        with open(path, "rb") as stream:
            data = stream.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise ConfigurationError(f"{file}: there is no such file; write the path of a queue.yml") from None
    except IsADirectoryError:
        raise ConfigurationError(f"{file}: is a directory; write the path of the file in it") from None
    except PermissionError:
        raise ConfigurationError(f"{file}: may not be read by this user; change its owner, group or mode") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > LARGEST_FILE:
        raise ConfigurationError(
            f"{file}: is larger than 1 MiB, so it is no configuration; write the path of a queue.yml"
        )
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"{file}:{line}: byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None


def compose(file: str, masked: Masked, lacking: str) -> Any:
    """The root node, None of an empty file; ConfigurationError for what is not YAML."""
    try:
        import yaml
    except ImportError:
        raise ConfigurationError(
            f"{one_line(file)}: reading it needs PyYAML, which this Python lacks; {lacking}"
        ) from None
    try:
        return yaml.compose(masked.text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        problem = wording(masked.restore(error.problem or error.context or "not YAML"))
    except yaml.reader.ReaderError as error:
        line = masked.text.count("\n", 0, error.position) + 1
        problem = f"the character U+{ord(masked.text[error.position]):04X} may not stand in YAML; remove it"
    except (ValueError, OverflowError):
        line, problem = 0, "a number or a character escape is out of range; correct or quote it"
    # A stray ERB tag is often what made the syntax wrong, and says more than the syntax error behind it.
    tags = [
        (number, wrong)
        for token, number in zip(masked.tokens, masked.lines, strict=True)
        if token.startswith("<%") and (wrong := fault(token))
    ]
    notes = Notes(file)
    for number, wrong in [*tags, (line, f"the file is not YAML: {problem}")]:
        notes.problem(number, "", wrong)
    notes.check()
    return None


def wording(problem: str) -> str:
    """YAML's own complaint, with a remedy where it is a usual mistake."""
    if "'\\t'" in problem:
        return "a tab; indent with spaces"
    if "expected a single document" in problem or "but found another document" in problem:
        return "a second document begins with ---; write one document"
    if "mapping values are not allowed" in problem:
        return "a colon where no key can stand; check the indentation, and quote texts that hold ': '"
    if "undefined alias" in problem:
        return (
            f"{problem}; an anchor (&name) comes before its alias (*name), and a text that begins with * needs quotes"
        )
    if "expected alphabetic or numeric character" in problem:
        return 'a * or & without a name behind it; the selector of all queues is written "*", with quotes'
    if "could not find expected ':'" in problem:
        return "a key without its colon; write key: value"
    return f"{problem}; check indentation, quotes and brackets there"
