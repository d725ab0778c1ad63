"""The executor contract: who evaluates expectations of a program, and what that costs.

An executor is stateless but for its ledger. Shots, noise and credentials are constructor arguments; randomness is a
function of the key alone, so the same call with the same key gives the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from qcompile.cost import execution_cost
from qcompile.device import Device
from qtrain.errors import ConfigError
from qtrain.ledger import Ledger
from qtrain.program import Program
from qtrain.real_arrays import real_array

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.quantum_info import SparsePauliOp

Array = NDArray[np.float64]
Slots = NDArray[np.integer[Any]]
Loss = Callable[[Array], tuple[float, Array]]
"""expectations [batch, observable] -> (loss, its derivative by every one of them, of the same shape)."""

Key = tuple[int, int, int]
"""(seed, step, stream): all that a random draw may depend on."""

FORWARD, BACKWARD, EVALUATE, PRUNE, BATCH, WEIGHTS = range(6)
"""Streams: draws of one step that must not be the same ones. WEIGHTS: the initial weights, at step 0."""

NUM_STREAMS = 16
"""The k-th further use of a stream within one step draws from stream + k * NUM_STREAMS."""


def generator(key: Key, *more: int) -> np.random.Generator:
    """The random generator of a key; equal keys give equal draws on every machine."""
    return np.random.default_rng([int(k) for k in (*key, *more)])


@runtime_checkable
class Executor(Protocol):
    """Evaluates a program's observables.

    Every method is deterministic in its arguments and `key`. Angles are radians, [batch, slot], in the order of
    the program's slots.
    """

    ledger: Ledger

    def prepare(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        *,
        features: Sequence[Parameter] = (),
        weights: Sequence[Parameter] | None = None,
    ) -> Program:
        """Compiles once for this executor's device (exact: no device) and lowers the result.

        Args:
            circuit: parameters symbolic, no measurement.
            observables: on the circuit's own (virtual) qubits.
            features, weights: the circuit's parameters, split; default: all of them are weights.
        Raises: ModelError, CircuitError, UnroutableError.
        """
        ...

    def expectations(self, program: Program, angles: Array, *, key: Key) -> Array:
        """[batch, observable]: expectation values, sampled if the executor takes shots."""
        ...

    def shifted_expectations(self, program: Program, angles: Array, slots: Slots, shifts: Array, *, key: Key) -> Array:
        """[batch, slot, shift, observable]: expectations with one slot's angle moved.

        Args:
            slots: [k] indices of the slots to shift, one after another.
            shifts: [s] what is added to the angle, rad.
        """
        ...


def shifted_points(angles: Array, slots: NDArray[Any], shifts: Array) -> Array:
    """[batch, slot, shift, all slots]: the angles with one slot moved."""
    batch, num_slots = angles.shape
    points = np.broadcast_to(angles[:, None, None, :], (batch, len(slots), len(shifts), num_slots)).copy()
    for i, slot in enumerate(slots):
        points[:, i, :, slot] += shifts
    return points


def spelled_out_shifts(
    executor: Executor, program: Program, angles: Array, slots: Slots, shifts: Array, *, key: Key
) -> Array:
    """Every shift as a circuit of its own: what a chip runs, and the reference for cleverer executors.

    Returns: [batch, slot, shift, observable].
    """
    points = shifted_points(angles, slots, shifts)
    values = executor.expectations(program, points.reshape(int(np.prod(points.shape[:3])), points.shape[-1]), key=key)
    return values.reshape(*points.shape[:3], program.num_observables)


def checked_shots(shots: Any, device: Device | None = None) -> int | None:
    """`shots` as an int, or None for exact expectations.

    Raises: ConfigError: not a whole number of 1 or more, or more than the device takes for one circuit.
    """
    if shots is None:
        return None
    if isinstance(shots, bool) or not isinstance(shots, int | np.integer) or shots < 1:
        raise ConfigError(
            f"shots = {shots!r}. Expected a whole number, 1 or more, or None for exact expectations without shots."
        )
    limit = device.limits.max_shots if device is not None else None
    if limit is not None and shots > limit:
        raise ConfigError(f"shots = {shots} is more than the device takes for one circuit. Expected at most {limit}.")
    return int(shots)


def checked_key(key: Any) -> Key:
    """`key` as three ints. Raises: ConfigError: anything but three whole numbers, 0 or more."""
    values = tuple(key) if isinstance(key, tuple | list) else ()
    if len(values) != 3 or any(isinstance(v, bool) or not isinstance(v, int | np.integer) or v < 0 for v in values):
        raise ConfigError(f"key = {key!r}. Expected (seed, step, stream): three whole numbers, 0 or more.")
    seed, step, stream = (int(v) for v in values)
    return seed, step, stream


def checked_shifts(program: Program, slots: Any, shifts: Any) -> tuple[NDArray[np.intp], Array]:
    """Slots as indices [k] and shifts as float64 [s], rad.

    Raises: ConfigError: a slot that is not there, a shift that is not finite, or arrays that are not one-dimensional.
    """
    indices, moves = real_array("slots", slots), real_array("shifts", shifts)
    if indices.ndim != 1 or (indices.dtype.kind not in "iu" and indices.size):
        raise ConfigError(f"slots = {slots!r}. Expected a one-dimensional array of whole numbers.")
    outside = indices[(indices < 0) | (indices >= program.num_slots)]
    if len(outside):
        raise ConfigError(f"slot {outside[0]} is not there. Expected indices from 0 to {program.num_slots - 1}.")
    if moves.ndim != 1 or not np.all(np.isfinite(moves)):
        raise ConfigError(f"shifts = {shifts!r}. Expected a one-dimensional array of finite numbers, rad.")
    return indices.astype(np.intp), moves.astype(np.float64)


def checked_program(program: Any) -> Program:
    """`program` itself. Raises: ConfigError: anything but what an executor's `prepare` returns."""
    if not isinstance(program, Program):
        raise ConfigError(
            f"program is a {type(program).__name__}. Expected what executor.prepare(circuit, observables) returned: "
            "a circuit is compiled once, every later call only binds numbers."
        )
    return program


def checked_seed(seed: Any) -> int:
    """`seed` as an int. Raises: ConfigError: not a whole number of 0 or more."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ConfigError(f"seed = {seed!r}. Expected a whole number, 0 or more.")
    return int(seed)


def checked_device(device: Any) -> Device:
    """`device` itself. Raises: ConfigError: anything but a qcompile Device."""
    if not isinstance(device, Device):
        raise ConfigError(
            f"device is a {type(device).__name__}. Expected a qcompile Device, e.g. qcompile.load_device('ibm_manila') "
            "or Device.from_backend(backend)."
        )
    return device


def checked_cotangent(program: Program, batch: int, cotangent: Any) -> Array:
    """`cotangent` as float64 [batch, observable]. Raises: ConfigError: another shape, or not finite and real."""
    array = real_array("values of the cotangent", cotangent)
    if array.shape != (batch, program.num_observables):
        raise ConfigError(
            f"cotangent has shape {array.shape} and dtype {array.dtype}. "
            f"Expected real numbers of shape ({batch}, {program.num_observables})."
        )
    if not np.isfinite(array).all():
        raise ConfigError("cotangent holds NaN or infinity. Expected finite numbers.")
    return array.astype(np.float64)


def checked_loss(program: Program, values: Array, loss: Loss) -> tuple[float, Array]:
    """The loss of expectations [batch, observable], and its derivative by them, of the same shape.

    Raises: ConfigError: the loss returns anything but a finite number and such an array.
    """
    if not callable(loss):
        raise ConfigError(
            f"loss = {loss!r}. Expected a function: expectations [batch, observable] -> (loss, its derivative by them)."
        )
    made = loss(values.copy())  # a loss may write into its argument
    if not isinstance(made, tuple) or len(made) != 2:
        raise ConfigError(
            f"the loss returned a {type(made).__name__}. Expected (loss, its derivative by the expectations)."
        )
    number = np.asarray(made[0])
    if number.ndim or number.dtype.kind not in "fiu" or not np.isfinite(number):
        raise ConfigError(f"the loss returned {made[0]!r} as its value. Expected a finite real number.")
    return float(number), checked_cotangent(program, len(values), made[1])


def checked_precision(precision: Any) -> str:
    """`precision` itself. Raises: ConfigError: neither "double" nor "single"."""
    if precision not in ("double", "single"):
        raise ConfigError(f"precision = {precision!r}. Expected 'double' or 'single'.")
    return str(precision)


def refuse_shots(shots: int | None) -> None:
    """Raises: ConfigError: an exact derivative was asked of an executor that takes shots."""
    if shots is not None:
        raise ConfigError(
            f"adjoint differentiation is exact, this executor takes {shots} shots. "
            "Use qtrain.parameter_shift(), or an executor with shots=None."
        )


def bill(
    program: Program, points: int, shots: int | None, *, together_with: int = 0, capacity: int | None = None
) -> Ledger:
    """What evaluating a program at `points` rows of angles spends: one circuit a point and basis.

    QPU seconds follow the vendor's formula for the program's device, as if one submission ran on the chip; 0 without a
    device and where expectations are exact.

    Args:
        together_with: points that the same submission holds already; they are not billed again.
        capacity: circuits that a job may hold; None: as many as the device's limit of executions allows.
    """
    if points == 0:
        return Ledger()
    whole = _submission(program, together_with + points, shots, capacity)
    return whole - _submission(program, together_with, shots, capacity) if together_with else whole


def _submission(program: Program, points: int, shots: int | None, capacity: int | None) -> Ledger:
    circuits = points * program.num_bases
    if circuits == 0:
        return Ledger()
    jobs = 1 if capacity is None else -(-circuits // capacity)
    if program.device is None or shots is None:
        return Ledger(circuits=circuits, shots=circuits * (shots or 0), jobs=jobs)
    duration = float(np.mean(program.durations))
    cost = execution_cost(program.device, duration, shots=shots, circuits=circuits)
    if capacity is None or jobs <= cost.jobs:
        return Ledger(circuits, circuits * shots, cost.qpu_seconds, cost.jobs)
    overhead = cost.overhead_seconds / cost.jobs
    return Ledger(circuits, circuits * shots, cost.qpu_seconds + (jobs - cost.jobs) * overhead, jobs)


def call_bill(
    program: Program, points: int, shots: int | None, key: Key, *, rows: int = 1, capacity: int | None = None
) -> Ledger:
    """The bill of one call of an executor, of which a training step makes several and submits them as one.

    What the backward pass evaluates goes along with the rows of its forward pass, so it adds no submission.

    Args:
        key: of the call, checked.
        rows: of the batch, where the call knows them, else one: they count only where a step takes several jobs.
        capacity: as in `bill`.
    """
    before = rows if key[2] % NUM_STREAMS == BACKWARD else 0
    return bill(program, points, shots, together_with=before, capacity=capacity)
