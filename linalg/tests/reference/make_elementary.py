"""Writes elementary.bin, the reference values of tests/elementary.rs.

For each function: its name (16 bytes, zero padded), the number of points (u32), then the points,
each an argument (f64), the nearest f64 to the exact value there, and the rest (f32): exact value
minus nearest, over the nearest times 2^-52. All little endian. Values are computed in 60 digits
and more where terms cancel. Needs mpmath.

    python3 make_elementary.py [random points a function, default 700] [file]
"""

import math
import random
import struct
import sys
from pathlib import Path
from statistics import NormalDist

from mpmath import asinh, cosh, erf, erfc, exp, expm1, log, log1p, mp, mpf, pi, sinh, sqrt, tanh

DIGITS = 60
MIN, MAX, SUB = sys.float_info.min, sys.float_info.max, 5e-324


def neighbours(x, n=2):
    out = [x]
    for direction in (-math.inf, math.inf):
        y = x
        for _ in range(n):
            y = math.nextafter(y, direction)
            out.append(y)
    return out


def logarithmic(rng, low, high):
    """A random number, its magnitude log-uniform between two bounds."""
    while True:
        x = math.exp(rng.uniform(math.log(low), math.log(high)))
        if low <= x <= high:
            return x


def points(rng, count, low, high, magnitudes, special):
    """Half of the points uniform in [low, high], half log-uniform in magnitude, and the neighbourhood of special ones."""
    xs = [rng.uniform(low, high) for _ in range(count // 2)]
    for i in range(count - count // 2):
        x = logarithmic(rng, *magnitudes)
        xs.append(-x if i % 2 and low < 0 else x)
    for s in special:
        xs += neighbours(s)
    return sorted(set(x for x in xs if math.isfinite(x)))


def around(*values):
    return [s * v for v in values for s in (1, -1)]


def softplus(x):
    return x + log1p(exp(-x)) if x > 0 else log1p(exp(x))


def sigmoid(x):
    e = exp(-abs(x))
    return (e if x < 0 else 1) / (1 + e)


def quantile(p):
    """Newton's method on the logarithm of the lower tail from a double precision start."""
    if p > 0.5:
        return -quantile(1 - p)
    if p == 0.5:
        return mpf(0)
    # Near the centre P - 1/2 is what must be resolved.
    if p > 0.3:
        z = mpf(NormalDist().inv_cdf(float(p))) if float(p) < 0.5 else -(mpf(0.5) - p) * sqrt(2 * pi)
        for _ in range(5):
            z -= (erf(z / sqrt(2)) / 2 - (p - mpf(1) / 2)) * sqrt(2 * pi) * exp(z * z / 2)
        return z
    z = mpf(NormalDist().inv_cdf(max(float(p), SUB)))
    for _ in range(5):
        tail = erfc(-z / sqrt(2)) / 2
        z -= log(tail / p) * tail * sqrt(2 * pi) * exp(z * z / 2)
    assert abs(erfc(-z / sqrt(2)) / 2 / p - 1) < mpf(10) ** -40
    return z


NEAR_ZERO = around(SUB, 3e-310, MIN, 2.0**-54, 2.0**-53, 2.0**-27, 1e-8, 1e-3)
EXP_EDGES = [709.782712893384, -745.1332191019411, -708.3964185322641, 709.0, -744.0] + [
    (k + 0.5) * math.log(2) for k in (-1075, -1023, -38, -2, -1, 0, 1, 2, 38, 1022)
]
SYMMETRIC = NEAR_ZERO + around(0.34657359027997264, 1.0, 0.5, 2.0, 22.0, 19.06, 37.0)
UNIT = (1e-300, 1.0)

# name: (exact function, least and greatest uniform argument, least and greatest magnitude, special points)
FUNCTIONS = {
    "exp": (exp, -746, 709.78, (1e-20, 700), SYMMETRIC + EXP_EDGES),
    "exp_m1": (expm1, -40, 709.78, (1e-300, 700), SYMMETRIC + EXP_EDGES),
    "ln": (log, 0, 4, (SUB, MAX), [SUB, 3e-310, MIN, 0.5, 1.0, 2.0, MAX, 2**0.5, 0.5**0.5, 4.0, 0.9999, 1.0001]),
    "ln_1p": (
        log1p,
        -1,
        4,
        (1e-300, 1),
        NEAR_ZERO + [-1 + 2.0**-52, 1.0, -0.5, 0.4142135623730951, -0.2928932188134525, 2.0**53, 2.0**54, MAX, 1e300, 1e16],
    ),
    "sinh": (sinh, -711, 711, (1e-300, 30), SYMMETRIC + around(710.4758600739439, 709.78)),
    "cosh": (cosh, -711, 711, (1e-20, 30), SYMMETRIC + around(710.4758600739439, 709.78)),
    "tanh": (tanh, -20, 20, (1e-300, 20), SYMMETRIC),
    "asinh": (asinh, -10, 10, (1e-300, MAX), SYMMETRIC + around(1e18, 1e154, MAX, 0.0625, 1e9)),
    "sigmoid": (sigmoid, -746, 40, (1e-20, 40), SYMMETRIC + [-745.0, -708.4, -709.9, 37.0]),
    "softplus": (softplus, -746, 40, (1e-20, 1000), SYMMETRIC + [-745.0, -708.4, -709.9, -37.0, 1e300]),
    "erf": (erf, -6, 6, (1e-300, 6), NEAR_ZERO + around(0.75, 0.5, 1.0, 5.9)),
    "erfc": (erfc, -6, 27.3, (1e-20, 26), NEAR_ZERO + [0.75, 4.0, 26.543, 26.6, 27.2, -5.9, 1.0, -1.0]),
    "quantile": (
        quantile,
        0,
        1,
        UNIT,
        [SUB, 3e-310, MIN, 1e-300, 0.075, 0.925, 0.5, 0.25, math.exp(-25), 1 - 2.0**-53, 1 - 1e-9, 0.5 + 1e-7, 0.5 - 1e-12],
    ),
}


def exact(f, x):
    """f(x), in twice and four times the digits until they agree."""
    digits = DIGITS
    while True:
        mp.dps = digits
        a = f(mpf(x))
        mp.dps = 2 * digits
        b = f(mpf(x))
        if abs(a - b) <= abs(b) * mpf(10) ** -40:
            return b
        digits *= 2


def entry(f, x):
    value = exact(f, x)
    nearest = float(value)
    if math.isinf(nearest) or abs(nearest) < MIN:
        return x, nearest, 0.0
    return x, nearest, float((value / mpf(nearest) - 1) * 2**52)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 700
    path = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("elementary.bin")
    rng = random.Random(20)
    with path.open("wb") as out:
        for name, (f, low, high, magnitudes, special) in FUNCTIONS.items():
            xs = points(rng, count, low, high, magnitudes, special)
            if name == "ln":
                xs = [x for x in xs if x > 0]
            if name == "ln_1p":
                xs = [x for x in xs if x > -1]
                xs = sorted(set(xs + [logarithmic(rng, 1, MAX) for _ in range(count // 4)]))
            if name == "quantile":
                xs = [x for x in xs if 0 < x < 1]
            out.write(struct.pack("<16sI", name.encode(), len(xs)))
            for x in xs:
                out.write(struct.pack("<ddf", *entry(f, x)))


main()
