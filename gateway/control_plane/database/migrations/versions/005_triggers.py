"""Keep `updated_at` of gateways and environments, also where something else than the control plane writes.

A statement that sets it itself is believed, so that what a program has written is what it reads.
"""

from alembic import op

revision = "005"
down_revision = "004"

_TABLES = ("gateways", "environments")

_FUNCTION = """
CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.updated_at IS NOT DISTINCT FROM OLD.updated_at THEN
        NEW.updated_at := timezone('utc', clock_timestamp());
    END IF;
    RETURN NEW;
END
$$
"""
_TRIGGER = """
CREATE TRIGGER {table}_updated_at BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION set_updated_at()
"""
# A trigger of SQLite is not run by what it writes itself, unless `recursive_triggers` is on.
_SQLITE_TRIGGER = """
CREATE TRIGGER {table}_updated_at AFTER UPDATE ON {table} FOR EACH ROW WHEN NEW.updated_at IS OLD.updated_at
BEGIN
    UPDATE {table} SET updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now') || '000' WHERE uuid = NEW.uuid;
END
"""


def upgrade() -> None:
    """Make a trigger on each table."""
    on_postgresql = op.get_context().dialect.name == "postgresql"
    if on_postgresql:
        op.execute(_FUNCTION)
    for table in _TABLES:
        op.execute((_TRIGGER if on_postgresql else _SQLITE_TRIGGER).format(table=table))


def downgrade() -> None:
    """Drop them."""
    on_postgresql = op.get_context().dialect.name == "postgresql"
    for table in _TABLES:
        op.execute(f"DROP TRIGGER {table}_updated_at" + (f" ON {table}" if on_postgresql else ""))
    if on_postgresql:
        op.execute("DROP FUNCTION set_updated_at()")
