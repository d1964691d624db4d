"""Helper modules that lie beside an experiment file: `import mine` finds them there, from wherever it is run."""
# SPDX-License-Identifier: Apache-2.0

import hashlib
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType


class HelperFinder:
    """Finds modules in the folder of the experiment file that was loaded last, before all others.

    As a Python script finds those beside it; but never one of the standard library's names, nor jaxgen's own, so that
    a config called `random.py` or `copy.py` shadows nothing that a library imports later.
    """

    def __init__(self):
        self._folder: Path | None = None
        self._found: dict[str, tuple[Path, str]] = {}  # a module -> its file, and the SHA-256 of that

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = name.partition(".")[0]
        if path is not None or top in sys.stdlib_module_names or top == "jaxgen":
            return None
        spec = self._beside(name)
        if spec is not None:
            self._found[name] = Path(spec.origin), _sha256(Path(spec.origin))
        return spec

    def _beside(self, name: str) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, [str(self._folder)]) if self._folder is not None else None
        return None if spec is None or spec.origin is None else spec  # a folder without `__init__.py` has no origin

    def begin(self, folder: Path) -> None:
        """Look in `folder` from now on; what came from another folder, or has changed since, is imported anew.

        Only the names are forgotten: classes that an earlier experiment holds stay as they are.
        """
        self._folder = folder
        for name, (path, sha256) in list(self._found.items()):
            spec = self._beside(name)
            if spec is None or Path(spec.origin) != path or _sha256(path) != sha256:
                for loaded in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
                    del sys.modules[loaded]
                del self._found[name]
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def digests(self) -> dict[str, str]:
        """The names of the files that were found, and their SHA-256."""
        return {path.name: sha256 for path, sha256 in self._found.values()}


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


_FINDER = HelperFinder()


def look_beside(path: Path) -> None:
    """Let the imports of an experiment file find what lies beside it."""
    _FINDER.begin(path.resolve().parent)


def helper_digests() -> dict[str, str]:
    """The helper modules that the experiment file has imported: the names of their files, and their SHA-256."""
    return _FINDER.digests()
