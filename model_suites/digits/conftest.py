"""Emulated processors take a download and some minutes: their manifest runs where it is named."""

collect_ignore = ["digits-architectures.mlscope.yml"]
