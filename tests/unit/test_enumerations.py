"""The words that refusals name are those that requests may use."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from lictor.schema.filters import sorts
from lictor.schema.wire.enumerations import ENUMERATIONS


@pytest.mark.parametrize(
    "sort", [sorts.FlowSort, sorts.DeploymentSort, sorts.FlowRunSort, sorts.TaskRunSort]
)
def test_every_order_of_a_search_is_an_enumeration(sort: Any) -> None:
    assert frozenset(get_args(sort)) in ENUMERATIONS


def test_no_enumeration_names_a_word_twice() -> None:
    assert all(len(words) == len(chosen) for chosen, words in ENUMERATIONS.items())
