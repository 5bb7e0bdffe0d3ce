"""The nouns of the pipeline: frozen values, known to every stage, knowing none."""
