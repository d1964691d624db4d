"""Linear degradations y = A x of pictures: A, its adjoint, and functions of A Aᵀ where its eigenvectors are known.

With A = U S Vᵀ every solver needs the singular vectors through functions of the singular values alone:

    (1)  A⁺ y              = Aᵀ U f(S²) Uᵀ y,  f(s²) = 1/s² and f(0) = 0
    (2)  (A Aᵀ + c I)⁻¹ y  = U f(S²) Uᵀ y,     f(s²) = 1/(s² + c)
    (3)  V f(S²) Vᵀ x      = f(0) x + Aᵀ U g(S²) Uᵀ A x,  g(s²) = (f(s²) - f(0))/s² and g(0) = 0

so an operator gives A, Aᵀ and y -> U f(S²) Uᵀ y, and V is never built. Pictures are [B, H, W, C] in [-1, 1].
"""
# SPDX-License-Identifier: Apache-2.0

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import struct

from jaxgen.errors import UserError

OfSquares = Callable[[jax.Array], jax.Array]  # squared singular values, any shape -> a factor for each
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: what "grey" means in JPEG files and in Pillow


class Degradation(Protocol):
    """A map from pictures [B, H, W, C] to measurements [B, ...] that can be differentiated."""

    def forward(self, x: jax.Array) -> jax.Array: ...


@runtime_checkable
class Linear(Degradation, Protocol):
    """A degradation y = A x with its adjoint: <A x, y> = <x, Aᵀ y>."""

    def adjoint(self, y: jax.Array) -> jax.Array: ...


@runtime_checkable
class Spectral(Linear, Protocol):
    """A linear degradation whose left singular vectors U are known."""

    def gram(self, f: OfSquares, y: jax.Array) -> jax.Array:
        """U f(S²) Uᵀ y, of y's shape; f(s²) = s² makes it A Aᵀ y."""


@runtime_checkable
class Frame(Spectral, Protocol):
    """A spectral operator of one singular value: A Aᵀ = `square` I."""

    @property
    def square(self) -> float: ...


def spectral(operator: Degradation) -> Spectral:
    """The operator itself. UserError where its singular vectors are not known: A and Aᵀ do not tell them."""
    if isinstance(operator, Spectral):
        return operator
    parts = operator.parts if isinstance(operator, Chain) else (operator,)
    what = " after ".join(type(part).__name__ for part in reversed(parts))
    raise UserError(
        f"{what} has no singular vectors in closed form, which this solver needs; take `tweedie` (linear degradations) "
        "or `dps` (all)"
    )


def pseudo_inverse(operator: Spectral, y: jax.Array) -> jax.Array:
    """A⁺ y, the smallest x of those with the least |A x - y| (eq. 1)."""
    return operator.adjoint(spectral(operator).gram(inverse, y))


def inverse(squares: jax.Array) -> jax.Array:
    """1/s², and 0 where s = 0."""
    return jnp.where(squares > 0, 1 / jnp.where(squares > 0, squares, 1), 0)


def resolvent(constant: jax.Array | float) -> OfSquares:
    """s² -> 1/(s² + constant), and 0 where both are 0 (eq. 2)."""
    return lambda squares: inverse(squares + constant)


def of_squares(operator: Spectral, f: OfSquares, x: jax.Array) -> jax.Array:
    """V f(S²) Vᵀ x, of x's shape [B, H, W, C] (eq. 3); the null space of A counts as s = 0."""
    at_zero = f(jnp.zeros(()))
    return at_zero * x + operator.adjoint(
        spectral(operator).gram(lambda squares: (f(squares) - at_zero) * inverse(squares), operator.forward(x))
    )


class _Orthogonal:
    """The part of an operator with A Aᵀ = square I that follows from the square."""

    @property
    def square(self) -> float:
        """The one squared singular value."""
        return 1.0

    def gram(self, f: OfSquares, y: jax.Array) -> jax.Array:
        """f(square) y."""
        return f(jnp.asarray(self.square, jnp.float32)) * y


@struct.dataclass
class Identity(_Orthogonal):
    """A = I: nothing is lost; what remains to be undone is the measurement's noise."""

    def forward(self, x: jax.Array) -> jax.Array:
        """x itself."""
        return x

    def adjoint(self, y: jax.Array) -> jax.Array:
        """y itself."""
        return y


@struct.dataclass
class Grey(_Orthogonal):
    """Colours [..., C] become one channel [..., 1]: a weighted sum, by default the luma of JPEG files."""

    weights: tuple[float, ...] = struct.field(pytree_node=False, default=LUMA)

    @property
    def square(self) -> float:
        """|weights|²."""
        return math.fsum(weight**2 for weight in self.weights)

    def forward(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, 1]."""
        return x @ jnp.asarray(self.weights, x.dtype)[:, None]

    def adjoint(self, y: jax.Array) -> jax.Array:
        """[B, H, W, 1] -> [B, H, W, C]."""
        return y * jnp.asarray(self.weights, y.dtype)


@struct.dataclass
class Downsample(_Orthogonal):
    """Each block of `factor` x `factor` pixels becomes its average: [B, H, W, C] -> [B, H/factor, W/factor, C]."""

    factor: int = struct.field(pytree_node=False)

    @property
    def square(self) -> float:
        """1/factor²."""
        return 1 / self.factor**2

    def forward(self, x: jax.Array) -> jax.Array:
        """The blocks' averages; UserError where the sides are not multiples of the factor."""
        count, height, width, channels = x.shape
        if height % self.factor or width % self.factor:
            raise UserError(
                f"a picture of {height} x {width} pixels has no blocks of {self.factor} x {self.factor}: "
                f"cut or pad its sides to multiples of {self.factor}"
            )
        rows, columns = height // self.factor, width // self.factor
        return x.reshape(count, rows, self.factor, columns, self.factor, channels).mean(axis=(2, 4))

    def adjoint(self, y: jax.Array) -> jax.Array:
        """Each average spread evenly over its block."""
        return y.repeat(self.factor, axis=1).repeat(self.factor, axis=2) / self.factor**2


@struct.dataclass
class Crop(_Orthogonal):
    """The part of a canvas [B, *canvas, C] that a photograph of the `size` shows, its first pixel at `corner`."""

    canvas: tuple[int, int] = struct.field(pytree_node=False)
    size: tuple[int, int] = struct.field(pytree_node=False)
    corner: tuple[int, int] = struct.field(pytree_node=False)

    @property
    def around(self) -> list[tuple[int, int]]:
        """Pixels of the canvas before and after the photograph, down and across."""
        sides = zip(self.corner, self.canvas, self.size, strict=True)
        return [(first, whole - first - own) for first, whole, own in sides]

    def forward(self, x: jax.Array) -> jax.Array:
        """[B, *size, C]."""
        (top, left), (height, width) = self.corner, self.size
        return x[:, top : top + height, left : left + width]

    def adjoint(self, y: jax.Array) -> jax.Array:
        """0 around the photograph."""
        return jnp.pad(y, ((0, 0), *self.around, (0, 0)))


@struct.dataclass
class Mask:
    """Pixels are kept where `known` [H, W, 1 or C] or [B, H, W, 1 or C] is 1 and become 0 where it is 0."""

    known: jax.Array

    def forward(self, x: jax.Array) -> jax.Array:
        """The known pixels, 0 elsewhere."""
        return self.known * x

    def adjoint(self, y: jax.Array) -> jax.Array:
        """As forward: A is a projection."""
        return self.known * y

    def gram(self, f: OfSquares, y: jax.Array) -> jax.Array:
        """f(1) y where pixels are known, f(0) y elsewhere."""
        return f(jnp.asarray(self.known, jnp.float32)) * y


@struct.dataclass
class Chain:
    """Linear operators applied in turn, the first one first: A = A_n ... A_1."""

    parts: tuple[Linear, ...]

    def forward(self, x: jax.Array) -> jax.Array:
        """A_n ... A_1 x."""
        for part in self.parts:
            x = part.forward(x)
        return x

    def adjoint(self, y: jax.Array) -> jax.Array:
        """A_1ᵀ ... A_nᵀ y."""
        for part in reversed(self.parts):
            y = part.adjoint(y)
        return y


@struct.dataclass
class SpectralChain(Chain):
    """A chain whose parts but the last are frames: A Aᵀ = (product of their squares) A_n A_nᵀ."""

    def gram(self, f: OfSquares, y: jax.Array) -> jax.Array:
        """The last part's, at its squares times those of the others."""
        scale = math.prod(part.square for part in self.parts[:-1])
        return self.parts[-1].gram(lambda squares: f(scale * squares), y)


def chain(*parts: Linear) -> Chain:
    """The operators applied in turn, with their singular vectors where all but the last are frames.

    So the order decides: grey and down-sampling before a mask or a blur. The other orders have A and Aᵀ alone, which
    is what `tweedie` and `dps` need: of a mask after a blur A Aᵀ is the blur's own with rows and columns removed,
    which no fast transform diagonalises.
    """
    known = all(isinstance(part, Frame) for part in parts[:-1]) and isinstance(parts[-1], Spectral)
    return (SpectralChain if known else Chain)(parts)


def old_photo(known: jax.Array, factor: int, weights: tuple[float, ...] = LUMA) -> Chain:
    """A small grey photograph with missing places: mask after grey after down-sampling (as in arXiv 2212.00490).

    `known` [H/factor, W/factor, 1] is 1 where the small picture shows something.
    """
    return chain(Downsample(factor), Grey(weights), Mask(known))
