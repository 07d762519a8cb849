"""What tests of several distributions share: real processes, free ports, waiting for servers."""
