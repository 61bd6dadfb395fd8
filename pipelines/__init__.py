"""From words to an orbit video, and the whole chain from words to a mesh."""
