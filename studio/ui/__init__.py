"""The window: Gradio components, their looks and their behaviour. It is handed a Desk and knows core alone."""
