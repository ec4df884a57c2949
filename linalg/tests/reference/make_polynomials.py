"""Prints the polynomials of src/elementary/coefficients.rs and, at the end, of src/elementary/cells.rs.

Chebyshev interpolation in 100 digits (the cells: minimax in 40), rounded to f64 or f32, highest degree first. Each line
tells the interval and the error. Needs mpmath.
"""

import struct
from itertools import groupby

from mpmath import (
    atanh, chebyfit, cos, coth, erf, erfc, exp, expm1, log, log1p, lu_solve, matrix, mp, mpf, nstr, pi, sqrt, tanh,
)

mp.dps = 100
TINY = mpf(10) ** -30

# The reduced argument of exp, a little beyond ln(2)/2 because erfc adds the tail of its square.
HALF_LN2 = log(2) / 2 * mpf("1.01")
# The square of s = f / (2 + f) for 1 + f between sqrt(1/2) and sqrt(2).
LN_END = ((sqrt(2) - 1) / (sqrt(2) + 1)) ** 2 * mpf("1.001")
# 1 + f itself, a little beyond both ends.
F_ENDS = [sqrt(mpf(1) / 2) - mpf("1.001"), sqrt(mpf(2)) - mpf("0.999")]
# erfc maps a in [0, 28] to t = (a - K) / (a + K).
K = mpf(4)


def exp_tail(r):
    return (expm1(r) - r) / r**2 if abs(r) > TINY else mpf(1) / 2


def coth_tail(w):
    return (sqrt(w) * coth(sqrt(w)) - 1) / w if w > TINY else mpf(1) / 3


def atanh_tail(z):
    return (2 * atanh(sqrt(z)) / sqrt(z) - 2) / z if z > TINY else mpf(2) / 3


def ln_1p_tail(f):
    return (log1p(f) - f + f**2 / 2) / f**3 if abs(f) > TINY else mpf(1) / 3


def erf_tail(z):
    return erf(sqrt(z)) / sqrt(z) - 1 if z > TINY else 2 / sqrt(pi) - 1


def erfc_head(t):
    a = K * (1 + t) / (1 - t)
    return (1 + 2 * a) * exp(a * a) * erfc(a)


def shortest(x, kind):
    """The decimal that reads back as the nearest number of the kind."""
    if kind == "f64":
        return repr(float(x))
    (near,) = struct.unpack("f", struct.pack("f", float(x)))
    return next(s for s in (f"{near:.{n}e}" for n in range(12)) if struct.pack("f", float(s)) == struct.pack("f", near))


EXP = ("`(e^r - 1 - r) / r^2` in `r`", exp_tail, [-HALF_LN2, HALF_LN2])
COTH = ("`(z coth z - 1) / z^2` in `z^2`, `z = r / 2`", coth_tail, [0, (HALF_LN2 / 2) ** 2])
ATANH = ("`(2 atanh(s) / s - 2) / s^2` in `s^2`", atanh_tail, [0, LN_END])
for name, kind, (doc, f, interval), terms in [
    ("EXP", "f64", EXP, 10),
    ("EXP_SINGLE", "f32", EXP, 5),
    ("COTH", "f64", COTH, 5),
    ("COTH_SINGLE", "f32", COTH, 2),
    ("ATANH", "f64", ATANH, 7),
    ("ATANH_SINGLE", "f32", ATANH, 3),
    ("LN_SINGLE", "f32", ("`(ln(1 + f) - f + f^2 / 2) / f^3` in `f`", ln_1p_tail, F_ENDS), 8),
    ("ERF", "f64", ("`erf(x) / x - 1` in `x^2`", erf_tail, [0, mpf("0.75") ** 2]), 11),
    ("ERFC", "f64", ("`(1 + 2a) e^(a^2) erfc(a)` in `t = (a - 4) / (a + 4)`", erfc_head, [-1, (28 - K) / (28 + K)]), 24),
]:
    c, error = chebyfit(f, interval, terms, error=True)
    span = ", ".join(nstr(mpf(x), 5) for x in interval)
    print(f"/// {doc}, for `[{span}]`; error {nstr(error, 2)}.")
    print(f"pub(super) const {name}: [{kind}; {terms}] = [")
    for x in c:
        print(f"    {shortest(x, kind)},")
    print("];\n")


def minimax(f, weight, interval, powers):
    """Coefficients of the powers with the least greatest |weight (p - f)|, and that, by Remez' exchange on a grid."""
    a, b = interval
    grid = [(a + b) / 2 - (b - a) / 2 * cos(pi * i / 400) for i in range(401)]
    values = [(f(t), weight(t)) for t in grid]
    count = len(powers) + 1
    at = [400 * i // (count - 1) for i in range(count)]
    for _ in range(12):
        rows = [[grid[i] ** p for p in powers] + [(-1) ** r / values[i][1]] for r, i in enumerate(at)]
        c = list(lu_solve(matrix(rows), matrix([values[i][0] for i in at])))[:-1]
        error = [(sum(k * t**p for k, p in zip(c, powers)) - v) * w for t, (v, w) in zip(grid, values)]
        runs = [list(run) for _, run in groupby(range(401), key=lambda i: error[i] > 0)]
        extrema = [max(run, key=lambda i: abs(error[i])) for run in runs]
        while len(extrema) > count:
            extrema.pop(0 if abs(error[extrema[0]]) < abs(error[extrema[-1]]) else -1)
        if extrema == at or len(extrema) < count:
            break
        at = extrema
    return c, max(abs(e) for e in error)


# tanh(start + t) on 32 cells: those of u = 0.8 x + 0.5 from 1/2 to 8 where its exponent and three bits of its fraction are the
# same. The lowest five bits of those are the column. The first cell has no constant term and the slope one, so that tiny numbers
# are their own tanh; the last is one: beyond 9.011 tanh rounds to that, and before it is 5e-8 less at most.
mp.dps = 40
columns, greatest = [None] * 32, mpf(0)
for k in range(32):
    u = [mpf(2) ** (i // 8 - 1) * (1 + mpf(i % 8) / 8) for i in (k, k + 1)]
    low, high = [(v - mpf(1) / 2) * 5 / 4 for v in u]
    start = mpf(shortest(low, "f32"))
    value = lambda t: tanh(start + t)
    if k == 0:
        # t + t^2 q(t): tiny numbers are their own tanh.
        tail = lambda t: (tanh(t) / t - 1) / t if t > mpf(10) ** -12 else -t / 3
        c, error = minimax(tail, lambda t: t + mpf(10) ** -12, (low, high), range(2, -1, -1))
        c += [mpf(1), mpf(0)]
    elif k == 31:
        c, error = [mpf(0)] * 4 + [mpf(1)], 1 - tanh(low)
    else:
        c, error = minimax(value, lambda t: 1 / value(t), (low - start, high - start), range(4, -1, -1))
    columns[(k + 16) % 32] = [*c, start]
    greatest = max(greatest, error)
print(f"/// `tanh(start + t)` in `t` by column, highest degree first, and `start`; relative error {nstr(greatest, 2)}.")
print("#[rustfmt::skip]")
print("const TANH: [[f32; 32]; 6] = [")
for row in zip(*columns):
    numbers = [shortest(x, "f32") for x in row]
    lines = [", ".join(numbers[i : i + 8]) for i in range(0, 32, 8)]
    print("    [" + ",\n     ".join(lines) + "],")
print("];")
