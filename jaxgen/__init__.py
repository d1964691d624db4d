"""jaxgen: RNNs, Transformers, GANs, VAEs and diffusion models in one JAX framework.

`jaxgen.train` and `jaxgen.load` are its commands for Python and notebooks (docs/python.md). What is named in `__all__`
is imported when it is first asked for: `import jaxgen` and `jaxgen --help` import no jax.
"""
# SPDX-License-Identifier: Apache-2.0

__version__ = "0.3.0"

_PUBLIC = {
    "train": "jaxgen.interface",
    "load": "jaxgen.interface",
    "Experiment": "jaxgen.experiment",
    "UserError": "jaxgen.errors",
}
__all__ = ["Experiment", "UserError", "load", "train"]


def __getattr__(name: str):
    """A public name, from the module that defines it."""
    import importlib

    if name not in _PUBLIC:
        raise AttributeError(f"module 'jaxgen' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
