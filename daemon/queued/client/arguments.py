"""Arguments of jobs as JSON text, and back: exactly what went in comes out, or nothing goes in.

Text is plain ASCII: characters beyond it, NUL and lone surrogates are written as JSON escapes, which every database holds
and every encoding carries. Values that JSON has no word for are marked, `{"$queued": TAG, "value": ...}` (see `converters`);
a user's own dict that holds the key `$queued`, or keys that are no strings, is stored as a list of pairs under such a mark.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any

from queued.client.converters import BUILT_IN, Converter, UnstorableError, converter_for, converter_named
from queued.domain.errors import ArgumentError

#: Characters of JSON text that one job's arguments may take. A queue carries references; files belong elsewhere.
MAX_SIZE = 1024 * 1024
#: Levels of lists, dicts and other containers within each other.
MAX_DEPTH = 100
#: Integers up to this many bits are written as JSON numbers; Python refuses decimal texts of more than 4 300 digits.
_PLAIN_BITS = 4096

MARK = "$queued"
_DUMP = json.JSONEncoder(ensure_ascii=True, check_circular=False, allow_nan=False, separators=(",", ":")).encode
_READ = json.JSONDecoder().raw_decode
_SCALARS = frozenset({str, int, float, bool, type(None)})
#: How single values are written that JSON has a word for, whatever their value.
_WORDS: Mapping[type, Callable[[Any], str]] = {
    str: encode_basestring_ascii,
    int: int.__repr__,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): {None: "null"}.__getitem__,
}


def encode_call(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """The text that is stored for a job called with `args` and `kwargs`.

    Raises `ArgumentError` with the path of the first value that cannot be stored, or when all together are too large.
    """
    text = None if kwargs else _short_text(args)
    if text is not None:
        return text
    call: dict[str, Any] = {"args": list(args), "kwargs": dict(kwargs)}
    text = _plain_text(call)
    if text is None:
        walk = _Encoding()
        call["args"] = [walk.value(value, f"args[{i}]", 1) for i, value in enumerate(call["args"])]
        call["kwargs"] = {name: walk.value(value, f"kwargs[{name!r}]", 1) for name, value in call["kwargs"].items()}
        text = _DUMP(call)
    if len(text) > MAX_SIZE:
        path, size = _largest(call)
        raise ArgumentError(path, f"makes the arguments too large: {_too_large(len(text), size)}")
    return text


def decode_call(text: str) -> tuple[list[Any], dict[str, Any]]:
    """The arguments that `encode_call` stored. Raises `ArgumentError` when they cannot be read in this process."""
    try:
        call = _loaded(text)
        args, kwargs = call["args"], call["kwargs"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArgumentError("args", f"what is stored is no call of a job: {text[:100]!r}") from error
    if MARK not in text:
        return args, kwargs
    return (
        [_decode(value, f"args[{i}]") for i, value in enumerate(args)],
        {name: _decode(value, f"kwargs[{name!r}]") for name, value in kwargs.items()},
    )


def _loaded(text: str) -> Any:
    """As `json.loads`, in half the time for a short text that has no spaces around it."""
    try:
        value, end = _READ(text)
    except ValueError:
        end = -1
    return value if end == len(text) else json.loads(text)


def encode_value(value: Any, path: str) -> Any:
    """`value` as something `json.dumps` writes; `path` is its name in errors. Raises `ArgumentError`."""
    return _Encoding().value(value, path, 1)


def decode_value(stored: Any, path: str) -> Any:
    """What `encode_value` was given. Raises `ArgumentError`."""
    return _decode(stored, path)


def _short_text(args: Sequence[Any]) -> str | None:
    """The text of a call by position with single values, which most are; None for any other, and for what may be refused.

    A third of the price of the general way, which makes an encoder each time.
    """
    words = []
    for value in args:
        write = _WORDS.get(type(value))
        if write is None:
            return None
        try:
            words.append(write(value))
        except ValueError:  # an integer too long for decimal digits
            return None
    text = f'{{"args":[{",".join(words)}],"kwargs":{{}}}}'
    return text if len(text) <= MAX_SIZE else None


def _plain_text(call: dict[str, Any]) -> str | None:
    """The text of a call that is JSON already; None when it is not, or might be refused.

    Level by level instead of recursively: most of the work is `list.extend`, and cycles end at the depth limit.
    """
    level: list[Any] = [*call["args"], *call["kwargs"].values()]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in level:
            kind = type(value)
            if kind in _SCALARS:
                continue
            if kind is list:
                below += value
            elif kind is dict:
                for key in value:
                    if type(key) is not str or key == MARK:
                        return None
                below += value.values()
            else:
                return None
        if not below:
            break
        if len(below) > MAX_SIZE:
            return None
        level = below
    else:
        return None
    try:
        return _DUMP(call)
    except ValueError:  # NaN, infinity, or an integer too long for decimal digits
        return None


class _Encoding:
    """One walk over arguments that are not plain JSON, or are to be refused with the place that is wrong."""

    def __init__(self) -> None:
        self._values = 0
        self._inside: set[int] = set()

    def value(self, value: Any, path: str, depth: int) -> Any:
        self._values += 1
        # Each value takes at least one character, so this many cannot fit; it also ends values that share parts so often
        # that writing them out would take for ever.
        if self._values > MAX_SIZE:
            raise ArgumentError(path, f"too many values: {_REMEDY}")
        kind = type(value)
        if kind is float:
            return self._float(value, path)
        if kind is int and value.bit_length() > _PLAIN_BITS:
            return {MARK: "int", "value": hex(value)}
        if kind in _SCALARS:
            return value
        if depth > MAX_DEPTH:
            raise ArgumentError(path, f"nested deeper than {MAX_DEPTH} levels; flatten it, or pass a reference to it")
        if id(value) in self._inside:
            raise ArgumentError(path, "contains itself; pass a reference (an id) instead")
        self._inside.add(id(value))
        try:
            return self._container(value, kind, path, depth)
        finally:
            self._inside.discard(id(value))

    def _float(self, value: float, path: str) -> float:
        if value != value or value in (float("inf"), float("-inf")):
            raise ArgumentError(path, f"{value} is no number that JSON can hold; pass None, or a Decimal")
        return value

    def _container(self, value: Any, kind: type, path: str, depth: int) -> Any:
        if kind is list:
            return [self.value(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
        if kind is dict and all(type(key) is str for key in value) and MARK not in value:
            return {key: self.value(item, f"{path}[{_brief(key)}]", depth + 1) for key, item in value.items()}
        converter = converter_for(value)
        if converter is None:
            raise ArgumentError(path, _unknown(value))
        return {MARK: converter.tag, "value": self._converted(converter, value, kind, path, depth)}

    def _converted(self, converter: Converter, value: Any, kind: type, path: str, depth: int) -> Any:
        try:
            dumped = converter.dump(value)
        except UnstorableError as error:
            raise ArgumentError(path, str(error)) from None
        except RecursionError:
            raise ArgumentError(path, "nested too deeply; pass a reference to it") from None
        except Exception as error:
            reason = f"the converter {converter.tag!r} failed on it: {type(error).__name__}: {error}"
            raise ArgumentError(path, reason) from error
        if converter.tag == "dict":
            return [self._pair(key, item, path, depth + 1) for key, item in dumped]
        if converter.tag == "dataclass":
            class_path, fields = dumped
            return [class_path, {name: self.value(item, f"{path}.{name}", depth + 1) for name, item in fields.items()}]
        if kind is tuple:
            return [self.value(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(dumped)]
        if kind is set or kind is frozenset:
            return [self.value(item, f"{path} element {_brief(item)}", depth + 1) for item in dumped]
        if kind in BUILT_IN:
            return dumped
        return self.value(dumped, path, depth + 1)

    def _pair(self, key: Any, item: Any, path: str, depth: int) -> list[Any]:
        name = _brief(key)
        return [self.value(key, f"{path} key {name}", depth), self.value(item, f"{path}[{name}]", depth)]


def _decode(stored: Any, path: str) -> Any:
    if type(stored) is list:
        return [_decode(item, f"{path}[{i}]") for i, item in enumerate(stored)]
    if type(stored) is not dict:
        return stored
    if MARK not in stored:
        return {key: _decode(item, f"{path}[{_brief(key)}]") for key, item in stored.items()}
    tag = stored[MARK]
    converter = converter_named(tag) if isinstance(tag, str) else None
    if converter is None:
        reason = f"no converter named {tag!r} is registered here; import the module that calls register_converter"
        raise ArgumentError(path, reason)
    value = _decode(stored.get("value"), path)
    try:
        return converter.load(value)
    except UnstorableError as error:
        raise ArgumentError(path, str(error)) from error
    except Exception as error:
        reason = f"the converter {tag!r} could not read {_brief(value)}: {type(error).__name__}: {error}"
        raise ArgumentError(path, reason) from error


_REMEDY = f"the limit is {MAX_SIZE:,} characters of JSON; store the data elsewhere and pass a reference to it"


def _too_large(whole: int, part: int) -> str:
    return f"{part:,} of {whole:,} characters; {_REMEDY}"


def _largest(call: dict[str, Any]) -> tuple[str, int]:
    """The path and size of the argument that takes most of the text."""
    sizes = {f"args[{i}]": len(_DUMP(value)) for i, value in enumerate(call["args"])}
    sizes.update({f"kwargs[{name!r}]": len(_DUMP(value)) for name, value in call["kwargs"].items()})
    return max(sizes.items(), key=lambda item: item[1])


def _unknown(value: Any) -> str:
    kind = type(value)
    for base in (bool, str, int, float, dict, list, tuple, set, frozenset, bytes):
        if isinstance(value, base):
            return (
                f"{kind.__module__}.{kind.__qualname__} would come back as a plain {base.__name__}; "
                f"pass {base.__name__}(value), or register a converter with queued.register_converter"
            )
    return (
        f"a {kind.__module__}.{kind.__qualname__} cannot be stored; pass its id or its parts, "
        "or register a converter with queued.register_converter"
    )


def _brief(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 60 else text[:57] + "..."
