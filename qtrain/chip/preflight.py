"""Preflight: everything that can be known to go wrong with a step on a chip, looked at before anything is sent.

The client-side Sampler of qiskit-ibm-runtime checks neither native gates nor dead couplers nor the angles of fractional
gates, only warns of a paused backend or an exhausted account, and says nothing at all of one that is offline. So all of
it is done here, against the calibration of this moment.

Limits are those of a job at IBM's service (quantum.cloud.ibm.com, "Job limits" and "Maximum execution time"); a device
that states its own goes by those, and a backend that computes here has no others.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from qcompile.errors import NotExecutableError
from qcompile.verify import assert_executable
from qtrain.chip.split import MAX_EXECUTIONS, MAX_INSTRUCTIONS, control_instructions
from qtrain.errors import ConfigError, PreflightError
from qtrain.slots import angle_map

if TYPE_CHECKING:
    from qcompile.device import Device
    from qtrain.chip.types import Service

Array = NDArray[np.float64]

MODES = ("batch", "job", "session")
MAX_PAYLOAD = 64 * 10**6  # bytes of a job's inputs
MAX_SECONDS = 3 * 3600.0  # QPU time of a job; a step is split well below it

_ANGLE_SLACK = 1e-9  # rad; rounding of an angle that is meant to be 0 or pi/2

_STANDS_STILL = {
    "paused": "its queue is paused",
    "internal": "it is in internal use",
    "maintenance": "it is under maintenance",
    "dedicated": "it is reserved for somebody else",
    "reserved": "it is reserved for somebody else",
}
_GONE = ("retired", "deprecated", "decommissioned")


class PlannedJob(NamedTuple):
    """A job as it would be sent: executions (circuits times shots), bytes of its inputs, and predicted QPU seconds."""

    executions: int
    payload_bytes: int
    predicted: float


def preflight(
    service: Service,
    device: Device,
    circuits: Sequence[QuantumCircuit],
    values: Sequence[Array],
    shots: int,
    jobs: Sequence[PlannedJob],
    mode: str,
) -> None:
    """Passes if the step can be sent as it is. Asks the service for its health and what is left of the account.

    Args:
        service: where it would be sent.
        device: its calibration, as it is now.
        circuits: on physical qubits, native, measured into one register.
        values: [point, parameter] rad, one array a circuit, in the order of its parameters.
        shots: executions of each point.
        jobs: how it would be split.
        mode: "batch", "job" or "session".
    Raises: ConfigError: values, shots, mode or a job break a rule. PreflightError: a circuit does not run on the
        calibration as it is now, the backend takes no jobs, or the account has too little left.
    """
    check_mode(service, mode)
    check_points(circuits, values)
    check_shots(device, shots)
    for number, circuit in enumerate(circuits):
        check_measured(number, circuit)
        check_circuit(service, device, number, circuit, values[number])
    check_jobs(service, device, circuits, shots, jobs)
    check_health(service)
    check_quota(service, sum(job.predicted for job in jobs))


def check_mode(service: Service, mode: Any) -> None:
    """Raises: ConfigError: an unknown mode, or a session on a plan that has none."""
    if mode not in MODES:
        raise ConfigError(f"mode = {mode!r}. Expected one of {', '.join(MODES)}.")
    if mode == "session" and service.plan() == "open":
        raise ConfigError(
            f'{service.name}: mode = "session", but the open plan refuses sessions. Use mode="batch" (--mode batch), '
            "which bills QPU time alone, or an account on another plan."
        )


def check_points(circuits: Sequence[QuantumCircuit], values: Sequence[Any]) -> None:
    """Raises: ConfigError: no circuit or point, another shape than [point, parameter], or not finite real numbers."""
    if not circuits or len(circuits) != len(values):
        raise ConfigError(
            f"{len(circuits)} circuits and {len(values)} arrays of values. Expected as many, and one at least."
        )
    for number, (circuit, points) in enumerate(zip(circuits, values)):
        place, wanted = f"values of circuit {number}", circuit.num_parameters
        if isinstance(points, np.ma.MaskedArray) or not isinstance(points, np.ndarray):
            raise ConfigError(f"{place} are a {type(points).__name__}. Expected a numpy array, no value left out.")
        if points.dtype.kind not in "fiu":
            raise ConfigError(f"{place} have dtype {points.dtype}. Expected real numbers, rad.")
        if points.ndim != 2 or points.shape[1] != wanted:
            raise ConfigError(
                f"{place} have shape {points.shape}. Expected [point, parameter] = (points, {wanted}): "
                "nothing is broadcast. A single point is values[None, :]."
            )
        if len(points) == 0:
            raise ConfigError(f"{place} hold no point. Expected one at least; leave an empty circuit out.")
        if not np.isfinite(points).all():
            row, column = (int(i) for i in np.argwhere(~np.isfinite(points))[0])
            raise ConfigError(
                f"{place}: [{row}, {column}] ({circuit.parameters[column].name}) is {points[row, column]}. "
                "Expected finite numbers, rad."
            )


def check_shots(device: Device, shots: Any) -> None:
    """Raises: ConfigError: no whole number of 1 or more, or more than the device takes for one circuit."""
    if isinstance(shots, bool) or not isinstance(shots, int | np.integer) or shots < 1:
        raise ConfigError(f"shots = {shots!r}. Expected a whole number, 1 or more: a chip always takes shots.")
    limit = device.limits.max_shots
    if limit is not None and shots > limit:
        raise ConfigError(f"shots = {shots}: {device.name} takes at most {limit} for one circuit. Ask for fewer.")


def check_measured(number: int, circuit: QuantumCircuit) -> None:
    """Raises: ConfigError: anything but one register whose every bit is measured; an unmeasured bit would read 0."""
    if len(circuit.cregs) != 1 or circuit.num_clbits != circuit.cregs[0].size or circuit.num_clbits == 0:
        names = [register.name for register in circuit.cregs]
        raise ConfigError(
            f"circuit {number} has the classical registers {names}. Expected one register with every classical bit; "
            "measure into it: circuit.measure_all()."
        )
    written = Counter(bit for instruction in circuit.get_instructions("measure") for bit in instruction.clbits)
    missing = [k for k, bit in enumerate(circuit.clbits) if not written[bit]]
    if missing:
        raise ConfigError(
            f"circuit {number}: bit {missing[0]} of register {circuit.cregs[0].name!r} is never measured, and would "
            "read 0 whatever happens. Expected a measurement into every bit."
        )


def check_circuit(service: Service, device: Device, number: int, circuit: QuantumCircuit, points: Array) -> None:
    """Raises: PreflightError: not native or dead now. ConfigError: a point takes a fractional gate out of its range."""
    symbolic = _symbolic_fractions(circuit)
    try:
        assert_executable(_without(circuit, symbolic), device)
    except NotExecutableError as error:
        raise PreflightError(
            f"{service.name}: circuit {number} does not run on the calibration of "
            f"{device.calibrated_at:%Y-%m-%d %H:%M %Z}: {error} "
            "Nothing was sent; qtrain resume RUN compiles it for the calibration of that moment."
        ) from None
    if not symbolic:
        return
    places = [(circuit.data[i].operation.params[0], f"circuit {number}: instruction {i}, rzz") for i in symbolic]
    angles = angle_map(places, list(circuit.parameters), [])(points, np.empty(0))
    outside = np.argwhere((angles < -_ANGLE_SLACK) | (angles > math.pi / 2 + _ANGLE_SLACK))
    if len(outside):
        point, which = (int(i) for i in outside[0])
        raise ConfigError(
            f"{places[which][1]}: angle {angles[point, which]:.6g} rad at point {point}. Expected 0 to pi/2, what the "
            f"fractional gate takes ({len(outside)} such angles). Write it as CX RZ CX, or compile it symbolically."
        )


def _symbolic_fractions(circuit: QuantumCircuit) -> list[int]:
    """Instructions whose angle is only known point by point, in a gate that takes 0 to pi/2."""
    found = circuit.get_instructions("rzz") and list(enumerate(circuit.data))
    return [i for i, it in found if it.operation.name == "rzz" and getattr(it.operation.params[0], "parameters", None)]


def _without(circuit: QuantumCircuit, instructions: list[int]) -> QuantumCircuit:
    """The circuit with those angles at 0, which every fractional gate takes."""
    if not instructions:
        return circuit
    bound = circuit.copy()
    for i in instructions:
        operation = bound.data[i].operation.to_mutable()
        operation.params = [0.0]
        bound.data[i] = bound.data[i].replace(operation=operation)
    return bound


def check_jobs(
    service: Service, device: Device, circuits: Sequence[QuantumCircuit], shots: int, jobs: Sequence[PlannedJob]
) -> None:
    """Raises: ConfigError: a job that is larger than the service takes."""
    stated, here = device.limits, service.is_local
    most_executions = stated.max_executions_per_job or (None if here else MAX_EXECUTIONS)
    most_bytes = stated.max_payload_bytes or (None if here else MAX_PAYLOAD)
    busiest = 0 if here else max(control_instructions(circuit) for circuit in circuits)
    for number, job in enumerate(jobs):
        _at_most(service, number, "executions", job.executions, most_executions)
        _at_most(service, number, "bytes of inputs", job.payload_bytes, most_bytes)
        if not here:
            points = -(-job.executions // shots)
            _at_most(service, number, "control instructions a qubit", points * busiest, MAX_INSTRUCTIONS)
            _at_most(service, number, "predicted QPU seconds", job.predicted, MAX_SECONDS)


def _at_most(service: Service, number: int, what: str, value: float, limit: float | None) -> None:
    if limit is not None and value > limit:
        raise ConfigError(
            f"{service.name}: job {number} has {value:,.0f} {what}. Expected at most {limit:,.0f} in a job; "
            "take fewer shots (--shots) or a smaller batch (--batch-size)."
        )


def check_health(service: Service) -> None:
    """Raises: PreflightError: the backend takes no jobs, or would only queue them."""
    health = service.health()
    status = health.status.strip().lower()
    resume = "Nothing was sent. Try later, from the last checkpoint: qtrain resume RUN."
    if status in _GONE:
        raise PreflightError(
            f"{service.name} is {status}: it takes no jobs any more. Nothing was sent. Train on another backend, from "
            "the weights of this run: qtrain train --from RUN --backend ..."
        )
    if status in _STANDS_STILL:
        raise PreflightError(f"{service.name}: status {status!r}, {_STANDS_STILL[status]}; jobs would wait. {resume}")
    if not health.operational:
        raise PreflightError(f"{service.name} is offline (status {health.status!r}). {resume}")
    if status not in ("active", "online", "available"):
        raise PreflightError(f"{service.name}: status {health.status!r}. Expected active. {resume}")


def check_quota(service: Service, predicted: float) -> None:
    """Raises: PreflightError: the account has no QPU seconds left, or fewer than the step is predicted to take."""
    left = service.remaining_seconds()
    if left is None:
        return
    way_out = (
        "Nothing was sent. Wait until the account's period begins anew, raise its limit, or take fewer shots; "
        "then qtrain resume RUN."
    )
    if left <= 0:
        raise PreflightError(f"{service.name}: the account's usage limit is reached, 0 QPU seconds are left. {way_out}")
    if predicted > left:
        raise PreflightError(
            f"{service.name}: the step is predicted to take {predicted:,.1f} QPU seconds, the account has {left:,.1f} "
            f"left. {way_out}"
        )
