"""`gateway demo models`: a model provider that costs nothing."""

from __future__ import annotations

import click

PORTS = (9101, 9102)


@click.group()
def demo() -> None:
    """Servers to try the gateway with."""


@demo.command()
@click.option(
    "--port",
    "ports",
    multiple=True,
    default=PORTS,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Each is one provider; 0 takes a free port.",
)
def models(ports: tuple[int, ...]) -> None:
    """Serve model providers on loopback, offline, until SIGINT or SIGTERM.

    They speak OpenAI's, Anthropic's and Gemini's APIs, and answer what they were asked. Faults on demand stand in the
    name of the model, such as small+fail-429 or small+slow, or are set for all: PUT /demo/fault.
    """
    import asyncio  # noqa: PLC0415  the other commands start faster without these

    from gateway.demo_models.serving import serve  # noqa: PLC0415

    try:
        asyncio.run(serve(ports, click.echo))
    except OSError as error:
        raise click.ClickException(str(error)) from None
