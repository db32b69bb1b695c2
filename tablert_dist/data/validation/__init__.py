"""Validation: what is wrong, or only odd, with annotated sentences, said before they are trained on."""

from tablert_dist.data.validation.examine import corpus_case, examine, examine_path, quick_lines
from tablert_dist.data.validation.finding import Case, Finding, Part, Report

__all__ = ["Case", "Finding", "Part", "Report", "corpus_case", "examine", "examine_path", "quick_lines"]
