"""Validation: what is wrong, or only odd, with annotated sentences, said before they are trained on."""

from tablert_dist.data.validation.examine import corpus_case, examine, examine_path, quick_lines
from tablert_dist.data.validation.finding import Case, DataReport, Finding, SplitPart

__all__ = ["Case", "DataReport", "Finding", "SplitPart", "corpus_case", "examine", "examine_path", "quick_lines"]
