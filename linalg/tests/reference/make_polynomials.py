"""Prints the polynomials of src/elementary/coefficients.rs.

Chebyshev interpolation in 100 digits, rounded to f64 or f32, highest degree first. Each line tells
the interval and the interpolation error. Needs mpmath.
"""

import struct

from mpmath import atanh, chebyfit, coth, erf, erfc, exp, expm1, log, log1p, mp, mpf, nstr, pi, sqrt

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
