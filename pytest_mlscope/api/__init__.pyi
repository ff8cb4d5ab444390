from .audit import audit_case as audit_case
from .bisection import bisect_case as bisect_case
from .environment_test import self_test as self_test
from .evaluation import evaluate as evaluate
from .evaluation_settings import EvaluationSettings as EvaluationSettings
from .loadgen import compare_with_loadgen as compare_with_loadgen
from .validation import manifests_in as manifests_in
from .validation import validate_manifest as validate_manifest
