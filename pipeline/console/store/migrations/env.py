"""What Alembic runs: the revisions, on the connection it was given, in the transaction that is open on it."""

from alembic import context

from pipeline.console.store.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
context.run_migrations()
