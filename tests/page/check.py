"""Opens a report in a headless browser and checks what a reader relies on."""

import os
import pathlib
import sys

from playwright.sync_api import sync_playwright

DESKTOP, PHONE, NARROW = (1280, 900), (390, 844), (320, 640)

# Contrast of every text with what lies behind it (WCAG 2.2, 1.4.3), where backgrounds are plain colours.
CONTRAST = """() => {
  const rgb = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const channel = c => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = node => {
    for (let n = node; n; n = n.parentElement) {
      const c = rgb(getComputedStyle(n).backgroundColor);
      if (c.length === 3 || c[3] === 1) return c;
    }
    return [255, 255, 255];
  };
  const bad = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || node.closest('title, desc, .skip')) continue;
    const style = getComputedStyle(node);
    const ink = rgb(node.closest('svg') ? style.fill : style.color);
    const [a, b] = [light(ink), light(behind(node))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) bad.push(node.tagName + ' ' + walk.currentNode.data.trim().slice(0, 40));
  }
  return bad;
}"""

# Charts without extent, or with a mark outside of the canvas.
CHARTS = """() => [...document.querySelectorAll('svg.chart')].map(svg => {
  const marks = [...svg.querySelectorAll('g[class^=s] path, g[class^=s] rect')].filter(m => {
    const box = m.getBBox(); return box.width > 0 || box.height > 0;
  });
  const view = svg.viewBox.baseVal, all = svg.getBBox(), box = svg.getBoundingClientRect();
  const inside = all.x >= -1 && all.y >= -1 && all.x + all.width <= view.width + 1 && all.y + all.height <= view.height + 1;
  const name = svg.querySelector('title').textContent;
  return { name, marks: marks.length, inside, width: box.width, height: box.height, described: svg.querySelector('desc').textContent.length,
           box: [all.x, all.y, all.x + all.width - view.width, all.y + all.height - view.height] };
})"""

FAILURES, PASSED = [], []


def expect(ok, what):
    (PASSED if ok else FAILURES).append(what)


def look(page, name, size, scheme):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme=scheme)
    where = f"{name}, {scheme}"
    scrolls = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    expect(scrolls <= 0, f"{where}: the page does not scroll sideways ({scrolls} px)")
    bad = page.evaluate(CONTRAST)
    expect(not bad, f"{where}: contrast of text is at least 4.5 ({bad[:5]})")
    for chart in page.evaluate(CHARTS):
        what = f"{where}: chart '{chart['name']}'"
        expect(chart["marks"] > 0 and chart["width"] > 100 and chart["height"] > 60, f"{what} is drawn ({chart})")
        expect(chart["inside"], f"{what} stays inside its canvas ({chart['box']})")
        expect(chart["described"] > 20, f"{what} is described")
    if folder := os.environ.get("SHOTS"):
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name}-{scheme}.png", full_page=True)


def keyboard(page):
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    skip = page.evaluate("document.activeElement.className")
    expect(skip == "skip", f"the first stop of the keyboard is the skip link ({skip})")
    visible = page.evaluate("document.activeElement.getBoundingClientRect().left >= 0")
    expect(visible, "the skip link is seen while it has the focus")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    stops = []
    for _ in range(2000):
        stop = page.evaluate("""() => { const e = document.activeElement; const s = getComputedStyle(e);
            return [e.tagName, e.getAttribute('role'), s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) > 0]; }""")
        if stop[0] == "BODY":
            break
        stops.append(stop)
        page.keyboard.press("Tab")
    expect(all(s[2] for s in stops), "every stop of the keyboard shows the focus")
    regions = page.evaluate("document.querySelectorAll('[role=region]').length")
    reached = sum(s[1] == "region" for s in stops)
    expect(reached == regions > 0, f"the keyboard reaches every table that scrolls ({reached} of {regions})")
    region = page.locator(".wide").first
    page.set_viewport_size({"width": NARROW[0], "height": NARROW[1]})
    region.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)
    expect(region.evaluate("e => e.scrollLeft") > 0, "arrow keys scroll the table of verdicts")
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("details").first.evaluate("e => e.open"), "figures open by keyboard")


def main(path):
    errors, requests = [], []
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=os.environ["BROWSER"], args=["--no-sandbox"])
        page = browser.new_page()
        page.on("console", lambda m: errors.append(m.text))
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.on("request", lambda r: requests.append(r.url))
        url = pathlib.Path(path).resolve().as_uri()
        page.goto(url)
        expect(page.title() != "" and page.locator("h1").count() == 1, "one main heading")
        formulas = page.evaluate("[...document.querySelectorAll('math')].every(m => m.getBoundingClientRect().width > 20)")
        expect(formulas, "formulas are drawn")
        dead = page.evaluate("[...document.links].filter(a => !document.querySelector(a.getAttribute('href'))).length")
        expect(dead == 0, f"no link leads nowhere ({dead})")
        for scheme in ("light", "dark"):
            look(page, "desktop", DESKTOP, scheme)
            look(page, "phone", PHONE, scheme)
        look(page, "narrow", NARROW, "light")
        keyboard(page)
        page.emulate_media(media="print")
        hidden = page.evaluate("[...document.querySelectorAll('details table')].filter(t => t.getBoundingClientRect().height === 0).length")
        expect(hidden == 0, f"print shows every table of figures ({hidden} hidden)")
        if folder := os.environ.get("SHOTS"):
            page.pdf(path=f"{folder}/print.pdf")
        browser.close()
    expect(not errors, f"no message on the console ({errors[:3]})")
    expect(requests == [url], f"nothing else is loaded ({requests[1:4]})")
    for failure in FAILURES:
        print(f"FAILED {failure}")
    print(f"{len(PASSED)} passed, {len(FAILURES)} failed")
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
