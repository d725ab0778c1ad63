"""The noisy gradient's figures, as `make bench` prints them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("noisy_gradients.py")


@pytest.mark.benchmark
def test_noisy_gradient_is_300_times_aer():
    # a process of its own: one thread each must be asked for before anything is imported
    done = subprocess.run([sys.executable, str(SCRIPT), "--json"], capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    print(json.dumps(figures, indent=2))
    assert figures["agreement"] < 1e-9
    assert figures["ratio"] >= 300
