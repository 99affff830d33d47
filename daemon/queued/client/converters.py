"""How values that JSON has no word for are written down and read back: the tags of the marker object.

A value of such a type is stored as `{"$queued": TAG, "value": STORED}`. `dump` gives STORED, which may itself hold anything
that can be stored; `load` gets it back decoded.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from queued.client.names import UnreachableError, path_of, reachable_path, resolve

T = TypeVar("T")


class UnstorableError(ValueError):
    """A value cannot be stored or read back; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Converter:
    """One tag: how its values are dumped to something simpler and loaded again."""

    tag: str
    dump: Callable[[Any], Any]
    load: Callable[[Any], Any]


def _zone(zone: tzinfo | None) -> str | None:
    return zone.key if isinstance(zone, ZoneInfo) else None


def _dump_moment(value: datetime | time) -> list[Any]:
    zone = _zone(value.tzinfo)
    if value.tzinfo is not None and zone is None and value.utcoffset() is None:
        raise UnstorableError(
            f"its time zone {value.tzinfo!r} gives no offset; use zoneinfo.ZoneInfo or datetime.timezone"
        )
    text = value.replace(tzinfo=None).isoformat() if zone is not None else value.isoformat()
    return [text, zone, value.fold]


def _load_datetime(stored: list[Any]) -> datetime:
    text, zone, fold = stored
    value = datetime.fromisoformat(text)
    return value.replace(tzinfo=ZoneInfo(zone) if zone else value.tzinfo, fold=fold)


def _load_time(stored: list[Any]) -> time:
    text, zone, fold = stored
    value = time.fromisoformat(text)
    return value.replace(tzinfo=ZoneInfo(zone) if zone else value.tzinfo, fold=fold)


def _dump_enum(value: enum.Enum) -> list[Any]:
    # A combination of flags has no name of its own, so flags go by value and all others by name.
    by_value = isinstance(value, enum.Flag)
    return [_class_path(type(value)), "value" if by_value else "name", value.value if by_value else value.name]


def _load_enum(stored: list[Any]) -> enum.Enum:
    path, by, what = stored
    kind = _class(path, enum.Enum)
    try:
        member = kind(what) if by == "value" else kind[what]
    except (KeyError, ValueError):
        raise UnstorableError(f"{path} has no member {what!r}") from None
    assert isinstance(member, enum.Enum)
    return member


def _dump_dataclass(value: Any) -> list[Any]:
    kind = type(value)
    if isinstance(value, (str, int, float, bytes, list, tuple, dict, set, frozenset, BaseException)):
        raise UnstorableError(
            f"{path_of(kind)} is a dataclass and a built-in type at once; register a converter for it"
        )
    path = _class_path(kind)
    for name, annotation in kind.__dataclass_fields__.items():
        is_init_only = annotation._field_type is dataclasses._FIELD_INITVAR  # type: ignore[attr-defined]
        if is_init_only and annotation.default is dataclasses.MISSING:
            raise UnstorableError(
                f"{path_of(kind)} needs {name} (an InitVar) to be made again; register a converter for it"
            )
    return [path, {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}]


def _load_dataclass(stored: list[Any]) -> Any:
    path, values = stored
    kind: Any = _class(path, object)
    if not hasattr(kind, "__dataclass_fields__"):
        raise UnstorableError(f"{path} is no dataclass any more")
    fields = {field.name: field for field in dataclasses.fields(kind)}
    gone = sorted(set(values) - set(fields))
    if gone:
        raise UnstorableError(f"{path} has no field {gone[0]!r} any more, and the stored value has one")
    try:
        made = kind(**{name: value for name, value in values.items() if fields[name].init})
    except TypeError as error:
        raise UnstorableError(f"{path} cannot be made from the stored fields {sorted(values)}: {error}") from error
    # __post_init__ may have changed what it was given; what was stored is what the job gets.
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


def _class_path(kind: type) -> str:
    try:
        return reachable_path(kind)
    except UnreachableError as error:
        raise UnstorableError(
            f"its class {kind.__qualname__} {error}; move the class to the top level of a module"
        ) from None


def _class(path: str, base: type) -> Any:
    try:
        kind = resolve(path)
    except UnreachableError as error:
        raise UnstorableError(str(error)) from error
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise UnstorableError(f"{path} is no longer the class it was")
    return kind


def _encode_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


#: The exact types known from the start. Subclasses are not among them: they would come back as their base.
BUILT_IN: dict[type, Converter] = {
    datetime: Converter("datetime", _dump_moment, _load_datetime),
    date: Converter("date", date.isoformat, date.fromisoformat),
    time: Converter("time", _dump_moment, _load_time),
    timedelta: Converter(
        "timedelta", lambda d: [d.days, d.seconds, d.microseconds], lambda s: timedelta(s[0], s[1], s[2])
    ),
    Decimal: Converter("decimal", str, Decimal),
    UUID: Converter("uuid", str, UUID),
    bytes: Converter("bytes", _encode_bytes, base64.b64decode),
    tuple: Converter("tuple", list, tuple),
    # Sorted, so that equal sets of the usual elements give equal texts.
    set: Converter("set", lambda s: sorted(s, key=repr), set),
    frozenset: Converter("frozenset", lambda s: sorted(s, key=repr), frozenset),
    # Beyond 4 300 digits Python refuses to write decimal numbers; hexadecimal has no limit.
    int: Converter("int", hex, lambda text: int(text, 16)),
    dict: Converter("dict", lambda d: [[key, value] for key, value in d.items()], dict),
}
ENUM = Converter("enum", _dump_enum, _load_enum)
DATACLASS = Converter("dataclass", _dump_dataclass, _load_dataclass)
_BUILT_IN_TAGS = {converter.tag: converter for converter in (*BUILT_IN.values(), ENUM, DATACLASS)}

_registered: dict[type, Converter] = {}
_registered_tags: dict[str, Converter] = {}


def register_converter(
    type: type[T],  # the public word for it
    dump: Callable[[T], Any],
    load: Callable[[Any], T],
    *,
    name: str | None = None,
) -> None:
    """Let values of `type`, and of its subclasses, be arguments of jobs.

    `dump(value)` answers something that can be stored (JSON, or any other type that can be an argument); `load` gets that
    back, in the process that runs the job, and answers the value. A model instance goes by reference like this:

        queued.register_converter(Model, lambda row: [row._meta.label, row.pk], load_row, name="model")

    `name` is what is stored to find `load` again, `module.Class` unless given: keep it when the class moves. Both sides must
    register: do it in a module that the jobs' modules import. The nearest registered ancestor of a value's class is used.
    Registering a type again replaces its converter. Raises `ValueError` when `name` belongs to another type.
    """
    tag = name if name is not None else path_of(type)
    known = _registered_tags.get(tag)
    if tag in _BUILT_IN_TAGS or (known is not None and _registered.get(type) is not known):
        raise ValueError(f"a converter named {tag!r} exists already; give this one another name=")
    before = _registered.pop(type, None)
    if before is not None:
        del _registered_tags[before.tag]
    _registered[type] = _registered_tags[tag] = Converter(tag, dump, load)


def converter_for(value: Any) -> Converter | None:
    """The converter that dumps `value`; None when there is none."""
    kind = type(value)
    exact = BUILT_IN.get(kind)
    if exact is not None:
        return exact
    for ancestor in kind.__mro__:
        registered = _registered.get(ancestor)
        if registered is not None:
            return registered
    if isinstance(value, enum.Enum):
        return ENUM
    return DATACLASS if dataclasses.is_dataclass(kind) else None


def converter_named(tag: str) -> Converter | None:
    """The converter that loads what is stored under `tag`; None when nobody registered it here."""
    return _BUILT_IN_TAGS.get(tag) or _registered_tags.get(tag)
