"""The native form of a chip: which gates its one-qubit pulses are, and which rotation is a change of frame.

Three forms: "sx" (rz + sx [+ x]: IBM), "r" (a rotation about an axis of the equator, Z rotations kept by software:
IQM) and "u" (any one-qubit unitary in one pulse: Google's phased XZ; with the names u1, u2, u3 IBM's old basis).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from qcompile.errors import CalibrationError

if TYPE_CHECKING:
    from qcompile.device import Device, NativeGates

FRAMES = ("rz", "u1", "p")
"""Names of a Z rotation; equal up to the global phase."""


class NativeForm(NamedTuple):
    """What one-qubit gates are made of on a chip.

    Attributes:
        kind: "sx", "r" or "u".
        pulse: name of the general pulse: sx, r, u or u3.
        frame: name of the virtual Z rotation; None where the chip has none.
        shorter: a cheaper pulse for some rotations, where the chip has it: x, or u2.
    """

    kind: str
    pulse: str
    frame: str | None
    shorter: str | None = None

    @property
    def pulses(self) -> tuple[str, ...]:
        """The gates that take time and make errors."""
        return (self.pulse,) if self.shorter is None else (self.pulse, self.shorter)

    @property
    def gates(self) -> tuple[str, ...]:
        """All of them: a qubit on which one is dead is of no use."""
        return self.pulses if self.frame is None else (self.frame, *self.pulses)


def is_frame(name: str, native: NativeGates) -> bool:
    """Whether a gate is a Z rotation without error or duration."""
    return name in FRAMES and name in native.virtual


@lru_cache(maxsize=1024)
def native_form(native: NativeGates) -> NativeForm | None:
    """The form of a chip; None where circuits cannot be built from its gates."""
    names = native.one_qubit
    if "rz" in names and "sx" in names:
        return NativeForm("sx", "sx", "rz", "x" if "x" in names else None)
    frame = next((name for name in FRAMES if name in names and name in native.virtual), None)
    if "r" in names:
        return NativeForm("r", "r", frame)
    if "u" in names:
        return NativeForm("u", "u", frame)
    if "u3" in names:
        return NativeForm("u", "u3", frame, "u2" if "u2" in names else None)
    return None


def checked_form(device: Device) -> NativeForm:
    """The native form of a device. Raises: CalibrationError: circuits cannot be built from its one-qubit gates."""
    form = native_form(device.native_gates)
    if form is None:
        raise CalibrationError(
            f"{device.name}: native one-qubit gates {device.native_gates.one_qubit}. Expected rz and sx, or r, or u, "
            "or u3, from which circuits are built here."
        )
    return form


_HALF_TURN = math.pi / 2
_TO_Z: dict[tuple[str, str], tuple[tuple[float, ...], ...]] = {
    ("sx", "X"): ((_HALF_TURN,), ()),
    ("sx", "Y"): ((),),
    ("r", "X"): ((_HALF_TURN, -_HALF_TURN),),
    ("r", "Y"): ((_HALF_TURN, 0.0),),
    ("u", "X"): ((_HALF_TURN, 0.0, math.pi),),
    ("u", "Y"): ((_HALF_TURN, 0.0, _HALF_TURN),),
}


def basis_change(form: NativeForm, pauli: str) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """(native gate, its angles in rad) that turn X, Y or Z into the Z that is measured; no last Z rotation, which
    would change nothing."""
    names = ("rz", "sx") if (form.kind, pauli) == ("sx", "X") else (form.pulse,)
    return tuple(zip(names, _TO_Z.get((form.kind, pauli), ())))


def half_turn(form: NativeForm, axis: str) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """(native gate, its angles in rad) that turn a qubit by pi about "X" or "Y", in time order, up to the phase."""
    if form.kind == "sx":
        turn: tuple[tuple[str, tuple[float, ...]], ...] = (("x", ()),) if form.shorter else (("sx", ()), ("sx", ()))
        return turn if axis == "X" else (("rz", (math.pi,)), *turn)
    if form.kind == "r":
        return ((form.pulse, (math.pi, 0.0 if axis == "X" else _HALF_TURN)),)
    return ((form.pulse, (math.pi, 0.0, math.pi) if axis == "X" else (math.pi, _HALF_TURN, _HALF_TURN)),)
