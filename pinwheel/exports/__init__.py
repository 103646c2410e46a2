"""A published model in forms that others read. `encoder` needs the package `onnx`; `weights` and `shapes` do not."""
