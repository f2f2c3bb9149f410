//! The ways in which tar says where a sparse file has data.
//!
//! GNU's old header lists pieces in the header and in blocks behind it; PAX 0.0 and 0.1 in records;
//! PAX 1.0 as decimal lines at the start of the data (GNU tar manual, "Storing Sparse Files"). Main
//! type: [`Piece`]. Used by `tar`.

use super::EntryProblem;
use crate::limits;

/// A run of data in a sparse file; all else is zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Checks order, bounds and that the pieces use exactly the bytes stored. Empty pieces go.
pub(crate) fn checked(
    pieces: Vec<Piece>,
    size: u64,
    stored: u64,
) -> Result<Vec<Piece>, EntryProblem> {
    let mut end = 0;
    let mut total: u64 = 0;
    for piece in &pieces {
        if piece.offset < end {
            return Err(EntryProblem::Sparse("pieces overlap or are out of order"));
        }
        let outside = EntryProblem::Sparse("a piece reaches behind the end of the file");
        let behind = piece.offset.checked_add(piece.length);
        end = behind.filter(|end| *end <= size).ok_or(outside)?;
        total = total.saturating_add(piece.length);
    }
    if total != stored {
        return Err(EntryProblem::Sparse(
            "the pieces do not add up to the bytes stored",
        ));
    }
    Ok(pieces
        .into_iter()
        .filter(|piece| piece.length > 0)
        .collect())
}

/// PAX 0.1: `offset,length,offset,length…` in one record.
pub(crate) fn pieces_of_list(list: &[u8]) -> Result<Vec<Piece>, EntryProblem> {
    if list.is_empty() {
        return Ok(Vec::new());
    }
    let numbers: Option<Vec<u64>> = list.split(|byte| *byte == b',').map(decimal).collect();
    pair_up(&numbers.ok_or(EntryProblem::Sparse("not a list of numbers"))?)
}

/// Numbers in turn offset and length.
pub(crate) fn pair_up(numbers: &[u64]) -> Result<Vec<Piece>, EntryProblem> {
    let (pairs, odd) = numbers.as_chunks();
    if !odd.is_empty() {
        return Err(EntryProblem::Sparse("an offset without a length"));
    }
    if pairs.len() > limits::SPARSE_PIECES {
        return Err(EntryProblem::Sparse("too many pieces"));
    }
    Ok(pairs
        .iter()
        .map(|[offset, length]| Piece {
            offset: *offset,
            length: *length,
        })
        .collect())
}

/// Reads PAX 1.0's map from 512-byte blocks as long as it wants more.
#[derive(Debug, Default)]
pub(crate) struct MapReader {
    /// Numbers of the map still to come; unknown before the first line.
    left: Option<usize>,
    number: Option<u64>,
    numbers: Vec<u64>,
}

impl MapReader {
    /// Takes a block; true once the map is whole. What follows in that block is padding.
    pub(crate) fn take(&mut self, block: &[u8]) -> Result<bool, EntryProblem> {
        for byte in block {
            match byte {
                b'0'..=b'9' => {
                    let digit = u64::from(byte - b'0');
                    let number = self.number.unwrap_or(0).checked_mul(10);
                    let number = number.and_then(|number| number.checked_add(digit));
                    self.number = Some(number.ok_or(EntryProblem::Range("a number of the map"))?);
                }
                b'\n' => self.line()?,
                _ => return Err(EntryProblem::Sparse("not a list of numbers")),
            }
            if self.left == Some(0) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn line(&mut self) -> Result<(), EntryProblem> {
        let number = self
            .number
            .take()
            .ok_or(EntryProblem::Sparse("an empty line"))?;
        match &mut self.left {
            None => {
                let pieces = usize::try_from(number).unwrap_or(usize::MAX);
                if pieces > limits::SPARSE_PIECES {
                    return Err(EntryProblem::Sparse("too many pieces"));
                }
                self.left = Some(pieces * 2);
            }
            Some(left) => {
                *left -= 1;
                self.numbers.push(number);
            }
        }
        Ok(())
    }

    pub(crate) fn pieces(&self) -> Result<Vec<Piece>, EntryProblem> {
        pair_up(&self.numbers)
    }
}

/// A decimal number without sign, spaces or more digits than 64 bits hold.
pub(crate) fn decimal(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    if text.starts_with('+') {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests;
