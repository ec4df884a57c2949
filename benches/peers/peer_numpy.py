"""numpy and scipy, for the rows of dense algebra."""

import numpy as np
import scipy
import scipy.linalg

from way import Way

NUMPY, SCIPY = f"numpy {np.__version__}", f"scipy {scipy.__version__}"


def rebuilt(left, values, right):
    """Values, largest first, and left diag(values) rightᵀ, in f64."""
    left, values, right = (np.asarray(a, float) for a in (left, values, right))
    matrices = (left * values[:, None, :]) @ right.transpose(0, 2, 1)
    return np.concatenate([-np.sort(-values, axis=1).ravel(), matrices.ravel()])


def ways(row, given):
    """Their ways to compute a row; none for flows."""
    a = np.asarray(given, row.dtype)
    if row.kind == "product":
        out = np.empty_like(a[0])
        return [Way(NUMPY, "matmul", lambda: np.matmul(a[0], a[1], out=out), lambda: np.matmul(a[0], a[1]).ravel())]
    if row.kind == "slogdet":
        return [Way(NUMPY, "slogdet", lambda: np.linalg.slogdet(a), lambda: np.concatenate(np.linalg.slogdet(a)))]
    if row.kind == "eigh":

        def answer():
            values, vectors = np.linalg.eigh(a)
            return rebuilt(vectors, values, vectors)

        def loop():
            return [scipy.linalg.eigh(m, driver="evr", check_finite=False) for m in a]

        def loop_answer():
            values, vectors = (np.stack(part) for part in zip(*loop()))
            return rebuilt(vectors, values, vectors)

        return [Way(NUMPY, "eigh", lambda: np.linalg.eigh(a), answer), Way(SCIPY, "eigh (evr), a loop", loop, loop_answer)]
    if row.kind == "svd":

        def answer():
            u, s, vt = np.linalg.svd(a, full_matrices=False)
            return rebuilt(u, s, vt.transpose(0, 2, 1))

        return [Way(NUMPY, "svd", lambda: np.linalg.svd(a, full_matrices=False), answer)]
    return []
