"""Templates that users write: Jinja in a sandbox that also bounds what a template can cost.

A template comes from whoever may call the API. The sandbox keeps it from Python's internals and
from changing what it is given; loops, ranges and products are bounded, so that a line of text
cannot keep the server busy or fill its memory.

Source: `prefect.server.utilities.user_templates`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2.environment import Environment
    from jinja2.nodes import Node

RANGE_MAX = 100
LOOPS_MAX = 10
LOOP_DEPTH_MAX = 2
PRODUCT_MAX = 1_000_000
"""Length of a text or list that is multiplied; bits of a number that is raised to a power."""


class TemplateFailed(Exception):
    """The template is malformed, forbidden, or fails while it is rendered; the text says which."""


def render(template: str, context: Mapping[str, Any]) -> str:
    """The text of `template`; unknown names are empty, whatever is read from them.

    Raises:
        TemplateFailed: it is malformed, forbidden, or fails.
    """
    if "{{" not in template and "{%" not in template:
        return template
    environment = _environment()
    try:
        # User code: whatever it raises is its author's fault.
        _check_loops(environment.parse(template))
        return environment.from_string(template).render(context)
    except TemplateFailed:
        raise
    except Exception as error:
        raise TemplateFailed(str(error) or type(error).__name__) from error


def _check_loops(root: Node) -> None:
    from jinja2 import nodes

    loops = list(root.find_all(nodes.For))
    if len(loops) > LOOPS_MAX:
        raise TemplateFailed(f"{len(loops)} loops; at most {LOOPS_MAX} are allowed.")
    depth = _loop_depth(root) if loops else 0
    if depth > LOOP_DEPTH_MAX:
        raise TemplateFailed(
            f"Loops are nested {depth} deep; at most {LOOP_DEPTH_MAX} are allowed."
        )


def _loop_depth(node: Node) -> int:
    from jinja2 import nodes

    below = max((_loop_depth(child) for child in node.iter_child_nodes()), default=0)
    return below + isinstance(node, nodes.For)


@cache
def _environment() -> Environment:
    """Made when the first template is rendered: Jinja takes longer to load than all of lictor."""
    from jinja2 import ChainableUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            _check_product(operator, left, right)
            return super().call_binop(context, operator, left, right)

    sandbox = Sandbox(undefined=ChainableUndefined)
    sandbox.globals["range"] = _bounded_range
    return sandbox


def _bounded_range(*bounds: int) -> range:
    found = range(*bounds)
    if len(found) > RANGE_MAX:
        raise TemplateFailed(f"A range of {len(found)}; at most {RANGE_MAX} are allowed.")
    return found


def _check_product(operator: str, left: Any, right: Any) -> None:
    if operator == "**":
        size = abs(right) * left.bit_length() if isinstance(left, int) else 0
    elif isinstance(left, int):
        size = 0 if isinstance(right, int | float) else left * len(right)
    else:
        size = right * len(left) if isinstance(right, int) else 0
    if size > PRODUCT_MAX:
        raise TemplateFailed("A product is too large.")
