"""The store of attempts: what the topic `attempts` told, as pages and calls ask for it. All of it can be rebuilt."""
