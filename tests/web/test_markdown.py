"""Markdown as elements: the same whole and piece by piece, and never anything but text, links and code."""

from typing import Any

from playwright.async_api import Page

from gateway import Site

SAMPLE = """# A *title*

Some **bold**, _soft_, ~~gone~~ and `code <b>` words,
on two lines, with a [link](https://example.com/a_(b) "A title") and https://example.com/x.

- one
  - nested `x`
    1. deep
    2. deeper
- [x] two

  a second paragraph
- three

9. nine
10. ten

> quoted
> > twice
lazily

| a | b |
|---|--:|
| 1 | `2` |
| \\| | **3** |

```python
def f(x):
\treturn "a" # why
```

    indented

---
the end\\
here
"""


async def _view(page: Page, site: Site, call: str, *arguments: Any) -> Any:
    """What ``call`` gives: an expression of the module's names and of ``a``, ``b`` ..."""
    if not page.url.startswith(site.url):
        await page.goto(f"{site.url}/assets/icon.svg")
        await page.goto(f"{site.url}/models")
    names = ", ".join("abcd"[: len(arguments)])
    return await page.evaluate(
        f"""async ([{names}]) => {{
          const {{ markdown, render }} = await import("/assets/shared/markdown.js");
          const drawn = (text) => {{
            const whole = render(text);
            document.querySelector("#main").replaceChildren(whole);
            return whole;
          }};
          return {call};
        }}""",
        list(arguments),
    )


async def _html(page: Page, site: Site, text: str) -> str:
    return await _view(page, site, "drawn(a).firstChild.innerHTML", text)


BLOCKS = [
    ("a *b* **c** ***d***", '<p dir="auto">a <em>b</em> <strong>c</strong> <em><strong>d</strong></em></p>'),
    ("snake_case_name and 2*3*4", '<p dir="auto">snake_case_name and 2<em>3</em>4</p>'),
    ("**bold *both* bold**", '<p dir="auto"><strong>bold <em>both</em> bold</strong></p>'),
    ("a * b * c, **open", '<p dir="auto">a * b * c, **open</p>'),
    ("`` a`b `` and `c", '<p dir="auto"><code>a`b</code> and `c</p>'),
    ("one\ntwo", '<p dir="auto">one<br>two</p>'),
    ("## Title ##", '<h4 dir="auto" data-level="2">Title</h4>'),
    ("#no title", '<p dir="auto">#no title</p>'),
    ("***\n- - -", "<hr><hr>"),
    ("\\*plain\\* \\n", '<p dir="auto">*plain* \\n</p>'),
    ("- a\n- b", '<ul data-mark="-"><li><p dir="auto">a</p></li><li><p dir="auto">b</p></li></ul>'),
    ("3) a", '<ol data-mark=")" start="3"><li><p dir="auto">a</p></li></ol>'),
    ("> a\nb", '<blockquote><p dir="auto">a<br>b</p></blockquote>'),
    ("<b>no</b> &amp; <!-- x -->", '<p dir="auto">&lt;b&gt;no&lt;/b&gt; &amp;amp; &lt;!-- x --&gt;</p>'),
]


async def test_blocks_and_words_are_elements(page: Page, site: Site):
    for text, html in BLOCKS:
        assert await _html(page, site, text) == html


async def test_a_text_in_any_pieces_is_drawn_as_the_whole_of_it(page: Page, site: Site):
    whole = await _html(page, site, SAMPLE)
    pieces = """[1, 2, 3, 7, 50].map((size) => {
      const view = markdown();
      for (let at = size; at < a.length; at += size) view.write(a.slice(0, at), false);
      view.write(a, true);
      return view.element.firstChild.innerHTML;
    })"""
    assert await _view(page, site, pieces, SAMPLE) == [whole] * 5
    for part in ("<ul", "<ol", "<table", "<blockquote", "<pre", "<hr>", "☑ two", '<span class="k-key">def</span>'):
        assert part in whole
    assert '<ol data-mark="." start="9"><li><p dir="auto">nine</p></li><li><p dir="auto">ten</p></li></ol>' in whole


async def test_blocks_that_are_whole_are_never_drawn_again(page: Page, site: Site):
    kept = """(() => {
      const view = markdown();
      view.write("# One\\n\\ntwo\\n\\n- three\\n- fo", false);
      const [title, text, list] = view.element.firstChild.children;
      const item = list.firstElementChild;
      view.write("# One\\n\\ntwo\\n\\n- three\\n- four\\n- fi", false);
      const [again, same, still] = view.element.firstChild.children;
      return [title === again, text === same, list === still, item === still.firstElementChild, still.textContent];
    })()"""
    assert await _view(page, site, kept) == [True, True, True, True, "threefourfi"]


UNSAFE = [
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](vbscript:x)",
    "[x](file:///etc/passwd)",
    "[x](/v1/models)",
    "[x]( java\nscript:alert(1))",
    "<javascript:alert(1)>",
    "![x](data:image/svg+xml,<svg onload=alert(1)>)",
]


async def test_a_link_elsewhere_than_to_the_web_or_a_mailbox_is_text(page: Page, site: Site):
    for link in UNSAFE:
        found = await _view(page, site, "[drawn(a).querySelectorAll('a, img, svg').length, drawn(a).textContent]", link)
        assert found == [0, link.replace("\n", "")]


async def test_links_say_where_they_lead_and_images_are_not_loaded(page: Page, site: Site):
    text = "[**x**](https://example.com/) <mailto:a@b.c> ![a cat](https://example.com/c.png) https://example.com/q?a=1."
    told = "(({ tagName, href, textContent, rel, target }) => [tagName, href, textContent, rel, target])"
    look = f"[...drawn(a).querySelectorAll('a, img')].map{told}"
    rest = ["noopener noreferrer", "_blank"]
    assert await _view(page, site, look, text) == [
        ["A", "https://example.com/", "x", *rest],
        ["A", "mailto:a@b.c", "mailto:a@b.c", *rest],
        ["A", "https://example.com/c.png", "Image: a cat", *rest],
        ["A", "https://example.com/q?a=1", "https://example.com/q?a=1", *rest],
    ]


async def test_controls_and_marks_of_direction_are_shown(page: Page, site: Site):
    text = "\x1b[31mred\x00 \u202eevil\u2066 a\u200bb `\u202e` [\ufeffx](https://example.com/)"
    told = await _view(page, site, "drawn(a).textContent", text)
    assert told == "␛[31mred␀ ‹U+202E›evil‹U+2066› a‹U+200B›b ‹U+202E› ‹U+FEFF›x"
    assert await _view(page, site, "drawn(a).querySelector('.odd').title", text) == "U+001B escape"


async def test_code_is_coloured_over_lines_and_copied_as_it_was_written(page: Page, site: Site):
    code = 'x = """a\nb # c\n""" + f(12) # d\n\tif "e": \'f'
    await _html(page, site, f"```python\n{code}\n```")
    colours = (
        "[...document.querySelectorAll('pre span:not(.piece)')].map((one) => `${one.className} ${one.textContent}`)"
    )
    assert await page.evaluate(colours) == [
        'k-string """a', "k-string b # c", 'k-string """', "k-number 12", "k-comment # d",
        "k-key if", 'k-string "e"', "k-string 'f",
    ]  # fmt: skip
    await page.get_by_role("button", name="Copy code").click()
    assert await page.evaluate("navigator.clipboard.readText()") == code


async def test_a_language_that_nobody_knows_is_plain(page: Page, site: Site):
    for name in ("constructor", "__proto__", "toString", "nothing", "<b>"):
        look = "drawn(a).querySelector('code').innerHTML"
        assert await _view(page, site, look, f"```{name}\nif x\n```") == '<span class="piece">if x</span>'


async def test_a_long_text_is_drawn_in_turns(page: Page, site: Site):
    turns = """(() => {
      const view = markdown();
      const text = "- an item *of* many\\n".repeat(10_000);
      let count = 1;
      while (!view.write(text, true, performance.now() + 8)) count += 1;
      return [count, view.element.querySelectorAll("li").length];
    })()"""
    count, items = await _view(page, site, turns)
    assert count > 3
    assert items > 5000
