package submission_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"postrider/internal/submission"
	"postrider/policy"
	"postrider/queue"
)

// names are the users of this host; who is not among them has no passwd entry.
func names(uid int) (login, fullName string) {
	switch uid {
	case 0:
		return "root", "root"
	case 1001:
		return "alice", "Alice Example"
	case 1002:
		return "bob", "Bob Example"
	case 1003:
		return "web", ""
	case 1004:
		return "guest", ""
	}
	return fmt.Sprint(uid), ""
}

// bound sets rules for alice, web (forced), the user 2000 and logins.
func bound(o *submission.Options) {
	o.LookupUser = names
	o.Senders = policy.NewSenderRules(policy.SenderOptions{
		Trusted: []string{"root"},
		Denied:  []string{"guest"},
		Rules: []policy.SenderRule{
			{Users: []string{"alice", "2000"}, Logins: []string{"alice"}, Allow: []string{"alice@corp.test", "*@lists.test"}},
			{Users: []string{"web"}, Logins: []string{"scanner"}, ReversePath: addr("web@corp.test"), From: addr("noreply@corp.test")},
			{Users: []string{"half"}, Logins: []string{"half"}, Allow: []string{"*@lists.test"}, ReversePath: addr("half@corp.test")},
		},
	})
}

// door is a way in, for the user or login named.
type door struct {
	name   string
	origin queue.Origin
}

func local(uid int) []door {
	return []door{
		{"socket", queue.Origin{Via: queue.ViaSocket, UID: uid, PID: 7}},
		{"spool", queue.Origin{Via: queue.ViaSpool, UID: uid}},
		{"maildrop", queue.Origin{Via: queue.ViaMaildrop, UID: uid}},
	}
}

func login(user string) door {
	o := nearOrigin
	o.User = user
	return door{"login " + user, o}
}

func TestSenderRulesAtEveryDoor(t *testing.T) {
	near, far := door{"loopback", nearOrigin}, door{"network", remoteOrigin}
	for _, tt := range []struct {
		name  string
		doors []door
		from  string // reverse-path
		field string // From field
		want  string // address that is refused; empty if none is
	}{
		{"unbound user", local(1002), "anybody@x.test", "From: x@y.test\n", ""},
		{"root", local(0), "anybody@x.test", "From: x@y.test\n", ""},
		{"network clients without a login", []door{near, far}, "anybody@x.test", "From: x@y.test\n", ""},
		{"another login", []door{login("bob")}, "anybody@x.test", "From: x@y.test\n", ""},
		{"user and login allowed", append(local(1001), login("alice")), "Alice@Corp.test", "From: A <a@lists.test>\nSender: b@lists.test\n", ""},
		{"by number", local(2000), "x@lists.test", "", ""},
		{"null reverse-path", append(local(1001), login("alice")), "", "From: alice@corp.test\n", ""},
		{"reverse-path of another", append(local(1001), login("alice")), "bob@corp.test", "From: alice@corp.test\n", "bob@corp.test"},
		{"bare reverse-path", append(local(1001), login("alice")), "alice", "From: alice@corp.test\n", "alice@origin.test"},
		{"From of another", append(local(1001), login("alice")), "alice@corp.test", "From: Boss <ceo@corp.test>\n", "ceo@corp.test"},
		{"under the null reverse-path", append(local(1001), login("alice")), "", "From: ceo@corp.test\n", "ceo@corp.test"},
		{"second author", local(1001), "alice@corp.test", "From: alice@corp.test, ceo@corp.test\n", "ceo@corp.test"},
		{"second From", local(1001), "alice@corp.test", "From: alice@corp.test\nSubject: x\nFROM : ceo@corp.test\n", "ceo@corp.test"},
		{"folded From", local(1001), "alice@corp.test", "From: alice@corp.test,\n\tceo@corp.test\n", "ceo@corp.test"},
		{"author behind a group", local(1001), "alice@corp.test", "From: us: ceo@corp.test;\n", "ceo@corp.test"},
		{"bare author", local(1001), "alice@corp.test", "From: ceo\n", "ceo@origin.test"},
		{"author that cannot be read", local(1001), "alice@corp.test", "From: <ceo@corp.test\n", "<ceo@corp.test"},
		{"Sender of another", local(1001), "alice@corp.test", "From: alice@corp.test\nSender: ceo@corp.test\n", "ceo@corp.test"},
		{"Resent-From of another", local(1001), "alice@corp.test", "From: alice@corp.test\nResent-From: ceo@corp.test\n", "ceo@corp.test"},
		{"Reply-To is free", local(1001), "alice@corp.test", "From: alice@corp.test\nReply-To: ceo@corp.test\n", ""},
		{"in the body", local(1001), "alice@corp.test", "From: alice@corp.test\n\nFrom: ceo@corp.test\n", ""},
		{"forced reverse-path counts as allowed", []door{login("half")}, "x@y.test", "From: half@corp.test\n", ""},
		{"From beside a forced reverse-path", []door{login("half")}, "x@y.test", "From: x@y.test\n", "x@y.test"},
	} {
		for _, d := range tt.doors {
			f := setUp(t, bound)
			s := message(tt.from, tt.field+"\nhi\n", "b@local.test")
			s.Origin = d.origin
			_, err := f.intake.Accept(context.Background(), s)
			if tt.want == "" {
				if err != nil {
					t.Errorf("%s by %s: %v", tt.name, d.name, err)
				}
				continue
			}
			checkError(t, tt.name+" by "+d.name, err, 550, "5.7.1", 77)
			if err == nil || !strings.Contains(err.Error(), "<"+tt.want+">: ") || !strings.Contains(err.Error(), "submission.sender_rules") {
				t.Errorf("%s by %s: refused with %v, want %q", tt.name, d.name, err, tt.want)
			}
			f.empty()
		}
	}
}

// TestCheckSender: what can be refused before there is a message is.
func TestCheckSender(t *testing.T) {
	f := setUp(t, bound)
	for _, tt := range []struct {
		origin queue.Origin
		from   string
		says   string
	}{
		{local(1001)[0].origin, "x@y.test", "<x@y.test>: user alice may not send as this address, but as alice@corp.test, *@lists.test (submission.sender_rules)"},
		{login("alice").origin, "x@y.test", "<x@y.test>: login alice may not send as this address, but as alice@corp.test, *@lists.test (submission.sender_rules)"},
		{local(1004)[0].origin, "x@y.test", "user guest may not submit mail (submission.deny_users)"},
		{local(1004)[2].origin, "", "user guest may not submit mail (submission.deny_users)"},
		{login("guest").origin, "x@y.test", ""},
		{local(1001)[0].origin, "alice@corp.test", ""},
		{local(1003)[0].origin, "x@y.test", ""}, // it is given another
	} {
		s := message(tt.from, "", "b").Envelope.ReversePath
		err := f.intake.CheckSender(tt.origin, s)
		if tt.says == "" {
			if err != nil {
				t.Errorf("%+v: %v", tt.origin, err)
			}
			continue
		}
		checkError(t, tt.says, err, 550, "5.7.1", 77)
		if err != nil && err.Error() != tt.says {
			t.Errorf("says %q, want %q", err, tt.says)
		}
	}
	f.intake.SetSenders(nil)
	if err := f.intake.CheckSender(local(1004)[0].origin, addr("x@y.test")); err != nil {
		t.Errorf("without rules: %v", err)
	}
}

func TestDeniedUser(t *testing.T) {
	for _, d := range local(1004) {
		f := setUp(t, bound)
		s := message("", "\n", "b@local.test")
		s.Origin = d.origin
		_, err := f.intake.Accept(context.Background(), s)
		checkError(t, d.name, err, 550, "5.7.1", 77)
		f.empty()
	}
}

// TestForcedSender also checks that the true uid stays to be seen.
func TestForcedSender(t *testing.T) {
	for _, tt := range []struct {
		name       string
		from, head string
		fixup      bool
		wantFrom   string
		want       string // header without what was added, but for From
	}{
		{"one author", "x@y.test", "From: Web Server <www@host.test>\nReply-To: me@host.test\nSender: w@host.test\n", false,
			"web@corp.test", "From: Web Server <noreply@corp.test>\nReply-To: me@host.test\nSender: w@host.test\n"},
		{"bare and folded", "x@y.test", "from :\n\twww\nX: y\n", true, "web@corp.test", "from:\n\tnoreply@corp.test\nX: y\n"},
		{"comment stays", "x@y.test", "From: www@host.test (Web)\n", false, "web@corp.test", "From: noreply@corp.test (Web)\n"},
		{"several authors", "x@y.test", "From: A <a@b.test>, C <c@d.test>\n", false, "web@corp.test", "From: noreply@corp.test\n"},
		{"no author to be read", "x@y.test", "From: Web Server <www\n", false, "web@corp.test", "From: noreply@corp.test\n"},
		{"empty", "x@y.test", "From:\n", false, "web@corp.test", "From: noreply@corp.test\n"},
		{"twice", "x@y.test", "From: a@b\nFrom: c@d\n", false, "web@corp.test", "From: noreply@corp.test\nFrom: noreply@corp.test\n"},
		{"none, and none is added", "x@y.test", "Subject: x\n", false, "web@corp.test", "Subject: x\n"},
		{"null reverse-path stays", "", "From: www@host.test\n", false, "", "From: noreply@corp.test\n"},
		{"in the body", "x@y.test", "From: a@b\n\nFrom: c@d\n", false, "web@corp.test", "From: noreply@corp.test\n\nFrom: c@d\n"},
	} {
		for _, d := range append(local(1003), login("scanner")) {
			f := setUp(t, bound)
			s := message(tt.from, tt.head+"\nhi\n", "b@local.test")
			s.Origin, s.Fixup = d.origin, tt.fixup
			id := f.accept(s)
			m := f.entry(id).Message
			if got := m.Envelope.ReversePath.String(); got != tt.wantFrom {
				t.Errorf("%s by %s: reverse-path %q, want %q", tt.name, d.name, got, tt.wantFrom)
			}
			if m.Origin != d.origin {
				t.Errorf("%s by %s: origin %+v", tt.name, d.name, m.Origin)
			}
			trace, rest := cutTrace(f.body(id))
			if !strings.HasPrefix(rest, tt.want) {
				t.Errorf("%s by %s: stored %q, want %q", tt.name, d.name, rest, tt.want)
			}
			if d.origin.UID > 0 && !strings.Contains(trace, "from userid 1003)") {
				t.Errorf("%s by %s: trace %q", tt.name, d.name, trace)
			}
		}
	}
}

// cutTrace parts the first field, which is ours.
func cutTrace(body string) (trace, rest string) {
	i := strings.Index(body, "\n")
	i += 1 + strings.Index(body[i+1:], "\n") + 1
	return body[:i], body[i:]
}

// TestAddedFromIsForced: who has no From gets the forced one, with the own name.
func TestAddedFromIsForced(t *testing.T) {
	f := setUp(t, func(o *submission.Options) {
		o.LookupUser = names
		o.Senders = policy.NewSenderRules(policy.SenderOptions{Rules: []policy.SenderRule{{Users: []string{"*"}, From: addr("noreply@corp.test")}}})
	})
	s := message("alice", "Subject: x\n\nhi\n", "b@local.test")
	s.Fixup = true
	id := f.accept(s)
	if body := f.body(id); !strings.Contains(body, "\nFrom: Alice Example <noreply@corp.test>\n") {
		t.Errorf("stored %q", body)
	}
	if from := f.entry(id).Message.Envelope.ReversePath; from != addr("alice@origin.test") {
		t.Errorf("reverse-path %v", from)
	}
	// Mail of this host's processes over TCP is everybody's, too.
	s = message("x@y.test", "From: x@y.test\n\n", "b@local.test")
	s.Origin = nearOrigin
	if body := f.body(f.accept(s)); !strings.Contains(body, "\nFrom: noreply@corp.test\n") {
		t.Errorf("stored %q", body)
	}
	s = message("x@y.test", "From: x@y.test\n\n", "b@local.test")
	s.Origin = remoteOrigin
	if body := f.body(f.accept(s)); !strings.Contains(body, "\nFrom: x@y.test\n") {
		t.Errorf("stored %q", body)
	}
}

// TestAddedFromIsChecked: the From field that we add is no way around a rule.
func TestAddedFromIsChecked(t *testing.T) {
	f := setUp(t, bound)
	s := message("", "Subject: x\n\nhi\n", "b@local.test")
	s.Fixup = true
	_, err := f.intake.Accept(context.Background(), s)
	checkError(t, "MAILER-DAEMON", err, 550, "5.7.1", 77)
	f.empty()
}
