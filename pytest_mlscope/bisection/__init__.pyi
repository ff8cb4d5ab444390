from .difference import LayerDifference as LayerDifference
from .layers import WITHOUT_TYPES as WITHOUT_TYPES
from .layers import knows_types as knows_types
from .search import WINDOW_BYTES as WINDOW_BYTES
from .search import Bisection as Bisection
from .search import bisect as bisect
