"""The fenced blocks of a Markdown page, and what their marks say to do with them."""
# SPDX-License-Identifier: Apache-2.0

import re
from dataclasses import dataclass
from pathlib import Path

WHEN = ("quick", "slow", "manual")
SHOWN = ("text", "json", "yaml", "toml", "html", "mermaid")  # languages that nothing runs
_FENCE = re.compile(r"^( *)(```+|~~~+)(.*)$")


@dataclass(frozen=True)
class Block:
    """A block of code: its language, when it is run ("never" for what is only shown), and where it stands."""

    language: str
    when: str
    code: str
    line: int


class Unmarked(AssertionError):
    """A block whose mark does not say when it is run."""


def blocks_of(page: Path) -> list[Block]:
    """Every block, in order. Unmarked, with a sentence, for one of a shell without a mark, and for unknown marks."""
    found, opened, inside = [], None, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, inside = (number, *fence.groups()), []
        elif opened is not None and line.strip().startswith(opened[2]) and not line.strip().strip("`~"):
            found.append(_block(page, opened[0], opened[3].split(), inside))
            opened = None
        elif opened is not None:
            inside.append(line.removeprefix(opened[1]))
    if opened is not None:
        raise Unmarked(f"{page.name} line {opened[0]}: this block is never closed")
    return found


def _block(page: Path, line: int, words: list[str], inside: list[str]) -> Block:
    language, when = [*words, "", ""][:2]
    code = "\n".join(inside) + "\n"
    if language in SHOWN and not when:
        return Block(language, "never", code, line)
    if language == "python" and len(words) <= 2 and (when or "quick") in WHEN:
        return Block(language, when or "quick", code, line)
    if language == "sh" and len(words) == 2 and when in WHEN:
        return Block(language, when, code, line)
    raise Unmarked(
        f"{page.name} line {line}: a block is marked {' '.join(words)!r}; mark it `sh quick`, `sh slow` or "
        f"`sh manual`, `python`, `python slow` or `python manual`, or as what is only shown: {', '.join(SHOWN)}"
    )
