"""Compare src's faces with dst's: what dst shows that src lacks, in words, charts and a report."""

from faceloom.curate.coverage.advice import (
    LEFT_AND_RIGHT,
    Advice,
    Gap,
    advise,
    percent,
    scattered_words,
)
from faceloom.curate.coverage.charts import charts_png
from faceloom.curate.coverage.comparison import DIMENSIONS, Coverage, Dimension, compare
from faceloom.curate.coverage.report import html_report

__all__ = [
    "DIMENSIONS",
    "LEFT_AND_RIGHT",
    "Advice",
    "Coverage",
    "Dimension",
    "Gap",
    "advise",
    "charts_png",
    "compare",
    "html_report",
    "percent",
    "scattered_words",
]
