"""Times: the source's local time is kept, a zoned one is converted to the site's zone, nothing is shifted silently."""

import datetime
import tempfile
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from landing_helpers import CONTRACT, Clinic, csv, make_contract, rows, stays

from etl.errors import ContractError
from etl.land.csv_files import land_file
from etl.land.source_file import prepare, read_header

ZONES = ("UTC", "Asia/Seoul", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")


def with_zone(zone: str | None) -> str:
    return CONTRACT.replace("time_zone: UTC\n", f"time_zone: {zone}\n" if zone else "")


def clinic_in(clinic: Clinic, zone: str | None) -> Clinic:
    clinic.contract = make_contract(clinic.root, with_zone(zone))
    return clinic


@pytest.mark.parametrize(
    ("zone", "text", "local"),
    [
        ("UTC", "2023-01-27T16:17:47Z", "2023-01-27T16:17:47"),
        ("UTC", "2023-01-27T16:17:47.25+09:00", "2023-01-27T07:17:47.250000"),
        ("UTC", "2023-01-27 16:17:47+0900", "2023-01-27T07:17:47"),
        ("UTC", "2023-01-27 16:17:47-05", "2023-01-27T21:17:47"),
        ("UTC", "2023-01-27T16:17:47", "2023-01-27T16:17:47"),
        ("Asia/Seoul", "2023-01-27T16:17:47Z", "2023-01-28T01:17:47"),
        ("Asia/Seoul", "2023-01-27T16:17:47+09:00", "2023-01-27T16:17:47"),
        ("Asia/Seoul", "2023-01-27T16:17:47", "2023-01-27T16:17:47"),
        ("Asia/Seoul", "2023-01-27 16:17:47.123456", "2023-01-27T16:17:47.123456"),
        ("Asia/Seoul", "2023-01-27", "2023-01-27T00:00:00"),
        ("America/New_York", "2024-03-10T06:59:59Z", "2024-03-10T01:59:59"),
        ("America/New_York", "2024-03-10T07:00:00Z", "2024-03-10T03:00:00"),
        ("America/New_York", "2024-03-10T02:30:00", "2024-03-10T02:30:00"),
        ("America/New_York", "2024-11-03T05:30:00Z", "2024-11-03T01:30:00"),
        ("America/New_York", "2024-11-03T06:30:00Z", "2024-11-03T01:30:00"),
        ("UTC", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59"),
        (None, "2023-01-27T16:17:47", "2023-01-27T16:17:47"),
    ],
)
def test_a_zoned_time_is_converted_to_the_sites_zone_and_a_local_one_is_kept(
    clinic: Clinic, zone: str | None, text: str, local: str
) -> None:
    landed = clinic_in(clinic, zone).land({"stays.csv": csv(f"s1,{text},,p1,1,1,")}).batches[0]
    assert rows(landed.path, "start") == [(datetime.datetime.fromisoformat(local),)]


@pytest.mark.parametrize("text", ["2023-01-27T16:17:47Z", "2023-01-27T16:17:47+09:00", "2023-01-27 16:17:47-05"])
def test_a_zoned_time_is_refused_where_the_contract_declares_no_zone(clinic: Clinic, text: str) -> None:
    local = [row.replace("Z,", ",") for row in stays(2)]
    landed = clinic_in(clinic, None).land({"stays.csv": csv(*local, f"s3,{text},,p1,1,1,")}).batches[0]
    assert landed.reasons == {"START has a time zone, and the contract declares none": 1}


@pytest.mark.parametrize(
    ("start", "day", "reason"),
    [
        ("2023-02-30", "", "START is an impossible date"),
        ("2023-02-29T10:00:00+09:00", "", "START is an impossible date"),
        ("2023-01-27T24:00:00", "", "START is not a timestamp"),
        ("2016-12-31T23:59:60Z", "", "START is not a timestamp"),
        ("0000-01-01", "", "START is not a timestamp"),
        ("10000-01-01", "", "START is not a timestamp"),
        ("9999-12-31T23:59:59-05:00", "", "START is an impossible date"),
        ("1000-01-01T00:00:00+09:00", "", "START is an impossible date"),
        ("2023-01-27T16:17:47+15:00", "", "START is not a timestamp"),
        ("2023-01-27T16:17:47+09:60", "", "START is not a timestamp"),
        ("2023-01-27T16:17:47z", "", "START is not a timestamp"),
        ("2023-01-27T16:17:47 Asia/Seoul", "", "START is not a timestamp"),
        ("2023-01-27Z", "", "START is not a timestamp"),
        ("2023-01-27+09:00", "", "START is not a timestamp"),
        ("2023-01-27", "2023-01-27Z", "DAY is not a date"),
        ("2023-01-27", "2023-01-27+09:00", "DAY is not a date"),
        ("2023-01-27", "0000-00-00", "DAY is not a date"),
        ("2023-01-27", "2023-04-31", "DAY is an impossible date"),
    ],
)
def test_an_impossible_date_or_time_is_a_reason(clinic: Clinic, start: str, day: str, reason: str) -> None:
    landed = clinic.land({"stays.csv": csv(*stays(2), f"x,{start},{day},p1,1,1,")}).batches[0]
    assert landed.reasons == {reason: 1}
    assert landed.landed == 2


def test_another_time_zone_is_another_landing_of_the_same_file_but_only_where_there_are_times(clinic: Clinic) -> None:
    files = {"stays.csv": csv(*stays(1)), "remarks.csv": "TEXT,NUMBER\na,1\n"}
    before = clinic.land(files).batch_ids
    after = clinic_in(clinic, "Asia/Seoul").land(files).batches
    assert [batch.is_new for batch in after] == [True, False]
    assert after[1].batch_id == before[1]


def test_a_time_zone_that_does_not_exist_or_is_the_machines_own_is_told(tmp_path: Path) -> None:
    for zone in ("Asia/Soul", "localtime", "KST"):
        with pytest.raises(ContractError, match=f"time_zone is {zone}"):
            make_contract(tmp_path, with_zone(zone))


@pytest.mark.property
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    zone=st.sampled_from(ZONES),
    moments=st.lists(
        st.tuples(
            st.datetimes(datetime.datetime(1970, 1, 2), datetime.datetime(2025, 12, 30)),
            st.integers(-12 * 4, 14 * 4),
        ),
        min_size=1,
        max_size=20,
    ),
)
def test_conversion_agrees_with_pythons_zones(
    home: Path, zone: str, moments: list[tuple[datetime.datetime, int]]
) -> None:
    zoned = [
        local.replace(tzinfo=datetime.timezone(datetime.timedelta(minutes=15 * quarters)))
        for local, quarters in moments
    ]
    with tempfile.TemporaryDirectory() as folder:
        contract = make_contract(Path(folder), with_zone(zone))
        table, path = contract.tables["stays"], Path(folder) / "stays.csv"
        path.write_text(csv(*(f"s{n},{time.isoformat()},,p1,1,1," for n, time in enumerate(zoned))), encoding="utf-8")
        output = Path(folder) / "stays.parquet"
        land_file(
            contract,
            table,
            read_header(contract, table, path),
            prepare(path, "utf-8", Path(folder) / "spool"),
            file_name="stays.csv",
            first_row_id=1,
            output=output,
            rejects=Path(folder) / "rejects.parquet",
        )
        expected = [time.astimezone(ZoneInfo(zone)).replace(tzinfo=None) for time in zoned]
        assert [row[0] for row in rows(output, "start")] == expected
