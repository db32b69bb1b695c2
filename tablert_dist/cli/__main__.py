"""`python -m tablert_dist.cli`."""

from tablert_dist.cli import main

if __name__ == "__main__":
    main(prog_name="tablert")
