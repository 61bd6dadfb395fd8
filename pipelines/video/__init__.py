"""The embedded video diffusion transformer: words and cameras to an orbit video."""
