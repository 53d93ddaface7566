"""Airflow's home: airflow.cfg and the secrets in it, written by us at every start, mode 0600.

A file and not AIRFLOW__… variables: `AIRFLOW_HOME=… airflow dags list` then works in anybody's terminal too, and no
process shows a password in its environment.
"""

import base64
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from etl.config import Settings, child_environment
from etl.postgres.passwords import write_private
from etl.services import ports

USER = "admin"
PASSWORDS_NAME = "passwords.json"  # SimpleAuthManager reads {"user": "password"} as it is, and adds only the missing
PORT_NAME = "api-server-port.json"
PARALLEL_TASKS = 4
# A worker notices the end of its task late (below) and is not free for the next one meanwhile.
WORKERS = 8
PRELOADED = (
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.providers.standard.decorators.python",
    "etl.pipeline.tasks",
    "etl.quality.gx.candidate",
    "etl.quality.gx.landing",
    "etl.quality.gx.report",
)


def prepare(settings: Settings, database_url: str, dags_folder: Path) -> int:
    """Writes airflow.cfg and, once, the secrets; the api-server's port."""
    home = settings.airflow_home
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    _secret_file(home / PASSWORDS_NAME, {USER: secrets.token_urlsafe(16)})
    keys = _secret_file(
        home / "keys.json",
        {
            "fernet_key": base64.urlsafe_b64encode(os.urandom(32)).decode(),
            "secret_key": secrets.token_urlsafe(48),
            "jwt_secret": secrets.token_urlsafe(48),
        },
    )
    port = ports.choose(home / PORT_NAME)
    write_private(home / "airflow.cfg", _config_text(_options(home, database_url, dags_folder, port, keys)))
    return port


def password(settings: Settings) -> str | None:
    """The generated password of the user `admin`; None before the first start."""
    file = settings.airflow_home / PASSWORDS_NAME
    return str(json.loads(file.read_text())[USER]) if file.exists() else None


def environment(settings: Settings) -> dict[str, str]:
    """The environment of Airflow's processes and of the tasks in them."""
    return child_environment(settings) | {
        "AIRFLOW_HOME": str(settings.airflow_home),
        "SCARF_NO_ANALYTICS": "true",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _options(
    home: Path, database_url: str, dags_folder: Path, port: int, keys: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    here = f"http://{ports.LOOPBACK}:{port}"
    return {
        "core": {
            "dags_folder": str(dags_folder),
            "plugins_folder": str(home / "plugins"),
            "executor": "LocalExecutor",
            "parallelism": str(WORKERS),
            "max_active_tasks_per_dag": str(PARALLEL_TASKS),
            "load_examples": "False",
            "fernet_key": keys["fernet_key"],
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": str(home / PASSWORDS_NAME),
            "simple_auth_manager_all_admins": "False",
            "execution_api_server_url": f"{here}/execution/",
            "hostname_callable": "socket.gethostname",  # no name server is asked
            # tasks are forked from workers that have imported the pipeline (0.6 s) and Great Expectations (3.4 s);
            # an edit of etl/ needs a restart, an edit of SQL, contracts or dags/ does not
            "execute_tasks_new_python_interpreter": "False",
            "mp_start_method": "forkserver",
            "mp_forkserver_preload": ",".join(PRELOADED),
            # serialized DAGs are rewritten at most this often (s); the default of 30 s makes an edited DAG wait
            "min_serialized_dag_update_interval": "2",
        },
        "database": {"sql_alchemy_conn": database_url},
        "logging": {
            "base_log_folder": str(home / "logs"),
            "dag_processor_child_process_log_directory": str(home / "logs" / "dag_processor"),
            "colored_console_log": "False",
            "file_task_handler_new_folder_permissions": "0o700",
            "file_task_handler_new_file_permissions": "0o600",
        },
        "api": {
            "host": ports.LOOPBACK,
            "port": str(port),
            "base_url": here,
            "workers": "1",
            "secret_key": keys["secret_key"],
        },
        "api_auth": {"jwt_secret": keys["jwt_secret"]},
        # Airflow's supervisor misses the end of a task by a race and sleeps until its next beat (measured: 16 tasks
        # took 7.1 s with the default of 5 s)
        "workers": {"min_heartbeat_interval": "1"},
        "scheduler": {
            # a task whose process was killed is noticed after a minute; its supervisor, not the task, sends the beats
            "task_instance_heartbeat_timeout": "60",
            # an idle loop costs 20 ms here; a task waits for it twice, so the default of 1 s would double its time
            "scheduler_idle_sleep_time": "0.1",
            "enable_health_check": "False",
        },
        "dag_processor": {
            "refresh_interval": "10",
            "bundle_refresh_check_interval": "2",
            "parsing_processes": "1",
        },
    }


def _config_text(options: Mapping[str, Mapping[str, str]]) -> str:
    lines = ["# written by etl/services/airflow_home.py at every start: changes here are lost\n"]
    for section, values in options.items():
        lines.append(f"\n[{section}]\n")
        lines += [f"{key} = {value.replace('%', '%%')}\n" for key, value in values.items()]
    return "".join(lines)


def _secret_file(file: Path, fresh: Mapping[str, str]) -> dict[str, str]:
    if not file.exists():
        write_private(file, json.dumps(dict(fresh)) + "\n")
    return {str(key): str(value) for key, value in json.loads(file.read_text()).items()}
