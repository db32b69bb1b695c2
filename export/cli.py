"""`tablert-export --onnx`: a checkpoint, a run or a registered model as a verified bundle."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from tablert_dist.cli.common import config_options, plain_errors, set_up_logging


@click.command()
@click.option("--onnx", is_flag=True, help="Export to ONNX (required; the only format).")
@click.option("--run", "run_name", default=None, metavar="NAME", help="A finished training or search.")
@click.option("--checkpoint", type=click.Path(path_type=Path), default=None, help="A checkpoint folder.")
@click.option("--model", default=None, metavar="models:/NAME@ALIAS", help="A model in the registry.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write; must not exist.")
@click.option("--precision", type=click.Choice(["fp32", "fp16", "int8"]), default=None, help="fp16: GPUs; int8: CPUs.")
@click.option(
    "--verify-data",
    type=click.Path(path_type=Path),
    default=None,
    help="Annotated sentences (JSON) to compare F1 on; required for int8.",
)
@click.option(
    "--allow", default=None, metavar="REASON", help="Accept missed gates; the reason is recorded in the bundle."
)
@click.option("--triton", type=click.Path(path_type=Path), default=None, help="Also write a Triton model repository.")
@click.option("--zip", "zipped", is_flag=True, help="Also write OUT.zip.")
@plain_errors
@config_options
def main(
    config: Any,
    onnx: bool,
    run_name: str | None,
    checkpoint: Path | None,
    model: str | None,
    out: Path,
    precision: str | None,
    verify_data: Path | None,
    allow: str | None,
    triton: Path | None,
    zipped: bool,
) -> None:
    """Export a model and verify it against torch; a failed verification is exit code 1 and leaves nothing."""
    set_up_logging()
    from tablert_dist.errors import InputError

    if not onnx:
        raise InputError("say --onnx: tablert-export --onnx --checkpoint DIR --out DIR")
    if sum(choice is not None for choice in (run_name, checkpoint, model)) != 1:
        raise InputError("give one of --run NAME, --checkpoint DIR, --model models:/NAME@ALIAS")
    if allow is not None and not allow.strip():
        raise InputError("--allow wants a reason, for example --allow 'two rare types are not used'")
    packed = out.with_name(f"{out.name}.zip")
    if zipped and packed.exists():
        raise InputError(f"{packed} exists; give another --out")
    from export.graph import VerificationError, export_bundle
    from tablert_dist.config import with_overrides
    from tablert_dist.data.splits import read_file
    from tablert_dist.inference.hub import pack
    from tablert_dist.model.checkpoint import read_card
    from tablert_dist.runs.result import checkpoint_of

    if precision:
        config = with_overrides(config, {"export.precision": precision})
    with tempfile.TemporaryDirectory() as scratch:
        source = checkpoint or (
            checkpoint_of(config, run_name) if run_name else _of_registry(config, str(model), Path(scratch))
        )
        try:
            card = read_card(source)
            gold = read_file(verify_data, card.schema, config.data.overlap, model=card.model) if verify_data else None
            named = verify_data.name if verify_data else ""
            report = export_bundle(source, out, config.export, gold=gold, verified_on=named, allow=allow)
        except VerificationError as error:
            for line in error.report.lines():
                click.echo(line)
            raise click.ClickException(
                "the graph does not compute what the model computes; nothing was written (--allow REASON lets it pass)"
            ) from None
    for line in report.lines():
        click.echo(line)
    click.echo(f"bundle: {out}")
    if triton:
        from export.triton import write_repository

        click.echo(f"triton: {write_repository(out, triton)}")
    if zipped:
        click.echo(f"zip: {pack(out, packed)}")
    click.echo(f"next: echo 'Some text .' | tablert predict --model {out}")


def _of_registry(config: Any, model: str, scratch: Path) -> Path:
    from tablert_dist.runs.location import tracking_uri
    from tablert_dist.tracking import download

    uri = tracking_uri(config)
    return download(uri, model, scratch / "model") / "checkpoint"


if __name__ == "__main__":
    main()
