"""`python -m tablert_dist.tune`."""

from tablert_dist.cli.tune import command

if __name__ == "__main__":
    command(prog_name="python -m tablert_dist.tune")
