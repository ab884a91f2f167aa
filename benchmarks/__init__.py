"""How fast, how large and how scalable pocketcnn is beside what else one would use.

``python -m benchmarks --help`` says what there is; docs/benchmarks.md says how it is measured.
This package is no part of the wheel.
"""
