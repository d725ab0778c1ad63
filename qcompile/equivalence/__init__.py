"""Whether two circuits do the same: deferred measurements, independent parts, simulation, MQT QCEC."""
