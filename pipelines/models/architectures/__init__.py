"""The large models' networks in the house's terms, a file a family of diffusers' pipelines."""
