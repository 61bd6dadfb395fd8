"""Video models behind one protocol, and the catalogue of them."""
