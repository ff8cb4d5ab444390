from .check_result import CheckResult as CheckResult
from .suite import CHECKS as CHECKS
from .suite import check as check
