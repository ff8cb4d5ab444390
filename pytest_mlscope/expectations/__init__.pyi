from .checks import accuracy_checks as accuracy_checks
from .checks import latency_checks as latency_checks
from .checks import parity_checks as parity_checks
from .parity_text import difference_text as difference_text
