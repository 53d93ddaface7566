"""manifest.csv: a delivery that is not what it promises to be is refused whole."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from etl.config import settings
from etl.errors import ContractError
from etl.land import load_contract, plan_folder
from etl.land.manifest import MANIFEST, check_manifest, read_manifest

FILES = {"patients.csv": "Id,BIRTHDATE\np1,1980-01-02\n", "encounters.csv": "Id,START,PATIENT\ne1,2020-01-01,p1\n"}
Break = Callable[[Path], object]


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def delivery(folder: Path, *lines: str) -> list[Path]:
    """The two files with a manifest; the given lines instead of the right ones."""
    folder.mkdir(exist_ok=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    right = [f"{name},{len(text)},{sha256(text)}" for name, text in FILES.items()]
    (folder / MANIFEST).write_text("\n".join(["name,bytes,sha256", *(lines or right)]) + "\n")
    return [folder / name for name in FILES]


def test_a_delivery_as_promised_is_taken(tmp_path: Path) -> None:
    assert check_manifest(tmp_path, delivery(tmp_path))


def test_a_folder_without_a_manifest_is_taken_as_it_is(tmp_path: Path) -> None:
    files = delivery(tmp_path)
    (tmp_path / MANIFEST).unlink()
    assert not check_manifest(tmp_path, files)


def test_a_size_without_a_hash_is_enough(tmp_path: Path) -> None:
    lines = [f"{name},{len(text)}," for name, text in FILES.items()]
    assert check_manifest(tmp_path, delivery(tmp_path, *lines))


BROKEN: dict[str, tuple[Break, str]] = {
    "a missing file": (lambda folder: (folder / "patients.csv").unlink(), "patients.csv is missing"),
    "a truncated file": (
        lambda folder: (folder / "patients.csv").write_text(FILES["patients.csv"][:-4]),
        "patients.csv has 23 bytes instead of 27",
    ),
    "another content of the same size": (
        lambda folder: (folder / "patients.csv").write_text(FILES["patients.csv"].replace("1980", "1981")),
        "patients.csv has another content than was promised",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_what_was_promised_and_is_not_there_is_named(fault: str, tmp_path: Path) -> None:
    files = delivery(tmp_path)
    breaks, named = BROKEN[fault]
    breaks(tmp_path)
    with pytest.raises(ContractError, match=named):
        check_manifest(tmp_path, files)


def test_a_file_that_is_not_named_is_refused(tmp_path: Path) -> None:
    files = delivery(tmp_path, f"patients.csv,{len(FILES['patients.csv'])},")
    with pytest.raises(ContractError, match=r"encounters\.csv is not named in it"):
        check_manifest(tmp_path, files)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    files = delivery(tmp_path, "patients.csv,1,", "supplies.csv,5,")
    with pytest.raises(ContractError) as caught:
        check_manifest(tmp_path, files)
    for part in ("encounters.csv is not named", "patients.csv has 27 bytes instead of 1", "supplies.csv is missing"):
        assert part in caught.value.what


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "header"),
        ("file,size\na.csv,1\n", "header"),
        ("name,bytes\n", "names no file"),
        ("name,bytes\n../a.csv,1\n", "line 2 needs the name"),
        ("name,bytes\na.csv,many\n", "line 2 needs a number"),
        ("name,bytes\na.csv,1,2\n", "line 2 needs the name"),
        ("name,bytes,sha256\na.csv,1,abc\n", "line 2 has a sha256"),
        ("name,bytes\na.csv,1\na.csv,1\n", "a.csv twice"),
        ("name,bytes\n" + "\n".join(f"f{n}.csv,1" for n in range(5_001)), "more than 5,000 lines"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused(text: str, named: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ContractError, match=named):
        read_manifest(tmp_path / MANIFEST)


def test_landing_asks_the_manifest_before_it_loads_anything(home: Path, tmp_path: Path) -> None:
    delivery(tmp_path, "patients.csv,1,", "encounters.csv,1,")
    with pytest.raises(ContractError, match=r"not what its manifest\.csv says"):
        plan_folder(load_contract(settings(), "synthea"), tmp_path)
