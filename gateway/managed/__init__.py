"""A gateway's side of a control plane: it calls out, says how it is, and takes the configuration that it is to have."""
