"""Names that people and programs give folders: of splits, and of what is no data."""
# SPDX-License-Identifier: Apache-2.0

SPLIT_FOLDERS = {  # in lower case; people write them in any
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("valid", "val", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_LEFTOVERS = {"__macosx", "@eadir", "__pycache__", "$recycle.bin", "system volume information", "lost+found"}


def left_behind(part: str) -> bool:
    """Whether a file or folder of this name is hidden, or one that archives, file managers and notebooks leave."""
    return part.startswith(".") or part.lower() in _LEFTOVERS
