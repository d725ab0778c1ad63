"""Placement methods: one file a method; each yields initial layouts."""
