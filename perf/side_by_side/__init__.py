"""Parts of `perf/side-by-side`."""
