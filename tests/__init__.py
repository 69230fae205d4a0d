"""Tests of cxrjax, and helpers that benchmarks also import; a package, since dependencies install one of this name."""
