"""qtrain: trains parameterized quantum circuits on a chip, or on the noise model of one."""
