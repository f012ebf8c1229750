"""The window: Gradio components, their looks and their behaviour. It is handed a Studio and knows core alone."""
