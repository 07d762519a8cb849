"""The public names of the jina serving framework, loaded on first use."""
