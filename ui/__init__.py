"""The Gradio page, a file a section."""
