"""The collecting validator: a decoded JSON value against a msgspec type, every fault named.

It is asked after the fast decoder has refused a body, and walks the type as `msgspec.inspect` shows
it, with the leniency of `coerce`. So a body that is only spelled unusually is taken after all, and
one that is wrong is answered with the place of each mistake.
Source: pydantic's validation errors, their `loc`, `type` and `msg`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from msgspec import UNSET, inspect

from lictor.schema.errors import FieldError
from lictor.schema.wire import coerce
from lictor.schema.wire.coerce import Fault
from lictor.schema.wire.enumerations import ENUMERATIONS

Loc = tuple[str | int, ...]

ERRORS_MAX = 100
"""A body of a million wrong items gets an answer of bounded size."""


Complaint = tuple[str, str, dict[str, Any]]
"""What a broken limit says: type, msg and ctx of the error."""


class _Bad:
    """What a check returns instead of a value once it has noted an error."""


BAD: Final = _Bad()


class Validator:
    """One walk. `errors` holds what is wrong so far, in the order of the fields."""

    __slots__ = ("errors",)

    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def note(
        self, type: str, msg: str, loc: Loc, value: Any, ctx: dict[str, Any] | None = None
    ) -> Any:
        """Note one error (the first `ERRORS_MAX` are kept); always `BAD`."""
        if len(self.errors) < ERRORS_MAX:
            if ctx is None and msg.startswith("Value error"):
                ctx = {"error": {}}
            self.errors.append(FieldError(type, loc, msg, value, UNSET if ctx is None else ctx))
        return BAD

    def check(self, info: inspect.Type, value: Any, loc: Loc) -> Any:
        """`value` as a value of the type, or `BAD` with the reasons in `errors`."""
        kind = type(info)
        scalar = _SCALARS.get(kind)
        if scalar is None:
            return _COMPOSITES[kind](self, info, value, loc)
        try:
            found = scalar(value)
        except Fault as fault:
            return self.note(fault.type, fault.msg, loc, value, fault.ctx)
        limit = _LIMITS.get(kind)
        complaint = limit(info, found) if limit is not None else None
        return found if complaint is None else self.broken(complaint, loc, value)

    def broken(self, complaint: Complaint, loc: Loc, value: Any) -> Any:
        """Note a broken limit; always `BAD`."""
        type, msg, ctx = complaint
        return self.note(type, msg, loc, value, ctx)


def _number_limit(info: Any, value: float) -> Complaint | None:
    if info.ge is not None and not value >= info.ge:
        said = f"Input should be greater than or equal to {info.ge}"
        return "greater_than_equal", said, {"ge": info.ge}
    if info.gt is not None and not value > info.gt:
        return "greater_than", f"Input should be greater than {info.gt}", {"gt": info.gt}
    if info.le is not None and not value <= info.le:
        said = f"Input should be less than or equal to {info.le}"
        return "less_than_equal", said, {"le": info.le}
    if info.lt is not None and not value < info.lt:
        return "less_than", f"Input should be less than {info.lt}", {"lt": info.lt}
    if info.multiple_of is not None and value % info.multiple_of:
        said = f"Input should be a multiple of {info.multiple_of}"
        return "multiple_of", said, {"multiple_of": info.multiple_of}
    return None


def _string_limit(info: Any, value: str) -> Complaint | None:
    least, most = info.min_length, info.max_length
    if least is not None and len(value) < least:
        said = f"String should have at least {_count(least, 'character')}"
        return "string_too_short", said, {"min_length": least}
    if most is not None and len(value) > most:
        said = f"String should have at most {_count(most, 'character')}"
        return "string_too_long", said, {"max_length": most}
    if info.pattern is not None and not re.search(info.pattern, value):
        said = f"String should match pattern '{info.pattern}'"
        return "string_pattern_mismatch", said, {"pattern": info.pattern}
    return None


def _moment_limit(info: Any, value: Any) -> Complaint | None:
    if info.tz is None or info.tz == (value.tzinfo is not None):
        return None
    if info.tz:
        return "timezone_aware", "Input should have timezone info", {}
    return "timezone_naive", "Input should not have timezone info", {}


def _length_limit(info: Any, size: int, noun: str) -> Complaint | None:
    least, most = info.min_length, info.max_length
    told = {"field_type": noun, "actual_length": size}
    if least is not None and size < least:
        said = f"{noun} should have at least {_count(least, 'item')} after validation, not {size}"
        return "too_short", said, {**told, "min_length": least}
    if most is not None and size > most:
        said = f"{noun} should have at most {_count(most, 'item')} after validation, not {size}"
        return "too_long", said, {**told, "max_length": most}
    return None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _nothing(value: Any) -> None:
    if value is not None:
        raise Fault("Input should be None", "none_required")


_SCALARS: dict[type, Callable[[Any], Any]] = {
    inspect.AnyType: lambda value: value,
    inspect.RawType: lambda value: msgspec.Raw(msgspec.json.encode(value)),
    inspect.NoneType: _nothing,
    inspect.BoolType: coerce.boolean,
    inspect.IntType: coerce.integer,
    inspect.FloatType: coerce.number,
    inspect.StrType: coerce.string,
    inspect.UUIDType: coerce.uuid,
    inspect.DateTimeType: coerce.moment,
    inspect.TimeDeltaType: coerce.period,
}

_LIMITS: dict[type, Callable[[Any, Any], Complaint | None]] = {
    inspect.IntType: _number_limit,
    inspect.FloatType: _number_limit,
    inspect.StrType: _string_limit,
    inspect.DateTimeType: _moment_limit,
}


# Types with types inside.


def _described(walk: Validator, info: inspect.Metadata, value: Any, loc: Loc) -> Any:
    return walk.check(info.type, value, loc)


def _literal(walk: Validator, info: inspect.LiteralType, value: Any, loc: Loc) -> Any:
    for allowed in info.values:
        if type(allowed) is type(value) and allowed == value:
            return allowed
    enumeration = ENUMERATIONS.get(frozenset(info.values))
    expected = _alternatives(enumeration or info.values)
    type_ = "literal_error" if enumeration is None else "enum"
    return walk.note(type_, f"Input should be {expected}", loc, value, {"expected": expected})


def _enum(walk: Validator, info: inspect.EnumType, value: Any, loc: Loc) -> Any:
    for member in info.cls:
        if type(member.value) is type(value) and member.value == value:
            return member
    expected = _alternatives(member.value for member in info.cls)
    return walk.note("enum", f"Input should be {expected}", loc, value, {"expected": expected})


def _alternatives(values: Iterable[Any]) -> str:
    *most, last = (repr(value) for value in values)
    return f"{', '.join(most)} or {last}" if most else last


def _items(walk: Validator, item: inspect.Type, value: list[Any], loc: Loc) -> list[Any] | _Bad:
    found = [walk.check(item, each, (*loc, index)) for index, each in enumerate(value)]
    return BAD if any(each is BAD for each in found) else found


def _collection(walk: Validator, info: Any, value: Any, loc: Loc) -> Any:
    kind, noun = _COLLECTIONS[type(info)]
    if not isinstance(value, list):
        name = kind.__name__
        return walk.note(f"{name}_type", f"Input should be a valid {name}", loc, value)
    items = _items(walk, info.item_type, value, loc)
    if isinstance(items, _Bad):
        return BAD
    found = kind(items)
    complaint = _length_limit(info, len(found), noun)
    return found if complaint is None else walk.broken(complaint, loc, value)


_COLLECTIONS: dict[type, tuple[type, str]] = {
    inspect.ListType: (list, "List"),
    inspect.SetType: (set, "Set"),
    inspect.FrozenSetType: (frozenset, "Frozenset"),
    inspect.VarTupleType: (tuple, "Tuple"),
}


def _tuple(walk: Validator, info: inspect.TupleType, value: Any, loc: Loc) -> Any:
    if not isinstance(value, list):
        return walk.note("tuple_type", "Input should be a valid tuple", loc, value)
    size = len(info.item_types)
    if len(value) > size:
        many = _count(size, "item")
        said = f"Tuple should have at most {many} after validation, not {len(value)}"
        told = {"field_type": "Tuple", "max_length": size, "actual_length": len(value)}
        return walk.note("too_long", said, loc, value, told)
    pairs = zip(info.item_types, value, strict=False)
    found = [walk.check(item, each, (*loc, n)) for n, (item, each) in enumerate(pairs)]
    for missing in range(len(value), size):
        found.append(walk.note("missing", "Field required", (*loc, missing), value))
    return BAD if any(each is BAD for each in found) else tuple(found)


def _dict(walk: Validator, info: inspect.DictType, value: Any, loc: Loc) -> Any:
    if not isinstance(value, dict):
        return walk.note("dict_type", "Input should be a valid dictionary", loc, value)
    found: dict[Any, Any] = {}
    bad = False
    for key, item in value.items():
        checked_key = walk.check(info.key_type, key, (*loc, key, "[key]"))
        checked = walk.check(info.value_type, item, (*loc, key))
        bad = bad or checked_key is BAD or checked is BAD
        found[checked_key] = checked
    if bad:
        return BAD
    complaint = _length_limit(info, len(found), "Dictionary")
    return found if complaint is None else walk.broken(complaint, loc, value)


def _struct(walk: Validator, info: inspect.StructType, value: Any, loc: Loc) -> Any:
    """A Struct with named fields. Its tag, if it has one, may be left out but not be wrong.

    One that stands for several kinds has `kind_of`, which tells from the value which one is meant:
    its name goes into the place of an error, as that of a union's member. One whose fields have
    rules of their own has `field_faults`, which is asked about those that are of their types.
    """
    if not isinstance(value, dict):
        said = "Input should be a valid dictionary or object to extract fields from"
        return walk.note("model_attributes_type", said, loc, value)
    kind_of: Callable[[dict[str, Any]], str] | None = getattr(info.cls, "kind_of", None)
    if kind_of is not None:
        loc = (*loc, kind_of(value))
    if (prepared := getattr(info.cls, "prepared", None)) is not None:
        value = prepared(value)
    found: dict[str, Any] = {}
    for field in info.fields:
        if field.encode_name in value:
            name = field.encode_name
            found[field.name] = walk.check(field.type, value[name], (*loc, name))
        elif field.required:
            walk.note("missing", "Field required", (*loc, field.encode_name), value)
            found[field.name] = BAD
    bad = any(each is BAD for each in found.values())
    faults_of: Callable[[dict[str, Any]], Iterable[Fault]] | None
    if (faults_of := getattr(info.cls, "field_faults", None)) is not None:
        for fault in faults_of({name: each for name, each in found.items() if each is not BAD}):
            bad = _blame(walk, fault, value, loc) is BAD
    if info.tag_field is not None and value.get(info.tag_field, info.tag) != info.tag:
        said = f"Input should be {info.tag!r}"
        ctx = {"expected": repr(info.tag)}
        walk.note("literal_error", said, (*loc, info.tag_field), value[info.tag_field], ctx)
        bad = True
    if info.forbid_unknown_fields:
        known = {field.encode_name for field in info.fields} | {info.tag_field}
        for name in (name for name in value if name not in known):
            walk.note(
                "extra_forbidden", "Extra inputs are not permitted", (*loc, name), value[name]
            )
            bad = True
    return BAD if bad else _built(walk, info.cls, found, value, loc)


def _built(walk: Validator, cls: type, fields: dict[str, Any], value: Any, loc: Loc) -> Any:
    """The Struct itself; what its `__post_init__` refuses becomes an error like any other."""
    try:
        return cls(**fields)
    except Fault as fault:
        return _blame(walk, fault, value, loc)
    except (ValueError, TypeError) as error:
        return walk.note("value_error", f"Value error, {error}", loc, value)


def _blame(walk: Validator, fault: Fault, value: Any, loc: Loc) -> Any:
    """Note a fault at the place below `value` that it names; always `BAD`."""
    for key in fault.at:
        value = value.get(key) if isinstance(value, dict) else value
    return walk.note(fault.type, fault.msg, (*loc, *fault.at), value, fault.ctx)


def _union(walk: Validator, info: inspect.UnionType, value: Any, loc: Loc) -> Any:
    """The member the value fits as it is, else the first it can be made to fit.

    Errors inside a member carry its name in their place, as pydantic's do.
    """
    members = [each for each in info.types if not isinstance(each, inspect.NoneType)]
    if value is None and len(members) < len(info.types):
        return None
    if len(members) == 1:
        return walk.check(members[0], value, loc)
    members = _tagged(members, value)
    members.sort(key=lambda member: not _fits(member, value))
    errors: list[FieldError] = []
    for member in members:
        attempt = Validator()
        found = attempt.check(member, value, (*loc, label(member)))
        if found is not BAD:
            return found
        errors += attempt.errors
    walk.errors += errors[: ERRORS_MAX - len(walk.errors)]
    return BAD


def _tagged(members: list[inspect.Type], value: Any) -> list[inspect.Type]:
    """The members a tag in `value` leaves over; all of them when it decides nothing."""
    if not isinstance(value, dict):
        return members
    chosen: list[inspect.Type] = [
        member
        for member in members
        if isinstance(member, inspect.StructType)
        and member.tag_field is not None
        and value.get(member.tag_field) == member.tag
    ]
    return chosen or members


_NATURAL: dict[type, tuple[type, ...]] = {
    bool: (inspect.BoolType,),
    int: (inspect.IntType,),
    float: (inspect.FloatType,),
    str: (inspect.StrType, inspect.EnumType, inspect.LiteralType),
    list: tuple(_COLLECTIONS),
    dict: (inspect.DictType, inspect.StructType),
}


def _fits(info: inspect.Type, value: Any) -> bool:
    """Whether JSON's own type of the value is the one `info` is written in."""
    while isinstance(info, inspect.Metadata):
        info = info.type
    return isinstance(info, _NATURAL.get(type(value), ()))


def label(info: inspect.Type) -> str:
    """The name of a union's member in the place of an error."""
    if isinstance(info, inspect.Metadata):
        return label(info.type)
    if isinstance(info, inspect.StructType):
        return info.cls.__name__.lstrip("_")
    if isinstance(info, (inspect.ListType, inspect.SetType, inspect.FrozenSetType)):
        return f"{_COLLECTIONS[type(info)][0].__name__}[{label(info.item_type)}]"
    if isinstance(info, inspect.DictType):
        return f"dict[{label(info.key_type)},{label(info.value_type)}]"
    if isinstance(info, inspect.LiteralType):
        return f"literal[{','.join(repr(value) for value in info.values)}]"
    return type(info).__name__.removesuffix("Type").lower()


_COMPOSITES: dict[type, Callable[[Validator, Any, Any, Loc], Any]] = {
    inspect.Metadata: _described,
    inspect.LiteralType: _literal,
    inspect.EnumType: _enum,
    inspect.ListType: _collection,
    inspect.SetType: _collection,
    inspect.FrozenSetType: _collection,
    inspect.VarTupleType: _collection,
    inspect.TupleType: _tuple,
    inspect.DictType: _dict,
    inspect.StructType: _struct,
    inspect.UnionType: _union,
}
