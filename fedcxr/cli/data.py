"""``fedcxr data``: look at the data, decode it, deal it out, or draw it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedcxr.cli.app import app
from fedcxr.cli.options import Experiment, Overrides
from fedcxr.terminal import say

if TYPE_CHECKING:
    from rich.table import Table

    from fedcxr.config import Config
    from fedcxr.data.chexpert import ChexpertTable
    from fedcxr.data.labels import LabelPolicy
    from fedcxr.data.partition import Partition

commands = typer.Typer(
    help="Check, decode and deal out chest X-rays in the CheXpert layout.", no_args_is_help=True
)
app.add_typer(commands, name="data")

Workers = Annotated[
    int | None, typer.Option(min=1, help="Decode in this many processes; the default is one for each core.")
]


@commands.command()
def check(
    experiment: Experiment,
    overrides: Overrides = None,
    decode: Annotated[
        bool, typer.Option("--decode", help="Open every image, instead of only looking for its file.")
    ] = False,
    workers: Workers = None,
) -> None:
    """Check both tables, their images and their patients, and count their labels."""
    from fedcxr.cli.progress import bar
    from fedcxr.data.faults import describe_faults, find_missing, find_unreadable
    from fedcxr.data.labels import LabelPolicy
    from fedcxr.data.partition import check_disjoint
    from fedcxr.errors import ImageError
    from fedcxr.terminal.console import Console

    config, train, valid = _open(experiment, overrides)
    policy = LabelPolicy.from_config(config.data)
    console = Console(soft_wrap=True)
    for split, table in (("train", train), ("valid", valid)):
        console.print(_label_table(split, table, policy))
    check_disjoint(train, valid)
    complaints: list[str] = []
    for split, table in (("train", train), ("valid", valid)):
        if decode:
            with bar(f"open {split}") as progress:
                faults = find_unreadable(table, workers=workers, progress=progress)
        else:
            faults = find_missing(table)
        if faults:
            complaints += describe_faults(table, faults)
    if complaints:
        raise ImageError(*complaints)
    looked = "can be read" if decode else "are there"
    console.say(f"All {len(train) + len(valid):,} images {looked}; no patient is in both tables.")


@commands.command()
def prepare(
    experiment: Experiment,
    overrides: Overrides = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="The folder of the decoded images; the default is data.cache.", show_default=False),
    ] = None,
    workers: Workers = None,
) -> None:
    """Decode the images once, at training resolution; images that are decoded and unchanged are kept."""
    from fedcxr.cli.progress import bar
    from fedcxr.data.cache import prepare as prepare_cache
    from fedcxr.errors import ConfigError

    config, *tables = _open(experiment, overrides)
    if cache is None and not config.data.cache:
        raise ConfigError(
            "data.cache is empty, and a run's own cache is made by the run: pass --cache or set it."
        )
    data = config.data if cache is None else config.data.model_copy(update={"cache": str(cache)})
    for split, table in zip(("train", "valid"), tables, strict=True):
        directory = data.cache_path(Path(), split)
        with bar(f"decode {split}") as progress:
            made = prepare_cache(table, config.data.size, directory, workers=workers, progress=progress)
        count, side, _ = made.images.shape
        say(f"{directory}: {count:,} images of {side} x {side}, {made.images.nbytes / 1e6:,.1f} MB")


@commands.command()
def partition(
    experiment: Experiment,
    out: Annotated[
        Path,
        typer.Option(help="The folder to write, with partition.json and partition.png.", show_default=False),
    ],
    overrides: Overrides = None,
) -> None:
    """Deal patients out to hospitals, and write the manifest and a picture of which hospital holds whom."""
    from fedcxr.data.partition import make_partition
    from fedcxr.report.shards import draw
    from fedcxr.terminal.console import Console

    config, train, valid = _open(experiment, overrides)
    dealt = make_partition(train, valid, config.partition, config.seed, config.data.root_path)
    dealt.write(out / "partition.json")
    draw(
        dealt,
        train,
        valid,
        out / "partition.png",
        blank=config.data.blank,
        synthetic=config.data.phantom is not None,
    )
    console = Console(soft_wrap=True)
    console.print(_shard_table(dealt))
    console.say(f"{out / 'partition.json'}: sha256 {dealt.digest.hex()}")
    console.say(f"{out / 'partition.png'}: who holds what")


@commands.command()
def phantom(
    root: Annotated[Path, typer.Argument(help="The folder to write: new, empty, or with the same phantoms.")],
    hospitals: Annotated[
        int | None,
        typer.Option(min=1, help="Draw this many hospitals, each with its own scanner; the default is 4."),
    ] = None,
    patients: Annotated[
        int | None,
        typer.Option(min=10, help="Draw this many patients for each hospital; the default is 320."),
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=32, max=1024, help="The images' width and height in pixels; the default is 128."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, help="The seed of the images: the same seed draws the same.")
    ] = 0,
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Write also this PNG, of six images for each label with lesions outlined.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Draw SYNTHETIC chest X-rays in the CheXpert layout, for machines that have no real ones."""
    from fedcxr.cli.progress import bar
    from fedcxr.config import Phantom
    from fedcxr.data.chexpert import read_table
    from fedcxr.data.phantom import generate
    from fedcxr.report.contact_sheet import contact_sheet, write_sheet

    given = {"hospitals": hospitals, "patients": patients, "size": size}
    settings = Phantom.model_validate({key: value for key, value in given.items() if value is not None})
    with bar("draw SYNTHETIC X-rays") as progress:
        generate(root, settings, seed, progress=progress)
    say(f"{root}: SYNTHETIC chest X-rays of {settings.hospitals} hospitals, seed {seed}")
    if sheet is not None:
        write_sheet(contact_sheet(read_table(root / "train.csv", root)), sheet)
        say(f"what they look like: {sheet}")


def _open(experiment: Path, overrides: list[str] | None) -> tuple[Config, ChexpertTable, ChexpertTable]:
    from fedcxr.cli.progress import bar
    from fedcxr.config import load
    from fedcxr.data.dataset import read_dataset

    config = load(experiment, overrides or ())
    with bar("draw SYNTHETIC X-rays") as progress:
        train, valid = read_dataset(config.data, config.seed, progress=progress)
    return config, train, valid


def _label_table(split: str, table: ChexpertTable, policy: LabelPolicy) -> Table:
    from rich.table import Table

    from fedcxr.data.labels import BLANK, LABELS

    studies = int(table.study_codes.max()) + 1
    title = f"{split}: {len(table):,} images, {studies:,} studies, {len(table.patient_names):,} patients"
    blank = "read as negative" if policy.blank == "negative" else "left out of the loss"
    shown = Table(title=title, title_justify="left", caption=f"Blank is {blank}.", caption_justify="left")
    shown.add_column("label")
    for name in ("positive", "negative", "uncertain", "blank"):
        shown.add_column(name, justify="right")
    shown.add_column("uncertain →", no_wrap=True)
    for column, label in enumerate(LABELS):
        counts = ((table.labels[:, column] == code).sum() for code in (1, 0, -1, BLANK))
        shown.add_row(label, *(f"{count:,}" for count in counts), policy.uncertain[column].value)
    return shown


def _shard_table(dealt: Partition) -> Table:
    from rich.table import Table
    from rich.text import Text

    from fedcxr.terminal.console import Hanging

    shown = Table("hospital", title=f"scheme {dealt.scheme}, seed {dealt.seed}", title_justify="left")
    for split in ("train", "valid"):
        for name in ("patients", "studies", "images"):
            shown.add_column(Text(f"{split}\n{name}"), justify="right")
    for shard in dealt.shards + dealt.unseen:
        held = [
            f"{count:,}"
            for part in (shard.train, shard.valid)
            for count in (part.patients, part.studies, part.images)
        ]
        shown.add_row(Hanging(shard.name + ("" if shard in dealt.shards else ", left out")), *held)
    return shown
