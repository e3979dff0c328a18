package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postrider/internal/address"
	"postrider/internal/smtptest"
)

// routed is what "postrider route" says, and what really happens is compared with.
type routed struct {
	Leaves []struct {
		Address, From, Target, Route, Outcome string
		Hosts                                 []struct {
			Addresses []string
			Port      uint16
		}
	}
}

// foretold writes a line for each recipient: who gets the mail, from whom, where.
func (r *routed) foretold() []string {
	var lines []string
	for _, l := range r.Leaves {
		switch {
		case l.Outcome != "":
			lines = append(lines, l.Address+" "+l.Outcome)
		case l.Route == "local":
			lines = append(lines, "into "+l.Target+" from "+l.From)
		default:
			lines = append(lines, fmt.Sprintf("%s from %s at %s:%d", asSent(l.Address), l.From, l.Hosts[0].Addresses[0], l.Hosts[0].Port))
		}
	}
	slices.Sort(lines)
	return lines
}

// asSent gives an address as other hosts see it, its domain in A-labels.
func asSent(text string) string {
	a, err := address.Parse(text)
	if err != nil {
		return text
	}
	if a, err = a.ASCII(); err != nil {
		return text
	}
	return a.String()
}

// requoted gives an address its quotes back, which the sinks' engine takes off.
func requoted(path string) string {
	if path == "" {
		return "<>"
	}
	i := strings.LastIndexByte(path, '@')
	a, err := address.FromUnquoted(path[:i], path[i+1:])
	if err != nil {
		return path
	}
	return a.String()
}

// happened writes such lines of what has arrived.
func (h *host) happened(sinks map[netip.AddrPort]*smtptest.Sink) []string {
	h.t.Helper()
	var lines []string
	for at, sink := range sinks {
		for _, m := range sink.Messages() {
			if failed := regexp.MustCompile(`(?m)^Final-Recipient: [^;]*; (\S+)\r?\nAction: failed`).FindSubmatch(m.Data); failed != nil {
				lines = append(lines, string(failed[1])+" bounced")
				continue
			}
			for _, to := range m.To {
				lines = append(lines, fmt.Sprintf("%s from %s at %s", requoted(to.Address), requoted(m.From), at))
			}
		}
	}
	boxes, err := filepath.Glob(h.path("mail/*"))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, box := range boxes {
		for _, m := range regexp.MustCompile(`(?m)^Return-Path: <(.*)>`).FindAllSubmatch(readFile(h.t, box), -1) {
			lines = append(lines, "into mbox:"+box+" from "+string(m[1]))
		}
	}
	slices.Sort(lines)
	return lines
}

// TestRouteTellsTheTruth: what "postrider route" foretells is what a delivery does.
func TestRouteTellsTheTruth(t *testing.T) {
	t.Parallel()
	const (
		byRelay = `[[smarthost]]
address = "{relay}"
tls = "none"
`
		byOther = `[[smarthost]]
address = "{other}"
tls = "none"
`
		masked = `[[masquerade]]
match = "*@host.e2e.test"
to = "alerts@corp.test"
`
		forced = `[[submission.sender_rules]]
users = ["*"]
reverse_path = "web@corp.test"
`
	)
	for name, tt := range map[string]struct {
		tables, from, to string
		uid              int // zero is whoever runs the tests
		refused          bool
		contains         string // of some line, so that the case is what it seems
	}{
		"direct":                       {from: "a@sender.test", to: "x@far.test", contains: "from a@sender.test at {far}"},
		"direct, written oddly":        {from: `"a b"@sender.test`, to: `"x y"@FAR.test.`, contains: "at {far}"},
		"by a smarthost":               {tables: byRelay, from: "a@sender.test", to: "x@far.test", contains: "at {relay}"},
		"smarthost by sender":          {tables: byOther + "for_senders = [\"*@corp.test\"]\n" + byRelay, from: "a@CORP.test", to: "x@far.test", contains: "at {other}"},
		"smarthost by another sender":  {tables: byOther + "for_senders = [\"*@corp.test\"]\n" + byRelay, from: "a@sender.test", to: "x@far.test", contains: "at {relay}"},
		"smarthost by recipient":       {tables: byOther + "for_recipients = [\"*@.far.test\"]\n", from: "a@sender.test", to: "x@far.test", contains: "at {far}"},
		"masqueraded":                  {tables: masked, from: "root", to: "x@far.test", contains: "from alerts@corp.test at {far}"},
		"masqueraded, by the true one": {tables: masked + byOther + "for_senders = [\"*@corp.test\"]\n", from: "root", to: "x@far.test", contains: "from alerts@corp.test at {far}"},
		"not masqueraded at home":      {tables: masked, from: "me@host.e2e.test", to: "{login}", contains: "from me@host.e2e.test"},
		"null reverse-path":            {tables: masked, from: "<>", to: "x@far.test", contains: "from <> at"},
		"a list with its owner":        {tables: masked, from: "a@sender.test", to: "list", contains: "y@far.test from alerts@corp.test"},
		"smarthost by a list's owner":  {tables: byOther + "for_senders = [\"*@host.e2e.test\"]\n", from: "a@sender.test", to: "list", contains: "at {other}"},
		"a list from nobody":           {tables: masked, from: "<>", to: "list", contains: "y@far.test from <>"},
		"here and elsewhere":           {tables: masked, from: "root", to: "both", contains: "from root@host.e2e.test"},
		"a domain beyond ASCII":        {from: "a@sender.test", to: "x@b\u00fccher.test", contains: "at {far}"},
		"forced":                       {tables: forced, uid: alice, from: "a@sender.test", to: "x@far.test", contains: "from web@corp.test"},
		"forced, and chosen by that":   {tables: forced + byOther + "for_senders = [\"web@corp.test\"]\n", uid: alice, from: "a@sender.test", to: "x@far.test", contains: "from web@corp.test at {other}"},
		"forced, then masqueraded":     {tables: forced + strings.Replace(masked, "host.e2e", "corp", 1), uid: alice, from: "a@sender.test", to: "x@far.test", contains: "from alerts@corp.test"},
		"refused":                      {tables: strings.Replace(forced, "reverse_path = \"web@corp.test\"", "allow = [\"*@corp.test\"]", 1), uid: alice, from: "a@sender.test", to: "x@far.test", refused: true},
		"nobody of that name":          {from: "a@sender.test", to: "no-such-user", contains: "bounced"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.uid != 0 {
				needRoot(t)
			}
			h := newHost(t, nil)
			h.user = me // who delivers into mailboxes of its own
			h.mkdir("mail")
			for _, dir := range []string{"spool", "run"} {
				h.give(dir)
			}
			h.write("aliases", "list: x@far.test, y@far.test\nowner-list: boss\nboth: "+loginName(t)+", x@far.test\n", 0o644)
			h.settings["local.mailbox"] = quoted("mbox:" + h.path("mail") + "/{user}")
			h.settings["local.aliases"] = "[" + quoted(h.path("aliases")) + "]"
			h.settings["local.forward"] = quoted("off")
			sinks := map[netip.AddrPort]*smtptest.Sink{}
			names := []string{"{login}", loginName(t)}
			for _, domain := range []string{"far", "relay", "other", "sender"} {
				sink := h.net.sink(domain+".test", smtptest.Options{SMTPUTF8: true})
				at, err := netip.ParseAddrPort(sink.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				sinks[at] = sink
				names = append(names, "{"+domain+"}", at.String())
				if domain == "far" {
					h.net.record("xn--bcher-kva.test. 300 IN MX 10 mx.far.test.\n")
				}
			}
			known := strings.NewReplacer(names...)
			h.tables = known.Replace(tt.tables)
			h.configure()
			h.start()

			uid := me
			if tt.uid != 0 {
				uid = tt.uid
			}
			told := run(t, h.command(uid, "postrider", "route", "--json", "--from", tt.from, known.Replace(tt.to)))
			sent := h.sendmail(uid, mail("routed"), "-f", tt.from, known.Replace(tt.to))
			if tt.refused {
				if told.code != sent.code || sent.code == 0 || !strings.Contains(told.stdout, "refused") {
					t.Errorf("route: exit %d, %s; sendmail: exit %d, %s", told.code, told.stdout, sent.code, sent.stderr)
				}
				return
			}
			var report routed
			if err := json.Unmarshal([]byte(told.stdout), &report); err != nil || sent.code != 0 {
				t.Fatalf("route: %v in %q, %q; sendmail: exit %d, %q", err, told.stdout, told.stderr, sent.code, sent.stderr)
			}
			h.emptied()
			want, got := report.foretold(), h.happened(sinks)
			if !slices.Equal(want, got) || !strings.Contains(strings.Join(got, "\n"), known.Replace(tt.contains)) {
				t.Errorf("foretold %q\nhappened %q\nwant %q in it", want, got, known.Replace(tt.contains))
			}
		})
	}
}
