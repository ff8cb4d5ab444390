"""What pytest-mlscope costs, beside what people use instead: ``python -m benchmarks.run``."""
