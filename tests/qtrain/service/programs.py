"""Programs `executor` (client-side primitives, params v2.0) and `sampler` (legacy SamplerV2): params in, results out.

Options that only a laboratory could obey (rep_delay, the legacy program's twirling and dynamical decoupling) are
ignored. Everything heavy is imported where it is used: the service answers before qiskit is loaded.
"""

from __future__ import annotations

import base64
import io
import json
import math
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .chip import Chip

DEFAULT_SHOTS = 4096


def _points(shape: list[int] | tuple[int, ...]) -> int:
    return math.prod(shape[:-1])


def _legacy_shape(values: Any) -> tuple[int, ...]:
    """Of a pub's parameter values, which the client sends as an ndarray, or as nothing."""
    if isinstance(values, dict) and values.get("__type__") == "ndarray":
        raw = zlib.decompress(base64.b64decode(values["__value__"]))
        return tuple(np.load(io.BytesIO(raw), allow_pickle=False).shape)
    return np.shape(values if values is not None else [])


def count(program: str, params: dict[str, Any]) -> tuple[int, int]:
    """(circuits after broadcasting, executions) of a payload. Raises ValueError for one that is not understood."""
    try:
        if program == "executor":
            content = params["quantum_program"]
            circuits = 0
            for item in content["items"]:
                samplex = item["item_type"] == "samplex"
                circuits += math.prod(item["shape"]) if samplex else _points(item["circuit_arguments"]["shape"])
            return circuits, circuits * int(content["shots"])
        circuits = executions = 0
        default = params.get("options", {}).get("default_shots") or DEFAULT_SHOTS
        for pub in params["pubs"]:
            points = _points(_legacy_shape(pub[1] if len(pub) > 1 else None) or (0,))
            circuits += points
            executions += points * int((pub[2] if len(pub) > 2 else None) or default)
        return circuits, executions
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"the params of {program} are not understood: {type(error).__name__} {error}") from None


def run(program: str, params: str, chip: Chip, shots_granted: int | None) -> str:
    """The text that GET /jobs/{id}/results gives. Raises JobRefused for what the device cannot run."""
    return (
        run_executor(params, chip, shots_granted) if program == "executor" else run_sampler(params, chip, shots_granted)
    )


def run_executor(params: str, chip: Chip, shots_granted: int | None) -> str:
    """QuantumProgramResultModel v2.0, with the passthrough data and the semantic role as they came."""
    from ibm_quantum_schemas.common import CompressedTensorModel
    from ibm_quantum_schemas.executor.version_2_0 import (
        ItemMetadataModel,
        MetadataModel,
        ParamsModel,
        QuantumProgramResultItemModel,
        QuantumProgramResultModel,
    )
    from qiskit_ibm_runtime.quantum_program.converters import quantum_program_from_2_0

    model = ParamsModel.model_validate_json(params)
    program, _ = quantum_program_from_2_0(model)
    if program.meas_level != "classified":
        _refuse(f"Job not valid. meas_level {program.meas_level} is not offered.")
    shots = shots_granted or program.shots
    items = []
    for item in program.items:
        arrays = _arrays(item, shots, chip)
        tensors = {name: CompressedTensorModel.from_numpy(array) for name, array in arrays.items()}
        items.append(QuantumProgramResultItemModel(results=tensors, metadata=ItemMetadataModel()))
    return QuantumProgramResultModel(
        data=items,
        metadata=MetadataModel(chunk_timing=[]),
        passthrough_data=model.quantum_program.passthrough_data,
        semantic_role=model.quantum_program.semantic_role,
    ).model_dump_json()


def _refuse(message: str) -> None:
    from .chip import JobRefused

    raise JobRefused(message)


def _arrays(item: Any, shots: int, chip: Chip) -> dict[str, np.ndarray]:
    """Of one item, [*shape, shot, bit]; a samplex draws its randomizations first, from the content's own seed."""
    import hashlib

    from qiskit_ibm_runtime.fake_provider.executor.broadcast_sample import broadcast_sample
    from samplomatic.quantum_program import SamplexItem

    from .sampling import sample

    extra: dict[str, np.ndarray] = {}
    if isinstance(item, SamplexItem):
        given = item.samplex_arguments
        content = np.asarray(given["parameter_values"]).tobytes() if "parameter_values" in given else b""
        seed = hashlib.blake2b(content + repr((item.shape, shots)).encode(), digest_size=8).digest()
        item.samplex.finalize()
        generator = np.random.default_rng(int.from_bytes(seed, "big"))
        extra = dict(broadcast_sample(item.samplex, item.samplex_arguments, item.shape, generator))
        values = extra.pop("parameter_values")
    else:
        values = item.circuit_arguments
    values = np.asarray(values, dtype=np.float64)
    shape = values.shape[:-1]
    bits = sample(item.circuit, values.reshape(-1, values.shape[-1]) if values.size else _empty(shape), shots, chip)
    return {**extra, **{name: array.reshape(*shape, *array.shape[1:]) for name, array in bits.items()}}


def _empty(shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros((math.prod(shape), 0))


def run_sampler(params: str, chip: Chip, shots_granted: int | None) -> str:
    """PrimitiveResult, by the client's own encoder."""
    from qiskit.primitives.containers import BitArray, DataBin, PrimitiveResult, SamplerPubResult
    from qiskit_ibm_runtime.json import RuntimeDecoder, RuntimeEncoder

    from .sampling import sample

    decoded = json.loads(params, cls=RuntimeDecoder)
    default = decoded.get("options", {}).get("default_shots") or DEFAULT_SHOTS
    results = []
    for pub in decoded["pubs"]:
        circuit, values, shots = [*pub, None, None][:3]
        values = np.zeros((0,)) if values is None else np.asarray(values, dtype=np.float64)
        shape = values.shape[:-1]
        rows = values.reshape(-1, values.shape[-1]) if values.size else _empty(shape)
        bits = sample(circuit, rows, shots_granted or shots or default, chip)
        fields = {
            name: BitArray.from_bool_array(array.reshape(*shape, *array.shape[1:]), order="little")
            for name, array in bits.items()
        }
        results.append(SamplerPubResult(DataBin(**fields, shape=shape), metadata={"circuit_metadata": {}}))
    return json.dumps(PrimitiveResult(results, metadata={"version": 2}), cls=RuntimeEncoder)


def without_last_point(text: str) -> str:
    """A result whose first register has one point (or, without points, one shot) less than was asked for."""
    content = json.loads(text)
    if "schema_version" in content:
        from ibm_quantum_schemas.common import CompressedTensorModel

        results = content["data"][0]["results"]
        for name, tensor in results.items():
            array = CompressedTensorModel.model_validate(tensor).to_numpy()
            results[name] = CompressedTensorModel.from_numpy(array[:-1]).model_dump(mode="json")
        return json.dumps(content)
    from qiskit.primitives.containers import BitArray, DataBin, PrimitiveResult, SamplerPubResult
    from qiskit_ibm_runtime.json import RuntimeDecoder, RuntimeEncoder

    pubs = list(json.loads(text, cls=RuntimeDecoder))
    arrays = {name: bits.to_bool_array(order="little")[:-1] for name, bits in pubs[0].data.items()}
    fields = {name: BitArray.from_bool_array(array, order="little") for name, array in arrays.items()}
    shape = next(iter(arrays.values())).shape[:-2]
    pubs[0] = SamplerPubResult(DataBin(**fields, shape=shape), metadata=pubs[0].metadata)
    return json.dumps(PrimitiveResult(pubs, metadata={"version": 2}), cls=RuntimeEncoder)
