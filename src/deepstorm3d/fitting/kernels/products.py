"""Sums of products of several lines of memory with several others, in vector registers, for compiled code.

The compiler makes one sum at a time of a loop, and adds up its parts at the end of each line. Here 25 sums
share ten loads and stay in registers from line to line: they are written in the compiler's own language (LLVM).
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import intrinsic

__all__ = ["five_by_five", "four_by_four", "one_by_one"]

# Bytes of the registers that 25 sums are kept in, by what this computer has.
_FEATURES = llvm.get_host_cpu_features()
_REGISTER = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx") else 16
_SUM: Any = ("contract", "nsz")  # a product and its sum may be one instruction

_I32 = ir.IntType(32)  # the compiler's integers: of places in registers …
_I64 = ir.IntType(64)  # … and in memory


def _undefined(kind: ir.VectorType) -> ir.Constant:
    return ir.Constant(kind, ir.Undefined)


def _places(numbers: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(_I32, len(numbers)), numbers)


def _below(builder: Any, left: Any, lanes: int) -> Any:
    """Which lanes of a register are among the next `left` values."""
    kind = ir.VectorType(_I32, lanes)
    first = builder.insert_element(_undefined(kind), builder.trunc(left, _I32), _I32(0))
    return builder.icmp_signed(
        "<", _places(list(range(lanes))), builder.shuffle_vector(first, _undefined(kind), _places([0] * lanes))
    )


def _loaded(builder: Any, lines: Any, at: Any, number: int, mask: Any, kind: ir.VectorType) -> list[Any]:
    """A register of each of `number` lines of a two-dimensional array.  mask: lanes to read, None: all."""
    (_, between), found = cgutils.unpack_tuple(builder, lines.shape, 2), []
    for _ in range(number):
        place = builder.bitcast(builder.gep(lines.data, [at]), kind.as_pointer())
        if mask is None:
            value = builder.load(place, align=_size_of(kind.element))
            value.type = kind
            found.append(value)
        else:
            found.append(_masked(builder, place, mask, kind))
        at = builder.add(at, between)
    return found


def _masked(builder: Any, place: Any, mask: Any, kind: ir.VectorType) -> Any:
    """A register that is read only where the mask is set, else 0: what follows may belong to something else."""
    lanes, bits = kind.count, 8 * _size_of(kind.element)
    masked = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(kind, [kind.as_pointer(), _I32, mask.type, kind]),
        f"llvm.masked.load.v{lanes}f{bits}.p0v{lanes}f{bits}",
    )
    return builder.call(masked, [place, _I32(bits // 8), mask, ir.Constant(kind, [0.0] * lanes)])


def _size_of(kind: Any) -> int:
    """Bytes of a number."""
    return 4 if isinstance(kind, ir.FloatType) else 8


def _total(builder: Any, value: Any, lanes: int) -> Any:
    """Sum of the lanes of a register."""
    while lanes > 1:
        lanes //= 2
        low, high = _places(list(range(lanes))), _places(list(range(lanes, 2 * lanes)))
        nothing = _undefined(value.type)
        value = builder.fadd(
            builder.shuffle_vector(value, nothing, low), builder.shuffle_vector(value, nothing, high)
        )
    return builder.extract_element(value, _I32(0))


def _add_products(builder: Any, lines: Any, begins: Any, area: Any, kept: Any, kind: ir.VectorType) -> None:
    """Add the products of two sets of lines over an area (stride, rows, width) to registers, row by row.

    lines: the two arrays;  begins: first value of each;  kept: a register for each pair of lines.
    """
    (stride, rows, width), lanes, number = area, kind.count, max(i for i, _ in kept) + 1
    whole = builder.sdiv(width, _I64(lanes))
    rest = builder.sub(width, builder.mul(whole, _I64(lanes)))

    def add(at: Any, mask: Any) -> None:
        a, b = (
            _loaded(builder, each, builder.add(begin, at), number, mask, kind)
            for each, begin in zip(lines, begins, strict=True)
        )
        for (i, j), register in kept.items():
            product = builder.fmul(a[i], b[j], flags=_SUM)
            builder.store(builder.fadd(builder.load(register), product, flags=_SUM), register)

    with cgutils.for_range(builder, rows, intp=_I64) as row:
        first = builder.mul(row.index, stride)
        with cgutils.for_range(builder, whole, intp=_I64) as part:
            add(builder.add(first, builder.mul(part.index, _I64(lanes))), None)
        with builder.if_then(builder.icmp_signed(">", rest, _I64(0))):
            add(builder.add(first, builder.mul(whole, _I64(lanes))), _below(builder, rest, lanes))


def _sums_of_products(number: int) -> Any:
    """A function that writes the sums of products of `number` lines with as many others."""

    @intrinsic
    def sums(_: Any, one: Any, here: Any, other: Any, there: Any, area: Any, out: Any) -> Any:
        if any(each.ndim != 2 or each.layout != "C" or each.dtype != one.dtype for each in (one, other, out)):
            raise TypingError("two-dimensional arrays of one type, row after row, are needed")

        def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            lines = [context.make_array(signature.args[k])(context, builder, values[k]) for k in (0, 2)]
            written = context.make_array(signature.args[5])(context, builder, values[5])
            number_kind = context.get_data_type(one.dtype)
            lanes = _REGISTER // _size_of(number_kind)
            kind = ir.VectorType(number_kind, lanes)
            nothing = ir.Constant(kind, [0.0] * lanes)
            kept = {
                (i, j): cgutils.alloca_once_value(builder, nothing)
                for i in range(number)
                for j in range(number)
            }
            size = cgutils.unpack_tuple(builder, values[4], 3)
            _add_products(builder, lines, (values[1], values[3]), size, kept, kind)
            for (i, j), register in kept.items():
                place = cgutils.get_item_pointer(
                    context, builder, signature.args[5], written, [_I64(i), _I64(j)], wraparound=False
                )
                builder.store(_total(builder, builder.load(register), lanes), place)
            return context.get_dummy_value()

        size = types.int64
        return types.void(one, size, other, size, types.UniTuple(size, 3), out), code

    return sums


# Each takes (one, here, other, there, (stride, rows, width), out) and writes
# out[i, j] = Σ one[i, here + k]·other[j, there + k], k = row·stride + 0 … width − 1 for each of the rows.
# one, other: two-dimensional, of one type.
five_by_five = _sums_of_products(5)
four_by_four = _sums_of_products(4)
one_by_one = _sums_of_products(1)
