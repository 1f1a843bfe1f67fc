"""The words of the filter grammar: which operators a key takes, as request types.

A field's name is its operator and means the same everywhere (`targets.py`): `any_`, `not_any_`,
`all_`, `like_`, `startswith_`, `is_null_`, `exists_`, `eq_`, `before_`, `after_`, `ge_`, `le_`.
Null is absent. Unknown keys are errors. Types named `…Op` take `operator`, which says how the
criteria beside it are combined.

Source: `prefect.server.schemas.filters`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from lictor.schema.wire.states import StateType


class Criteria(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Criteria that must all hold."""


class CriteriaOp(Criteria, kw_only=True, forbid_unknown_fields=True):
    """Criteria combined as `operator` says; it is not handed on to nested ones."""

    operator: Literal["and_", "or_"] = "and_"


class Ids(Criteria):
    any_: list[UUID] | None = None


class IdsNot(Ids):
    not_any_: list[UUID] | None = None


class IdsOrNullOp(CriteriaOp):
    any_: list[UUID] | None = None
    is_null_: bool | None = None


class ParentIdsOp(CriteriaOp):
    any_: list[UUID] | None = None


class FlowRunIdOp(CriteriaOp):
    """Of task runs. Without `any_` it asks for a flow run, unless `is_null_` is null or true."""

    any_: list[UUID] | None = None
    is_null_: bool | None = False


class CreatorOp(CriteriaOp):
    id_: list[UUID] | None = None
    type_: list[str] | None = None
    is_null_: bool | None = None


class Texts(Criteria):
    any_: list[str] | None = None


class TextsNot(Texts):
    not_any_: list[str] | None = None


class TextsLike(Texts):
    like_: str | None = None


class TextsStarting(Texts):
    startswith_: list[str] | None = None


class TextsOrNullOp(CriteriaOp):
    any_: list[str] | None = None
    is_null_: bool | None = None


class Like(Criteria):
    like_: str | None = None


class TagsAllOp(CriteriaOp):
    all_: list[str] | None = None
    is_null_: bool | None = None


class TagsOp(CriteriaOp):
    all_: list[str] | None = None
    any_: list[str] | None = None
    is_null_: bool | None = None


class StateTypes(Criteria):
    any_: list[StateType] | None = None


class StateTypesNot(StateTypes):
    not_any_: list[StateType] | None = None


class Moments(Criteria):
    before_: datetime | None = None
    after_: datetime | None = None


class MomentsOrNull(Moments):
    is_null_: bool | None = None


class Null(CriteriaOp):
    is_null_: bool | None = None


class Exists(Criteria):
    exists_: bool | None = None


class Flag(Criteria):
    eq_: bool | None = None


class Numbers(Criteria):
    ge_: int | None = None
    le_: int | None = None


class NumbersOrNull(Numbers):
    is_null_: bool | None = None
