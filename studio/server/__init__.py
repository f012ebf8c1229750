"""The door and the HTTP routes. It is handed a Studio and a page to mount; it does not know what makes an image."""
