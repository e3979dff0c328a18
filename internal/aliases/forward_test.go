package aliases_test

import (
	"context"
	"testing"

	"postrider/internal/aliases"
)

func TestForward(t *testing.T) {
	const own = "mailbox alice@example.org alice"
	const bob = "user bob@example.org bob"
	h := newHost(t, "list: alice, bob\nmine: alice\nbobs: bob\npipe: |cmd\nalice+lists: carol\nl1: r@example.net\nowner-l1: bob\n")
	h.write(t, "inc", "bob\nr@example.net, alice\n  # indented\n")
	h.write(t, "empty", "# nobody\n")
	h.write(t, "cmds", "|cmd\n/file\n:include:{TMP}/inc\nbob\n")
	for _, c := range []struct {
		name, to, text string
		via            []string
		want           []string
	}{
		{"user", "alice", "bob\n", nil, []string{bob}},
		{"backslash and user", "alice", "\\alice, bob\n", nil, []string{own, bob}},
		{"own name and user", "alice", "alice, bob\n", nil, []string{own, bob}},
		{"own name three times", "alice", "Alice@Example.ORG, \\alice@localhost, alice", nil, []string{own}},
		{"own name with extension", "alice+x", "\\alice, bob", nil, []string{"mailbox alice+x@example.org alice ext x", bob}},
		{"own address with extension", "alice+x", "alice+x", nil, []string{"mailbox alice+x@example.org alice ext x"}},
		{"other extension of one's own", "alice", "alice+y, bob", nil, []string{"mailbox alice+y@example.org alice ext y", bob}},
		{"alias for an extension of one's own", "alice", "alice+lists", nil, []string{"user carol@example.org carol"}},
		{"remote", "alice", "r@example.net\n", nil, []string{"address r@example.net"}},
		{"command", "alice", "\"|cmd q\"\n", nil, []string{"command alice@example.org cmd q as alice"}},
		{"command without quotes", "alice+x", "|cmd q 'a, b', bob\n", nil, []string{"command alice+x@example.org cmd q 'a, b' ext x as alice", bob}},
		{"bar before the quotes", "alice", `|"IFS=' ' && exec /usr/bin/procmail || exit 75 #alice"`, nil,
			[]string{"command alice@example.org IFS=' ' && exec /usr/bin/procmail || exit 75 #alice as alice"}},
		{"vacation", "alice", `\alice, "|/usr/bin/vacation -a \"Al Ice\" alice"`, nil,
			[]string{own, `command alice@example.org /usr/bin/vacation -a "Al Ice" alice as alice`}},
		{"file", "alice", "/home/alice/mbox\n\"/home/alice/my mail\"\n", nil,
			[]string{"file alice@example.org /home/alice/mbox as alice", "file alice@example.org /home/alice/my mail as alice"}},
		{"empty", "alice", "", nil, []string{own}},
		{"only comments", "alice+x", "# nothing\n\n  \t\n  # indented\n", nil, []string{"mailbox alice+x@example.org alice ext x"}},
		{"comment and blank lines", "alice", "# to bob\r\n\r\nbob\r\n", nil, []string{bob}},
		{"comment behind an address", "alice", "bob # x\n", nil,
			[]string{bob, "#@example.org refused 5.1.1", "x@example.org refused 5.1.1"}},
		{"lines and commas", "alice", "bob\ncarol, r@example.net,\n\\alice\n", nil,
			[]string{bob, "user carol@example.org carol", "address r@example.net", own}},
		{"bad member", "alice", "nosuch1, bob\n", nil, []string{"nosuch1@example.org refused 5.1.1", bob}},
		{"bad text", "alice", "bob, b@-\n", nil, []string{bob, "alice@example.org refused 5.1.3"}},
		{"alias", "alice", "bobs", nil, []string{bob}},
		{"command of an alias", "alice", "pipe", nil, []string{"command pipe@example.org cmd"}},
		{"list with an owner", "alice", "l1", nil, []string{"address r@example.net from owner-l1@example.org"}},
		{"another's mailbox", "alice", `\bob`, nil, []string{"mailbox bob@example.org bob"}},
		{"back to who forwarded", "alice", "bob", []string{"bob"}, []string{"bob@example.org refused 5.4.6"}},
		{"back at another local domain", "alice", "bob@localhost, carol", []string{"bob+x"},
			[]string{"bob@localhost refused 5.4.6", "user carol@example.org carol"}},
		{"back to a list", "alice", "list", []string{"list"}, []string{"list@example.org refused 5.4.6"}},
		{"back with extension", "alice", "list+x", []string{"list"}, []string{"list+x@example.org refused 5.4.6"}},
		{"back by another alias", "alice", "bobs", []string{"bob"}, []string{"bob@example.org refused 5.4.6"}},
		{"to oneself by an alias", "alice", "mine", nil, []string{own}},
		{"to a list that one is on", "alice", "list", nil, []string{own, bob}},
		{"via an alias of one's own name", "alice", "alice, carol", []string{"alice"}, []string{own, "user carol@example.org carol"}},
		{"remote on the way", "alice", "bob", []string{"bob@example.net"}, []string{bob}},
		{"include", "alice", ":include:{TMP}/inc", nil, []string{bob, "address r@example.net", own}},
		{"empty include", "alice", ":include:{TMP}/empty", nil, []string{own}},
		{"missing include", "alice", ":include:{TMP}/none, bob", nil, []string{"alice@example.org refused 5.2.4", bob}},
		{"commands in an include file", "alice", "\":include:{TMP}/cmds\"", nil,
			[]string{"alice@example.org refused 5.7.1", "alice@example.org refused 5.7.1", bob, "address r@example.net", own}},
	} {
		t.Run(c.name, func(t *testing.T) { equal(t, h.forward(t, c.to, c.text, c.via...), c.want...) })
	}
}

// TestForwardThere and back again: what bob's .forward yields after alice's.
func TestForwardThereAndBack(t *testing.T) {
	h := newHost(t, "")
	first := h.Forward(t.Context(), "alice", parse(t, "alice"), nil, `\alice, bob`).Leaves[1]
	second := h.Forward(t.Context(), "bob", first.Address, first.Via, "alice")
	equal(t, h.tell(second), "alice@example.org refused 5.4.6")
	via := second.Leaves[0].Via
	if len(via) != 2 || via[0] != parse(t, "alice") || via[1] != parse(t, "bob") {
		t.Errorf("via %v", via)
	}
}

// TestLoginUnlikeTheAddress has a user database that knows a name by another.
func TestLoginUnlikeTheAddress(t *testing.T) {
	h := newHost(t, "")
	h.LookupUser = func(name string) (*aliases.User, error) {
		return &aliases.User{Name: `ORG\` + name, UID: 70001}, nil
	}
	equal(t, h.expand(t, "alice"), `user alice@example.org ORG\alice`)
	x := h.Forward(t.Context(), `ORG\alice`, parse(t, "alice"), nil, "alice, bob")
	equal(t, h.tell(x), `mailbox alice@example.org ORG\alice`, `user bob@example.org ORG\bob`)

	h = newHost(t, "mine: al\n")
	h.LookupUser = func(string) (*aliases.User, error) { return &aliases.User{Name: "alice", UID: 1001}, nil }
	equal(t, h.forward(t, "alice", "al"), "mailbox al@example.org alice")
	equal(t, h.forward(t, "alice", "mine"), "mailbox al@example.org alice")

	x = h.Forward(t.Context(), "a+b", parse(t, "a+b"), nil, "")
	equal(t, h.tell(x), "mailbox a+b@example.org a+b")
}

func TestIncludeIsReadForItsOwner(t *testing.T) {
	h := newHost(t, "list: :include:/a\nboth: list\n")
	var asked []string
	h.Include = func(_ context.Context, owner, path string) (string, *aliases.Refusal) {
		asked = append(asked, owner+" "+path)
		return "bob", nil
	}
	h.forward(t, "alice", ":include:/b, both")
	equal(t, asked, "alice /b", " /a")
	h.Include = nil
	equal(t, h.forward(t, "alice", ":include:/etc/passwd"), "alice@example.org refused 5.7.1")
	equal(t, h.expand(t, "list"), "list@example.org refused 5.2.4")
}
