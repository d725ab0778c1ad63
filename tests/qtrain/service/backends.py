"""Backends: configuration and properties of the installed snapshots, and what a test has changed about them."""

from __future__ import annotations

import copy
import importlib.util
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from .store import Store

CHANGES: dict[str, Any] = {
    "state": True,
    "status": "active",
    "queue": 0,
    "retired": False,
    "dead_edges": [],
    "dead_qubits": [],
    "errors": {},
    "last_update_date": None,
    "properties": None,
}


@cache
def snapshot(name: str, kind: str) -> dict[str, Any]:
    """conf or props of FakeManilaV2 ("manila") and its like; the package is found, not imported: that would take
    seconds.
    """
    spec = importlib.util.find_spec("qiskit_ibm_runtime")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("the snapshots are those of qiskit-ibm-runtime: pip install qonchip[ibm]")
    folder = Path(spec.submodule_search_locations[0]) / "fake_provider" / "backends" / name
    return dict(json.loads((folder / f"{kind}_{name}.json").read_text(encoding="utf-8")))


class Backends:
    """Named ibm_<snapshot>."""

    def __init__(self, store: Store, snapshots: Sequence[str]) -> None:
        self.store = store
        self.snapshots = {f"ibm_{name}": name for name in snapshots}

    def changes(self, name: str) -> dict[str, Any]:
        return {**CHANGES, **(self.store.get(f"backend:{name}") or {})}

    def change(self, name: str, changes: dict[str, Any]) -> None:
        unknown = changes.keys() - CHANGES.keys()
        if unknown or name not in self.snapshots:
            raise ValueError(f"no such change {sorted(unknown)} or no such backend {name!r}")
        self.store.set(f"backend:{name}", {**(self.store.get(f"backend:{name}") or {}), **changes})

    def exists(self, name: str) -> bool:
        return name in self.snapshots and not self.changes(name)["retired"]

    def runs_jobs(self, name: str) -> bool:
        """A paused backend takes jobs and lets them wait."""
        changes = self.changes(name)
        return bool(changes["state"]) and changes["status"] == "active"

    def listing(self) -> list[dict[str, Any]]:
        devices = []
        for name in filter(self.exists, self.snapshots):
            changes, qubits = self.changes(name), self.configuration(name)["n_qubits"]
            devices.append(
                {
                    "name": name,
                    "qubits": qubits,
                    "physical_qubits": qubits,
                    "status": {"name": "online" if changes["state"] else "offline"},
                    "queue_length": changes["queue"],
                }
            )
        return devices

    def configuration(self, name: str) -> dict[str, Any]:
        return {**snapshot(self.snapshots[name], "conf"), "backend_name": name}

    def status(self, name: str) -> dict[str, Any]:
        changes = self.changes(name)
        waiting = self.store.rows("SELECT id FROM jobs WHERE backend = ? AND state = 'Queued'", name)
        return {
            "state": changes["state"],
            "status": changes["status"],
            "length_queue": changes["queue"] + len(waiting),
            "backend_version": self.configuration(name)["backend_version"],
        }

    def properties(self, name: str) -> dict[str, Any]:
        """With dead qubits and couplings as IBM reports them (error 1), and the changed errors and date."""
        changes = self.changes(name)
        properties = copy.deepcopy(changes["properties"] or snapshot(self.snapshots[name], "props"))
        properties["backend_name"] = name
        dead_edges = {frozenset(edge) for edge in changes["dead_edges"]}
        dead_qubits = set(changes["dead_qubits"])
        for gate in properties["gates"]:
            dead = frozenset(gate["qubits"]) in dead_edges or dead_qubits & set(gate["qubits"])
            value = 1.0 if dead else changes["errors"].get(gate["name"])
            for parameter in gate["parameters"]:
                if parameter["name"] == "gate_error" and value is not None:
                    parameter["value"] = value
        for qubit in dead_qubits:
            for parameter in properties["qubits"][qubit]:
                if parameter["name"] == "readout_error":
                    parameter["value"] = 1.0
        if changes["last_update_date"]:
            properties["last_update_date"] = changes["last_update_date"]
        return properties
