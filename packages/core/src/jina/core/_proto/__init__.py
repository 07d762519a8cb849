"""Generated protobuf code and descriptors; written by tools/generate_protos.py."""
