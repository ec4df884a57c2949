//! Closed forms of maps of the plane, as complex numbers: the polar shear, and the sheets over plane curves.

use super::{Case, Closed};
use crate::flow::bijections::{PolarShear, SCurveTube, SwissRoll};
use crate::flow::{Error, Flow, Layer};
use eigenflow_linalg::Matrix;
use rand::RngExt;
use rand_pcg::Pcg64;
use std::f64::consts::{FRAC_1_SQRT_2, PI, TAU};
use std::ops::{Add, Mul};

/// A complex number.
#[derive(Clone, Copy)]
struct Complex(f64, f64);

impl Add for Complex {
    type Output = Self;
    fn add(self, b: Self) -> Self {
        Self(self.0 + b.0, self.1 + b.1)
    }
}

impl Mul for Complex {
    type Output = Self;
    fn mul(self, b: Self) -> Self {
        Self(self.0 * b.0 - self.1 * b.1, self.0 * b.1 + self.1 * b.0)
    }
}

impl Mul<f64> for Complex {
    type Output = Self;
    fn mul(self, b: f64) -> Self {
        Self(self.0 * b, self.1 * b)
    }
}

const ZERO: Complex = Complex(0.0, 0.0);
const I: Complex = Complex(0.0, 1.0);

/// `e^{ia}`.
fn turn(a: f64) -> Complex {
    Complex(a.cos(), a.sin())
}

/// A map of two latents `(a, b)` to the plane, by its derivatives at a point.
struct Planar {
    /// Value.
    value: Complex,
    /// `∂_a`, `∂_b`.
    first: [Complex; 2],
    /// `∂_aa`, `∂_ab`, `∂_bb`.
    second: [Complex; 3],
    /// `∂_a Δ`, `∂_b Δ`.
    laplacian: [Complex; 2],
}

impl Planar {
    /// `K_ij = ½ <H_i, H_j> + ½ (∇g_i·∇Δg_j + ∇g_j·∇Δg_i)`, over the plane's two columns.
    fn k(&self) -> [[f64; 2]; 2] {
        let parts = |c: Complex| [c.0, c.1];
        let entry = |i: usize, j: usize| {
            let outer = |a: Complex, b: Complex| parts(a)[i] * parts(b)[j];
            let [aa, ab, bb] = self.second;
            let hessians = 0.5 * outer(aa, aa) + outer(ab, ab) + 0.5 * outer(bb, bb);
            let cross = |k: usize| {
                let (slope, laplacian) = (self.first[k], self.laplacian[k]);
                0.5 * (outer(slope, laplacian) + outer(laplacian, slope))
            };
            hessians + cross(0) + cross(1)
        };
        [0, 1].map(|i| [0, 1].map(|j| entry(i, j)))
    }
}

/// `h = low + (high - low) Φ(y)` and its first three derivatives.
fn uniform(low: f64, high: f64, y: f64) -> [f64; 4] {
    let slope = (high - low) * (-0.5 * y * y).exp() / TAU.sqrt();
    let value = 0.5 * (low + high) + 0.5 * (high - low) * libm::erf(y * FRAC_1_SQRT_2);
    [value, slope, -y * slope, (y * y - 1.0) * slope]
}

impl Case {
    /// A sheet: the planar map in the columns 0 and 2 of the latents 0 and 2, a uniform width in column 1.
    ///
    /// The two do not share a latent, so every other entry of `J_g` and `K` is zero; the width adds
    /// `½ h''² + h' h'''` to `K`. `log|det J_g|` is the sum of the logarithms of the columns' norms, which are
    /// orthogonal.
    fn sheet(
        name: &'static str,
        layer: Layer,
        y: Vec<f64>,
        planar: &Planar,
        width: [f64; 2],
    ) -> Result<Self, Error> {
        let flow = Flow::new(vec![layer], 0, 0)?;
        let [v, h1, h2, h3] = uniform(width[0], width[1], y[1]);
        let x = vec![planar.value.0, v, planar.value.1];
        let [a, b] = planar.first;
        let jacobian = Matrix::new(3, 3, vec![a.0, 0.0, b.0, 0.0, h1, 0.0, a.1, 0.0, b.1]);
        let p = planar.k();
        let across = 0.5 * h2 * h2 + h1 * h3;
        let k = Matrix::new(3, 3, vec![p[0][0], 0.0, p[0][1], 0.0, across, 0.0, p[1][0], 0.0, p[1][1]]);
        let log_det = -(a.0.hypot(a.1).ln() + b.0.hypot(b.1).ln() + h1.ln());
        Ok(Self { name, flow, y, closed: Closed { x, jacobian, log_det, k, exact: false } })
    }

    /// A random S-curve tube, away from its kink at `t = 0`. With `q = sR + w`, `n(a) = (s sin a, cos a)` and
    /// `a = c y_1`, `c = σ_t/R`: `p = q n - (0, sR)`, so that `∂_1 = q c n'`, `∂_3 = σ n`, `∂_11 = -q c² n`, `∂_13 = c σ n'`,
    /// `∂_1Δ = -q c³ n'`, `∂_3Δ = -σ c² n`.
    ///
    /// # Errors
    /// None for these fields.
    pub fn s_curve_tube(random: &mut Pcg64) -> Result<Self, Error> {
        let mut draw = |low: f64, high: f64| random.random_range(low..high);
        let (radius, arc, noise) = (draw(0.5, 2.0), draw(0.3, 1.0), draw(0.05, 0.2));
        let width = [draw(-1.0, 0.0), draw(0.5, 2.0)];
        let s = if draw(-1.0, 1.0) < 0.0 { -1.0 } else { 1.0 };
        // The arc is at most 3πR/2 long: a < 4.
        let y = vec![s * draw(0.2, (4.0 * radius / arc).min(2.0)), draw(-1.5, 1.5), draw(-2.0, 2.0)];
        let c = arc / radius;
        let (sin, cos) = (c * y[0]).sin_cos();
        let (q, n, along) = (s * radius + noise * y[2], Complex(s * sin, cos), Complex(s * cos, -sin));
        let planar = Planar {
            value: n * q + Complex(0.0, -s * radius),
            first: [along * (q * c), n * noise],
            second: [n * (-q * c * c), along * (c * noise), ZERO],
            laplacian: [along * (-q * c.powi(3)), n * (-noise * c * c)],
        };
        let layer = SCurveTube { radius, low: width[0], high: width[1], arc, noise };
        Self::sheet("s-curve-tube", layer.into(), y, &planar, width)
    }

    /// A random Swiss roll. With `E = e^{it}` and the left normal `e^{iβ}`, `β = t + atan t + π/2`,
    /// `β' = 1 + 1/(1+t²)`, the sheet is `c + a t E + w e^{iβ}`; its derivatives in `t` up to the third are written out
    /// and the chain rule takes them to `y_1`.
    ///
    /// # Errors
    /// None for these fields.
    pub fn swiss_roll(random: &mut Pcg64) -> Result<Self, Error> {
        let mut draw = |low: f64, high: f64| random.random_range(low..high);
        let (pitch, noise) = (draw(0.5, 2.0), draw(0.05, 0.2));
        let (axis, from) = ([draw(-1.0, 1.0), draw(-1.0, 1.0)], draw(PI, 5.0));
        let (to, width) = (from + draw(3.0, 10.0), [draw(-1.0, 0.0), draw(0.5, 2.0)]);
        let y = vec![draw(-1.5, 1.5), draw(-1.5, 1.5), draw(-2.0, 2.0)];
        let [t, t1, t2, t3] = uniform(from, to, y[0]);
        let (w, s) = (noise * y[2], 1.0 + t * t);
        let (e, normal) = (turn(t), turn(t + t.atan() + 0.5 * PI));
        let (b1, b2, b3) = (1.0 + 1.0 / s, -2.0 * t / (s * s), (6.0 * t * t - 2.0) / s.powi(3));
        // Derivatives of e^{iβ}, and of the sheet, in t.
        let n1 = I * normal * b1;
        let n2 = Complex(-b1 * b1, b2) * normal;
        let n3 = Complex(-3.0 * b1 * b2, b3 - b1.powi(3)) * normal;
        let p1 = Complex(1.0, t) * e * pitch + n1 * w;
        let p2 = Complex(-t, 2.0) * e * pitch + n2 * w;
        let p3 = Complex(-3.0, -t) * e * pitch + n3 * w;
        let planar = Planar {
            value: e * (pitch * t) + normal * w + Complex(axis[0], axis[1]),
            first: [p1 * t1, normal * noise],
            second: [p2 * (t1 * t1) + p1 * t2, n1 * (noise * t1), ZERO],
            laplacian: [
                p3 * t1.powi(3) + p2 * (3.0 * t1 * t2) + p1 * t3,
                n2 * (noise * t1 * t1) + n1 * (noise * t2),
            ],
        };
        let layer = SwissRoll { pitch, axis, from, to, low: width[0], high: width[1], noise };
        Self::sheet("swiss-roll", layer.into(), y, &planar, width)
    }

    /// A random polar shear, `g(y) = y e^{-ic|y|²}` in the plane of the first two columns. With `ρ = |y|²`, `E = e^{-icρ}`
    /// and Wirtinger derivatives `∂g = (1 - icρ)E`, `∂̄g = -ic y²E`, `∂²g = ȳ(-2ic - c²ρ)E`, `∂∂̄g = y(-2ic - c²ρ)E`,
    /// `∂̄²g = -c² y³ E`; `Δg = λ g` with `λ = -8ic - 4c²ρ`.
    ///
    /// # Errors
    /// None.
    ///
    /// # Panics
    /// If there are fewer than two columns.
    pub fn polar_shear(d: usize, random: &mut Pcg64) -> Result<Self, Error> {
        let c: f64 = random.random_range(-0.6..0.6);
        let y: Vec<f64> = (0..d).map(|_| random.random_range(-1.5..1.5)).collect();
        let flow = Flow::new(vec![PolarShear { dim: d, twist: c }.into()], 0, 0)?;
        let (p, conjugate) = (Complex(y[0], y[1]), Complex(y[0], -y[1]));
        let rho = y[0] * y[0] + y[1] * y[1];
        let e = turn(-c * rho);
        let value = p * e;
        // ∂_x = ∂ + ∂̄ and ∂_y = i(∂ - ∂̄)
        let real = |u: Complex, v: Complex| [u + v, I * (u + v * -1.0)];
        let (d1, d2) = (Complex(1.0, -c * rho) * e, Complex(0.0, -c) * p * p * e);
        let bent = Complex(-c * c * rho, -2.0 * c) * e;
        let (d11, d12, d22) = (conjugate * bent, p * bent, p * p * p * e * (-c * c));
        let lambda = Complex(-4.0 * c * c * rho, -8.0 * c);
        let slope = -4.0 * c * c;
        let planar = Planar {
            value,
            first: real(d1, d2),
            second: [d11 + d12 * 2.0 + d22, I * (d11 + d22 * -1.0), (d11 + d12 * -2.0 + d22) * -1.0],
            laplacian: real(conjugate * value * slope + lambda * d1, p * value * slope + lambda * d2),
        };
        let mut x = y.clone();
        (x[0], x[1]) = (value.0, value.1);
        let (mut jacobian, mut k) = (Matrix::identity(d), Matrix::zeros(d, d));
        let second = planar.k();
        for (j, column) in planar.first.iter().enumerate() {
            (jacobian[(0, j)], jacobian[(1, j)]) = (column.0, column.1);
            (k[(0, j)], k[(1, j)]) = (second[0][j], second[1][j]);
        }
        Ok(Self {
            name: "polar-shear",
            flow,
            y,
            closed: Closed { x, jacobian, log_det: 0.0, k, exact: false },
        })
    }
}
