from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable

from codewrap.server.stores.tables import META, METADATA, SCHEMA, make_tables, upsert


def test_tables_are_made_once_and_keep_what_is_in_them(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/state")
    with engine.begin() as connection:
        assert make_tables(connection) == SCHEMA
        connection.execute(META.update().where(META.c.name == "version").values(value=7))
    with engine.begin() as connection:
        assert make_tables(connection) == SCHEMA
        assert connection.execute(select(META.c.value).where(META.c.name == "version")).scalar_one() == 7
    assert set(inspect(engine).get_table_names()) == set(METADATA.tables)
    engine.dispose()


def test_every_table_is_recognizable_as_ours() -> None:
    assert [name for name in METADATA.tables if not name.startswith("codewrap_")] == []


@pytest.mark.parametrize("table", METADATA.sorted_tables, ids=str)
def test_times_keep_their_fractions_in_both_databases(table: object) -> None:
    for dialect in (postgresql.dialect(), sqlite.dialect()):  # type: ignore[no-untyped-call]
        text = str(CreateTable(table).compile(dialect=dialect))  # type: ignore[arg-type]
        for line in text.splitlines():
            if "_s " in line or "_at " in line:
                assert "DOUBLE" in line


def test_an_upsert_is_of_the_databases_own_kind(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/state")
    with engine.connect() as connection:
        assert isinstance(upsert(connection, META), sqlite.Insert)
    engine.dispose()
