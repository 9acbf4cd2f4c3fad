"""A headless Chromium of the system for the tests of pages; nothing is downloaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

PHONE, DESKTOP = (390, 844), (1280, 900)

# ratio of luminances (WCAG 2.2, "contrast ratio") of every text that can be seen
CONTRAST = """
const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
const rgb = color => {
  canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
  return canvas.getImageData(0, 0, 1, 1).data;
};
const light = color => {
  const [r, g, b] = [...rgb(color)].slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = node => {
  for (let e = node; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor;
    if (rgb(color)[3] === 255) return color;
  }
  return 'white';
};
const found = [];
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const text = walker.currentNode.textContent.trim(), e = walker.currentNode.parentElement;
  if (!text || !e.getClientRects().length) continue;
  const style = getComputedStyle(e), a = light(e.closest('svg') ? style.fill : style.color);
  const b = light(behind(e));
  found.push([(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), text]);
}
return found;
"""


def find(name: str) -> str:
    path = shutil.which(name)
    assert path is not None, f"{name} is needed: make browser"
    return path


class Browser:
    """One tab."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver

    def open(self, page: Path, size: tuple[int, int], scheme: str) -> None:
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        self.driver.get_log("performance")
        self.driver.get(page.resolve().as_uri())

    def run(self, script: str) -> Any:
        return self.driver.execute_script(script)

    def console(self) -> list[dict[str, Any]]:
        return list(self.driver.get_log("browser"))

    def requests(self) -> list[str]:
        messages = [json.loads(m["message"])["message"] for m in self.driver.get_log("performance")]
        return [
            m["params"]["request"]["url"]
            for m in messages
            if m["method"] == "Network.requestWillBeSent"
        ]

    def screenshot(self, file: Path) -> None:
        self.driver.save_screenshot(str(file))


@contextmanager
def browser() -> Iterator[Browser]:
    options = ChromeOptions()
    options.binary_location = find("chromium")
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-gpu"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options=options, service=Service(find("chromedriver")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
