"""A YAML file that knows the line of each of its keys."""

from __future__ import annotations

from typing import TYPE_CHECKING
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.comments import CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.error import YAMLError

from harness.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class YamlFile:
    """A YAML file whose top level is a mapping.

    Attributes:
        path: The file.
        content: Its content in plain Python types.

    Raises:
        SpecError: It is missing, unreadable, no YAML, or no mapping; names file and line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise SpecError(
                f"{path}: there is no such file; give the path of your experiments.yaml."
            ) from None
        except IsADirectoryError:
            raise SpecError(f"{path}: this is a folder; give the path of a YAML file.") from None
        except UnicodeDecodeError as error:
            raise SpecError(
                f"{path}: this is no text in UTF-8 (byte {error.start}); give a YAML file."
            ) from None
        except OSError as error:
            raise SpecError(f"{path}: cannot be read: {error.strerror}.") from None
        try:
            self._document = YAML(typ="rt").load(text)
        except DuplicateKeyError as error:
            raise SpecError(
                f"{self._at(error)}: {_first_line(error.problem)}; keep one of the two."
            ) from None
        except MarkedYAMLError as error:
            hint = " Indent with spaces, not tabs." if "\t" in text else ""
            raise SpecError(f"{self._at(error)}: this is no YAML: {error.problem}.{hint}") from None
        except (YAMLError, ValueError) as error:
            raise SpecError(f"{path}: this is no YAML: {_first_line(str(error))}.") from None
        except RecursionError:
            raise SpecError(
                f"{path}: this is nested too deeply; a few levels are all that it takes."
            ) from None
        if not isinstance(self._document, CommentedMap):
            kind = "empty" if self._document is None else f"a {type(self._document).__name__}"
            raise SpecError(
                f"{path}: the top level must be a mapping with the key `sweeps`, but it is {kind}."
            )
        self.content: dict[str, Any] = _plain(self._document)

    def where(self, location: Sequence[str | int]) -> str:
        """``file:line: key.key[index]`` of a place, or of its nearest parent that is in the file."""
        node: Any = self._document
        line = 1
        shown = ""
        for part in location:
            if isinstance(node, CommentedMap) and part in node:
                # A key that came by a merge (`<<`) has no line of its own here.
                if part in (node.lc.data or {}):
                    line = node.lc.key(part)[0] + 1
                shown += f".{part}"
            elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
                line = node.lc.item(part)[0] + 1
                shown += f"[{part}]"
            else:
                # A missing key, or one of the words with which pydantic names an alternative of a union.
                if isinstance(node, CommentedMap):
                    shown += f".{part}"
                break
            node = node[part]
        return f"{self.path}:{line}: {shown.removeprefix('.')}" if shown else f"{self.path}:{line}"

    def _at(self, error: MarkedYAMLError) -> str:
        mark = error.problem_mark or error.context_mark
        return f"{self.path}:{mark.line + 1}" if mark is not None else str(self.path)


def _plain(node: Any) -> Any:
    if isinstance(node, CommentedMap):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    # Round-trip scalars remember how they were written; what counts here is what they are.
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _first_line(text: str | None) -> str:
    return (text or "").strip().splitlines()[0] if text else "unreadable"
