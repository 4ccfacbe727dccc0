"""Where the network looked, what its layers see, which training pictures are nearest.

from headstart.explain import explain

why = explain(headstart.load("photos-model"), "new.jpg")
print(why.label, why.heats[0].depths)
"""

from headstart.explain.study import Explanation as Explanation
from headstart.explain.study import explain as explain

__all__ = ["Explanation", "explain"]
