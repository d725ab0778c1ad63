"""Routers: one file a router; each turns a placed circuit into one whose two-qubit gates sit on live couplers."""
