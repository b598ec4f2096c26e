"""``fedcxr bench``: what things cost on this machine, as ratios within one run."""

from typing import Annotated

import typer

from fedcxr.cli.app import app

bench_app = typer.Typer(help="Measure what things cost on this machine.", no_args_is_help=True)
app.add_typer(bench_app, name="bench")


@bench_app.callback()
def bench() -> None:
    """Measure what things cost on this machine."""


@bench_app.command("round")
def bench_round(
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Trainer speed, protection, memory, and the ledger's share of a round."""
    from rich.console import Console

    from server import bench as benchmark

    progress = Console(stderr=True, highlight=False)
    result = benchmark.bench_round(lambda what: progress.print(f"[dim]{what} …[/]"))
    if as_json:
        typer.echo(benchmark.as_json(result))
        return
    console = Console(highlight=False)
    console.print(f"trainer_over_bare       {result.trainer_over_bare:8.3f}   (goal ≥ 0.9)")
    console.print(f"trainer_over_default    {result.trainer_over_default:8.1f}")
    console.print(f"protect_verify_seconds  {result.protect_verify_seconds:8.3f}   (goal ≤ 1 a hospital)")
    console.print(f"peak_memory_16_over_4   {result.peak_memory_16_over_4:8.3f}   (goal ≤ 1.15)")
    console.print(
        f"ledger_share            {100 * result.ledger_share:7.2f}%   of {result.round_seconds:.0f} s"
        f" with {result.round_images:,} images"
    )
    console.print(f"parameters              {result.parameters:>8,}")


@bench_app.command("audit")
def bench_audit(
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """An audit's time over that of sha256sum for the same bytes."""
    import json
    from dataclasses import asdict

    from rich.console import Console

    from server import bench_audit as benchmark

    progress = Console(stderr=True, highlight=False)
    result = benchmark.bench_audit(lambda what: progress.print(f"[dim]{what} …[/]"))
    if as_json:
        typer.echo(json.dumps(asdict(result), indent=2))
        return
    console = Console(highlight=False)
    console.print(f"{result.megabytes:,.0f} MB, {result.updates} updates, {result.cores} cores")
    console.print(f"audit_over_sha256sum              {result.audit_over_sha256sum:6.2f}   (goal ≤ 1.5)")
    console.print(f"audit_without_key_over_sha256sum  {result.audit_without_key_over_sha256sum:6.2f}")
    console.print(f"command_over_sha256sum            {result.command_over_sha256sum:6.2f}")
    console.print(f"audit_over_openssl                {result.audit_over_openssl:6.2f}")
    console.print(f"audit_without_key_over_openssl    {result.audit_without_key_over_openssl:6.2f}")
