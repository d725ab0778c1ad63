"""A backend as any vendor's package might have it: it idles where a chip does, and returns counts alone."""

from qiskit.providers import BackendV2, Options
from qiskit_aer import AerSimulator
from qiskit_aer.noise import ReadoutError

from qcompile.channels import confusion_matrix
from qcompile.schedule import pad
from tests.aer_reference import noise_model


class SimulatedChip(BackendV2):
    """All that a Device says, in Qiskit Aer: gates, idle windows, two-sided readout.

    Args:
        device: at most about 8 qubits; the noise is of all of them.
    """

    def __init__(self, device):
        super().__init__(name=f"simulated_{device.name}")
        self.calibration, self._device_target, self.calls = device, device.target(), []
        noise = noise_model(device, tuple(range(device.num_qubits)))
        for qubit in range(device.num_qubits):
            # ours is [prepared, read], as is Aer's
            noise.add_readout_error(ReadoutError(confusion_matrix(device, qubit)), [qubit])
        self._simulator = AerSimulator(noise_model=noise, max_parallel_threads=1)

    @property
    def target(self):
        return self._device_target

    @property
    def max_circuits(self):
        return None

    @classmethod
    def _default_options(cls):
        return Options()

    def run(self, run_input, *, shots, **options):
        self.options_given = options
        self.calls.append((len(run_input), shots))
        padded = [pad(circuit, self.calibration) for circuit in run_input]
        return self._simulator.run(padded, shots=shots, seed_simulator=len(self.calls))
