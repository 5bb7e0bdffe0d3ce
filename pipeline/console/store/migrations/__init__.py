"""How an older store becomes what the code expects: Alembic's revisions, run at the console's start."""
