"""The rows of a comparison: their names, their targets, and the same data for both sides.

A row is what both sides compute; each side may have several ways to do it, of which its best counts. The model of
all rows named realnvp: eight couplings, b' = b exp(tanh s) + t with (s, t) a perceptron of the first half (two
hidden layers of 64, tanh), then the columns reversed.
"""

import json
from dataclasses import dataclass

import numpy as np

LAYERS, HIDDEN = 8, 64
PRECISIONS = ("f32", "f64")


@dataclass(frozen=True)
class Row:
    """What is compared."""

    kind: str
    precision: str
    count: int
    dim: int
    target: float

    @property
    def name(self):
        """As the tables say it."""
        return f"{self.kind}/{self.precision}/{self.size}"

    @property
    def size(self):
        """Rows times columns, or the size of a product."""
        return str(self.dim) if self.kind == "product" else f"{self.count}x{self.dim}"

    @property
    def ours(self):
        """Eigenflow's cases that compute this."""
        ways = [f"local_covariance/{w}" for w in ("svd", "eigh", "call")]
        kinds = ways if self.kind == "local_covariance" else [self.kind]
        return [f"{kind}/{self.precision}/{self.size}" for kind in kinds]

    @property
    def dtype(self):
        """numpy's type."""
        return np.float32 if self.precision == "f32" else np.float64

    @property
    def pays(self):
        """Multiply-adds and elementwise functions that every program of this row pays (docs/PERFORMANCE.md), or None.

        A coupling of one row: its value; in a step also the gradient, which is twice the products (but for the cotangent of the
        first coupling's input); in a Jacobian also the tangents, by the cheaper of two orders.
        """
        p, m, h = self.dim // 2, self.dim - self.dim // 2, HIDDEN
        value, functions = h * p + h * h + 2 * h * m, 2 * h + 2 * m
        scale = self.count * LAYERS
        if self.kind in ("log_density/realnvp", "sample/realnvp"):
            return scale * value, scale * functions
        if self.kind == "train_step/realnvp":
            return scale * 3 * value - self.count * h * p, scale * functions
        if self.kind == "jacobian/realnvp":
            # The last layer of t tangents: its two halves folded into one, or not.
            last = lambda t: min(t * h * m + 2 * h * m, 2 * t * h * m)
            first = p * (h + h * h) + last(p)
            later = min(self.dim * (h * p + h * h) + last(self.dim), first + self.dim * p * m)
            tangents = first + (LAYERS - 1) * later
            return scale * value + self.count * tangents, scale * functions
        return None


_JACOBIANS = [(4096, 2), (1024, 8), (256, 64), (64, 256), (4, 784)]
_MATRICES = [(1000, 16), (100, 64), (4, 784)]
_ROWS = [(4096, 2), (4096, 8), (4096, 64)]

# kind: its sizes, and for each how many times faster than the best peer it is to be (None: no target).
_TARGETS = {
    "jacobian/realnvp": (_JACOBIANS, [1.6, 3, 2.5, 2.5, 2]),
    "local_covariance": (_JACOBIANS, [2, 3, 2, 1.5, 1.5]),
    "eigh": (_MATRICES, [4, 1.5, None]),
    "svd": (_MATRICES, [4, 1.5, None]),
    "slogdet": (_MATRICES, [1.5, 1.5, 1.5]),
    "train_step/realnvp": ([(512, 2), (512, 8), (512, 64)], [3, 3, 2.5]),
    "log_density/realnvp": (_ROWS, [3, 3, 3]),
    "sample/realnvp": (_ROWS, [3, 3, 3]),
    "product": ([(1, 256), (1, 1024), (1, 2048)], [0.9, 0.9, 0.9]),
}
PROCESS_NAME, PROCESS_TARGET = "process/two-moons", 6.0
# What `Row.pays` is counted in: tiles of 64 x 64 numbers, so many a call (`../cases/floor.rs`).
_TILE, _TILES = 64, 8192


def floors(precision):
    """Eigenflow's cases of a multiply-add and of an elementwise function at their best, and how many of them a call does."""
    name = f"{precision}/{_TILES}x{_TILE}"
    return (f"floor/product/{name}", _TILES * _TILE**3), (f"floor/tanh/{name}", _TILES * _TILE**2)


def rows():
    """All rows, in the order of the tables."""
    return [
        Row(kind, precision, n, d, target)
        for precision in PRECISIONS
        for kind, (sizes, targets) in _TARGETS.items()
        for (n, d), target in zip(sizes, targets)
    ]


def weights(dim):
    """Three (weight [out, in], bias [out]) pairs a coupling, in f64, from a fixed seed.

    Of the size of an untrained network whose last layer is not small, so that no term of a Jacobian is negligible.
    """
    random = np.random.default_rng(dim)
    half = dim // 2
    widths = [half, HIDDEN, HIDDEN, 2 * (dim - half)]
    pair = lambda m, n: (random.uniform(-1, 1, (n, m)) / np.sqrt(m), random.uniform(-1, 1, n) / np.sqrt(m))
    return [[pair(m, n) for m, n in zip(widths, widths[1:])] for _ in range(LAYERS)]


def write_model(path, dim):
    """The weights as a model file of eigenflow."""
    from safetensors.numpy import save_file

    layers, tensors = [], {}
    for k, coupling in enumerate(weights(dim)):
        moved = list(range(dim // 2, dim))
        layers.append(
            dict(kind="coupling", dim=dim, moved=moved, hidden=[HIDDEN] * 2, activation="tanh", bound=1.0)
        )
        layers.append(dict(kind="permutation", indices=list(range(dim))[::-1]))
        for i, (weight, bias) in enumerate(coupling):
            tensors[f"layers.{2 * k}.weight-{i}"] = np.ascontiguousarray(weight)
            tensors[f"layers.{2 * k}.bias-{i}"] = bias[None, :].copy()
    header = dict(
        format_version=1,
        dim=dim,
        dtype="f64",
        layers=layers,
        preprocessing=0,
        columns=[f"c{j}" for j in range(dim)],
        record=None,
    )
    save_file(tensors, path, metadata={"eigenflow": json.dumps(header)})


def draw(row):
    """The input of a row, f64: rows, a batch of matrices (symmetric for eigh), or two factors."""
    random = np.random.default_rng(row.count * 1000 + row.dim)
    n, d = row.count, row.dim
    if row.kind == "product":
        return random.standard_normal((2, d, d))
    if row.kind in ("eigh", "svd", "slogdet"):
        a = random.standard_normal((n, d, d))
        return a + a.transpose(0, 2, 1) if row.kind == "eigh" else a
    return random.standard_normal((n, d))


TOLERANCE = {"f32": 2e-4, "f64": 1e-10}


def difference(row, ours, theirs):
    """The largest relative difference of two answers; relative to the largest entry of its part and item.

    Parts are what an answer holds one after another (values, matrices); items are rows or matrices.
    """
    n, d = row.count, row.dim
    parts = {
        "jacobian/realnvp": [(n, d * d)],
        "local_covariance": [(n, d), (n, d * d)],
        "eigh": [(n, d), (n, d * d)],
        "svd": [(n, d), (n, d * d)],
        "slogdet": [(1, n), (1, n)],
        "log_density/realnvp": [(1, n)],
        "sample/realnvp": [(n, d)],
        "product": [(1, d * d)],
        # Losses of ten steps, then the weights after them. In f32 the update of a weight with next to no gradient is
        # rounding (Adam divides by its size), so only the losses are compared there.
        "train_step/realnvp": [(1, 10)] + ([(1, len(ours) - 10)] if row.precision == "f64" else []),
    }[row.kind]
    if len(ours) != len(theirs):
        return np.inf
    worst, at = 0.0, 0
    for items, size in parts:
        a = np.reshape(ours[at : at + items * size], (items, size))
        b = np.reshape(theirs[at : at + items * size], (items, size))
        at += items * size
        scale = np.maximum(np.abs(b).max(axis=1), np.finfo(float).tiny)
        off = (np.abs(a - b).max(axis=1) / scale).max()
        worst = max(worst, off if np.isfinite(off) else np.inf)
    return worst
