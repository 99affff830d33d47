"""What goes in as an argument comes out exactly, or is refused at enqueue with its place."""

from __future__ import annotations

import collections
import enum
import json
from dataclasses import InitVar, dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import queued
from queued.client import converters
from queued.client.arguments import MAX_DEPTH, MAX_SIZE, decode_call, encode_call
from queued.domain.errors import ArgumentError


class Colour(enum.Enum):
    RED = "r"
    BLUE = ("b", 2)


class Size(enum.IntEnum):
    SMALL = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@dataclass(frozen=True)
class Point:
    x: int
    y: Any = None


@dataclass
class Order:
    lines: list[Point]
    total: Decimal = Decimal("0")
    key: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.key = f"order of {len(self.lines)}"


@dataclass(frozen=True)
class Slotted:
    __slots__ = ("a",)
    a: int


@dataclass
class Secretive:
    seed: InitVar[int]
    value: int = field(init=False, default=0)

    def __post_init__(self, seed: int) -> None:
        self.value = seed


class Customer:
    """Not storable without a converter."""

    def __init__(self, id: int) -> None:
        self.id = id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Customer) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)


class GoldCustomer(Customer):
    pass


def there_and_back(*args: Any, **kwargs: Any) -> Any:
    text = encode_call(args, kwargs)
    assert text.isascii()
    assert "\0" not in text
    came_args, came_kwargs = decode_call(text)
    return came_args, came_kwargs


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same types all the way down: 1 is not True, -0.0 is not 0.0, a fold is a fold."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return repr(a) == repr(b)
    if isinstance(a, Decimal):
        return str(a) == str(b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return same([list(pair) for pair in a.items()], [list(pair) for pair in b.items()])
    if isinstance(a, set | frozenset):
        return sorted(map(_exact, a)) == sorted(map(_exact, b))
    if isinstance(a, datetime | time):
        return a.replace(tzinfo=None) == b.replace(tzinfo=None) and a.fold == b.fold and same_zone(a, b)
    return bool(a == b)


def _exact(value: Any) -> str:
    if isinstance(value, set | frozenset | tuple):
        inner = [_exact(one) for one in value]
        return f"{type(value).__name__} {inner if isinstance(value, tuple) else sorted(inner)}"
    return f"{type(value).__name__} {value!r}"


def same_zone(a: Any, b: Any) -> bool:
    return getattr(a.tzinfo, "key", None) == getattr(b.tzinfo, "key", None) and a.utcoffset() == b.utcoffset()


zones = st.one_of(
    st.none(),
    st.sampled_from([timezone.utc, ZoneInfo("Europe/Berlin"), ZoneInfo("America/New_York"), ZoneInfo("UTC")]),
    st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(
        lambda d: timezone(timedelta(seconds=d // timedelta(seconds=1)))
    ),
)
texts = st.text(alphabet=st.characters(codec=None), max_size=20)  # surrogates and NUL included
hashable_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=2**63, max_value=2**200),
    texts,
    st.binary(max_size=20),
    st.uuids(),
    st.dates(),
    st.datetimes(timezones=zones).flatmap(lambda d: st.sampled_from([d.replace(fold=0), d.replace(fold=1)])),
    st.times(),
    st.timedeltas(),
    st.sampled_from([*Colour, *Size, *Access, Access.READ | Access.WRITE]),
)
leaves = st.one_of(hashable_leaves, st.floats(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False))
keys = st.one_of(
    hashable_leaves,
    st.lists(hashable_leaves, max_size=3).map(tuple),
    st.frozensets(st.tuples(hashable_leaves), max_size=3),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(texts | st.just("$queued"), inner, max_size=4),
        st.dictionaries(keys, inner, max_size=4),
        st.sets(keys, max_size=4),
        st.builds(Point, st.integers(), inner),
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.lists(values, max_size=3), st.dictionaries(texts, values, max_size=3))
def test_every_value_comes_back_exactly_as_it_went_in(args: list[Any], kwargs: dict[str, Any]) -> None:
    came_args, came_kwargs = there_and_back(*args, **kwargs)
    assert same(came_args, args)
    assert same(came_kwargs, kwargs)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
)


@given(json_values)
def test_plain_json_is_stored_as_itself_without_marks(value: Any) -> None:
    text = encode_call([value], {})
    if "$queued" not in text:
        assert same(json.loads(text), {"args": [value], "kwargs": {}})


@given(st.lists(st.none() | st.booleans() | st.integers() | texts, max_size=4))
def test_single_values_are_written_as_json_writes_them(values: list[Any]) -> None:
    assert encode_call(values, {}) == json.dumps({"args": values, "kwargs": {}}, separators=(",", ":"))


@pytest.mark.parametrize(
    "value",
    [
        -0.0,
        5e-324,
        1.7976931348623157e308,
        2**64,
        -(2**2000),
        10**4299,
        10**4300,
        -(10**20000),
        "a\0b",
        "\ud800 alone",
        "\U0001f600 and é",
        {"$queued": "datetime", "value": "not one"},
        {"a": {"$queued": [1]}},
        {1: "a", "1": "b", (1, 2): "c", None: "d"},
        Decimal("NaN"),
        Decimal("-Infinity"),
        Decimal("1.10"),
        b"\x00\xff",
        (),
        ((), [()]),
        frozenset({(1, frozenset({2}))}),
        timedelta(days=-1, microseconds=3),
        timedelta.max,
        datetime.max,
        datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
        datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=5, minutes=45, seconds=1))),
        time(1, 2, tzinfo=ZoneInfo("Asia/Kathmandu")),
        date.min,
        UUID(int=0),
        Colour.BLUE,
        Size.SMALL,
        Access.READ | Access.WRITE,
        Access(0),
        Slotted(4),
    ],
    ids=lambda value: type(value).__name__,
)
def test_corner_values_round_trip(value: Any) -> None:
    (came,), _ = there_and_back(value)
    if isinstance(value, Decimal) and value.is_nan():
        assert came.is_nan()
    else:
        assert same(came, value)


def test_a_dataclass_is_made_again_with_the_fields_it_had() -> None:
    order = Order([Point(1), Point(2, (3,))], Decimal("9.90"))
    order.key = "changed after it was made"
    (came,), _ = there_and_back(order)
    assert came == order
    assert type(came.lines[1].y) is tuple


def test_a_dataclass_field_that_is_gone_is_named() -> None:
    text = encode_call([Point(1)], {}).replace('"y"', '"z"')
    with pytest.raises(ArgumentError, match="has no field 'z' any more"):
        decode_call(text)


@pytest.mark.parametrize(
    ("args", "kwargs", "path", "reason"),
    [
        ([float("nan")], {}, "args[0]", "nan is no number"),
        ([1, {"rates": [1.0, float("inf")]}], {}, "args[1]['rates'][1]", "inf is no number"),
        ([], {"when": {"at": object()}}, "kwargs['when']['at']", "builtins.object cannot be stored"),
        ([Point(1, [lambda: 0])], {}, "args[0].y[0]", "function cannot be stored"),
        ([{(1, float("nan")): 1}], {}, "args[0] key (1, nan)[1]", "nan"),
        ([{"k": (1, object)}], {}, "args[0]['k'][1]", "builtins.type cannot be stored"),
        ([collections.OrderedDict(a=1)], {}, "args[0]", "would come back as a plain dict"),
        ([type("Text", (str,), {})("x")], {}, "args[0]", "would come back as a plain str"),
        ([Customer(1)], {}, "args[0]", "register_converter"),
        ([Secretive(3)], {}, "args[0]", "InitVar"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place(
    args: list[Any], kwargs: dict[str, Any], path: str, reason: str
) -> None:
    with pytest.raises(ArgumentError) as refused:
        encode_call(args, kwargs)
    assert refused.value.path == path
    assert reason in refused.value.reason


def test_classes_that_no_other_process_can_reach_are_refused() -> None:
    @dataclass
    class Local:
        x: int

    class Mood(enum.Enum):
        GOOD = 1

    for value in (Local(1), Mood.GOOD):
        with pytest.raises(ArgumentError, match="defined inside a function"):
            encode_call([[value]], {})


def test_a_cycle_is_refused_and_named() -> None:
    loop: list[Any] = [1]
    loop.append({"again": loop})
    with pytest.raises(ArgumentError, match="contains itself") as refused:
        encode_call([loop], {})
    assert refused.value.path == "args[0][1]['again']"


def test_nesting_up_to_the_limit_is_stored_and_beyond_it_is_refused() -> None:
    def nested(depth: int, kind: Any) -> Any:
        value: Any = 1
        for _ in range(depth):
            value = kind(value)
        return value

    for kind in (lambda v: [v], lambda v: {"k": v}, lambda v: (v,), lambda v: {1: v}):
        deep = nested(MAX_DEPTH, kind)
        assert there_and_back(deep) == ([deep], {})
        with pytest.raises(ArgumentError, match="deeper than 100"):
            encode_call([nested(MAX_DEPTH + 1, kind)], {})
    with pytest.raises(ArgumentError, match="deeper than 100"):
        encode_call([nested(100_000, lambda v: [v])], {})


def test_too_much_is_refused_with_the_argument_that_takes_most() -> None:
    encode_call(["x" * (MAX_SIZE - 40)], {})
    with pytest.raises(ArgumentError, match="pass a reference") as refused:
        encode_call([1], {"small": "s", "big": "x" * MAX_SIZE})
    assert refused.value.path == "kwargs['big']"
    with pytest.raises(ArgumentError, match="pass a reference"):
        encode_call([b"x" * MAX_SIZE], {})


def test_values_that_share_parts_without_end_are_refused_quickly() -> None:
    lol: list[Any] = ["lol"]
    for _ in range(60):
        lol = [lol, lol]
    with pytest.raises(ArgumentError, match="too many values"):
        encode_call([lol], {})


def test_a_registered_converter_carries_a_type_and_its_subclasses_by_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converters, "_registered", {})
    monkeypatch.setattr(converters, "_registered_tags", {})
    customers = {1: Customer(1), 2: GoldCustomer(2)}
    queued.register_converter(Customer, lambda c: (c.id, "v1"), lambda stored: customers[stored[0]], name="customer")
    text = encode_call([customers[2], {"c": customers[1]}], {})
    assert '"$queued":"customer"' in text
    (gold, plain), _ = decode_call(text)
    assert gold is customers[2]
    assert plain["c"] is customers[1]
    with pytest.raises(ValueError, match="exists already"):
        queued.register_converter(Point, lambda p: 1, lambda s: Point(1), name="customer")
    with pytest.raises(ValueError, match="exists already"):
        queued.register_converter(Point, lambda p: 1, lambda s: Point(1), name="datetime")
    del customers[1]
    with pytest.raises(ArgumentError, match="could not read"):
        decode_call(text)


def test_a_converter_that_fails_names_the_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converters, "_registered", {})
    monkeypatch.setattr(converters, "_registered_tags", {})
    queued.register_converter(Customer, lambda c: 1 // 0, lambda s: Customer(s))
    with pytest.raises(ArgumentError, match=r"args\[0\]: the converter .* failed on it: ZeroDivisionError"):
        encode_call([Customer(1)], {})


@pytest.mark.parametrize(
    "text",
    [
        '{"args":[{"$queued":"gone","value":1}],"kwargs":{}}',
        '{"args":[{"$queued":["x"]}],"kwargs":{}}',
        "[]",
        "not json",
        '{"args":1}',
    ],
)
def test_what_cannot_be_read_is_one_clear_error(text: str) -> None:
    with pytest.raises(ArgumentError):
        decode_call(text)


def test_sets_of_equal_elements_give_equal_texts() -> None:
    assert encode_call([{"b", "a", "c"}], {}) == encode_call([{"c", "b", "a"}], {})
