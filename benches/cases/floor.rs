//! The parts that every program of the cases' flows pays, at their best: in the first two caches, on all threads, with
//! nothing between. What a case takes more than their sum is its own.

use super::{Case, Kind, Work};
use eigenflow_linalg::elementary::{Tanh, in_place};
use eigenflow_linalg::lines::{Right, affine};
use eigenflow_linalg::{Aligned, Real, awake, join};
use std::hint::black_box;

/// As many products `[dim, dim] [dim, dim]`, or functions of as many tiles of `dim²` numbers, as the case has rows; a thread has
/// one tile, and does its share of them on that.
pub struct Floor<T> {
    kind: Kind,
    count: usize,
    dim: usize,
    tiles: Vec<Tile<T>>,
}

struct Tile<T> {
    x: Aligned<T>,
    w: Aligned<T>,
    bias: Aligned<T>,
    y: Aligned<T>,
}

impl<T: Real> Floor<T> {
    pub fn new(case: Case) -> Self {
        let Case { kind, count, dim, .. } = case;
        // Between -1 and 1.
        let list = |len: usize, seed: usize| {
            let mut list = Aligned::zeros(len);
            let entries = (0..len).map(|k| T::of(((k * 31 + seed) % 201) as f64 / 100.0 - 1.0));
            list.iter_mut().zip(entries).for_each(|(to, entry)| *to = entry);
            list
        };
        let tile = |seed| Tile {
            x: list(dim * dim, seed),
            w: list(dim * dim, seed + 1),
            bias: list(dim, seed + 2),
            y: list(dim * dim, seed + 3),
        };
        Self { kind, count, dim, tiles: (0..rayon::current_num_threads()).map(tile).collect() }
    }
}

impl<T: Real> Work for Floor<T> {
    fn call(&mut self) {
        let (kind, dim, share) = (self.kind, self.dim, self.count.div_ceil(self.tiles.len()));
        each(&mut self.tiles, &|tile| {
            for _ in 0..share {
                if kind == Kind::FloorProduct {
                    let w = Right::plain(&tile.w, dim, dim);
                    affine(&mut tile.y, black_box(&tile.x), dim, w, &tile.bias, &mut []);
                } else {
                    in_place::<Tanh, T>(black_box(&mut tile.y));
                }
            }
            black_box(&tile.y);
        });
    }

    /// As steps of a training: threads do not sleep between.
    fn calls(&mut self, count: u64) {
        awake(|| (0..count).for_each(|_| self.call()));
    }

    /// `[dim, dim]` of the first thread after its share.
    fn answer(&mut self) -> Vec<f64> {
        self.call();
        self.tiles[0].y.iter().map(|y| y.f64()).collect()
    }
}

/// Every tile by a thread of its own.
fn each<T: Send>(tiles: &mut [Tile<T>], work: &(impl Fn(&mut Tile<T>) + Sync)) {
    match tiles {
        [] => {}
        [tile] => work(tile),
        tiles => {
            let (a, b) = tiles.split_at_mut(tiles.len() / 2);
            join(|| each(a, work), || each(b, work));
        }
    }
}
