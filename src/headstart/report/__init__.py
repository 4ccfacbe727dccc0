"""The report: one page about a model that opens anywhere, offline."""

from headstart.report.gather import answered, gather
from headstart.report.material import Answered, Judged, Material
from headstart.report.page import render
from headstart.report.anew import remake
from headstart.report.making import write

__all__ = ["Answered", "Judged", "Material", "answered", "gather", "remake", "render", "write"]
