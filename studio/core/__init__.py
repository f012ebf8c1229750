"""Plain values that every room shares: requests, events, recipes, settings, errors, registries. No torch, no gradio."""
