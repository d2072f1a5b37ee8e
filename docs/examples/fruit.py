#!/usr/bin/env python3
"""docs/examples/fruit.py: the library from another language, here through Python's ctypes: a database
in memory. Takes the path of libfirn.so, or finds the one that is installed."""
import ctypes
import ctypes.util
import sys
from ctypes import byref, c_char_p, c_size_t, c_uint, c_void_p


class Slice(ctypes.Structure):
    _fields_ = [("data", c_char_p), ("size", c_size_t)]


def slice_of(data):
    return Slice(data, len(data))


firn = ctypes.CDLL(sys.argv[1] if len(sys.argv) > 1 else ctypes.util.find_library("firn"))
firn.firn_errmsg.restype = c_char_p
firn.firn_version.restype = c_char_p
firn.firn_options_init.argtypes = [c_void_p]
firn.firn_options_set.argtypes = [c_void_p, c_char_p, c_char_p]
firn.firn_open.argtypes = [c_char_p, c_void_p, c_void_p]
firn.firn_put.argtypes = [c_void_p, Slice, Slice, c_uint]
firn.firn_get_into.argtypes = [c_void_p, c_void_p, Slice, c_void_p, c_size_t, c_void_p]
firn.firn_close.argtypes = [c_void_p]


def check(code):
    if code < 0:
        raise RuntimeError(firn.firn_errmsg().decode())
    return code


# Options are set by name, so the layout of their struct does not matter; it only has to have room.
options = ctypes.create_string_buffer(1024)
firn.firn_options_init(options)
check(firn.firn_options_set(options, b"in_memory", b"true"))

db = c_void_p()
check(firn.firn_open(b"fruit", options, byref(db)))
check(firn.firn_put(db, slice_of(b"apple"), slice_of(b"red"), 0))

value = ctypes.create_string_buffer(64)
size = c_size_t()
if check(firn.firn_get_into(db, None, slice_of(b"apple"), value, 64, byref(size))) == 0:
    print("an apple is", value.raw[: size.value].decode())
if check(firn.firn_get_into(db, None, slice_of(b"pear"), value, 64, byref(size))) == 1:
    print("there is no pear")
check(firn.firn_close(db))
