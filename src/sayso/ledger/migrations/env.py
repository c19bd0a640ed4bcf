"""Alembic's entry: runs the migrations on the engine that `sayso.ledger.opening` hands over."""

from alembic import context

from sayso.ledger.schema import metadata

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=connection.dialect.name == "sqlite")
    with context.begin_transaction():
        context.run_migrations()
    if connection.in_transaction():
        connection.commit()
