"""From loop nests to OpenCL C and its manifest."""
