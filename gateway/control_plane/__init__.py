"""The control plane: a process of its own that knows environments and gateways, and never sees a request of theirs.

It needs the extra `control-plane`. Nothing of a gateway imports it.
"""
