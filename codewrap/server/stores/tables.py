"""The tables of a SQL store, made at first use. A change that an older codewrap would misunderstand raises SCHEMA."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Connection, Double, MetaData, String, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite

SCHEMA = 1
# Any number that others' advisory locks are unlikely to have: "codewrap" as bytes.
_ADVISORY_LOCK = int.from_bytes(b"codewrap", "big")

METADATA = MetaData()

META = Table("codewrap_meta", METADATA, Column("name", String, primary_key=True), Column("value", BigInteger, nullable=False))
REVOCATIONS = Table(
    "codewrap_revocations",
    METADATA,
    Column("subject", String, primary_key=True),
    Column("at_s", Double, nullable=False),
    Column("until_s", Double, nullable=False),
)
TOKENS = Table(
    "codewrap_tokens",
    METADATA,
    Column("token_id", String, primary_key=True),
    Column("user", String, nullable=False),
    Column("role", String, nullable=False),
    Column("sessions", String, nullable=False),  # a JSON list
    Column("issued_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("issued_by", String, nullable=False),
    Column("kind", String, nullable=False),
)
CLAIMS = Table(
    "codewrap_claims",
    METADATA,
    Column("key", String, primary_key=True),
    Column("until_s", Double, nullable=False, index=True),
)
SESSIONS = Table(
    "codewrap_sessions",
    METADATA,
    Column("name", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("grant", String, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("seen_at", Double, nullable=False),
)
COUNTERS = Table(
    "codewrap_counters",
    METADATA,
    Column("key", String, primary_key=True),
    Column("value", BigInteger, nullable=False),
    Column("until_s", Double, nullable=False, index=True),
)
# Rows of META: one is counted up with every revocation, the others are there to be locked.
VERSION, OPENING, REMOVAL = "version", "opening", "removal"


def make_tables(connection: Connection) -> int:
    """Make what is missing, in the transaction that ``connection`` is in; returns the schema that is there."""
    if connection.dialect.name == "postgresql":  # IF NOT EXISTS is no protection against another copy that starts now
        connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
    METADATA.create_all(connection)
    rows = {"schema": SCHEMA, VERSION: 0, OPENING: 0, REMOVAL: 0}
    for name, value in rows.items():
        connection.execute(upsert(connection, META).values(name=name, value=value).on_conflict_do_nothing())
    return int(connection.execute(select(META.c.value).where(META.c.name == "schema")).scalar_one())


def upsert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that can say ON CONFLICT, which both databases spell alike."""
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
