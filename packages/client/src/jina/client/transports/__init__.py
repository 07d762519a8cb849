"""One module per protocol behind one narrow interface."""
