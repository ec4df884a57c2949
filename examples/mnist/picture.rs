//! Draws as a picture.

use super::pixels::{LEVELS, SIDE};
use eigenflow_linalg::Matrix;
use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

/// Writes rows in data units, the box `[0, 256]`, as a square of `side x side` digits in grey.
pub fn write(path: &Path, rows: &Matrix<f64>, side: usize) -> Result<(), Box<dyn Error>> {
    let width = side * SIDE;
    let mut grey = vec![0_u8; width * width];
    for k in 0..rows.rows().min(side * side) {
        let (top, left) = (k / side * SIDE, k % side * SIDE);
        for (j, &v) in rows.row(k).iter().enumerate() {
            grey[(top + j / SIDE) * width + left + j % SIDE] = v.clamp(0.0, LEVELS - 1.0) as u8;
        }
    }
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), width as u32, width as u32);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&grey)?;
    Ok(())
}
