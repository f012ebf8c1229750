"""The way of one request: queue, event log, worker host and archive. Knows files and processes; no torch, no gradio."""
