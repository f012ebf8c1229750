"""The HTTP server: address, access checks, limits and routes. It is given a Studio and a page to mount; no torch, no Gradio."""
