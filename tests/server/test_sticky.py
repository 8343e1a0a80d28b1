"""WSBalanceSticky: a cookie by which handshakes and plain requests come back to their member; and
stock httpd's stickysession= on handshakes."""

import base64

import pytest

import h2_peer
import httpd_config
from frames import TEXT, client_frame, read_frame
from httpd_env import Httpd
from ours import all_quiet
from sticky_peer import BALANCER, SEEN, cluster, get, keys_file, logged, shake
from test_member_records import MANAGER, manager
from waiting import wait_until
from ws_peer import EchoMember

pytestmark = [pytest.mark.transports("plain"),
              pytest.mark.parametrize("mpm", ["event"], indirect=True)]

STICKY = "WSBalanceSticky cookie=R"
KEYS = ["the first key, of 32 and more characters", "the second key, as long as the first one"]


@pytest.fixture(scope="module", name="members")
def three_members():
    members = [EchoMember(name) for name in "abc"]
    yield members
    for member in members:
        member.stop()


def cookie_for(route, name="R"):
    """Unsigned."""
    return f"{name}={base64.urlsafe_b64encode(route.encode()).decode().rstrip('=')}"


def with_routes(members, **more):
    """Options by which each member's route is its name."""
    return {member.name: f"route={member.name} {more.get(member.name, '')}" for member in members}


def check_stays(server, answer):
    """From now on this client always meets the same member, and is told nothing new."""
    for again in [get(server, answer.cookie) for _ in range(4)] + \
            [shake(server, answer.cookie) for _ in range(4)]:
        assert (again.who, again.set_cookies) == (answer.who, [])


@pytest.mark.parametrize("scheme,first", [("http", get), ("http", shake), ("ws", shake)])
def test_a_client_comes_back(start_once, members, scheme, first):
    """S1-20, S1-33: with the first answer it gets the cookie, whatever that answers; members see it
    too, and all else that the client says of cookies as it said it."""
    server = start_once(SEEN + cluster(members, STICKY, scheme=scheme))
    answers = [first(server) for _ in range(3)]
    assert {answer.who for answer in answers} == {"a", "b", "c"}
    for answer in answers:
        assert answer.set_cookies == [f"{answer.cookie}; Path=/; HttpOnly; SameSite=Lax"]
        assert answer.cookie.startswith("R=") and "." not in answer.cookie
        for _ in range(3):
            own = f'x="a b"; {answer.cookie};y='
            again = shake(server, own)
            assert (again.who, again.set_cookies) == (answer.who, [])
            assert [value for name, value in again.fields if name == "Cookie"] == [own]
        if scheme == "http":
            check_stays(server, answer)
        route = base64.urlsafe_b64decode(answer.cookie[2:] + "==").decode()
        assert len(route) == 16
        assert (answer.variables, again.variables) == ([None, None, "1"], ["R", route, None])
    all_quiet(server)


def test_cookies_that_name_nobody(start_once, members):
    """Counts as none: a value that is no route's, a member that is not there, a cookie of another
    name or case."""
    server = start_once(SEEN + cluster(members, STICKY, options=with_routes(members)))
    for cookie in ["R=", "R=!", "R=b", "r=Yg", "RR=Yg", "xR=Yg", "x=R=Yg", "R:WSBalanceSticky=x.b",
                   "R:WSBalanceSticky=x.b; R=!", "R=" + "A" * 4000]:
        answer = shake(server, cookie)
        assert answer.cookie == cookie_for(answer.who)
        assert [value for name, value in answer.fields if name == "Cookie"] == [cookie]
        assert answer.variables == [None, None, "1"]
    gone = get(server, cookie_for("gone"))
    assert gone.cookie == cookie_for(gone.who)
    # Of several the first that is one; and a name that is the module's own changes nothing.
    assert get(server, "R=!; R=Yg; R=Yw").who == "b"
    assert get(server, "R=Yg; R:WSBalanceSticky=x.c").who == "b"
    assert get(server, "R:WSBalanceSticky=x.c; R=Yg").who == "b"
    server.expect_log("WSB0514")
    assert get(server, path="/lb/;R:WSBalanceSticky=x.b").status == 400
    assert shake(server, path="/lb/R%3AWSBalanceSticky=x.b").status == 400
    for path in ("/lb/;R=x.b", "/lb/x?R=x.b", "/lb/;R=Yg"):
        answer = get(server, path=path)
        assert answer.cookie == cookie_for(answer.who)


@pytest.mark.parametrize("options,cookie,seen", [
    ("cookie=A path=/lb/ httponly=off samesite=off", "A", "; Path=/lb/"),
    ("cookie=A domain=example.com maxage=2h samesite=strict", "A",
     "; Path=/; Domain=example.com; Max-Age=7200; HttpOnly; SameSite=Strict"),
    ("cookie=A secure=on", "A", "; Path=/; Secure; HttpOnly; SameSite=Lax"),
    ("cookie=A samesite=None", "A", "; Path=/; Secure; HttpOnly; SameSite=None"),
    ("COOKIE=__Host-A", "__Host-A", "; Path=/; Secure; HttpOnly; SameSite=Lax"),
    (f"cookie={'n' * 64}", "n" * 64, "; Path=/; HttpOnly; SameSite=Lax"),
], ids=["little", "much", "secure", "None", "__Host-", "long"])
def test_attributes(start_once, members, options, cookie, seen):
    server = start_once(cluster(members, f"WSBalanceSticky {options}"))
    answer = get(server)
    assert answer.set_cookies == [answer.cookie + seen]
    assert answer.cookie.startswith(cookie + "=")
    check_stays(server, answer)


@pytest.mark.transports("tls")
def test_secure_with_tls(start_once, members):
    """secure=auto: the client's connection has TLS."""
    server = start_once("SSLProxyEngine on\n" + cluster(members, STICKY))
    for answer in (get(server), shake(server)):
        assert "; Secure;" in answer.set_cookies[0]


def test_secure_by_a_field(start_once, members):
    """secure=auto: a proxy in front has TLS, and the configuration or mod_remoteip says so; a
    client's own word is nothing."""
    server = start_once(cluster(members, STICKY) + cluster([], STICKY, path="/set/") + """
<Location /set/>
RequestHeader set X-Forwarded-Proto https
</Location>
""")
    said = [("X-Forwarded-Proto", "https")]
    assert "; Secure" not in get(server, add=said).set_cookies[0]
    assert "; Secure" not in shake(server, add=said).set_cookies[0]
    assert "; Secure" in get(server, path="/set/").set_cookies[0]
    trusting = start_once("RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 127.0.0.1\n" +
                          cluster(members, STICKY))
    said.append(("X-Forwarded-For", "192.0.2.1"))
    assert "; Secure" in get(trusting, add=said).set_cookies[0]


# -- signed ---------------------------------------------------------------------------------------

def test_signed(start_once, members, public_dir):
    """What was not signed by a key of this balancer is none."""
    keys = keys_file(public_dir, "signed", KEYS[0])
    options = with_routes(members)
    sign = f"{STICKY} sign={keys}"
    server = start_once(SEEN + cluster(members, sign, options=options) +
                        cluster(members, sign, options=options, path="/other/",
                                name="balancer://other"))
    answer = shake(server)
    value = answer.cookie[2:]
    assert len(value.split(".")[1]) == 43 and KEYS[0] not in value
    check_stays(server, answer)
    mac = value.split(".")[1]
    others = cookie_for("b" if answer.who != "b" else "c")
    for bad in (cookie_for(answer.who), f"{others}.{mac}", f"R={value[:-1]}", f"R={value}A",
                f"R={value.swapcase()}", get(server, path="/other/").cookie):
        again = get(server, bad)
        assert again.set_cookies and again.variables == [None, None, "1"], bad
    check_stays(server, answer)


def test_rotation(start_once, members, public_dir):
    """A reload brings keys: the first signs, the others verify, and clients get a new cookie."""
    keys = keys_file(public_dir, "rotated", "# keys", "", KEYS[0])
    server = start_once(cluster(members, f"{STICKY} sign={keys}"))
    answer = shake(server)
    check_stays(server, answer)
    keys_file(public_dir, "rotated", *reversed(KEYS))
    server.graceful()
    for ask in (get, shake):
        again = ask(server, answer.cookie)
        assert again.who == answer.who and again.cookie != answer.cookie
        check_stays(server, again)
    keys_file(public_dir, "rotated", KEYS[1])
    server.graceful()
    check_stays(server, again)
    assert get(server, answer.cookie).set_cookies


@pytest.mark.parametrize("text,mode,error", [
    (None, 0o600, "No such file"), ("", 0o600, "no key in it"),
    ("# only\n\n", 0o600, "no key in it"),
    (KEYS[0] + "\nshort\n", 0o600, "line 2 has 5 characters, a key has 32 to 1024"),
    ("k" * 1025, 0o600, "line 1 has 1025 characters"),
    ((KEYS[0] + "\n") * 17, 0o600, "more than 16 keys"), ("k" * 70000, 0o600, "more than 64 KiB"),
    (KEYS[0], 0o602, "everybody may write to it"),
], ids=["missing", "empty", "comments", "short", "long", "many", "big", "writable"])
def test_bad_keys(mpm, members, public_dir, text, mode, error):
    """Nothing starts, and the line says why without any key in it."""
    path = public_dir / "bad"
    path.unlink(missing_ok=True)
    if text is not None:
        path.write_text(text, encoding="ascii")
        path.chmod(mode)
    httpd = Httpd(mpm, cluster(members, f"{STICKY} sign={path}"))
    code, said = httpd.check_config()
    httpd.remove()
    assert code != 0 and f"WSBalanceSticky: sign={path}: {error}" in said, said
    assert not any(key in said for key in (KEYS[0], "short", "k" * 9))


def test_warnings(mpm, members, public_dir):
    """`httpd -t` tells, and all goes on."""
    public = keys_file(public_dir, "public", KEYS[0], mode=0o644)
    good = keys_file(public_dir, "good", KEYS[0], mode=0o640)

    def said(*lines, **options):
        httpd = Httpd(mpm, cluster(members, *lines, **options))
        code, text = httpd.check_config()
        httpd.remove()
        assert code == 0, text
        return [line.split()[0] for line in text.split("WSB05")[1:]]

    assert said(f"{STICKY} sign={public}") == ["12:"]
    assert said(f"{STICKY} sign={good}") == []
    assert said(STICKY, "ProxySet stickysession=R") == ["11:"]
    assert said("ProxySet stickysession=R") == []
    assert said(STICKY, options={"b": "'route=b;c'"}) == ["13:"]


# -- members that are not there -------------------------------------------------------------------

def test_a_member_that_went_down(start_once, members):
    """The client moves, and is told once, whatever mod_proxy tried before; nobody is told to come
    back to a member that did not answer."""
    gone = EchoMember("gone")
    conf = cluster([gone, members[0]], STICKY, options={"gone": "route=gone loadfactor=100",
                                                        "a": "route=a"})
    server = start_once(conf)
    assert [get(server).who, shake(server).who] == ["gone", "gone"]
    gone.stop()
    quiet = "AH00957", "AH00959", "AH01114", "AH01170", "WSB0522"
    for ask in (get, shake):
        for cookie in (cookie_for("gone"), None):
            server = start_once(conf)  # Nobody is in error yet.
            server.allow_log(*quiet)
            answer = ask(server, cookie)
            assert (answer.who, answer.cookie) == ("a", cookie_for("a"))
        server = start_once(cluster([gone], STICKY))
        server.allow_log(*quiet)
        answer = ask(server)
        assert (answer.status, answer.set_cookies) == (503, [])


def test_nofailover(start_once, members):
    """As in stock httpd: 503 for those who belong to it. Their fields are their own in the log, and
    for the error page."""
    options = with_routes(members, a="status=+D")
    server = start_once(SEEN + "ErrorDocument 503 /lb/error\n" +
                        cluster(members, STICKY, "ProxySet nofailover=on", options=options))
    server.allow_log("AH01167")
    for ask, own in ((get, f"x=1; {cookie_for('a')}"), (shake, f"{cookie_for('a')}; x=1")):
        answer = ask(server, own)
        assert (answer.status, answer.set_cookies) == (503, [])
        wait_until(lambda: (own, "503") in logged(server), what="the line of the log")
        assert len(logged(server)[0]) == 2
        assert ask(server, cookie_for("b")).who == "b"
        assert ask(server, cookie_for("gone")).who in "bc"


@pytest.mark.httpd_has("2.4.56", "mod_proxy_http refuses a space in a URL")
def test_a_url_that_goes_to_no_member(start_once, members):
    """mod_proxy_http refuses it when the member is chosen: the client's fields are its own then."""
    server = start_once(SEEN + "RewriteEngine on\n"
                        f"RewriteRule ^/bad/(.*) {BALANCER}/$1 [P,NE]\n" +
                        cluster(members, STICKY, options=with_routes(members)))
    server.allow_log("AH10415")
    assert get(server, cookie_for("a"), path="/bad/fine").who == "a"
    own = cookie_for("b")
    assert get(server, own, path="/bad/a%20b").status == 403
    wait_until(lambda: (own, "403") in logged(server), what="the line of the log")


def test_redirect(start_once, members):
    """As in stock httpd; the client belongs to the other one from then on."""
    options = with_routes(members, a="status=+D redirect=c")
    server = start_once(SEEN + cluster(members, STICKY, options=options))
    for ask in (get, shake):
        for _ in range(3):
            answer = ask(server, cookie_for("a"))
            assert (answer.who, answer.cookie) == ("c", cookie_for("c"))
            assert answer.variables == ["R", "a", "1"]


def test_drain(start_once, members):
    """status=+N: only who belongs to the member comes to it."""
    server = start_once(cluster(members, STICKY, options=with_routes(members, a="status=+N")))
    for ask in (get, shake):
        assert {ask(server).who for _ in range(6)} == {"b", "c"}
        answer = ask(server, cookie_for("a"))
        assert (answer.who, answer.set_cookies) == ("a", [])


# -- routes ---------------------------------------------------------------------------------------

def test_routes_of_their_own(start_once, members):
    """The same after a reload and a restart, in another order, and on another machine; a route=
    stays what it is."""
    server = start_once(cluster(members, STICKY))
    answers = [get(server) for _ in range(3)]
    server.graceful()
    for answer in answers:
        check_stays(server, answer)
    other = start_once(cluster(members[::-1], STICKY, options={"b": "route=known"}))
    for answer in answers:
        if answer.who != "b":
            check_stays(other, answer)
    assert get(other, cookie_for("known")).who == "b"


def test_a_member_that_is_added_at_run_time(start_once, members):
    server = start_once(MANAGER + cluster(members[:1], STICKY, "ProxySet growth=2 nonce=known"))
    port = members[1].port
    manager(server, f"b=app&nonce=known&b_wyes=1&b_nwrkr=http%3A//127.0.0.1%3A{port}")
    manager(server, f"b=app&nonce=known&w=http%3A//127.0.0.1%3A{port}&w_status_D=0")
    answers = [get(server) for _ in range(4)]
    assert {answer.who for answer in answers} == {"a", "b"}
    for answer in answers:
        check_stays(server, answer)


def test_balancer_manager(start_once, members):
    """Shows the cookie's name; what is entered there instead holds until the next reload."""
    server = start_once(MANAGER + cluster(members, STICKY, "ProxySet nonce=known",
                                          options=with_routes(members)))
    assert "R:WSBalanceSticky" in manager(server)
    manager(server, "b=app&nonce=known&b_ss=R%3AWSBalanceSticky")
    assert get(server, cookie_for("b")).who == "b"
    manager(server, "b=app&nonce=known&b_ss=S")
    for ask in (get, shake):
        assert {ask(server, cookie_for("b")).who for _ in range(9)} == {"a", "b", "c"}
        assert [(ask(server, "S=x.b").who, ask(server, "S=x.b").set_cookies)] == [("b", [])]
    server.graceful()
    assert get(server, "S=x.a; " + cookie_for("b")).who == "b"


def test_persistent_records(start_once, members):
    """BalancerPersist brings records back from before a restart: what was ours in them goes with
    the directive, and comes with it."""
    def conf(*lines):
        return "BalancerPersist On\n" + MANAGER + cluster(members, *lines,
                                                          options=with_routes(members))

    server = start_once(conf(STICKY))
    for lines, shown in ([], False), ([STICKY], True), (["WSBalanceSticky cookie=T"], True):
        server.stop()
        server.configure(conf(*lines))
        server.start()
        assert (":WSBalanceSticky" in manager(server)) == shown
    assert get(server, cookie_for("c", "T")).who == "c"
    assert get(server, cookie_for("c")).set_cookies


# -- stock httpd's --------------------------------------------------------------------------------

@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_stickysession(start_once, members, scheme):
    """S1-21, S1-32: as ever, on handshakes too: by a cookie and by the path; none is set."""
    server = start_once(SEEN + cluster(
        members, "ProxySet stickysession=JSESSIONID|jsessionid scolonpathdelim=on", scheme=scheme,
        options=with_routes(members)))
    for name in "abc":
        for answer in (shake(server, f"x=1; JSESSIONID=0815.{name}"),
                       shake(server, path=f"/lb/x;jsessionid=0815.{name}")):
            assert (answer.who, answer.set_cookies) == (name, [])
            assert answer.variables[1:] == [name, None]
    assert shake(server).set_cookies == []


def test_both(start_once, members):
    """WSBalanceSticky decides."""
    server = start_once(cluster(members, STICKY, "ProxySet stickysession=JSESSIONID|jsessionid",
                                options=with_routes(members)))
    server.expect_log("WSB0511")
    for ask in (get, shake):
        assert ask(server, "JSESSIONID=x.a; " + cookie_for("b")).who == "b"
        assert {ask(server, "JSESSIONID=x.a").who for _ in range(9)} == {"a", "b", "c"}
        assert {ask(server, path="/lb/;jsessionid=x.a").who for _ in range(9)} == {"a", "b", "c"}


@h2_peer.needs_websockets
def test_http2(start_once, members):
    """Requests and WebSockets over one connection, whose cookies come in a field each."""
    server = start_once("Protocols h2c http/1.1\nH2WebSockets on\n" + cluster(members, STICKY),
                        modules=httpd_config.default_modules(add=["http2"]))
    with h2_peer.connect(server.port) as client:
        first = client.get("/lb/x")
        cookie, attributes = first.head.get("Set-Cookie").split("; ", 1)
        assert attributes == "Path=/; HttpOnly; SameSite=Lax"
        who = first.body.decode().split()[0]
        again = client.get("/lb/x", add=[("cookie", "x=1"), ("cookie", cookie)])
        assert again.body.decode().split()[0] == who and not again.head.all("Set-Cookie")
        stream = client.websocket("/lb/x", add=[("cookie", "x=1"), ("cookie", cookie)])
        stream.send(client_frame(TEXT, b"who"))
        assert read_frame(stream)[1].decode() == who and not stream.head.all("Set-Cookie")
        new = client.websocket("/lb/x")
        assert new.head.get("Set-Cookie").startswith("R=")
        for one in (stream, new):
            one.reset()


def test_hosts(start_once, members):
    """A balancer of the main server is sticky in a virtual host that inherits it; one without the
    directive is not."""
    server = start_once(cluster(members, STICKY) +
                        cluster(members, path="/plain/", name="balancer://plain") +
                        f"<VirtualHost *>\nServerName other\nProxyPass /in/ {BALANCER}/\n"
                        "</VirtualHost>")
    answer = get(server, path="/in/x")
    assert get(server, answer.cookie, path="/in/x").who == answer.who
    assert get(server, answer.cookie, path="/in/x").set_cookies == []
    plain = [get(server, answer.cookie, path="/plain/") for _ in range(3)]
    assert {one.who for one in plain} == {"a", "b", "c"}
    assert not any(one.set_cookies for one in plain)


@pytest.mark.parametrize("place", ["{}", "<VirtualHost *>\n{}</VirtualHost>"],
                         ids=["server", "host"])
def test_many_balancers(start_once, members, place):
    """More than mod_proxy first has room for, in the main server or in a virtual host."""
    names = [f"b{number}" for number in range(12)]
    server = start_once(place.format("".join(
        cluster(members, STICKY, path=f"/{name}/", name=f"balancer://{name}") for name in names)))
    for path in (f"/{name}/" for name in (names[0], names[5], names[-1])):
        for answer in (get(server, path=path), shake(server, path=path)):
            again = shake(server, answer.cookie, path=path)
            assert (again.who, again.set_cookies) == (answer.who, [])
