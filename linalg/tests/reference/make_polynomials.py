"""Prints the polynomials of src/elementary/coefficients.rs.

Chebyshev interpolation in 100 digits, rounded to f64, highest degree first. Each line tells the
interval and the interpolation error. Needs mpmath.
"""

from mpmath import atanh, chebyfit, erf, erfc, exp, expm1, log, mp, mpf, nstr, pi, sqrt

mp.dps = 100
TINY = mpf(10) ** -30

# The reduced argument of exp, a little beyond ln(2)/2 because erfc adds the tail of its square.
HALF_LN2 = log(2) / 2 * mpf("1.01")
# The square of s = f / (2 + f) for 1 + f between sqrt(1/2) and sqrt(2).
LN_END = ((sqrt(2) - 1) / (sqrt(2) + 1)) ** 2 * mpf("1.001")
# erfc maps a in [0, 28] to t = (a - K) / (a + K).
K = mpf(4)


def exp_tail(r):
    return (expm1(r) - r) / r**2 if abs(r) > TINY else mpf(1) / 2


def ln_tail(z):
    return (2 * atanh(sqrt(z)) / sqrt(z) - 2) / z


def erf_tail(z):
    return erf(sqrt(z)) / sqrt(z) - 1 if z > TINY else 2 / sqrt(pi) - 1


def erfc_head(t):
    a = K * (1 + t) / (1 - t)
    return (1 + 2 * a) * exp(a * a) * erfc(a)


for name, doc, f, interval, terms in [
    ("EXP", "`(e^r - 1 - r) / r^2` in `r`", exp_tail, [-HALF_LN2, HALF_LN2], 11),
    ("LN", "`(2 atanh(s) / s - 2) / s^2` in `s^2`", ln_tail, [0, LN_END], 8),
    ("ERF", "`erf(x) / x - 1` in `x^2`", erf_tail, [0, mpf("0.75") ** 2], 11),
    ("ERFC", "`(1 + 2a) e^(a^2) erfc(a)` in `t = (a - 4) / (a + 4)`", erfc_head, [-1, (28 - K) / (28 + K)], 24),
]:
    c, error = chebyfit(f, interval, terms, error=True)
    span = ", ".join(nstr(mpf(x), 5) for x in interval)
    print(f"/// {doc}, for `[{span}]`; error {nstr(error, 2)}.")
    print(f"pub(super) const {name}: [f64; {terms}] = [")
    for x in c:
        print(f"    {float(x)!r},")
    print("];\n")
