"""The part that runs inside a framework's interpreter: Python 3.6 syntax, the standard library and numpy alone."""
