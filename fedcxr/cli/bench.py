"""``fedcxr bench``: what things cost on this machine, as ratios within one run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import AsJson, Overrides, RunPath
from fedcxr.terminal import say_json

if TYPE_CHECKING:
    from fedcxr.bench.consensus import ChainCost
    from fedcxr.config import Config

bench_app = typer.Typer(
    help="Measure the trainer, the ledger and the audit on this machine.", no_args_is_help=True
)
app.add_typer(bench_app, name="bench")


@bench_app.callback()
def bench() -> None:
    """Measure the trainer, the ledger and the audit on this machine."""


@bench_app.command("round")
def bench_round(
    as_json: AsJson = False,
) -> None:
    """Measure a round: the trainer's speed, the protection of updates, memory, and the ledger's share."""

    from fedcxr.bench import round as benchmark
    from fedcxr.terminal.console import Console

    progress = Console(stderr=True)
    result = benchmark.bench_round(lambda what: progress.say((f"{what} …", "dim")))
    if as_json:
        say_json(benchmark.as_json(result))
        return
    console = Console()
    console.say(f"trainer_over_bare       {result.trainer_over_bare:8.3f}   (goal ≥ 0.9)")
    console.say(f"trainer_over_default    {result.trainer_over_default:8.1f}")
    console.say(f"protect_verify_seconds  {result.protect_verify_seconds:8.3f}   (goal ≤ 1 a hospital)")
    console.say(f"peak_memory_16_over_4   {result.peak_memory_16_over_4:8.3f}   (goal ≤ 1.15)")
    console.say(
        f"ledger_share            {100 * result.ledger_share:7.2f}%   of {result.round_seconds:.0f} s"
        f" with {result.round_images:,} images"
    )
    console.say(f"parameters              {result.parameters:>8,}")


Experiment = Annotated[
    Path | None,
    typer.Argument(
        help="The experiment, a TOML file; the default is the full model at 64 px.", show_default=False
    ),
]


@bench_app.command("train")
def bench_train(
    experiment: Experiment = None,
    overrides: Overrides = None,
    turns: Annotated[int, typer.Option(min=1, help="Time each loop this often.")] = 5,
    alternatives: Annotated[
        bool, typer.Option(help="Time the other precision, the other memory format and compilation, too.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Compare the trainer with a bare PyTorch loop of the same arithmetic, and with its alternatives."""
    import json
    from dataclasses import asdict

    from fedcxr.bench.alternatives import compare_alternatives
    from fedcxr.bench.trainer import bench_trainer
    from fedcxr.terminal.console import Console
    from fedcxr.training.measure import resolve

    progress = Console(stderr=True)
    config = _bench_config(experiment, overrides or ())
    progress.say(("measuring what this machine trains fastest with …", "dim"))
    config, _ = resolve(config)
    progress.say(("the trainer and a bare loop in turn …", "dim"))
    result = bench_trainer(config, turns=turns)
    found = []
    if alternatives:
        found = compare_alternatives(config, lambda what: progress.say((f"{what} …", "dim")))
    training = config.training
    chosen = {key: getattr(training, key) for key in ("device", "precision", "memory_format", "compile")}
    if as_json:
        figures = {**asdict(result), "chosen": chosen, "alternatives": [asdict(each) for each in found]}
        say_json(json.dumps(figures, indent=2))
        return
    console = Console()
    console.say(f"{config.model.name} at {config.data.size} px, {training.threads} threads: {chosen}")
    console.say(f"trainer_over_bare     {result.trainer_over_bare:8.3f}   (goal ≥ 0.95)")
    console.say(f"trainer_over_default  {result.trainer_over_default:8.1f}")
    console.say(f"images a second       {result.trainer:8.1f}   (bare {result.bare:.1f})")
    console.say(f"waiting for loader    {100 * result.waiting:7.2f}%   (goal < 2%)")
    for each in found:
        if each.images_per_second is None or each.peak_bytes is None:
            console.say(f"  {each.name:28} does not run here: {each.error}")
        else:
            console.say(
                f"  {each.name:28}{each.images_per_second:8.1f} images/s{each.peak_bytes / 2**20:8.0f} MiB"
            )


@bench_app.command("model")
def bench_model(
    experiment: Experiment = None,
    overrides: Overrides = None,
    turns: Annotated[int, typer.Option(min=1, help="Time each variant this often.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Measure what attention, fusion and checkpointing cost of a training step."""
    import json
    from dataclasses import asdict

    from fedcxr.bench import model as benchmark
    from fedcxr.terminal.console import Console

    progress = Console(stderr=True)
    config = _bench_config(experiment, overrides or ())
    result = benchmark.bench_model(config, lambda what: progress.say((f"{what} …", "dim")), turns=turns)
    if as_json:
        say_json(json.dumps(asdict(result), indent=2))
        return
    console = Console()
    console.say(f"attention_over_plain   {result.attention_over_plain:8.3f}")
    console.say(f"fusion_over_plain      {result.fusion_over_plain:8.3f}")
    console.say(f"both_over_plain        {result.both_over_plain:8.3f}   (goal ≤ 1.15)")
    console.say(f"images a second        {result.images_per_second:8.1f}   (plain)")
    for name, count in result.parameters.items():
        console.say(f"  parameters, {name:10}{count:>12,}")
    for name, peak in (("kept", result.peak_bytes), ("computed again", result.checkpointed_peak_bytes)):
        shown = "does not run here" if peak is None else f"{peak / 2**20:,.0f} MiB"
        console.say(f"  activations {name:15} {shown}")
    if result.checkpointed_over_not is not None:
        console.say(f"  speed, again over kept    {result.checkpointed_over_not:8.3f}")


def _bench_config(experiment: Path | None, overrides: Iterable[str]) -> Config:
    """An experiment's configuration; the full model at 64 px on two threads where none is named."""
    from fedcxr import config as configuration

    if experiment is not None:
        return configuration.load(experiment, overrides)
    tree = {"name": "bench", "data": {"root": "."}, "training": {"threads": 2}}
    return configuration.overridden(configuration.validate(tree, where="bench"), overrides)


@bench_app.command("forms")
def bench_forms(
    run: RunPath,
    *,
    numbers: Annotated[
        str, typer.Option("--rounds", help="Measure the updates of these rounds: 3-7, or a single round: 5.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Measure each form of an update on the updates of a run of yours: bytes, and seconds of a processor."""
    from rich.table import Table

    from fedcxr.audit.scope import Scope
    from fedcxr.bench import forms as benchmark
    from fedcxr.store.run_directory import RunDirectory
    from fedcxr.terminal.console import Console

    directory = RunDirectory.open(run, trusted=True)
    asked = Scope.parse(numbers, "").rounds(directory.last_round) if numbers else ()
    costs = benchmark.bench_forms(directory, asked)
    if as_json:
        say_json(benchmark.as_json(costs))
        return
    table = Table("round", "form", "MB", "of plain", "encode s", "protect s", "read s")
    for cost in costs:
        seconds = (cost.encode_seconds, cost.protect_seconds, cost.read_seconds)
        figures = (f"{cost.megabytes:,.3f}", f"{cost.ratio:.3f}", *(f"{second:.3f}" for second in seconds))
        table.add_row(str(cost.round), cost.form, *figures)
    Console().print(table)


@bench_app.command("consensus")
def bench_consensus(
    url: Annotated[str, typer.Option(help="Measure one more chain, at this JSON-RPC endpoint.")] = "",
    chain_id: Annotated[int, typer.Option(min=1, help="The id of the chain behind --url.")] = 61_370,
    block_time: Annotated[
        list[float] | None,
        typer.Option(
            help="Measure an anvil with this many seconds a block; the default is 1. It may be repeated."
        ),
    ] = None,
    finality: Annotated[int, typer.Option(min=0, help="Wait for this many blocks behind --url.")] = 0,
    round_seconds: Annotated[
        float, typer.Option(min=1, help="Compute the ledger's share of a round of this many seconds.")
    ] = 600.0,
    as_json: AsJson = False,
) -> None:
    """Measure what each chain costs a federation: latency, throughput, seconds, gas and bytes of a round."""
    from rich.table import Table

    from fedcxr.bench import consensus as benchmark
    from fedcxr.terminal.console import Console

    progress = Console(stderr=True)
    result = benchmark.bench_consensus(
        lambda what: progress.say((f"{what} …", "dim")),
        round_seconds=round_seconds,
        block_times=tuple(block_time or (1.0,)),
        finality=finality,
        url=url,
        chain_id=chain_id,
    )
    if as_json:
        say_json(benchmark.as_json(result))
        return
    title = f"a round of {result.hospitals} hospitals; shares are of {round_seconds:g} s"
    table = Table("", *(cost.chain for cost in result.chains), title=title)
    for label, figure in _CONSENSUS.items():
        table.add_row(label, *(figure(cost) for cost in result.chains))
    Console().print(table)


_CONSENSUS: dict[str, Callable[[ChainCost], str]] = {
    "a receipt after, s": lambda c: f"{c.inclusion_median:.3f} (p95 {c.inclusion_p95:.3f})",
    "final after, s": lambda c: f"{c.finality_median:.3f} (p95 {c.finality_p95:.3f})",
    "blocks to be final": lambda c: f"{c.finality_blocks}",
    "transactions a second": lambda c: f"{c.transactions_per_second:.0f}",
    "ledger in a round, s": lambda c: f"{c.round_ledger_seconds:.2f}",
    "share of a round": lambda c: f"{100 * c.round_share:.2f}%",
    "gas a round": lambda c: f"{c.round_gas:,}",
    "call data a round, bytes": lambda c: f"{c.round_calldata_bytes:,}",
    "disk a round, bytes": lambda c: "elsewhere" if c.round_disk_bytes is None else f"{c.round_disk_bytes:,}",
    "trust": lambda c: c.trust,
}


@bench_app.command("hospitals")
def bench_hospitals(
    hospitals: Annotated[
        list[int] | None,
        typer.Option(min=4, help="Measure a federation of this many; the default is 10, 50, 100 and 200."),
    ] = None,
    model: Annotated[str, typer.Option(help="The model whose updates travel.")] = "compact",
    as_json: AsJson = False,
) -> None:
    """Measure what rounds, audits and the record cost as hospitals become more, without training."""
    from rich.table import Table

    from fedcxr.bench import hospitals as benchmark
    from fedcxr.terminal.console import Console

    progress = Console(stderr=True)
    counts = sorted(set(hospitals or (10, 50, 100, 200)))
    result = benchmark.bench_hospitals(lambda what: progress.say((f"{what} …", "dim")), counts, model)
    if as_json:
        say_json(benchmark.as_json(result))
        return
    title = f"seconds with so many hospitals; {result.model}, {result.parameters:,} values, no training"
    table = Table("", *(f"{cost.hospitals}" for cost in result.costs), "each one", "R²", title=title)
    for label, name in _HOSPITALS.items():
        line = result.lines.get(name)
        fitted = ("", "") if line is None else (f"{line.seconds_a_hospital:.4f}", f"{line.r_squared:.4f}")
        figures = (getattr(cost, name) for cost in result.costs)
        table.add_row(label, *("" if math.isnan(one) else f"{one:.2f}" for one in figures), *fitted)
    over = (f"{cost.each / cost.off:.2f}" for cost in result.costs)
    table.add_row("each, over no ledger", *over, "", "")
    peaks = (f"{cost.peak_memory / 1e6:,.0f}" for cost in result.costs)
    table.add_row("peak memory, MB", *peaks, "", "")
    Console().print(table)


_HOSPITALS = {
    "round, no ledger": "off",
    "round, each recorded": "each",
    "round, one root": "root",
    "round, judged": "committee",
    "round, masked": "masked",
    "audit of 3 rounds": "audit",
    "first look": "ledger",
    "finished run again": "resume",
}
"""What a person reads, and the figure's name."""


@bench_app.command("secagg")
def bench_secagg(
    hospitals: Annotated[int, typer.Option(min=3, max=50, help="The hospitals of the round.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Measure what masks cost an update and a sum, beside Flower's SecAgg+."""
    from dataclasses import asdict

    from fedcxr.bench import secagg as benchmark
    from fedcxr.terminal.console import Console

    progress = Console(stderr=True)
    result = benchmark.bench_secagg(lambda what: progress.say((f"{what} …", "dim")), hospitals)
    if as_json:
        say_json(benchmark.as_json(result))
        return
    console = Console()
    for name, figure in asdict(result).items():
        if isinstance(figure, bool):
            shown = "yes" if figure else "NO"
        else:
            shown = f"{figure:,}" if isinstance(figure, int) else f"{figure:.4f}"
        console.say(f"{name:28}{shown:>12}")


@bench_app.command("audit")
def bench_audit(
    as_json: AsJson = False,
) -> None:
    """Measure an audit's time over that of sha256sum for the same bytes."""
    import json
    from dataclasses import asdict

    from fedcxr.bench import audit as benchmark
    from fedcxr.terminal.console import Console

    progress = Console(stderr=True)
    result = benchmark.bench_audit(lambda what: progress.say((f"{what} …", "dim")))
    if as_json:
        say_json(json.dumps(asdict(result), indent=2))
        return
    console = Console()
    console.say(f"{result.megabytes:,.0f} MB, {result.updates} updates, {result.cores} cores")
    console.say(f"audit_over_sha256sum              {result.audit_over_sha256sum:6.2f}   (goal ≤ 1.5)")
    console.say(f"audit_without_key_over_sha256sum  {result.audit_without_key_over_sha256sum:6.2f}")
    console.say(f"command_over_sha256sum            {result.command_over_sha256sum:6.2f}")
    console.say(f"audit_over_openssl                {result.audit_over_openssl:6.2f}")
    console.say(f"audit_without_key_over_openssl    {result.audit_without_key_over_openssl:6.2f}")


@bench_app.command("gas")
def bench_gas(
    as_json: AsJson = False,
) -> None:
    """Measure the gas of every call of the contract, on the embedded chain."""
    from dataclasses import asdict

    from fedcxr.bench import gas as benchmark
    from fedcxr.terminal.console import Console

    progress = Console(stderr=True)
    result = benchmark.bench_gas(lambda what: progress.say((f"{what} …", "dim")))
    if as_json:
        say_json(benchmark.as_json(result))
        return
    console = Console()
    goals = {"update_gas_batch10": "   (goal ≤ 45,000)", "finalize_gas": "   (goal ≤ 60,000)"}
    for name, gas in asdict(result).items():
        console.say(f"{name:20}{gas:>12,.0f}{goals.get(name, '')}")
