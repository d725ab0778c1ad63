"""TorchSimulator: state vectors and noisy density matrices on torch tensors, for GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch

from qtrain.errors import ConfigError
from qtrain.executors.base import (
    Array,
    Key,
    Loss,
    Slots,
    bill,
    call_bill,
    checked_cotangent,
    checked_device,
    checked_key,
    checked_loss,
    checked_precision,
    checked_program,
    checked_seed,
    checked_shifts,
    checked_shots,
    generator,
    refuse_shots,
)
from qtrain.executors.sampling import is_joint, parity_signs, sample_outcomes, sample_strings
from qtrain.ledger import Ledger
from qtrain.measurement import Basis, Measurement
from qtrain.noise import check_readout, lower_for_device, with_noise
from qtrain.program import Program, lower
from qtrain.simulators import pauli
from qtrain.simulators.batches import MEMORY_LIMIT
from qtrain.simulators.torch_graphs import Runner
from qtrain.simulators.torch_pauli import TorchDensityMatrix
from qtrain.simulators.torch_simulation import Place, Strings
from qtrain.simulators.torch_statevector import TorchStateVector

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter
    from qiskit.quantum_info import SparsePauliOp

    from qcompile.device import Device

_EXPECTATIONS, _SHIFTED = 0, 1  # draws of the two methods differ even at the same key


class TorchSimulator:
    """Expectations and exact derivatives computed by torch, on the CPU or a GPU.

    Without a chip: the circuit as it stands, on a state vector, as `ExactSimulator`. With one: compiled for it, with
    its calibrated noise, as a density matrix in the Pauli basis, as `NoisySimulator`. Numbers agree with those two to
    rounding, and are equal for equal keys on the same device with the same versions of torch and of its libraries.
    On small circuits on a CPU those two are faster. Small circuits run on a GPU as CUDA graphs, captured in the first
    call for each program, number of rows and kind of result.

    Args:
        chip: the calibration snapshot; None for no noise.
        device: of torch: "cpu", "cuda" or "cuda:1".
        shots: executions of each circuit; None for exact expectations.
        seed: of the compiler's choices and, with the key, of every draw.
        effort: of the compiler: "fast", "normal" or "best".
        precision: "double", or "single" for float32 and complex64, good to about 1e-5.
        readout_error: two-sided misreading of every measured qubit of a chip.
        memory_limit: bytes on the device that a call may take for states; more rows are worked off in turns.
    Attributes:
        device: the chip, as in every executor.
        torch_device: as a string.
    Raises: ConfigError: a value out of its range, or a GPU that is not there.
    """

    def __init__(
        self,
        chip: Device | None = None,
        *,
        device: str | torch.device = "cpu",
        shots: int | None = None,
        seed: int = 0,
        effort: str = "normal",
        precision: str = "double",
        readout_error: bool = True,
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        self.device = None if chip is None else checked_device(chip)
        self.torch_device = str(_checked_torch_device(device))
        self.shots = checked_shots(shots, self.device)
        self.seed = checked_seed(seed)
        self.effort = effort
        self.precision = checked_precision(precision)
        self.readout_error = readout_error
        if isinstance(memory_limit, bool) or not isinstance(memory_limit, int | np.integer) or memory_limit < 1:
            raise ConfigError(f"memory_limit = {memory_limit!r}. Expected a whole number of bytes, 1 or more.")
        self.memory_limit = int(memory_limit)
        self.ledger = Ledger()
        self._settle()

    def _settle(self) -> None:
        place = torch.device(self.torch_device)
        self._place = Place(place, self.precision == "single", self.memory_limit, Runner(place))
        self._known: WeakKeyDictionary[Program, tuple[_Part, ...]] = WeakKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_place", "_known")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._settle()  # constants and graphs of programs are made anew

    def __repr__(self) -> str:
        chip = "" if self.device is None else f"{self.device.name!r}, "
        return f"TorchSimulator({chip}device={self.torch_device!r}, shots={self.shots}, precision={self.precision!r})"

    def prepare(
        self,
        circuit: QuantumCircuit,
        observables: Sequence[SparsePauliOp],
        *,
        features: Sequence[Parameter] = (),
        weights: Sequence[Parameter] | None = None,
    ) -> Program:
        """Lowers the circuit; with a chip, compiles for it and adds its noise.

        Raises: ModelError (also: too wide for a density matrix), CircuitError, UnroutableError.
        """
        if self.device is None:
            return lower(circuit, observables, features=features, weights=weights)
        pauli.check_width(circuit.num_qubits)
        program = lower_for_device(
            circuit,
            observables,
            self.device,
            seed=self.seed,
            effort=self.effort,
            features=features,
            weights=weights,
        )
        pauli.check_width(program.num_qubits)
        return with_noise(program, readout_error=self.readout_error)

    def expectations(self, program: Program, angles: Array, *, key: Key) -> Array:
        """[batch, observable]. Raises: ConfigError: angles, key or program of the wrong kind."""
        parts, checked = self._checked(program, angles)
        chosen = checked_key(key)
        rng = generator(chosen, self.seed, _EXPECTATIONS)
        cost = call_bill(program, len(checked), self.shots, chosen)
        found = [(part, part.simulation.expectations(checked, part.strings)) for part in parts]
        self.ledger += cost
        return self._combined(program, (len(checked),), found, rng)

    def shifted_expectations(self, program: Program, angles: Array, slots: Slots, shifts: Array, *, key: Key) -> Array:
        """[batch, slot, shift, observable]: every shift of a slot from one pass.

        Raises: ConfigError: angles, slots, shifts, key or program of the wrong kind.
        """
        parts, checked = self._checked(program, angles)
        indices, moves = checked_shifts(program, slots, shifts)
        chosen = checked_key(key)
        rng = generator(chosen, self.seed, _SHIFTED)
        points = len(checked) * len(indices) * len(moves)
        cost = call_bill(program, points, self.shots, chosen, rows=len(checked))
        distinct, again = np.unique(indices, return_inverse=True)
        found = [(part, part.simulation.shifts(checked, distinct, part.strings).at(moves)[:, again]) for part in parts]
        self.ledger += cost
        return self._combined(program, (len(checked), len(indices), len(moves)), found, rng)

    def adjoint(self, program: Program, angles: Array, cotangent: Array) -> Array:
        """[batch, slot]: exact derivative of sum(cotangent * E), cotangent [batch, observable]. Costs no circuits.

        Raises: ConfigError: this simulator takes shots, which an exact derivative has none of.
        """
        refuse_shots(self.shots)
        parts, checked = self._checked(program, angles)
        weights = checked_cotangent(program, len(checked), cotangent) @ program.measurement.coefficients
        total = np.zeros(checked.shape)
        for part in parts:
            total += part.simulation.gradient(checked, part.strings, weights[:, part.terms])
        return total

    def jacobian(self, program: Program, angles: Array) -> Array:
        """[batch, observable, slot]: exact derivatives. Costs no circuits.

        Raises: ConfigError: this simulator takes shots, which an exact derivative has none of.
        """
        refuse_shots(self.shots)
        parts, checked = self._checked(program, angles)
        total = np.zeros((len(checked), program.num_observables, program.num_slots))
        for part in parts:
            weights = program.measurement.coefficients[:, part.terms]
            total += part.simulation.jacobian(checked, part.strings, weights)
        return total

    def value_and_gradient(
        self, program: Program, features: Array, weights: Array, loss: Loss
    ) -> tuple[float, Array, Array]:
        """(loss, [weight] its gradient, [batch, observable] expectations): one forward and one backward pass.

        Args:
            features: [batch, feature]. weights: [weight]. loss: values [batch, observable] -> (loss, its derivative
                by the values, [batch, observable]).
        Raises: ConfigError: this simulator takes shots, or a value of the wrong shape or kind.
        """
        refuse_shots(self.shots)
        parts, angles = self._checked(program, checked_program(program).angles(features, weights))
        strings = np.zeros((len(angles), len(program.measurement.strings)))
        backward = []
        for part in parts:
            strings[:, part.terms], back = part.simulation.values_then_gradient(angles, part.strings)
            backward.append((part.terms, back))
        values = program.measurement.combine(strings)
        number, cotangent = checked_loss(program, values, loss)
        self.ledger += bill(program, len(values), None)
        pulled = cotangent @ program.measurement.coefficients
        total = np.zeros(program.num_slots)
        for terms, back in backward:
            total += back(pulled[:, terms])
        return number, total @ program.A, values

    def _checked(self, program: Program, angles: Array) -> tuple[tuple[_Part, ...], Array]:
        checked_program(program)
        if program.device != self.device or (self.device is not None and len(program.noisy) != program.num_bases):
            place = "a simulator without a chip" if self.device is None else f"{self.device.name} with noise"
            raise ConfigError(
                f"the program was not made for {place}. "
                "Expected one from this executor's prepare(circuit, observables)."
            )
        if self.device is not None:
            check_readout(program, readout_error=self.readout_error)
        checked = program.checked_angles(angles)
        parts = self._known.get(program)
        if parts is None:
            parts = self._known[program] = tuple(self._parts(program))
        return parts, checked

    def _parts(self, program: Program) -> list[_Part]:
        """One state vector that every basis is read from, or one noisy circuit a basis."""
        wanted = [self._strings(program, number) for number in range(program.num_bases)]
        terms = [list(basis.terms) for basis in program.measurement.bases]
        if self.device is None:
            ends = np.cumsum([0, *(len(strings) for strings in wanted)]).tolist()
            reads = tuple((number, slice(*ends[number : number + 2])) for number in range(len(wanted)))
            simulation = TorchStateVector(program, self._place)
            return [_Part(simulation, tuple(s for strings in wanted for s in strings), list(chain(*terms)), reads)]
        return [
            _Part(
                TorchDensityMatrix(circuit, program.feature_slots, self._place),
                wanted[number],
                terms[number],
                ((number, slice(None)),),
            )
            for number, circuit in enumerate(program.noisy)
        ]

    def _strings(self, program: Program, number: int) -> Strings:
        """What to evaluate in one basis: every parity of its bits to draw them jointly, else the strings wanted."""
        basis = program.measurement.bases[number]
        if self.shots is not None and is_joint(basis):
            count = len(basis.paulis)
            return tuple(tuple(basis.paulis[i] for i in range(count) if s >> i & 1) for s in range(1, 2**count))
        return tuple(program.measurement.strings[t] for t in basis.terms)

    def _combined(
        self, program: Program, shape: tuple[int, ...], found: list[tuple[_Part, Array]], rng: np.random.Generator
    ) -> Array:
        """[*shape, observable] from exact values of the strings of each part, drawn if this executor takes shots."""
        strings = np.zeros((*shape, len(program.measurement.strings)))
        for part, values in found:
            for number, columns in part.reads:
                basis = program.measurement.bases[number]
                strings[..., basis.terms] = self._drawn(values[..., columns], basis, program.measurement, rng)
        return program.measurement.combine(strings)

    def _drawn(self, values: Array, basis: Basis, measurement: Measurement, rng: np.random.Generator) -> Array:
        if self.shots is None:
            return values
        if not is_joint(basis):
            return sample_strings(values, self.shots, rng)
        return sample_outcomes(_probabilities(values), self.shots, rng) @ parity_signs(basis, measurement)


class _Part(NamedTuple):
    """A simulation, the strings that it is asked for, and (basis, columns of its values) of each basis read from it.

    terms: where those strings are the wanted ones themselves, their numbers among all.
    """

    simulation: TorchStateVector | TorchDensityMatrix
    strings: Strings
    terms: list[int]
    reads: tuple[tuple[int, slice], ...]


def _probabilities(parities: Array) -> Array:
    """[..., outcome] from expectations of every parity [..., subset - 1]: an inverse Walsh transform."""
    outcomes = np.arange(parities.shape[-1] + 1)
    signs = 1.0 - 2.0 * (np.bitwise_count(outcomes[1:, None] & outcomes) & 1)
    probabilities: Array = (parities @ signs + 1.0) / len(outcomes)
    return probabilities


def _checked_torch_device(device: Any) -> torch.device:
    """Raises: ConfigError: no device of torch that computes in double precision, or a GPU that is not there."""
    try:
        checked = torch.device(device)
    except (RuntimeError, TypeError):
        raise ConfigError(f"device = {device!r}. Expected 'cpu', 'cuda' or 'cuda:<number>'.") from None
    if checked.type not in ("cpu", "cuda"):
        raise ConfigError(f"device = {device!r}. Expected 'cpu', 'cuda' or 'cuda:<number>'.")
    if checked.type == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        reason = "finds no CUDA GPU" if torch.version.cuda else "was built without CUDA"
        raise ConfigError(
            f"device = {device!r}, but torch {torch.__version__} {reason}. Use device='cpu', or a machine with a GPU, "
            "its driver, and torch for CUDA (https://pytorch.org/get-started/locally)."
        )
    count = torch.cuda.device_count()
    if checked.index is not None and checked.index >= count:
        raise ConfigError(f"device = {device!r}. Expected 'cuda:0' to 'cuda:{count - 1}': there are {count} GPUs.")
    return torch.device("cuda", torch.cuda.current_device() if checked.index is None else checked.index)
