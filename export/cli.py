"""`tablert-export --onnx`: a checkpoint, a run or a registered model as a verified bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tablert_dist.cli.common import (
    config_options,
    force_option,
    model_option,
    plain_errors,
    say_next,
    set_up_logging,
    verb,
)
from tablert_dist.cli.reading import reading_options
from tablert_dist.errors import InputError

if TYPE_CHECKING:
    from export.gates import VerificationReport


@verb(
    "Export a model as a bundle and verify it against PyTorch; one that differs is not written (exit code 1).",
    "tablert-export --onnx --model first --out bundle",
    "tablert-export --onnx --model first --precision int8 --verify-data data --out small --zip",
)
@click.option("--onnx", is_flag=True, help="Export to ONNX (required; the only format).")
@click.option("--run", "run_name", default=None, hidden=True)
@model_option(
    "--checkpoint", required=False, help="A checkpoint, a finished run's name or folder, or models:/NAME@ALIAS."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option("--precision", type=click.Choice(["fp32", "fp16", "int8"]), default=None, help="fp16: GPUs; int8: CPUs.")
@click.option("--portable", is_flag=True, help="Only standard ONNX operators, for runtimes other than onnxruntime.")
@click.option(
    "--verify-data",
    type=click.Path(),
    default=None,
    help="Annotated sentences to compare F1 on, a file or a folder with a dev split; required for int8.",
)
@click.option(
    "--allow", default=None, metavar="REASON", help="Accept missed gates; the reason is recorded in the bundle."
)
@click.option("--triton", type=click.Path(path_type=Path), default=None, help="Also write a Triton model repository.")
@click.option("--zip", "zipped", is_flag=True, help="Also write OUT.zip.")
@force_option
@plain_errors
@config_options
@reading_options
def main(
    config: Any,
    onnx: bool,
    run_name: str | None,
    model: str | None,
    out: Path,
    precision: str | None,
    portable: bool,
    verify_data: str | None,
    allow: str | None,
    triton: Path | None,
    zipped: bool,
    force: bool,
) -> None:
    """A failed verification leaves nothing behind."""
    set_up_logging()
    if not onnx:
        raise InputError("say --onnx: tablert-export --onnx --model NAME --out DIR")
    if (run_name is None) == (model is None):
        raise InputError("say what to export, once: --model with a checkpoint, a run's name, or models:/NAME@ALIAS")
    allow = config.export.allow if allow is None else allow
    if allow is not None and not allow.strip():
        raise InputError("--allow wants a reason, for example --allow 'two rare types are not used'")
    packed = out.with_name(f"{out.name}.zip")
    if zipped and packed.exists() and not force:
        raise InputError(f"{packed} exists; give another --out, or write over it with --force")
    from tablert_dist.cli.program import paste

    source = _source(config, run_name, model)
    if triton:
        from export.triton import refuse_repository
        from tablert_dist.model.checkpoint import read_card

        refuse_repository(triton, read_card(source).model, force=force)
    from tablert_dist.config import with_overrides

    given = {"export.precision": precision, "export.portable": portable or None, "export.allow": allow}
    config = with_overrides(config, {key: value for key, value in given.items() if value is not None})
    report = _export(config, source, out, verify_data, force)
    for line in report.lines():
        click.echo(line)
    click.echo(f"bundle: {out}")
    if triton:
        from export.triton import write_repository

        click.echo(f"triton: {write_repository(out, triton, force=force)}")
    if zipped:
        from tablert_dist.inference.archive import pack

        packed.unlink(missing_ok=True)
        click.echo(f"zip: {pack(out, packed)}")
    say_next(f"echo 'Some text .' | {paste('tablert', 'predict', '--model', out)}")


def _source(config: Any, run_name: str | None, model: str | None) -> Path:
    """The checkpoint to export."""
    from tablert_dist.inference.named import find_checkpoint
    from tablert_dist.runs.result import checkpoint_of

    if run_name is not None:
        return checkpoint_of(config, run_name)
    return find_checkpoint(str(model), config, "it is exported already; give its checkpoint or its run to do it again")


def _export(
    config: Any,
    source: Path,
    out: Path,
    verify_data: str | None,
    force: bool,
) -> VerificationReport:
    """Write the bundle, or end with the gates that it missed."""
    from tablert_dist.waiting import waiting

    with waiting("loading PyTorch and ONNX"):
        from export.graph import VerificationError, export_bundle
    from tablert_dist.data.gold import find_gold, read_gold
    from tablert_dist.model.checkpoint import read_card

    card = read_card(source)
    gold, named = None, ""
    if verify_data is not None:
        gold_in = find_gold(verify_data, preferred="dev")
        gold, named = read_gold(gold_in, card.schema, config.data, card.model, click.echo), gold_in.title
    try:
        return export_bundle(source, out, config.export, gold=gold, verified_on=named, force=force)
    except VerificationError as error:
        for line in error.report.lines():
            click.echo(line)
        raise click.ClickException(
            "the graph does not compute what the model computes, or nothing shows that it does: nothing was written "
            "(--allow REASON accepts it)"
        ) from None


if __name__ == "__main__":
    main()
