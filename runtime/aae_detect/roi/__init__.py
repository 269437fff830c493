"""`aae-roi`: where in a camera's picture to look, drawn with the mouse or written down."""
