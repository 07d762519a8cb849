"""Worker and gateway servers of the jina serving framework."""
