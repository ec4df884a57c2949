//! Text as it comes, made regular: every line ends in one `\n`, the last one too, so that lines can
//! be counted; and no row is without bound, in bytes and in cells.

use std::cell::Cell;
use std::io::{Error, ErrorKind, Read, Result};
use std::rc::Rc;

/// Longest row that is read, in bytes: an unclosed quotation mark must not take in the whole file.
const MAX_ROW: u64 = 1 << 28;
/// Most cells of a row, give or take a buffer: each costs many times its byte, so that a small compressed file could ask for all memory.
const MAX_CELLS: u64 = 1 << 20;

/// What has been handed out of a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    bytes: u64,
    delimiters: u64,
}

/// The bytes of `input` with `\r\n` as `\n` and a `\n` at the end.
pub(super) struct Lines<'a> {
    input: &'a mut dyn Read,
    ready: Vec<u8>,
    taken: usize,
    /// A `\r` that has come, and may be half of a line's end.
    held: bool,
    last: u8,
    delimiter: u8,
    since_row: Rc<Cell<Extent>>,
}

impl<'a> Lines<'a> {
    /// `since_row` counts what is handed out; the reader of rows sets it to nothing after each row.
    pub(super) fn new(input: &'a mut dyn Read, delimiter: u8, since_row: Rc<Cell<Extent>>) -> Self {
        Self { input, ready: Vec::new(), taken: 0, held: false, last: b'\n', delimiter, since_row }
    }

    fn refill(&mut self) -> Result<()> {
        let mut raw = [0; 1 << 13];
        let n = super::numbers::fill(self.input, &mut raw)?;
        self.ready.clear();
        self.taken = 0;
        for &byte in &raw[..n] {
            if self.held && byte != b'\n' {
                self.ready.push(b'\r');
            }
            self.held = byte == b'\r';
            if !self.held {
                self.ready.push(byte);
            }
        }
        if let Some(&last) = raw[..n].last() {
            self.last = last;
        } else if self.last != b'\n' {
            (self.last, self.held) = (b'\n', false);
            self.ready.push(b'\n');
        }
        Ok(())
    }
}

impl Read for Lines<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let Extent { bytes, delimiters } = self.since_row.get();
        let limit = match (bytes > MAX_ROW, delimiters > MAX_CELLS) {
            (true, _) => Some((MAX_ROW, "bytes")),
            (_, true) => Some((MAX_CELLS, "cells")),
            _ => None,
        };
        if let Some((most, what)) = limit {
            let problem = format!("a row of more than {most} {what}; is a quotation mark left open?");
            return Err(Error::new(ErrorKind::InvalidData, problem));
        }
        if self.taken == self.ready.len() {
            self.refill()?;
        }
        let n = buffer.len().min(self.ready.len() - self.taken);
        let given = &self.ready[self.taken..self.taken + n];
        buffer[..n].copy_from_slice(given);
        let more: u64 = given.iter().map(|&byte| u64::from(byte == self.delimiter)).sum();
        self.since_row.set(Extent { bytes: bytes + n as u64, delimiters: delimiters + more });
        self.taken += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regular(text: &[u8]) -> Vec<u8> {
        let (mut input, mut bytes) = (text, Vec::new());
        Lines::new(&mut input, b',', Rc::default()).read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn line_ends_become_regular() {
        for (text, expected) in [
            ("a\r\nb\r\n", "a\nb\n"),
            ("a\nb", "a\nb\n"),
            ("a\rb\r\r\nc", "a\rb\r\nc\n"),
            ("", ""),
            ("a\r", "a\n"),
        ] {
            assert_eq!(regular(text.as_bytes()), expected.as_bytes(), "{text:?}");
        }
        // A line end across two chunks.
        let long = [vec![b'x'; (1 << 13) - 1], b"\r\ny\n".to_vec()].concat();
        assert_eq!(regular(&long).len(), long.len() - 1);
    }

    #[test]
    fn a_row_without_end_is_refused() {
        for (byte, what) in [(b'0', "268435456 bytes"), (b',', "1048576 cells")] {
            let mut same = std::io::repeat(byte);
            let mut lines = Lines::new(&mut same, b',', Rc::default());
            let error = std::io::copy(&mut lines, &mut std::io::sink()).unwrap_err().to_string();
            assert!(error.contains(what) && error.contains("quotation mark"), "{error}");
        }
    }
}
