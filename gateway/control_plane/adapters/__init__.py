"""How gateways of different makes are reached: one protocol, and an adapter for each way to run them.

What decides about gateways imports `protocol.py` only; `factory.py` makes the one adapter of the process.
"""
