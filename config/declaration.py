"""How a setting is declared (`about`), and what its declaration says (`Setting`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta


def about(
    reason: str,
    *,
    unit: str = "",
    prefect: tuple[str, ...] = (),
    secret: bool = False,
    **limits: Any,
) -> Meta:
    """What a setting is for. `prefect`: names honoured after `PREFECT_`, the canonical one first.

    `limits` are msgspec's constraints (`ge`, `gt`, `le`, `pattern`, `min_length`).
    """
    extra = {"unit": unit, "prefect": prefect, "secret": secret}
    return Meta(description=reason, extra=extra, **limits)


class Setting(msgspec.Struct, frozen=True):
    """The declaration of one setting. `type` is bare, `checked` has the range with it."""

    name: str
    type: Any
    checked: Any
    default: Any
    meta: Meta
    unit: str
    prefect: tuple[str, ...]
    secret: bool

    @property
    def is_path(self) -> bool:
        """Whether it names a file or directory."""
        return self.type is Path or Path in get_args(self.type)

    @property
    def reason(self) -> str:
        return self.meta.description or ""

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"LICTOR_{self.name.upper()}"

    @property
    def variables(self) -> tuple[str, ...]:
        """Every environment variable that sets it, the strongest first."""
        return (self.variable, *self.prefect)

    @property
    def range(self) -> str:
        """The allowed values in words; empty when any will do."""
        if get_origin(self.type) is Literal:
            return ", ".join(get_args(self.type))
        if self.type is bool:
            return "true, false"
        if self.meta.pattern:
            return f"matching {self.meta.pattern}"
        meta = self.meta
        bounds = {"at least": meta.ge, "more than": meta.gt, "at most": meta.le}
        return ", ".join(
            f"{word} {bound:g}" if isinstance(bound, float) else f"{word} {bound}"
            for word, bound in bounds.items()
            if bound is not None
        )


def declarations(settings: type[msgspec.Struct]) -> tuple[Setting, ...]:
    """Every field of `settings`, its own before those inherited; each is annotated with `about`."""
    hints = get_type_hints(settings, include_extras=True)
    own = settings.__annotations__
    found = []
    for field in sorted(msgspec.structs.fields(settings), key=lambda each: each.name not in own):
        bare, meta = get_args(hints[field.name])
        extra = meta.extra
        found.append(
            Setting(
                name=field.name,
                type=bare,
                checked=hints[field.name],
                default=field.default,
                meta=meta,
                unit=extra["unit"],
                prefect=tuple(f"PREFECT_{name}" for name in extra["prefect"]),
                secret=extra["secret"],
            )
        )
    return tuple(found)
