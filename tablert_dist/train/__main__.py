"""`python -m tablert_dist.train`."""

from tablert_dist.cli.train import command

if __name__ == "__main__":
    command(prog_name="python -m tablert_dist.train")
