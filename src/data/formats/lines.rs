//! Text as it comes, made regular: every line ends in one `\n`, the last one too, so that lines can
//! be counted; and no row is without bound.

use std::cell::Cell;
use std::io::{Error, ErrorKind, Read, Result};
use std::rc::Rc;

/// Longest row that is read, in bytes: an unclosed quotation mark must not take in the whole file.
const MAX_ROW: u64 = 1 << 28;

/// The bytes of `input` with `\r\n` as `\n` and a `\n` at the end.
pub(super) struct Lines<'a> {
    input: &'a mut dyn Read,
    ready: Vec<u8>,
    taken: usize,
    /// A `\r` that has come, and may be half of a line's end.
    held: bool,
    last: u8,
    since_row: Rc<Cell<u64>>,
}

impl<'a> Lines<'a> {
    /// `since_row` counts the bytes handed out; the reader of rows sets it to 0 after each row.
    pub(super) fn new(input: &'a mut dyn Read, since_row: Rc<Cell<u64>>) -> Self {
        Self { input, ready: Vec::new(), taken: 0, held: false, last: b'\n', since_row }
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
        if self.since_row.get() > MAX_ROW {
            let problem = format!("a row of more than {MAX_ROW} bytes; is a quotation mark left open?");
            return Err(Error::new(ErrorKind::InvalidData, problem));
        }
        if self.taken == self.ready.len() {
            self.refill()?;
        }
        let n = buffer.len().min(self.ready.len() - self.taken);
        buffer[..n].copy_from_slice(&self.ready[self.taken..self.taken + n]);
        self.taken += n;
        self.since_row.set(self.since_row.get() + n as u64);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regular(text: &[u8]) -> Vec<u8> {
        let (mut input, mut bytes) = (text, Vec::new());
        Lines::new(&mut input, Rc::default()).read_to_end(&mut bytes).unwrap();
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
        let mut zeros = std::io::repeat(b'0');
        let error =
            std::io::copy(&mut Lines::new(&mut zeros, Rc::default()), &mut std::io::sink()).unwrap_err();
        assert!(error.to_string().contains("quotation mark"));
    }
}
