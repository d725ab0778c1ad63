"""Eight numbers side by side in one register, for numba kernels whose neighbours in memory must change places.

numba vectorizes loops that run along memory. A rotation of one of the three lowest qubits pairs amplitudes within one
vector instead, and a rotation of three qubits at once holds eight vectors at a time; both are spelled out with this
type. LLVM splits it where a machine's registers are narrower, so it runs everywhere.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.extending import models, overload, register_model

intrinsic: Any = extending.intrinsic  # its type hides that the first argument is numba's own
LANES = 8
LANE_BITS = 3  # qubits that lie within a vector


class Lanes(types.Type):
    """The numba type of eight floats of one kind."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        super().__init__(name=f"Lanes({dtype})")


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        element = dmm.lookup(fe_type.dtype).get_value_type()
        super().__init__(dmm, fe_type, ir.VectorType(element, LANES))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    element = context.get_data_type(array_type.dtype)
    return builder.bitcast(builder.gep(data, [index]), ir.VectorType(element, LANES).as_pointer())


def _splatted(builder: Any, value: Any) -> Any:
    kind = ir.VectorType(value.type, LANES)
    first = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(kind, ir.Undefined), zeros)


@intrinsic
def load(typingctx: Any, array: Any, index: Any) -> Any:
    """array[index : index + 8] of a contiguous 1-d array; nothing checks the bounds."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        where = _pointer(context, builder, signature.args[0], args[0], args[1])
        return builder.load(where, align=context.get_abi_sizeof(context.get_data_type(signature.args[0].dtype)))

    return Lanes(array.dtype)(array, types.intp), codegen


@intrinsic
def store(typingctx: Any, array: Any, index: Any, lanes: Any) -> Any:
    """array[index : index + 8] = lanes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        where = _pointer(context, builder, signature.args[0], args[0], args[1])
        builder.store(args[2], where, align=context.get_abi_sizeof(context.get_data_type(signature.args[0].dtype)))
        return context.get_dummy_value()

    return types.void(array, types.intp, Lanes(array.dtype)), codegen


@intrinsic
def splat(typingctx: Any, array: Any, value: Any) -> Any:
    """`value` in all lanes, in the precision of `array`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _splatted(builder, args[1])

    return Lanes(array.dtype)(array, array.dtype), codegen


@intrinsic
def total(typingctx: Any, lanes: Any) -> Any:
    """The sum of the lanes, in double precision."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        parts = []
        for lane in range(LANES):
            part = builder.extract_element(args[0], ir.Constant(ir.IntType(32), lane))
            parts.append(context.cast(builder, part, signature.args[0].dtype, types.float64))
        while len(parts) > 1:
            parts = [builder.fadd(a, b) for a, b in zip(parts[::2], parts[1::2])]
        return parts[0]

    return types.float64(lanes), codegen


def _exchanging(bit: int, doc: str) -> Any:
    @intrinsic
    def exchange(typingctx: Any, lanes: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [lane ^ bit for lane in range(LANES)])
            return builder.shuffle_vector(args[0], args[0], order)

        return lanes(lanes), codegen

    exchange.__doc__ = doc
    return exchange


exchange1 = _exchanging(1, "Lane i becomes lane i ^ 1.")
exchange2 = _exchanging(2, "Lane i becomes lane i ^ 2.")
exchange4 = _exchanging(4, "Lane i becomes lane i ^ 4.")


def _signing(bit: int, doc: str) -> Any:
    @intrinsic
    def signs(typingctx: Any, lanes: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = args[0].type
            factors = ir.Constant(kind, [-1.0 if lane & bit else 1.0 for lane in range(LANES)])
            return builder.fmul(args[0], factors)

        return lanes(lanes), codegen

    signs.__doc__ = doc
    return signs


signed1 = _signing(1, "The lanes with index bit 0 set change sign.")
signed2 = _signing(2, "The lanes with index bit 1 set change sign.")
signed4 = _signing(4, "The lanes with index bit 2 set change sign.")


def _operation(name: str) -> Any:
    @intrinsic
    def operation(typingctx: Any, a: Any, b: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, name)(args[0], args[1], flags=("contract",))

        return a(a, b), codegen

    return operation


def _overloaded(operator_: Any, name: str) -> None:
    """Lets kernels write a + b; numba compares argument names and annotations of both functions."""
    operation = _operation(name)

    @overload(operator_)
    def typed(a: Any, b: Any) -> Any:
        if not isinstance(a, Lanes) or a != b:
            return None

        def implementation(a: Any, b: Any) -> Any:
            return operation(a, b)

        return implementation


_overloaded(operator.add, "fadd")
_overloaded(operator.sub, "fsub")
_overloaded(operator.mul, "fmul")
