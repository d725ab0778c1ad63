"""Options of a service's sampler that change what is run, and so what is paid: none of them may do so unsaid.

Twirling runs a circuit as randomizations of some shots each; their product, not the shots asked for, is what is
executed and billed (qiskit_ibm_runtime's `TwirlingOptions`). A longer repetition delay makes each execution dearer. And
a measurement that is not classified into bits is paid for in vain.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qtrain.errors import ConfigError

if TYPE_CHECKING:
    from qcompile.device import Device

_LEAST_A_RANDOMIZATION, _MOST_RANDOMIZATIONS = 64, 32  # of the sampler's "auto"
_USUAL_REP_DELAY = 250e-6  # s; what the bill takes where a device states none


def check_options(options: Mapping[str, Any], shots: int, device: Device) -> None:
    """Passes where the options leave the executions and their bill as they are.

    Raises: ConfigError: twirling would run another number of shots, a repetition delay longer than the bill's, results
        that are no bits, or a value of another kind.
    """
    twirling, execution = _table(options, "twirling"), _table(options, "execution")
    executed = executed_shots(shots, twirling)
    if executed != shots:
        raise ConfigError(
            f"shots = {shots}, but options.twirling executes {executed} of every circuit, and they are billed. "
            f"Expected the same: shots = {executed}, or another num_randomizations and shots_per_randomization."
        )
    delay, billed = execution.get("rep_delay"), device.timing.rep_delay or _USUAL_REP_DELAY
    if delay is not None and (not isinstance(delay, int | float) or not 0 <= delay <= billed):
        raise ConfigError(
            f"options.execution.rep_delay = {delay!r} s. Expected at most {billed:g} s, with which the bill and "
            f"the budget of {device.name} count; leave it out."
        )
    kind = execution.get("meas_type", "classified")
    if kind != "classified":
        raise ConfigError(
            f"options.execution.meas_type = {kind!r} returns no bits, after they were paid for. "
            'Expected "classified"; leave it out.'
        )


def executed_shots(shots: int, twirling: Mapping[str, Any]) -> int:
    """What is executed of a circuit for so many shots. Raises: ConfigError: a count out of its range."""
    if not (twirling.get("enable_gates") or twirling.get("enable_measure")):
        return shots
    counts = []
    for name in ("num_randomizations", "shots_per_randomization"):
        value = twirling.get(name, "auto")
        if value != "auto" and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise ConfigError(f'options.twirling.{name} = {value!r}. Expected a whole number, 1 or more, or "auto".')
        counts.append(None if value == "auto" else int(value))
    randomizations, each = counts
    if each is None:
        parts = randomizations or _MOST_RANDOMIZATIONS
        each = -(-shots // parts)
        if randomizations is None:
            each = max(_LEAST_A_RANDOMIZATION, each)
    if randomizations is None:
        randomizations = -(-shots // each)
    return randomizations * each


def _table(options: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = options.get(name) or {}
    if not isinstance(table, Mapping):
        raise ConfigError(f"options.{name} = {table!r}. Expected a table, e.g. {{'enable_gates': True}}.")
    return table
