"""Observation of traffic for operators."""
