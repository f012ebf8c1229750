"""Queue, event log, worker host and archive: what happens to a request from submission to saved images. No torch, no Gradio."""
