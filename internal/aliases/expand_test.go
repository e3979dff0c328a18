package aliases_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"postrider/internal/address"
	"postrider/internal/aliases"
)

const usualAliases = `# comment
postmaster: root
root: carol
list: alice, bob
cont: alice,
  bob
cyc1: cyc2
cyc2: cyc1
bs: \alice
filea: {TMP}/afile
devn: /dev/null
pipea: "|{TMP}/pipe arg1 'arg two'"
inc: :include:{TMP}/list.txt
incmiss: :include:{TMP}/missing.txt
MixedCase: bob
"quo ted": bob
remote: r@example.net
nonex: nosuchuser
mixbad: bob, nosuchuser
owner-l1: carol
l1: r@example.net
l2: l1, x@example.net, bob
owner-l2: alice
owner-owner-l1: alice
l3: twice, R@example.net
owner-l3: bob
both: alice, \alice, r@example.net, r@EXAMPLE.net
twice: bob, bob
dup: bob, BOB@localhost, list
nested: list, carol
selfa: selfa, bob
selfb: selfb, bob
selfc: selfc
bare: |cmd 'a, b' "c, d", bob
mailman: |"/usr/lib/mailman/mail/mailman post list"
procmail: "|/usr/bin/procmail -a $EXTENSION"
exact+x: carol
exact: bob
indirect: procmail, alice
circle: alice, roundabout
roundabout: circle
carol+news: remote
`

func TestExpand(t *testing.T) {
	h := newHost(t, usualAliases)
	h.write(t, "list.txt", "# comment line\nbob\n\ncarol, r1@example.net\n")
	for _, c := range []struct {
		name, to string
		want     []string
	}{
		{"user", "bob", []string{"user bob@example.org bob"}},
		{"user in capitals", "BOB", []string{"user BOB@example.org bob"}},
		{"user at another local domain", "bob@localhost", []string{"user bob@localhost bob"}},
		{"user with extension", "bob+foo", []string{"user bob+foo@example.org bob ext foo"}},
		{"other domain", "alice@example.net", []string{"address alice@example.net"}},
		{"list", "list", []string{"user alice@example.org alice", "user bob@example.org bob"}},
		{"list with extension", "list+foo", []string{"user alice@example.org alice", "user bob@example.org bob"}},
		{"continuation line", "cont", []string{"user alice@example.org alice", "user bob@example.org bob"}},
		{"case", "MIXEDCASE", []string{"user bob@example.org bob"}},
		{"quoted key", `"quo ted"`, []string{"user bob@example.org bob"}},
		{"chain", "postmaster", []string{"user carol@example.org carol"}},
		{"nested list", "nested", []string{"user alice@example.org alice", "user bob@example.org bob", "user carol@example.org carol"}},
		{"loop", "cyc1", []string{"cyc1@example.org refused 5.4.6"}},
		{"loop with a way out", "circle", []string{"user alice@example.org alice", "circle@example.org refused 5.4.6"}},
		{"own name of a user", "selfa", []string{"user selfa@example.org selfa", "user bob@example.org bob"}},
		{"own name of nobody", "selfb", []string{"selfb@example.org refused 5.4.6", "user bob@example.org bob"}},
		{"only own name of nobody", "selfc", []string{"selfc@example.org refused 5.4.6"}},
		{"backslash", "bs", []string{"mailbox alice@example.org alice"}},
		{"twice", "twice", []string{"user bob@example.org bob"}},
		{"twice through a list", "dup", []string{"user bob@example.org bob", "user alice@example.org alice"}},
		{"good and bad member", "mixbad", []string{"user bob@example.org bob", "nosuchuser@example.org refused 5.1.1"}},
		{"bad member", "nonex", []string{"nosuchuser@example.org refused 5.1.1"}},
		{"unknown", "nosuchuser", []string{"refused 5.1.1"}},
		{"unknown with extension", "nosuchuser+x", []string{"refused 5.1.1"}},
		{"remote member", "remote", []string{"address r@example.net"}},
		{"owner", "l1", []string{"address r@example.net from owner-l1@example.org"}},
		{"owner with extension", "L1+x", []string{"address r@example.net from owner-l1@example.org"}},
		{"the inner owner holds", "l2", []string{
			"address r@example.net from owner-l1@example.org",
			"address x@example.net from owner-l2@example.org",
			"user bob@example.org bob from owner-l2@example.org",
		}},
		{"the outer owner goes on", "l3", []string{"user bob@example.org bob from owner-l3@example.org", "address R@example.net from owner-l3@example.org"}},
		{"one copy of each", "both", []string{"user alice@example.org alice", "address r@example.net"}},
		{"owners have no owner", "owner-l1", []string{"user carol@example.org carol"}},
		{"file", "filea", []string{"file filea@example.org {TMP}/afile"}},
		{"null device", "devn", []string{"file devn@example.org /dev/null"}},
		{"command", "pipea", []string{"command pipea@example.org {TMP}/pipe arg1 'arg two'"}},
		{"command without quotes", "bare", []string{`command bare@example.org cmd 'a, b' "c, d"`, "user bob@example.org bob"}},
		{"bar before the quotes", "mailman", []string{"command mailman@example.org /usr/lib/mailman/mail/mailman post list"}},
		{"extension of a command", "procmail+spam", []string{"command procmail+spam@example.org /usr/bin/procmail -a $EXTENSION ext spam"}},
		{"extensions are not passed on", "indirect+spam", []string{"command procmail@example.org /usr/bin/procmail -a $EXTENSION", "user alice@example.org alice"}},
		{"exact extension first", "Exact+X", []string{"user carol@example.org carol"}},
		{"alias of a user's extension", "carol+news", []string{"address r@example.net"}},
		{"include", "inc", []string{"user bob@example.org bob", "user carol@example.org carol", "address r1@example.net"}},
		{"missing include", "incmiss", []string{"incmiss@example.org refused 5.2.4"}},
		{"no user database", "broken", []string{"deferred 4.3.0"}},
		{"mailer-daemon", "MAILER-DAEMON", []string{"user carol@example.org carol"}},
	} {
		t.Run(c.name, func(t *testing.T) { equal(t, h.expand(t, c.to), c.want...) })
	}
}

func TestNamesThatEveryHostHas(t *testing.T) {
	for _, c := range []struct{ aliases, to, want string }{
		{"", "Postmaster", "user root@example.org root"},
		{"", "mailer-daemon@localhost", "user root@example.org root"},
		{"root: r@example.net\n", "postmaster", "address r@example.net"},
		{"root: postmaster\n", "postmaster", "user root@example.org root"},
		{"root: postmaster\n", "root", "user root@example.org root"},
		{"postmaster: postmaster\n", "postmaster", "user root@example.org root"},
		{"postmaster: bob\n", "postmaster", "user bob@example.org bob"},
		{"", "abuse", "refused 5.1.1"},
	} {
		equal(t, newHost(t, c.aliases).expand(t, c.to), c.want)
	}
}

func TestSystemUsers(t *testing.T) {
	h := newHost(t, "news: news, bob\nlist: daemon, alice\nbox: \\daemon\n")
	h.SystemUsers = "admin@example.net"
	equal(t, h.expand(t, "daemon"), "address admin@example.net")
	equal(t, h.expand(t, "root"), "user root@example.org root")
	equal(t, h.expand(t, "news"), "user news@example.org news", "user bob@example.org bob")
	equal(t, h.expand(t, "list"), "address admin@example.net", "user alice@example.org alice")
	equal(t, h.expand(t, "box"), "mailbox daemon@example.org daemon")
	h.SystemUsers = "daemon"
	equal(t, h.expand(t, "daemon"), "user daemon@example.org daemon")
	h.SystemUsers = ""
	equal(t, h.expand(t, "daemon"), "user daemon@example.org daemon")
	h.SystemUsers = "a b@"
	equal(t, h.expand(t, "daemon"), "deferred 4.3.5")
}

// TestVia has what each leaf came through, which must not be written to by others.
func TestVia(t *testing.T) {
	h := newHost(t, "a: b, carol\nb: bob, c\nc: r@example.net, carol\n")
	x := h.Expand(t.Context(), parse(t, "a+x@localhost"))
	var got []string
	for _, l := range x.Leaves {
		line := l.Address.String() + ":"
		for _, v := range l.Via {
			line += " " + v.String()
		}
		got = append(got, line)
	}
	equal(t, got,
		"bob@example.org: a+x@localhost b@example.org",
		"r@example.net: a+x@localhost b@example.org c@example.org",
		"carol@example.org: a+x@localhost b@example.org c@example.org")
	mine, other := append(x.Leaves[1].Via, parse(t, "mine")), append(x.Leaves[2].Via, parse(t, "other"))
	if mine[3] == other[3] {
		t.Error("leaves share what is appended to their via")
	}

	h = newHost(t, "a: b\nb: c\nc: d, e\nd: bob\ne: carol\n")
	x = h.Expand(t.Context(), parse(t, "a"))
	if got := x.Leaves[0].Via; len(got) != 4 || got[3] != parse(t, "d") {
		t.Errorf("via of bob: %v", got)
	}
	if x := h.Expand(t.Context(), parse(t, "bob")); x.Leaves[0].Via != nil {
		t.Errorf("a user's own address has via %v", x.Leaves[0].Via)
	}
}

func TestSteps(t *testing.T) {
	h := newHost(t, "# comment\n\nlist: sub,\n alice\nsub: :include:{TMP}/m, |cmd \"a b\"\n")
	h.write(t, "m", "bob\nr@example.net\n")
	h.SystemUsers = "alice"
	steps := func(to string) []string {
		var got []string
		for _, s := range h.Expand(t.Context(), parse(t, to)).Steps {
			got = append(got, strings.ReplaceAll(s, h.dir, "{TMP}"))
		}
		return got
	}
	equal(t, steps("list"),
		"list@example.org: alias in {TMP}/aliases:3: sub, alice",
		`sub@example.org: alias in {TMP}/aliases:5: :include:{TMP}/m, "|cmd \"a b\""`,
		"sub@example.org: include file {TMP}/m: bob, r@example.net")
	equal(t, steps("daemon"), "daemon@example.org: a system user without an alias: alice")
	equal(t, steps("postmaster"), "postmaster@example.org: no alias or user takes it: root")
	x := h.Forward(t.Context(), "alice", parse(t, "alice"), nil, "bob, \"|x\"\n")
	equal(t, x.Steps, `alice@example.org: .forward of alice: bob, "|x"`)
}

// TestOriginElsewhere completes names with a domain that is delivered here.
func TestOriginElsewhere(t *testing.T) {
	h := newHost(t, "list: bob, alice@example.net\nowner-list: bob\n")
	h.Origin = "example.net"
	equal(t, h.expand(t, "list@localhost"),
		"user bob@localhost bob from owner-list@localhost", "address alice@example.net from owner-list@localhost")
	bare := h.Expand(t.Context(), address.Address{Local: "bob"})
	equal(t, h.tell(bare), "user bob@example.net bob")
}

func TestDelimiter(t *testing.T) {
	h := newHost(t, "list: bob\n")
	h.Delimiter = "-"
	equal(t, h.expand(t, "alice-x"), "user alice-x@example.org alice ext x")
	equal(t, h.expand(t, "alice+x"), "refused 5.1.1")
	h.Delimiter = ""
	equal(t, h.expand(t, "alice-x"), "refused 5.1.1")
	h.Delimiter = "+"
	equal(t, h.expand(t, "+alice"), "refused 5.1.1")
	equal(t, h.expand(t, "list+"), "user bob@example.org bob")
}

func TestLoginNames(t *testing.T) {
	h := newHost(t, "x: \"/etc/x y\"@localhost\n")
	h.LookupUser = func(name string) (*aliases.User, error) {
		t.Errorf("looked up %q", name)
		return nil, nil
	}
	for _, name := range []string{`"a b"`, "-x", ".x", "a/b", `"a:b"`, strings.Repeat("x", 201), "x"} {
		if got := h.expand(t, name); len(got) != 1 || !strings.Contains(got[0], "refused 5.1.1") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestUnreadableTableDefers(t *testing.T) {
	h := newHost(t, "x: bob\n")
	h.Table = aliases.NewFiles([]string{h.dir}).Table
	for _, x := range []aliases.Expansion{
		h.Expand(t.Context(), parse(t, "x")),
		h.Forward(t.Context(), "alice", parse(t, "alice"), nil, "bob"),
	} {
		if x.Refused == nil || !x.Refused.Temporary || !strings.Contains(x.Refused.Text, h.dir) {
			t.Errorf("refused %+v", x.Refused)
		}
	}
}

func TestTemporaryTroubleDefersAll(t *testing.T) {
	h := newHost(t, "a: bob, broken\nb: bob, :include:/x\nc: \\broken\n")
	h.Include = func(context.Context, string, string) (string, *aliases.Refusal) {
		return "", &aliases.Refusal{Temporary: true, Status: "4.2.4", Text: "stale file handle"}
	}
	equal(t, h.expand(t, "a"), "deferred 4.3.0")
	equal(t, h.expand(t, "b"), "deferred 4.2.4")
	equal(t, h.expand(t, "c"), "deferred 4.3.0")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if x := h.Expand(ctx, parse(t, "a")); x.Refused == nil || !x.Refused.Temporary || x.Leaves != nil {
		t.Errorf("interrupted: %+v", x)
	}
}

func TestBadItemsAreRefusedLeaves(t *testing.T) {
	h := newHost(t, "a: bob, b@@-x, \"unclosed\n")
	equal(t, h.expand(t, "a"),
		"user bob@example.org bob", "a@example.org refused 5.1.3", "a@example.org refused 5.1.3")
	x := h.Expand(t.Context(), parse(t, "a"))
	if text := x.Leaves[1].Refused.Text; !strings.Contains(text, h.path("aliases")+", line 1: ") {
		t.Errorf("text %q", text)
	}
	if slices.ContainsFunc(x.Leaves, func(l aliases.Leaf) bool { return len(l.Via) != 1 }) {
		t.Errorf("via: %+v", x.Leaves)
	}
}
