"""A mail's links lead by way of us, and not one other character changes."""

from html import escape
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.capture.rewrite import PIXEL, Plan, Wish, plan, rewritten

BASE = "https://t.example.com"
GIF = f"{BASE}/o/T.gif"
SHOP = "https://shop.example"


def links(what: Plan) -> dict[str, str]:
    return {url: f"{BASE}/c/{number}" for number, url in enumerate(what.urls)}


def urls(html: str, *, written: bool = False) -> list[str]:
    return [spot.url for spot in plan(html, Wish((BASE,), written)).spots]


def done(html: str) -> str:
    """The mail, without the pixel."""
    what = plan(html, Wish((BASE,)))
    return rewritten(html, what, links(what), GIF).replace(PIXEL.format(GIF), "")


@pytest.mark.parametrize(
    ("html", "is_rewritten"),
    [
        ('<a href="https://shop.example/">x</a>', '<a href="https://t.example.com/c/0">x</a>'),
        ("<a href='https://shop.example/'>x</a>", "<a href='https://t.example.com/c/0'>x</a>"),
        ("<a href=https://shop.example/>x</a>", "<a href=https://t.example.com/c/0>x</a>"),
        ("<A\nHREF\t=\r\n'HTTPS://shop.example/'\n>x</A\n>", "<A\nHREF\t=\r\n'https://t.example.com/c/0'\n>x</A\n>"),
        ('<a href="\n https://shop.example/ \n">x</a>', '<a href="https://t.example.com/c/0">x</a>'),
        ('<a title="a > b" href="http://shop.example">x', '<a title="a > b" href="https://t.example.com/c/0">x'),
        ("<a title=it's href='https://shop.example'>x", "<a title=it's href='https://t.example.com/c/0'>x"),
        ('<a/href="https://shop.example"/>x', '<a/href="https://t.example.com/c/0"/>x'),
        ('<a class="x"href="https://shop.example">x', '<a class="x"href="https://t.example.com/c/0">x'),
        ('<area shape=rect href="https://shop.example"/>', '<area shape=rect href="https://t.example.com/c/0"/>'),
        (
            '<!--[if mso]><v:roundrect xmlns:v="urn:x" href="https://shop.example"><center>x</center></v:roundrect><![endif]-->',
            '<!--[if mso]><v:roundrect xmlns:v="urn:x" href="https://t.example.com/c/0"><center>x</center></v:roundrect><![endif]-->',
        ),
        (
            '<!--[if !mso]><!--><a href="https://shop.example">x</a><!--<![endif]-->',
            '<!--[if !mso]><!--><a href="https://t.example.com/c/0">x</a><!--<![endif]-->',
        ),
        (
            '<![if !mso]><a href="https://shop.example">x</a><![endif]>',
            '<![if !mso]><a href="https://t.example.com/c/0">x</a><![endif]>',
        ),
        ("<a href='https://shop.example'>x</a>" * 2, "<a href='https://t.example.com/c/0'>x</a>" * 2),
        ('<!doctype html><?xml?></><a href="https://shop.example">x', '<!doctype html><?xml?></><a href="https://t.example.com/c/0">x'),
        ('1 < 2 <3 <<a href="https://shop.example">x', '1 < 2 <3 <<a href="https://t.example.com/c/0">x'),
        ('1 < 2 & <a href="https://shop.example">x', '1 < 2 & <a href="https://t.example.com/c/0">x'),
        ('<!--><a href="https://shop.example">x', '<!--><a href="https://t.example.com/c/0">x'),
        ('<!-- a --!><a href="https://shop.example">x', '<!-- a --!><a href="https://t.example.com/c/0">x'),
        ('<noscript><a href="https://shop.example">x', '<noscript><a href="https://t.example.com/c/0">x'),
        ('<style>a > b { }</style ><a href="https://shop.example">x', '<style>a > b { }</style ><a href="https://t.example.com/c/0">x'),
    ],
)  # fmt: skip
def test_a_link_is_replaced_where_it_stands(html: str, is_rewritten: str) -> None:
    assert done(html) == is_rewritten


@pytest.mark.parametrize(
    "html",
    [
        '<a href="mailto:jane@mail.example">x</a>',
        '<a href="tel:+3130">x</a>',
        '<a href="sms:1?body=https://shop.example">x</a>',
        '<a href="#top">x</a>',
        '<a href="">x</a>',
        "<a href>x</a>",
        "<a href=>x</a>",
        '<a href="/spring">x</a>',
        '<a href="//shop.example/">x</a>',
        '<a href="ftp://shop.example/">x</a>',
        '<a href="javascript:location=\'https://shop.example\'">x</a>',
        '<a name="https://shop.example">x</a>',
        '<a data-href="https://shop.example">x</a>',
        '<a title=\'<a href="https://shop.example">\'>x</a>',
        '<a href="#" href="https://shop.example">x</a>',
        '<abbr href="https://shop.example">x</abbr>',
        '<link href="https://shop.example/a.css"><base href="https://shop.example/">',
        '<img src="https://shop.example/a.png"><form action="https://shop.example/">',
        '<!-- <a href="https://shop.example">x</a> -->',
        '<!-- [a] <a href="https://shop.example">x</a>',
        '<script>"<a href=\'https://shop.example\'>x</a>"</script>',
        "<style>/* <a href='https://shop.example'> */</style>",
        "<title><a href='https://shop.example'></title>",
        "<textarea><a href='https://shop.example'></textarea>",
        "<script><a href='https://shop.example'></scripty><a href='https://shop.example'>",
        '<a href="https://shop.example',
        '<a href="https://shop.example"',
        '<a title="<a href=\'https://shop.example\'>',
        "a href='https://shop.example'",
        "&lt;a href='https://shop.example'&gt;",
        "<a href='https://t.example.com/u/1.k1.AbC.DeF'>x</a>",
        "<a href='https://t.example.com/c/1.k1.AbC.DeF'>x</a>",
    ],
)  # fmt: skip
def test_what_is_no_web_link_stays(html: str) -> None:
    assert done(html) == html
    assert plan(html, Wish((BASE,))).left == []


@pytest.mark.parametrize(
    "href",
    [
        "{{unsubscribe_url}}", "{{{unsubscribe}}}", "*|UNSUB|*", "%unsubscribe%", "%%unsubscribe%%", "[unsubscribe]",
        "[UNSUBSCRIBE_URL]", "[[unsubscribe]]", "{unsubscribe}", "{$unsubscribe}", "${unsubscribe}", "<%unsubscribe%>",
        "[%unsubscribe_url%]", "https://[unsubscribe]", "https://[unsubscribe]/x", "http://{{unsubscribe}}",
        f"{SHOP}/?id={{{{profile.id}}}}", f"{SHOP}/?id={{$profile.id}}", f"{SHOP}/?u=*|EMAIL|*", f"{SHOP}/?u=%email%",
        f"{SHOP}/%%name%%/x", f"{SHOP}/?u=[[email]]", f"{SHOP}/?u=%ADDRESS%&amp;x=1", f"{SHOP}/?u=<%= id %>",
    ],
)  # fmt: skip
def test_a_placeholder_is_left_to_who_fills_it_in(href: str) -> None:
    html = f'<a href="{href}">Leave</a>'
    assert done(html) == html


@pytest.mark.parametrize(
    ("href", "url"),
    [
        (f"{SHOP}/?a=1&amp;b=2", f"{SHOP}/?a=1&b=2"),
        (f"{SHOP}/?a=1&b=2", f"{SHOP}/?a=1&b=2"),
        (f"{SHOP}/?a=1&copy=2&reg=3&lang=4", f"{SHOP}/?a=1&copy=2&reg=3&lang=4"),
        (f"{SHOP}/?a&copyright", f"{SHOP}/?a&copyright"),
        (f"{SHOP}/?a&notit;b", f"{SHOP}/?a&notit;b"),
        (f"{SHOP}/?a&copy", f"{SHOP}/?a\xa9"),
        (f"{SHOP}/?a&copy;=1", f"{SHOP}/?a\xa9=1"),
        ("https&#58;&#x2F;&#X2f;shop.example/", f"{SHOP}/"),
        (f"{SHOP}/&#233;&eacute;\u00e9", f"{SHOP}/\u00e9\u00e9\u00e9"),
        (f"{SHOP}/%C3%A9?a=%20b%20", f"{SHOP}/%C3%A9?a=%20b%20"),
        (f"{SHOP}/?a[]=1&amp;b[x]=2", f"{SHOP}/?a[]=1&b[x]=2"),
        (f"{SHOP}/a b\u00a0c", f"{SHOP}/a%20b%C2%A0c"),
        (f"{SHOP}/a\n\tb", f"{SHOP}/ab"),
        ("ht\ntps://shop.example/", f"{SHOP}/"),
        ("https://b\u00fccher.example/", "https://b\u00fccher.example/"),
    ],
)
def test_an_address_is_what_a_browser_makes_of_the_attribute(href: str, url: str) -> None:
    assert urls(f'<a href="{href}">x</a>') == [url]


@pytest.mark.parametrize(
    ("href", "why"),
    [
        ("https://jane@shop.example/", "the address must not hold a user name or password"),
        ("https:shop.example", "the address must begin with http:// or https://"),
        ("https://shop.example\\@evil.example/", "the address must not hold '\\\\'"),
        ("https://-/", "'-' is not the name of a host"),
        ("https://shop.example/\udc80", "the address holds half of a character (a lone surrogate)"),
        ("https://shop.example/" + "a" * 4096, "the address is longer than 4096 bytes"),
    ],
)
def test_a_web_link_that_cannot_be_tracked_stays_and_is_told(href: str, why: str) -> None:
    html = f'<a href="{href}">x</a>'
    assert done(html) == html
    assert plan(html).left == [(href, why)]


@pytest.mark.parametrize(
    "text",
    [
        "https://shop.example/spring",
        "http://other.example",
        "HTTPS://SHOP.EXAMPLE",
        "www.shop.example",
        "shop.example",
        "Shop.Example/spring?x=1",
        "www.shop.example/",
        " \n https://shop.example \n",
        "<b>https://</b><i>shop.example</i>",
        "https://shop.example/<wbr>long",
        "https://shop.example/\n   long",
        "(https://shop.example).",
        "&lt;https://shop.example&gt;",
        "https&#58;//shop.example",
        "&zwnj;https://shop.example\u200b&shy;",
        "<!-- </a> -->https://shop.example",
        "<!--[if mso]>&nbsp;<![endif]-->https://shop.example",
        "&nbsp;https://shop.example&nbsp;",
    ],
)
def test_a_link_whose_text_is_an_address_stays_unless_it_is_asked_for(text: str) -> None:
    html = f'<a href="https://shop.example/spring">{text}</a> more'
    assert urls(html) == []
    assert urls(html, written=True) == [f"{SHOP}/spring"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Buy now",
        "Visit https://shop.example now",
        "https://",
        "Node.js",
        "other.example",
        "jane@shop.example",
        "3.5",
        "<img src='https://shop.example/a.png' alt='https://shop.example'>",
        "</a>https://shop.example",
        "<a name=x>https://shop.example",
    ],
)
def test_a_link_whose_text_is_something_else_is_tracked(text: str) -> None:
    assert urls(f'<a href="https://shop.example/spring">{text}</a>') == [f"{SHOP}/spring"]


def test_a_vml_element_has_a_text_of_its_own() -> None:
    html = '<!--[if mso]><v:rect href="https://shop.example"><center>https://shop.example</center></v:rect><![endif]-->'
    assert urls(html) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<html><body>a", "</body></html>"),
        ("<body>a", "</BODY\n>"),
        ("<body>a</body>b", "</body>"),
        ("<body>a", "</body><!-- </body> -->"),
        ("<body>a", "</body><!--[if mso]></body><![endif]-->"),
        ("<body>a", "</body><script>'</body>'</script>"),
        ("<!-- </body> --><style></body></style>a</html>", ""),
        ("a", ""),
        ("", ""),
    ],
)
def test_the_pixel_goes_before_the_last_end_of_the_body(before: str, after: str) -> None:
    html = before + after
    assert rewritten(html, plan(html), {}, GIF) == before + PIXEL.format(GIF) + after


def test_what_goes_into_an_attribute_is_escaped() -> None:
    html = "<a href='https://shop.example'>x</a>"
    assert rewritten(html, plan(html), {SHOP: "https://t/'<&"}, "\"'") == (
        "<a href='https://t/&#x27;&lt;&amp;'>x</a>" + PIXEL.format("&quot;&#x27;")
    )


class Seen(HTMLParser):
    """What another parser sees of a mail: all of it but the pixel, and where its links lead."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=False)
        self.links: list[str] = []
        self.rest: list[object] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img" and ("src", GIF) in attrs:
            return
        link = next((value for name, value in attrs if name == "href"), None) if tag in {"a", "area"} else None
        self.links += [] if link is None else [link]
        self.rest.append((tag, [pair for pair in attrs if link is None or pair[0] != "href"]))

    def _other(self, *words: object) -> None:
        self.rest.append(words)

    handle_endtag = handle_data = handle_comment = handle_entityref = _other  # type: ignore[assignment]
    handle_charref = handle_decl = handle_pi = unknown_decl = _other  # type: ignore[assignment]


words = st.text(st.characters(exclude_characters="<>&\"'", exclude_categories=["Cs"]), max_size=12)
addresses = st.builds(lambda path: f"{SHOP}/{path}", st.text("abc-123/?=&;%\u00e9 ", max_size=12))
hrefs = addresses | st.sampled_from(["mailto:a@b.example", "#x", "{{u}}", "tel:1", "", "https://a@b.example", "/x"])
quotes = st.sampled_from(['"', "'"])


@st.composite
def anchors(draw: st.DrawFn) -> str:
    quote, space = draw(quotes), draw(st.sampled_from([" ", "\n", "\t ", " \r\n"]))
    name, more = draw(st.sampled_from(["a", "A", "area"])), draw(st.sampled_from(["", " title='>'", ' b="<a>"']))
    href = escape(draw(hrefs))
    text = draw(words | st.sampled_from(["https://shop.example", "<b>x</b>"]))
    return f"<{name}{more}{space}hReF{draw(st.sampled_from(['', ' ']))}={quote}{href}{quote}{space}>{text}</{name}>"


pieces = (
    words
    | anchors()
    | st.sampled_from(
        [
            "<p>", "</p>", "<br/>", "&amp;", "<!-- <a href='https://shop.example'> -->", "<body>", "</body>", "</html>",
            "<style>a>b{}</style>", "<script>'<a href=\"https://shop.example\">'</script>", "<img src='https://a/b.png'>",
        ]
    )
)  # fmt: skip


@given(st.lists(pieces, max_size=12).map("".join))
def test_another_parser_sees_the_same_mail_with_other_links(html: str) -> None:
    what = plan(html, Wish((BASE,)))
    after = rewritten(html, what, links(what), GIF)
    before, then = Seen(html), Seen(after)
    assert then.rest == before.rest
    changed = [(old, new) for old, new in zip(before.links, then.links, strict=True) if old != new]
    assert [new for _, new in changed] == [links(what)[spot.url] for spot in what.spots]
    assert all(old.strip().lower().startswith("https://") for old, _ in changed)


noise = st.text(st.sampled_from("<>!-/='\" \n&;#ahrefbody:vif[]mstyle{}%*|https://shop.example") | st.characters())


@given(st.lists(pieces | noise, max_size=20).map("".join))
def test_every_other_character_stays_whatever_the_mail_is(html: str) -> None:
    what = plan(html, Wish((BASE,)))
    kept, at = [], 0
    for start, end in sorted([*((spot.start, spot.end) for spot in what.spots), (what.pixel_at, what.pixel_at)]):
        assert at <= start <= end <= len(html)
        kept.append(html[at:start])
        at = end
    after = rewritten(html, what, links(what), GIF)
    for piece in [*kept, html[at:]]:
        there, _, after = after.partition(piece) if piece else ("", "", after)
        assert there in {"", PIXEL.format(GIF), *links(what).values()} or not piece


@given(st.lists(pieces | noise, max_size=20).map("".join))
def test_a_mail_that_was_rewritten_has_no_more_to_rewrite(html: str) -> None:
    what = plan(html, Wish((BASE,)))
    assert plan(rewritten(html, what, links(what), GIF), Wish((BASE,))).spots == []


@pytest.mark.parametrize(
    "piece",
    [
        "<a ", "<a href='", "<!--", "<!--[if mso]>", "<", "</a ", "<style>", "<a href=x>\n<!--", "<a href=x><b", "&amp",
        "<a href=x> \n ", "<a href='https://[[", "<a href='https://*|", "<a href=https://shop.example/[unsub", "</body",
    ],
)  # fmt: skip
def test_no_mail_takes_more_than_its_length_in_time(piece: str) -> None:
    """None of these would come to an end in a test's time if it cost the square of the length."""
    html = piece * (400_000 // len(piece))
    assert rewritten(html, plan(html), {}, GIF).replace(PIXEL.format(GIF), "") == html
