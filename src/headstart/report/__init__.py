"""The report: one page about a model that opens anywhere, offline."""

from headstart.report.anew import remake
from headstart.report.making import write
from headstart.report.material import Answered, Judged, Material
from headstart.report.page import render

__all__ = ["Answered", "Judged", "Material", "remake", "render", "write"]
