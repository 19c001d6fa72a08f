// SPDX-License-Identifier: GPL-2.0

//! The page tables with which a secondary kernel is entered: virtual address = physical address.
//!
//! Mapped are the first 2 MiB, where the trampoline runs, and every 2 MiB page of the partition:
//! enough until the kernel makes tables of its own, and nothing through which it could reach the
//! primary by mistake. Large pages of 1 GiB would be fewer, but not every processor has them.

use crate::bootparams::Extent;

/// Bytes of one table.
pub const TABLE_SIZE: usize = 4096;

const ENTRIES: u64 = 512;
const PAGE_2M: u64 = 1 << 21;
const REACH_1G: u64 = PAGE_2M * ENTRIES;
const REACH_512G: u64 = REACH_1G * ENTRIES;
/// What four levels of tables span, in the lower half of the address space.
const REACH_MAX: u64 = REACH_512G * ENTRIES / 2;
const PRESENT_WRITABLE: u64 = 0b11;
const LARGE: u64 = 1 << 7;

/// Why no tables were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// The memory to map is not a positive number of 2 MiB pages within 128 TiB.
    Memory,
    /// The tables are not page-aligned, or need more room.
    Tables,
}

/// Maps the first 2 MiB and `memory`.
///
/// `top` is the topmost table. The others are laid one after the other into `tables`, which will be at
/// physical address `tables_phys`. Both are overwritten.
///
/// # Errors
///
/// See [`MapError`].
pub fn build(
    top: &mut [u8; TABLE_SIZE],
    tables: &mut [u8],
    tables_phys: u64,
    memory: Extent,
) -> Result<(), MapError> {
    let end = memory
        .end()
        .filter(|&end| end <= REACH_MAX)
        .ok_or(MapError::Memory)?;
    if memory.size == 0 || memory.start % PAGE_2M != 0 || memory.size % PAGE_2M != 0 {
        return Err(MapError::Memory);
    }
    if tables_phys % TABLE_SIZE as u64 != 0 {
        return Err(MapError::Tables);
    }
    top.fill(0);
    tables.fill(0);
    let mut map = Map {
        top,
        tables,
        phys: tables_phys,
        used: 0,
    };
    map.page_2m(0)?;
    let mut at = memory.start;
    while at < end {
        map.page_2m(at)?;
        at += PAGE_2M;
    }
    Ok(())
}

struct Map<'a> {
    top: &'a mut [u8; TABLE_SIZE],
    tables: &'a mut [u8],
    phys: u64,
    used: usize,
}

impl Map<'_> {
    fn page_2m(&mut self, at: u64) -> Result<(), MapError> {
        let slot = slot(at, REACH_512G);
        let entry = read(self.top, slot);
        let upper = match self.table_of(entry)? {
            Some(offset) => offset,
            None => {
                let offset = self.allocate()?;
                write(
                    self.top,
                    slot,
                    (self.phys + offset as u64) | PRESENT_WRITABLE,
                );
                offset
            }
        };
        let slot = upper + self::slot(at, REACH_1G);
        let lower = match self.table_of(read(self.tables, slot))? {
            Some(offset) => offset,
            None => {
                let offset = self.allocate()?;
                write(
                    self.tables,
                    slot,
                    (self.phys + offset as u64) | PRESENT_WRITABLE,
                );
                offset
            }
        };
        write(
            self.tables,
            lower + self::slot(at, PAGE_2M),
            at | PRESENT_WRITABLE | LARGE,
        );
        Ok(())
    }

    /// The offset in `tables` of the table that `entry` points to.
    fn table_of(&self, entry: u64) -> Result<Option<usize>, MapError> {
        if entry == 0 {
            return Ok(None);
        }
        let offset = (entry & !(TABLE_SIZE as u64 - 1))
            .checked_sub(self.phys)
            .ok_or(MapError::Tables)?;
        Ok(Some(offset as usize))
    }

    fn allocate(&mut self) -> Result<usize, MapError> {
        let offset = self.used;
        if offset + TABLE_SIZE > self.tables.len() {
            return Err(MapError::Tables);
        }
        self.used += TABLE_SIZE;
        Ok(offset)
    }
}

/// The byte offset, in its table, of the entry for address `at`, where each entry spans `reach`.
fn slot(at: u64, reach: u64) -> usize {
    ((at / reach) % ENTRIES) as usize * 8
}

fn read(table: &[u8], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&table[at..at + 8]);
    u64::from_le_bytes(bytes)
}

fn write(table: &mut [u8], at: usize, value: u64) {
    table[at..at + 8].copy_from_slice(&value.to_le_bytes());
}
