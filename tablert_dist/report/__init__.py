"""What a model gets wrong: confusions, boundaries, lengths, distances, calibration, the worst sentences."""

from tablert_dist.report.errors import ErrorReport, examine
from tablert_dist.report.page import write_page

__all__ = ["ErrorReport", "examine", "write_page"]
