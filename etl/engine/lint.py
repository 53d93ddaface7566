from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    path: str
    line: int
    message: str


def lint(sql_text: str, path: str) -> list[Finding]:
    return []
