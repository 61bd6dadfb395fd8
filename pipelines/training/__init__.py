"""Training the embedded model: renders, captions, autoencoder, transformer, evaluation.

Imports torch, numpy, einops, jaxtyping, safetensors and transformers alone, so that it runs on a
bare GPU machine; only `meshes.py`, which reads GLB files once, needs trimesh.
"""
