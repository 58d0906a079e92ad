"""`gateway completion`: what a shell must know to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script with which a shell completes commands and options.

    \b
    bash: gateway completion bash > ~/.local/share/bash-completion/completions/gateway
    zsh:  gateway completion zsh > a directory of $fpath/_gateway
    fish: gateway completion fish > ~/.config/fish/completions/gateway.fish
    """
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(context.find_root().command, {}, "gateway", "_GATEWAY_COMPLETE").source())
