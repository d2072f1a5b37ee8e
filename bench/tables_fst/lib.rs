//! The fst crate behind the C interface of bench/tables.h: a map from keys to ordinals, or (all
//! values zero) what is the same file as a set.

use fst::{Map, MapBuilder, Streamer};

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Slice {
    data: *const u8,
    size: usize,
}

#[repr(C)]
pub struct Walk {
    keys: u64,
    bytes: u64,
}

pub struct Table {
    map: Map,
    bytes: u64,
}

fn bytes_of<'a>(slice: Slice) -> &'a [u8] {
    if slice.size == 0 {
        return &[];
    }
    unsafe { std::slice::from_raw_parts(slice.data, slice.size) }
}

fn build(keys: &[Slice], ordinals: bool) -> Result<Table, fst::Error> {
    let mut builder = MapBuilder::memory();
    for (i, key) in keys.iter().enumerate() {
        builder.insert(bytes_of(*key), if ordinals { i as u64 } else { 0 })?;
    }
    let file = builder.into_inner()?;
    let bytes = file.len() as u64;
    Ok(Table { map: Map::from_bytes(file)?, bytes })
}

#[no_mangle]
pub extern "C" fn tables_fst_build(keys: *const Slice, count: usize, ordinals: bool) -> *mut Table {
    match build(unsafe { std::slice::from_raw_parts(keys, count) }, ordinals) {
        Ok(table) => Box::into_raw(Box::new(table)),
        Err(error) => {
            eprintln!("fst: {}", error);
            std::ptr::null_mut()
        }
    }
}

#[no_mangle]
pub extern "C" fn tables_fst_bytes(table: *const Table) -> u64 {
    unsafe { (*table).bytes }
}

#[no_mangle]
pub extern "C" fn tables_fst_find(table: *const Table, key: Slice, ordinal: *mut u64) -> bool {
    match unsafe { (*table).map.get(bytes_of(key)) } {
        Some(value) => {
            unsafe { *ordinal = value };
            true
        }
        None => false,
    }
}

#[no_mangle]
pub extern "C" fn tables_fst_walk(table: *const Table) -> Walk {
    let mut walk = Walk { keys: 0, bytes: 0 };
    let mut stream = unsafe { (*table).map.stream() };
    while let Some((key, _)) = stream.next() {
        walk.keys += 1;
        walk.bytes += key.len() as u64;
    }
    walk
}

#[no_mangle]
pub extern "C" fn tables_fst_destroy(table: *mut Table) {
    drop(unsafe { Box::from_raw(table) });
}
