package dsn_test

import (
	"bytes"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/delivery/dsn"
	"postrider/internal/address"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

const original = "Received: by host.example.com (postrider, from userid 1000) id 00000000000A;\n\tWed, 04 Mar 2026 11:00:00 +0000\nFrom: alice@example.com\nTo: carol@example.net\nSubject: lunch\nMessage-ID: <1@host.example.com>\n\nAt one?\n--=_b\n.\nFrom here\n"

// report is a complete report for tests to vary.
func report(kind dsn.Kind, recipients ...dsn.Recipient) *dsn.Report {
	return &dsn.Report{
		Kind:        kind,
		From:        address.Address{Local: "MAILER-DAEMON", Domain: "example.com"},
		To:          address.Address{Local: "alice", Domain: "example.com"},
		MessageID:   "<20260304120000.00000000000B@host.example.com>",
		Date:        noon,
		Hostname:    "host.example.com",
		ArrivalDate: noon.Add(-time.Hour),
		QueueID:     "00000000000A",
		InReplyTo:   "<1@host.example.com>",
		Recipients:  recipients,
		Boundary:    "golden-boundary",
	}
}

func carol() dsn.Recipient {
	return dsn.Recipient{
		Address:     address.Address{Local: "carol", Domain: "example.net"},
		Status:      "5.1.1",
		Remote:      "mx.example.net",
		Diagnostic:  "550-5.1.1 The email account that you tried to reach does not exist. Please try double-checking\n550 5.1.1 the address for typos: <carol@example.net>",
		LastAttempt: noon.Add(-time.Minute),
	}
}

// cases are the golden files' reports, each with the message it returns.
func cases() map[string]func() (*dsn.Report, string) {
	return map[string]func() (*dsn.Report, string){
		"failed": func() (*dsn.Report, string) {
			full := carol()
			full.Original, full.FinalLog = "rfc822;Carol@example.net", "00000000000A.0"
			other := dsn.Recipient{Address: address.Address{Local: "dave d", Domain: "example.org"}, Original: "rfc822;dd@example.com", Status: "4.4.7", Diagnostic: "gave up after 5 days: connect to mx.example.org [192.0.2.1]:25: connection timed out", LastAttempt: noon}
			r := report(dsn.Failed, full, other)
			r.EnvID, r.Return = "QQ314159", dsn.Full
			return r, original
		},
		"failed-headers": func() (*dsn.Report, string) {
			p := carol()
			p.Status, p.Diagnostic = "5.7.1", "554 5.7.1 policy"
			r := report(dsn.Failed, p)
			r.InReplyTo = "not a message id"
			return r, original
		},
		"delayed": func() (*dsn.Report, string) {
			tried := carol()
			tried.Status, tried.Diagnostic, tried.WillRetryUntil = "4.2.1", "450 4.2.1 greylisted", noon.AddDate(0, 0, 5)
			never := dsn.Recipient{Address: address.Address{Local: "erin", Domain: "example.org"}, WillRetryUntil: noon.AddDate(0, 0, 5)}
			r := report(dsn.Delayed, tried, never)
			r.Return = dsn.Full // a delay never returns more than the header
			return r, original
		},
		"success": func() (*dsn.Report, string) {
			here := dsn.Recipient{Address: address.Address{Local: "bob", Domain: "example.com"}, Original: "rfc822;bob@example.com", Status: "2.0.0", LastAttempt: noon}
			there := carol()
			there.Action, there.Status, there.Diagnostic = dsn.Relayed, "2.0.0", "250 2.0.0 queued as 1"
			return report(dsn.Delivered, here, there), original
		},
		"international": func() (*dsn.Report, string) {
			p := dsn.Recipient{Address: address.Address{Local: "jürgen", Domain: "bücher.example"}, Original: "utf-8;jürgen@bücher.example", Status: "5.1.1", Remote: "mx.example.net", Diagnostic: "550 5.1.1 kein Empfänger jürgen"}
			r := report(dsn.Failed, p)
			r.To.Local, r.SMTPUTF8, r.Return = "zoë", true, dsn.Full
			return r, "Subject: Grüße\n\nhällo\n"
		},
		"eight-bit": func() (*dsn.Report, string) {
			p := carol()
			p.Address.Local = "jürgen"
			p.Diagnostic = "550 5.1.1 kein Empf\xe4nger"
			r := report(dsn.Failed, p)
			r.Return = dsn.Full
			return r, "Subject: x\n\nh\xe4llo\n"
		},
		"expanded": func() (*dsn.Report, string) {
			list := address.Address{Local: "list", Domain: "example.com"}
			several := dsn.Recipient{Address: list, Action: dsn.Expanded, Status: "2.0.0", LastAttempt: noon}
			one := carol()
			one.Written, one.Original, one.Action, one.Status, one.Diagnostic = address.Address{Local: "c", Domain: "example.com"}, "rfc822;c@example.com", dsn.Relayed, "2.0.0", "250 ok"
			return report(dsn.Delivered, several, one), original
		},
		"alias": func() (*dsn.Report, string) {
			remote, command := carol(), carol()
			remote.Written = address.Address{Local: "list", Domain: "example.com"}
			command.Written, command.Original = address.Address{Local: "carol", Domain: "EXAMPLE.net"}, "rfc822;c@example.com"
			command.Remote, command.Diagnostic, command.Status = "", "the command failed with status 1", "5.3.0"
			r := report(dsn.Failed, remote, command)
			r.Return = dsn.Full
			return r, original
		},
		"owner": func() (*dsn.Report, string) {
			p := carol()
			p.Written = address.Address{Local: "list", Domain: "example.com"}
			r := report(dsn.Failed, p)
			r.ListOwner, r.To.Local = true, "owner-list"
			return r, original
		},
		"owner-delayed": func() (*dsn.Report, string) {
			p := carol()
			p.Status, p.Diagnostic, p.WillRetryUntil = "4.2.1", "450 4.2.1 greylisted", noon.AddDate(0, 0, 5)
			r := report(dsn.Delayed, p)
			r.ListOwner, r.To.Local = true, "owner-list"
			return r, original
		},
		"postmaster": func() (*dsn.Report, string) {
			r := report(dsn.Failed, carol())
			r.Postmaster, r.Return = true, dsn.Full
			r.To = address.Address{Local: "postmaster", Domain: "example.com"}
			return r, original
		},
	}
}

func compose(t testing.TB, r *dsn.Report, message string) string {
	t.Helper()
	var err error
	if r.Original, err = dsn.Survey(strings.NewReader(message)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.Compose(&b, strings.NewReader(message)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestGolden(t *testing.T) {
	for name, make := range cases() {
		t.Run(name, func(t *testing.T) {
			r, message := make()
			got := compose(t, r, message)
			file := filepath.Join("testdata", name+".eml")
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("differs from %s:\n%s", file, got)
			}
			checkReport(t, r, message, got)
		})
	}
}

// parsed is a report as an independent parser sees it.
type parsed struct {
	header mail.Header
	types  []string
	bodies []string
}

func parse(t testing.TB, s string) parsed {
	t.Helper()
	msg, err := mail.ReadMessage(strings.NewReader(s))
	if err != nil {
		t.Fatalf("%v in\n%s", err, s)
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("content type %q %v, %v", kind, params, err)
	}
	p := parsed{header: msg.Header}
	parts := multipart.NewReader(msg.Body, params["boundary"])
	for {
		part, err := parts.NextRawPart()
		if err == io.EOF {
			return p
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, s)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		p.types = append(p.types, part.Header.Get("Content-Type"))
		p.bodies = append(p.bodies, string(body))
	}
}

// checkReport wants what holds for every report.
func checkReport(t testing.TB, r *dsn.Report, message, got string) {
	t.Helper()
	p := parse(t, got)
	if len(p.bodies) != 3 {
		t.Fatalf("%d parts: %q", len(p.bodies), p.types)
	}
	for _, name := range []string{"Date", "From", "To", "Subject", "Message-Id", "Auto-Submitted", "Mime-Version", "Content-Type"} {
		if len(p.header[name]) != 1 {
			t.Errorf("%s occurs %d times", name, len(p.header[name]))
		}
	}
	if len(p.header) > 11 {
		t.Errorf("unexpected fields: %v", p.header)
	}
	checkStatus(t, r, p.bodies[1])
	checkReturned(t, p, message)
	declared := p.header.Get("Content-Transfer-Encoding") == "8bit"
	if has := strings.ContainsFunc(got, func(c rune) bool { return c >= 0x80 }); has && !declared || declared != r.EightBit() {
		t.Errorf("8-bit content %v, declared %v, EightBit %v", has, declared, r.EightBit())
	}
	head, _, _ := strings.Cut(got, "\n\n")
	for line := range strings.SplitSeq(head+"\n"+p.bodies[0]+"\n"+p.bodies[1], "\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\x00\x1b") || line != "" && strings.TrimSpace(line) == "" {
			t.Errorf("bad line %q", line)
		}
	}
}

// checkStatus parses the part for machines: blocks of fields, none invented.
func checkStatus(t testing.TB, r *dsn.Report, body string) {
	t.Helper()
	blocks := strings.Split(strings.TrimSuffix(body, "\n"), "\n\n")
	if len(blocks) != 1+len(r.Recipients) {
		t.Fatalf("%d blocks for %d recipients: %q", len(blocks), len(r.Recipients), body)
	}
	for i, block := range blocks {
		h, err := mail.ReadMessage(strings.NewReader(block + "\n\n"))
		if err != nil {
			t.Fatalf("block %q: %v", block, err)
		}
		allowed := "Reporting-Mta Original-Envelope-Id Arrival-Date"
		if i > 0 {
			allowed = "Original-Recipient Final-Recipient Action Status Remote-Mta Diagnostic-Code Last-Attempt-Date Final-Log-Id Will-Retry-Until"
			class := map[string]byte{"failed": '5', "delayed": '4', "delivered": '2', "relayed": '2', "expanded": '2'}[h.Header.Get("Action")]
			if status := h.Header.Get("Status"); status == "" || status[0] != class {
				t.Errorf("action %q with status %q", h.Header.Get("Action"), status)
			}
		}
		for name, values := range h.Header {
			if !strings.Contains(allowed, name) || len(values) != 1 {
				t.Errorf("unexpected %q: %q", name, values)
			}
		}
	}
}

func checkReturned(t testing.TB, p parsed, message string) {
	t.Helper()
	header, _, found := strings.Cut("\n"+message, "\n\n")
	header = strings.TrimPrefix(header, "\n")
	if found && header != "" {
		header += "\n"
	}
	want := header
	if strings.HasPrefix(p.types[2], "message/rfc822") || p.types[2] == "message/global" {
		want = message
	}
	if p.bodies[2] != want {
		t.Errorf("%s returned as\n%q\nwant\n%q", p.types[2], p.bodies[2], want)
	}
}

func TestRandomBoundaryIsNotInTheMessage(t *testing.T) {
	r := report(dsn.Failed, carol())
	r.Boundary, r.Return = "", dsn.Full
	first := compose(t, r, original)
	if second := compose(t, r, original); first == second {
		t.Error("the same boundary twice")
	}
	// A message that quotes an earlier report does not end the part it is in.
	nested := compose(t, r, first)
	checkReport(t, r, first, nested)
}

func TestComposeRefuses(t *testing.T) {
	noKind, noRecipients, badBoundary := report(0, carol()), report(dsn.Failed), report(dsn.Failed, carol())
	badBoundary.Boundary = "a\nb"
	for _, r := range []*dsn.Report{noKind, noRecipients, badBoundary} {
		if err := r.Compose(io.Discard, strings.NewReader("\n")); err == nil {
			t.Errorf("composed %+v", r)
		}
	}
}

func TestWithoutOriginal(t *testing.T) {
	var b bytes.Buffer
	if err := report(dsn.Failed, carol()).Compose(&b, nil); err != nil {
		t.Fatal(err)
	}
	if p := parse(t, b.String()); len(p.bodies) != 2 || strings.Contains(p.bodies[0], "attached") {
		t.Errorf("%q", p.bodies)
	}
}

func TestHugeHeaderIsCutAndSaysSo(t *testing.T) {
	for _, message := range []string{
		strings.Repeat("X-Filler: "+strings.Repeat("x", 90)+"\n", 3000) + "\nbody\n",
		"X-Filler: " + strings.Repeat("x", 300_000) + "\n\nbody\n",
	} {
		p := parse(t, compose(t, report(dsn.Failed, carol()), message))
		if !strings.Contains(p.bodies[0], "The beginning of the header") {
			t.Errorf("text does not tell: %s", p.bodies[0])
		}
		if got := p.bodies[2]; len(got) > 64<<10 || len(got) < 60<<10 || !strings.HasPrefix(message, got) {
			t.Errorf("returned %d bytes", len(got))
		}
	}
}

func TestStatusFitsAction(t *testing.T) {
	tests := []struct {
		kind         dsn.Kind
		status, want string
	}{
		{dsn.Failed, "5.1.1", "5.1.1"}, {dsn.Failed, "4.4.7", "5.4.7"}, {dsn.Failed, "2.0.0", "5.0.0"}, {dsn.Failed, "", "5.0.0"},
		{dsn.Failed, "5.1", "5.0.0"}, {dsn.Failed, "5.1.1\nAction: delivered", "5.0.0"}, {dsn.Delayed, "5.7.1", "4.7.1"},
		{dsn.Delayed, "4.4.1", "4.4.1"}, {dsn.Delivered, "2.1.5", "2.1.5"}, {dsn.Delivered, "5.1.1", "2.0.0"}, {dsn.Relayed, "", "2.0.0"}, {dsn.Expanded, "2.0.0", "2.0.0"}, {dsn.Expanded, "5.1.1", "2.0.0"},
	}
	for _, tt := range tests {
		p := carol()
		p.Status = tt.status
		got := compose(t, report(tt.kind, p), original)
		if !strings.Contains(got, "\nAction: "+tt.kind.String()+"\nStatus: "+tt.want+"\n") {
			t.Errorf("%v %q: want %s in\n%s", tt.kind, tt.status, tt.want, got)
		}
	}
}

func TestMessageIDIsReferredToOnlyIfSound(t *testing.T) {
	for id, ok := range map[string]bool{
		"<a@b>": true, "": false, "a@b": false, "<@b>": false, "<a@>": false, "<a b@c>": false, "<a@b>\nBcc: x": false,
		"<a@b> <c@d>": false, "<ä@b>": false, "<" + strings.Repeat("x", 300) + "@b>": false,
	} {
		r := report(dsn.Failed, carol())
		r.InReplyTo = id
		h := parse(t, compose(t, r, original)).header
		if (h.Get("In-Reply-To") == id && h.Get("References") == id && id != "") != ok {
			t.Errorf("%q: %q", id, h.Get("References"))
		}
	}
}

// TestPythonReadsReports has the reports read by another implementation.
func TestPythonReadsReports(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("no python3")
	}
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	const script = `
import sys, email, email.policy
for path in sys.argv[1:]:
    with open(path, "rb") as f:
        m = email.message_from_binary_file(f, policy=email.policy.default)
    parts = m.get_payload()
    assert m.get_content_type() == "multipart/report" and len(parts) == 3, path
    for p in m.walk():
        assert not p.defects, (path, p.get_content_type(), p.defects)
    print(path, len(parts[1].get_payload()) if parts[1].get_content_type() == "message/delivery-status" else "-", parts[2].get_content_type())
    if parts[1].get_content_type() == "message/delivery-status":
        blocks = parts[1].get_payload()
        assert blocks[0]["Reporting-MTA"] == "dns; host.example.com", path
        for b in blocks[1:]:
            assert b["Action"] in ("failed", "delayed", "delivered", "relayed", "expanded") and b["Final-Recipient"], path
`
	cmd := exec.Command(python, append([]string{"-c", script}, files...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "failed.eml 3 message/rfc822") {
		t.Errorf("python saw:\n%s", out)
	}
}
