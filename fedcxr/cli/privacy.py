"""``fedcxr privacy``: what differential privacy costs, what was spent, and what an adversary finds out."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import AsJson, Experiment, Overrides
from fedcxr.terminal import say_json

privacy_app = typer.Typer(help="Plan, show and test differential privacy.", no_args_is_help=True)
app.add_typer(privacy_app, name="privacy")


@privacy_app.callback()
def privacy() -> None:
    """Plan, show and test differential privacy."""


@privacy_app.command("noise")
def noise(
    patients: Annotated[int, typer.Option(min=1, help="The patients of the hospital.")],
    batch: Annotated[int, typer.Option(min=1, help="The expected patients of a step.")] = 64,
    epochs: Annotated[int, typer.Option(min=1, help="The epochs, over all rounds.")] = 15,
    epsilon: Annotated[
        list[float] | None, typer.Option(help="An epsilon; it may be given many times.", show_default=False)
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            min=1e-12,
            max=0.999,
            help="The delta; the default is half of one in the patients.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how much noise an epsilon takes, and whether a hospital has the patients for it."""
    from fedcxr.errors import ConfigError
    from fedcxr.privacy.dp.accounting import NoisyStep, noise_multiplier_for
    from fedcxr.terminal.console import Console

    rate = min(1.0, batch / patients)
    steps, at = epochs * max(1, round(1.0 / rate)), 0.5 / patients if delta is None else delta
    rows = []
    for wanted in epsilon or [1.0, 3.0, 8.0]:
        if wanted <= 0.0:
            raise ConfigError(f"--epsilon {wanted}: above 0 is wanted.")
        needed = noise_multiplier_for(rate, steps, wanted, at)
        spent = NoisyStep(rate, needed).epsilon(steps, at)
        rows.append(
            {"epsilon": wanted, "noise_multiplier": needed, "spent": spent, "of_a_mean": needed / batch}
        )
    if as_json:
        say_json(json.dumps({"sample_rate": rate, "steps": steps, "delta": at, "noise": rows}, indent=2))
        return
    console = Console()
    console.say(f"{patients:,} patients, {batch} a step, {steps:,} steps, delta {at:.2e}")
    for row in rows:
        console.say(
            f"epsilon {row['epsilon']:<6g} noise_multiplier {row['noise_multiplier']:.4f}"
            f"   of a step's mean {row['of_a_mean']:.4f} clips"
        )


@privacy_app.command("begin")
def begin(
    record: Annotated[
        Path,
        typer.Argument(
            metavar="RECORD", help="The file that privacy.record of hospital.toml names.", show_default=False
        ),
    ],
) -> None:
    """Make an empty record of what was spent on a hospital's patients, once."""
    from fedcxr.store.privacy_record import PrivacyRecord

    PrivacyRecord.begin(record)


@privacy_app.command("spent")
def spent(
    record: Annotated[
        Path,
        typer.Argument(
            metavar="RECORD", help="The file that privacy.record of hospital.toml names.", show_default=False
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Show what was spent on a hospital's patients, federation by federation."""
    from fedcxr.store.privacy_record import PrivacyRecord
    from fedcxr.terminal.console import Console

    with PrivacyRecord.held(record.resolve()) as held:
        federations = held.federations
    rows = {name: {**one.statement, "allowed": one.epsilon} for name, one in federations.items()}
    if as_json:
        say_json(json.dumps(rows, indent=2))
        return
    console = Console()
    for name, row in rows.items():
        console.say(
            f"{name}: epsilon {row['epsilon']:.3f} of {row['allowed']:g} at {row['delta']:.2e}, "
            f"{row['steps']:,.0f} steps"
        )
    total, delta = (
        sum(one.epsilon for one in federations.values()),
        sum(one.delta for one in federations.values()),
    )
    console.say(f"taken from the hospital's budget: epsilon {total:g}, delta {delta:.2e}")


@privacy_app.command("speed")
def speed(
    experiment: Experiment,
    overrides: Overrides = None,
    *,
    patients: Annotated[int, typer.Option(min=1, help="The patients of a step, two images each.")] = 16,
    as_json: AsJson = False,
) -> None:
    """Measure how many times as long a hospital's training takes with a gradient for each patient."""
    from fedcxr.bench.private import bench_private
    from fedcxr.config import load
    from fedcxr.errors import ConfigError
    from fedcxr.terminal.console import Console
    from fedcxr.training.measure import resolve

    config = load(experiment, overrides or ())
    if not config.differential_privacy.on:
        raise ConfigError(f"{experiment}: differential_privacy.epsilon is not set: give it one.")
    result = bench_private(resolve(config)[0], patients)
    if as_json:
        say_json(json.dumps(asdict(result), indent=2))
        return
    Console().say(
        f"{result.plain:.1f} images a second of a processor, {result.private:.1f} with privacy: "
        f"{result.times:.2f} times as long"
    )


@privacy_app.command("canaries")
def canaries(
    epsilon: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=100.0, help="The epsilon; without it no noise is drawn.", show_default=False
        ),
    ] = None,
    planted: Annotated[
        int, typer.Option("--canaries", min=10, max=5_000, help="The patients planted.")
    ] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Of canaries and coins.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Plant patients, guess which were trained on, and bound epsilon from below by the right guesses."""
    from fedcxr.bench.canaries import bench_canaries
    from fedcxr.terminal.console import Console

    result = bench_canaries(epsilon, canaries=planted, seed=seed)
    if as_json:
        say_json(json.dumps({**asdict(result), "stated": epsilon}, indent=2))
        return
    console = Console()
    stated = "none, no noise" if epsilon is None else f"{epsilon:g}, noise {result.noise_multiplier:.3f}"
    console.say(
        f"stated {stated}; found {result.found:.3f} at 95 % confidence, by {result.right} right guesses of "
        f"{result.guessed} ({result.canaries} canaries, {result.steps} steps)"
    )
