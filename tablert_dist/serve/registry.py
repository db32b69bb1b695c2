"""A registered model behind the server: its alias is watched, and a new version's bundle takes the link's place."""

from __future__ import annotations

import logging
import shutil
import threading
from pathlib import Path

from tablert_dist.errors import InputError
from tablert_dist.inference.bundle import MANIFEST
from tablert_dist.tracking import download, version_of

log = logging.getLogger(__name__)


class Followed:
    """Keeps `link` on the bundle of the version that `models:/NAME@ALIAS` names. The server watches the link."""

    def __init__(self, uri: str, model: str, folder: Path, seconds: float) -> None:
        self.uri, self.model, self.folder, self.seconds = uri, model, folder, seconds
        self.link = folder / "current"
        self._version = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="registry", daemon=True)

    def start(self) -> Path:
        """Fetch the current version, then follow the alias. Raises InputError where MLflow or the model cannot be reached."""
        self.fetch()
        self._thread.start()
        return self.link

    def stop(self) -> None:
        """Follow no longer."""
        self._stop.set()

    def fetch(self) -> bool:
        """Turn the link to the version that the alias names now; whether it is another than before."""
        version = version_of(self.uri, self.model)
        if version == self._version:
            return False
        place = self.folder / f"version-{version}"
        if not place.exists():
            name = self.model.removeprefix("models:/").split("@")[0].split("/")[0]
            download(self.uri, f"models:/{name}/{version}", place)
        bundles = sorted(path.parent for path in place.glob(f"artifacts/*/{MANIFEST}"))
        if len(bundles) != 1:
            shutil.rmtree(place, ignore_errors=True)
            raise InputError(f"{self.model} version {version} holds no bundle; register it with tablert tune")
        turned = self.folder / ".next"
        turned.unlink(missing_ok=True)
        turned.symlink_to(bundles[0].resolve())
        turned.replace(self.link)
        self._version = version
        for old in self.folder.glob("version-*"):
            # The one before may still be read from; those before it are not.
            if int(old.name.removeprefix("version-")) < version - 1:
                shutil.rmtree(old, ignore_errors=True)
        return True

    def _follow(self) -> None:
        while not self._stop.wait(self.seconds):
            try:
                if self.fetch():
                    log.info("%s is version %s now", self.model, self._version)
            except (InputError, OSError) as error:
                log.warning("%s is not followed for now, the version before goes on: %s", self.model, error)
