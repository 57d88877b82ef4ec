/* What this header has in later kernels is in ../compat.h, included before all. */
