"""`tablert data download NAME`: a public corpus, every file checked against its hash."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tablert_dist.cli.common import plain_errors, set_up_logging, stopwatch, verb

if TYPE_CHECKING:
    from tablert_dist.data.download.fetch import Progress


@verb(
    "Fetch conll04, ade or scierc; a broken transfer continues where it stopped.",
    "tablert data download conll04 --out data/conll04",
)
@click.argument("name")
@click.option("--out", default=None, type=click.Path(path_type=Path), help="Folder.  [default: data/NAME]")
@click.option(
    "--source", default=None, metavar="URL", help="Download from this address instead (same files, or the archive)."
)
@click.option(
    "--timeout", default=60.0, show_default=True, type=click.FloatRange(min=0, min_open=True), help="Seconds."
)
@plain_errors
def command(name: str, out: Path | None, source: str | None, timeout: float) -> None:
    """Fetch, check, and say what is there and under which licence."""
    set_up_logging()
    from tablert_dist.cli.program import paste
    from tablert_dist.data.download.corpus import download
    from tablert_dist.data.download.fetch import Patience
    from tablert_dist.data.download.sources import data_set
    from tablert_dist.errors import InputError, counted

    summary = stopwatch()
    what = data_set(name)
    folder = out or Path("data") / name
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; choose a folder with --out")
    click.echo(f"{what.title}. {what.licence}")
    patience = Patience(connect=min(15.0, timeout), read=timeout)
    done = download(what, folder, source, patience, click.echo, _bar)
    if done.missing and done.source.lacks:
        click.echo(f"{done.source.name} lacks {len(done.missing)} of the files: {done.source.lacks}")
    inner = {Path(file).parent for file in done.files if "folds" not in file}
    click.echo(f"next: {paste('tablert', 'data', 'check', folder / min(inner))}")
    summary(f"{counted(len(done.files), 'file')} of {what.title} in {folder}")


def _bar(name: str) -> Progress:
    """A bar on a terminal, nothing elsewhere."""
    from tqdm import tqdm

    bar = tqdm(desc=name, unit="B", unit_scale=True, disable=None, leave=False)

    def move(done: int, total: int | None) -> None:
        bar.total = total
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return move
