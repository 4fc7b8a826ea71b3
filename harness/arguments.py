"""Keyword arguments of registered classes, checked against their signatures."""

from __future__ import annotations

import collections.abc
import inspect
import json
import sys
import typing
from functools import cache
from typing import TYPE_CHECKING
from typing import Any

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import ValidationError
from pydantic import create_model

from harness.errors import SpecError
from harness.errors import unknown_name
from harness.strategy import Strategy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping

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


def checked_arguments(cls: type, owner: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of a registered class, its defaults among them, as JSON values.

    Args:
        cls: The class.
        owner: Kind and name, for messages: ``proxy 'zen'``.
        settings: What was set.

    Raises:
        SpecError: An unknown setting, or a value of the wrong type.
    """
    model = arguments_model(cls)
    for key in settings:
        if key not in model.model_fields:
            raise SpecError(unknown_name(f"setting of {owner}", key, model.model_fields))
    try:
        # Through JSON, where strict validation still takes a list for a tuple.
        checked = model.model_validate_json(json.dumps(dict(settings)))
    except ValidationError as error:
        wrong = error.errors()[0]
        key = ".".join(map(str, wrong["loc"]))
        raise SpecError(f"setting {key} of {owner}: {wrong['msg']}; got {wrong['input']!r}.") from None
    except (TypeError, ValueError) as error:
        raise SpecError(f"settings of {owner} are numbers, texts and lists: {error}.") from None
    return checked.model_dump(mode="json")


def default_arguments(cls: type) -> dict[str, Any]:
    """Keyword arguments of a class with their defaults; those without a default are left out."""
    found: dict[str, Any] = {}
    for parameter, _ in _parameters(cls):
        if parameter.default is not parameter.empty:
            found.setdefault(parameter.name, parameter.default)
    return found


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
