"""Docker Compose, Kubernetes and flowchart export of the jina serving framework."""
