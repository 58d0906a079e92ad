"""How gateways are: probes of the control plane and heartbeats of theirs, kept apart."""
