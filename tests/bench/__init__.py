"""The benchmarks: `python -m tests.bench` measures each stage, and its baseline in the same run."""
