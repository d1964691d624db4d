"""The names of some 3,900 emoji in two languages, from the `emoji` package: a small parallel corpus without a file."""
# SPDX-License-Identifier: Apache-2.0

import re
from dataclasses import dataclass

from jaxgen.data.splits import tenth_of
from jaxgen.errors import UserError, nearest

_FULLY_QUALIFIED = 2  # one spelling of each emoji
_SKIN_OR_STYLE = re.compile("[\U0001f3fb-\U0001f3ff\ufe0f]")
_GENDER_OR_HAIR = re.compile("\u200d[\u2640\u2642\U0001f9b0-\U0001f9b3]")
_MAN_OR_WOMAN = re.compile("[\U0001f468\U0001f469]")
_PERSON = "\U0001f9d1"
_TENTHS = {0: "test", 1: "validation"}  # of the bases; the others are trained on

Line = tuple[str, str, str]  # where it stands, its source, its target


@dataclass(frozen=True)
class EmojiNames:
    """Names of emoji in the language `source` and, line by line, in `target` (two letters each, "de" and "en" say).

    Emoji that differ in skin, gender or hair alone share a base, and all of a base are in one split, which a hash of
    the base chooses: no name in "test" or "validation" is a variant of one that is trained on. "combinations" are the
    names in "test" all of whose words, in both languages, occur in "train".
    """

    source: str = "de"
    target: str = "en"

    def __str__(self) -> str:
        return f"emoji-names {self.source}-{self.target}"

    def lines(self) -> dict[str, list[Line]]:
        """The pairs of each split. UserError for a language that the package does not have."""
        import emoji

        for field in ("source", "target"):
            if (language := getattr(self, field)) not in emoji.LANGUAGES:
                more = nearest(language, emoji.LANGUAGES)
                raise UserError(f"data.train.{field} is {language!r}, a language that emoji have no names in{more}")
            emoji.config.load_language(language)
        splits: dict[str, list[Line]] = {"train": [], "validation": [], "test": []}
        for characters, names in emoji.EMOJI_DATA.items():
            if names["status"] == _FULLY_QUALIFIED and self.source in names and self.target in names:
                pair = words_of(names[self.source]), words_of(names[self.target])
                splits[_TENTHS.get(tenth_of(base_of(characters)), "train")].append((f"the emoji {characters}", *pair))
        known = [_known(line[side] for line in splits["train"]) for side in (1, 2)]
        combined = [line for line in splits["test"] if all(_known([line[side]]) <= known[side - 1] for side in (1, 2))]
        return splits | {"combinations": combined}


def base_of(characters: str) -> str:
    """An emoji without its skin, gender and hair: what its variants share."""
    plain = _GENDER_OR_HAIR.sub("", _SKIN_OR_STYLE.sub("", characters))
    return _MAN_OR_WOMAN.sub(_PERSON, plain)


def words_of(name: str) -> str:
    """The words of a name: "woman running" of ":woman_running:"."""
    return re.sub(" *, *", ", ", name.strip(":").replace("_", " "))


def _known(names) -> set[str]:
    return {word for name in names for word in re.findall(r"\w+", name)}
