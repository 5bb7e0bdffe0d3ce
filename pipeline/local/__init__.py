"""What runs on one machine with nothing but Python beforehand: the embedded broker, `up` and the demo."""
