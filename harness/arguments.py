"""Keyword arguments of registered classes, checked against their signatures."""

from __future__ import annotations

import collections.abc
import inspect
import sys
import typing
from functools import cache
from typing import TYPE_CHECKING
from typing import Any

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import create_model

from harness.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENGINE_PARAMETERS = frozenset({"space", "seed"})


@cache
def arguments_model(cls: type) -> type[BaseModel]:
    """A pydantic model of a registered class's keyword arguments, made from its signature.

    Where ``__init__`` takes ``**options`` for its base class, the keyword arguments of the base class are among
    them. The names that the engine fills in for a strategy (``space``, ``seed``) are left out; arguments that name a
    language model are names here.
    """
    by_name = set(getattr(cls, "model_parameters", ()))
    filled_in = _ENGINE_PARAMETERS if issubclass(cls, Strategy) else frozenset()
    fields: dict[str, Any] = {}
    names = vars(typing) | vars(collections.abc)
    for parameter, owner in _parameters(cls):
        if parameter.name == "self" or parameter.name in filled_in or parameter.name in fields:
            continue
        # Annotations may be text, with names that their module imports for type checkers only.
        names |= vars(sys.modules[owner.__module__])
        default = ... if parameter.default is parameter.empty else parameter.default
        annotation = parameter.annotation
        if parameter.name in by_name:
            annotation = str if default is ... else str | None
        fields[parameter.name] = (annotation, default)
    model = create_model(
        cls.__name__,
        __config__=ConfigDict(
            strict=True, allow_inf_nan=False, arbitrary_types_allowed=True, protected_namespaces=()
        ),
        __module__=cls.__module__,
        **fields,
    )
    model.model_rebuild(_types_namespace=names)
    return model


def _parameters(cls: type) -> Iterator[tuple[inspect.Parameter, type]]:
    """Keyword arguments of a class, and the class in whose ``__init__`` each is written."""
    for owner in cls.__mro__:
        if "__init__" not in vars(owner):
            continue
        passes_on = False
        for parameter in inspect.signature(vars(owner)["__init__"]).parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                passes_on = True
            elif parameter.kind is not parameter.VAR_POSITIONAL:
                yield parameter, owner
        if not passes_on:
            return
