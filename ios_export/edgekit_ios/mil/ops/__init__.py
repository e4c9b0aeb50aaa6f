"""The operators of MIL, by family. Definitions: the documentation of coremltools' MIL operators."""
