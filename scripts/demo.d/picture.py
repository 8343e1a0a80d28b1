"""Opens the page of the demo on port argv[1], uses it for a while, and saves what it shows in argv[2]."""
import base64
import sys

from browser import Chromium

SIZE = {"width": 1140, "height": 960}

WAIT = "await new Promise(done => setTimeout(done, 9000));"  # A script may take 20 seconds.


def main():
    with Chromium() as browser:
        ask = browser._ask  # pylint: disable=protected-access
        session = browser._session  # pylint: disable=protected-access
        ask("POST", session + "/window/rect", SIZE)
        browser.open(f"http://127.0.0.1:{sys.argv[1]}/")
        # Something to see in the chart: nothing, then the tunnels of this page.
        browser.run(WAIT)
        browser.run("document.querySelector('[data-open=\"100\"]').click();")
        for _ in range(3):
            browser.run(WAIT)
        picture = base64.b64decode(ask("GET", session + "/screenshot"))
    with open(sys.argv[2], "wb") as file:
        file.write(picture)


main()
