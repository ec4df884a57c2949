//! The quadrature of Gauss and Kronrod with 7 and 15 nodes.

/// Positive Kronrod nodes on `[-1, 1]`, descending; every second, from the second on, is one of Gauss's; the last is 0
/// (R. Piessens and others, *QUADPACK*, 1983).
const NODES: [f64; 8] = [
    0.991_455_371_120_812_6,
    0.949_107_912_342_758_5,
    0.864_864_423_359_769_1,
    0.741_531_185_599_394_4,
    0.586_087_235_467_691_1,
    0.405_845_151_377_397_2,
    0.207_784_955_007_898_47,
    0.0,
];
const KRONROD: [f64; 8] = [
    0.022_935_322_010_529_224,
    0.063_092_092_629_978_56,
    0.104_790_010_322_250_18,
    0.140_653_259_715_525_92,
    0.169_004_726_639_267_9,
    0.190_350_578_064_785_4,
    0.204_432_940_075_298_9,
    0.209_482_141_084_727_82,
];
const GAUSS: [f64; 4] =
    [0.129_484_966_168_869_7, 0.279_705_391_489_276_64, 0.381_830_050_505_118_9, 0.417_959_183_673_469_4];

/// Number of nodes.
pub(super) const COUNT: usize = 15;

/// Node `k` on `[0, 1]`, ascending, with its weights: of Kronrod's rule (exact to degree 22) and of Gauss's (degree 13; 0 where
/// it has no such node). Both sum to 1.
pub(super) fn node(k: usize) -> (f64, [f64; 2]) {
    let m = if k < 8 { k } else { 14 - k };
    let at = if k < 8 { -NODES[m] } else { NODES[m] };
    let gauss = if m % 2 == 1 { GAUSS[m / 2] } else { 0.0 };
    (0.5 + 0.5 * at, [0.5 * KRONROD[m], 0.5 * gauss])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `∫₀¹ x^m dx = 1/(m+1)` to the degrees of the rules, and not beyond.
    #[test]
    fn degrees_of_exactness() {
        for (rule, degree) in [(0, 22), (1, 13)] {
            let error = |m: i32| {
                let sum: f64 = (0..COUNT).map(node).map(|(x, w)| w[rule] * x.powi(m)).sum();
                (sum - 1.0 / f64::from(m + 1)).abs()
            };
            assert!((0..=degree).all(|m| error(m) < 2e-16 * 4.0), "{rule}");
            // The first power beyond, about the middle of the interval: even ones are not integrated.
            let even = degree + 2 - degree % 2;
            let sum: f64 = (0..COUNT).map(node).map(|(x, w)| w[rule] * (2.0 * x - 1.0).powi(even)).sum();
            assert!((sum - 1.0 / f64::from(even + 1)).abs() > 1e-13, "{rule}");
        }
        assert!((1..COUNT).all(|k| node(k).0 > node(k - 1).0));
    }
}
