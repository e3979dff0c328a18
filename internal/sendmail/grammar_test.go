package sendmail_test

import (
	"os"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
)

// TestGrammar goes through the options one by one: what is accepted and ignored
// leaves a message as any other, what is not offered leaves none.
func TestGrammar(t *testing.T) {
	const (
		refused = 64
		usage   = "usage: sendmail"
	)
	for _, row := range []struct {
		args   string // parted by blanks
		status int
		stderr string
	}{
		// Accepted, and a message is queued for bob.
		{"bob", 0, ""}, {"-bm bob", 0, ""}, {"-i bob", 0, ""}, {"-oi bob", 0, ""}, {"-o i bob", 0, ""},
		{"-em bob", 0, ""}, {"-e p bob", 0, ""}, {"-eq bob", 0, ""}, {"-ew bob", 0, ""}, {"-ee bob", 0, ""},
		{"-oem bob", 0, ""}, {"-oep bob", 0, ""}, {"-oeq bob", 0, ""}, {"-oew bob", 0, ""}, {"-oee bob", 0, ""},
		{"-odb bob", 0, ""}, {"-odi bob", 0, ""}, {"-odq bob", 0, ""}, {"-odd bob", 0, ""},
		{"-m bob", 0, ""}, {"-om bob", 0, ""}, {"-U bob", 0, ""}, {"-x bob", 0, ""}, {"-c bob", 0, ""}, {"-G bob", 0, ""},
		{"-Ac bob", 0, ""}, {"-Am bob", 0, ""}, {"-A c bob", 0, ""}, {"-d bob", 0, ""}, {"-d0.1 bob", 0, ""},
		{"-h 17 bob", 0, ""}, {"-h x bob", 0, ""}, {"-p SMTP:host bob", 0, ""}, {"-L tag bob", 0, ""},
		{"-B8BITMIME bob", 0, ""}, {"-B 7bit bob", 0, ""}, {"-B 8bitmime bob", 0, ""},
		{"-OQueueDirectory=/tmp bob", 0, ""}, {"-O LogLevel=99 bob", 0, ""}, {"-OAliasFile=/etc/passwd bob", 0, ""},
		{"-or0s bob", 0, ""}, {"-oQ/tmp bob", 0, ""}, {"-oA/etc/passwd bob", 0, ""}, {"-oT5d bob", 0, ""}, {"-os -oo -oX bob", 0, ""},
		{"-i -oi -i bob", 0, ""}, {"-iFName bob", 0, ""}, {"-it -- bob", 0, ""}, {"-ti bob", 0, ""}, {"-F Name -f a@x.example bob", 0, ""},
		{"-r a@x.example bob", 0, ""}, {"-V id bob", 0, ""}, {"-N success,DELAY bob", 0, ""}, {"-N NEVER bob", 0, ""}, {"-R hdrs bob", 0, ""},
		{"-- bob", 0, ""},
		// Accepted with a warning.
		{"-N never,delay bob", 0, "warning: option -N never,delay ignored"}, {"-N sometimes bob", 0, "warning: option -N sometimes ignored"},
		{"-R some bob", 0, "warning: option -R some ignored"}, {"-V \x01 bob", 0, "ignored: want 1 to 100"}, {"-V  bob", 0, "ignored: want 1 to 100"},
		{"-V " + strings.Repeat("x", 101) + " bob", 0, "ignored: want 1 to 100"}, {"-f a@x,b@y bob", 0, "warning: only the first"},
		// Not offered.
		{"-n bob", refused, "option -n is not offered"}, {"-s bob", refused, "-s"}, {"-Mx bob", refused, "-M"}, {"-Qreason bob", refused, "-Q"},
		{"-T bob", refused, "-T"}, {"-J bob", refused, "-J"}, {"-E bob", refused, "-E"}, {"-z bob", refused, "-z"}, {"-Z bob", refused, "-Z"},
		{"-K bob", refused, "-K"}, {"-X /tmp/x.php bob", refused, "-X"}, {"-XV bob", refused, "-X"}, {"-itK bob", refused, "-K"},
		{"-D bob", refused, usage}, {"-\xff bob", refused, usage}, {"--frob bob", refused, "option --frob is not offered"},
		{"-BBAD bob", refused, "-B"}, {"-ba bob", refused, "-ba"}, {"-bmm bob", refused, "-bmm"}, {"-b", refused, "needs a value"},
		{"-f", refused, "-f needs a value"}, {"-i -F", refused, "-F needs a value"}, {"-o", refused, "needs a value"}, {"-B", refused, "needs a value"},
		{"bob -i", refused, `operand "-i" looks like an option; use --`}, {"-i -", refused, "looks like an option"},
		{"bob -\x1b\n", refused, "looks like an option"}, {"-q bob", refused, "no operands"},
		{"-bs bob", refused, "no operands"}, {"-bv", refused, "needs addresses"}, {"-bv -t bob", refused, "does not go with -bv"}, {"-bp bob", refused, "no operands"},
		{"-i", refused, "Recipient addresses must be specified on the command line or via the -t option"},
		{"-t", refused, "No recipient addresses found in message header"},
		{"-C /x bob", 77, "only root may choose the configuration"}, {"-bd", 77, "only root"}, {"-bD -q30m", 77, "only root"},
		{"-bi", 77, "only root"}, {"-I", 77, "only root"}, {"-C  bob", 77, "only root may choose the configuration"},
		{"-bi bob", 77, "only root"}, {"-bd bob", 77, "only root"}, {"-I bob", 77, "only root"}, {"-bi -t", 77, "only root"},
		// A later mode wins, -q among them; -t is for handing in messages.
		{"-q -bm bob", 0, ""}, {"-q30m -bm bob", 0, ""}, {"-bm -q bob", refused, "-q takes no operands"}, {"-bv -bm bob", 0, ""},
		{"-bs -t", refused, "-t is for handing in"}, {"-bp -t", refused, "-t is for"}, {"-q -t", refused, "-t is for"}, {"-q30m -t", refused, "-t is for"},
		{"-bv <>", refused, "none among the operands"}, {"-bh -t", refused, "-t is for"},
	} {
		t.Run(row.args, func(t *testing.T) {
			h := newHost(t, "")
			s := h.serve(&server{})
			got := h.send(letter, strings.Split(row.args, " ")...)
			got.want(t, row.status, row.stderr)
			mails := s.mails()
			if len(mails) != b2i(row.status == 0) || got.stdout != "" {
				t.Fatalf("%d messages queued, stdout %q", len(mails), got.stdout)
			}
			if row.status == 0 && (len(mails[0].to) != 1 || mails[0].to[0] != "bob@example.org" || mails[0].data != letter) {
				t.Errorf("queued %+v", mails[0])
			}
			if _, err := os.Lstat("/tmp/x.php"); err == nil {
				t.Error("a file was written")
			}
		})
	}
}

// TestSilentModes: modes that have nothing to do say nothing.
func TestSilentModes(t *testing.T) {
	for _, args := range []string{"-bh", "-bH", "-q30m", "-q1h30m", "-q0", "-q30m bob", "-bh bob", "-bs -q30m"} {
		h := newHost(t, "")
		if got := h.send(letter, strings.Fields(args)...); got != (result{}) {
			t.Errorf("%s: %+v", args, got)
		}
	}
}

// TestLastWins: an option given twice is no error.
func TestLastWins(t *testing.T) {
	h := newHost(t, "")
	s := h.serve(&server{})
	h.send("Subject: s\n\nx\n", strings.Fields("-f a@x.example -r b@x.example -F One -FTwo -V 1 -V2 -N success -N failure -R full -R hdrs -B7BIT -B8BITMIME bob")...).want(t, 0, "")
	m := s.mails()[0]
	if m.from != "b@x.example" || m.opts.EnvelopeID != "2" || m.opts.Return != smtp.DSNReturnHeaders || m.opts.Body != smtp.Body8BitMIME ||
		len(m.rcptOpts[0].Notify) != 1 || !strings.Contains(m.data, "From: Two <b@x.example>") {
		t.Errorf("got %+v", m)
	}
}

// TestTag: the log's name for the command is a word.
func TestTag(t *testing.T) {
	h := newHost(t, "")
	h.serve(&server{})
	env := h.env("-L", "my tag\n[1]: é", "bob")
	env.Stdin = strings.NewReader(letter)
	var name string
	env.SetName = func(n string) { name = n }
	run(env).want(t, 0, "")
	if name != "my_tag__1____" {
		t.Errorf("the process is called %q", name)
	}
}

// TestVerbose: who asks is told what was queued and how; who does not, nothing.
func TestVerbose(t *testing.T) {
	needRoot(t)
	h := newHost(t, "").withMaildrop()
	for _, tc := range []struct {
		name string
		want []string
	}{
		{"maildrop", []string{"from <alice@example.org>, 99 bytes", "to <bob@example.org>", "to <carol@example.net>",
			"socket " + h.socket() + ": daemon does not answer: connect: no such file or directory", "maildrop " + h.maildir + ": left for the daemon"}},
		{"socket", []string{"from <alice@example.org>, 99 bytes", "to <bob@example.org>", "to <carol@example.net>",
			"socket " + h.socket() + ": OK: queued"}},
	} {
		if tc.name == "socket" {
			h.serve(&server{})
		}
		got := h.send(letter, "-v", "bob", "carol@example.net")
		got.want(t, 0, "")
		if got.stdout != strings.Join(tc.want, "\n")+"\n" {
			t.Errorf("%s: said %q", tc.name, got.stdout)
		}
		if got := h.send(letter, "bob"); got != (result{}) {
			t.Errorf("%s, not asked: %+v", tc.name, got)
		}
	}
}

// TestMailSystemAsSender: the mail system's own address stands for the null
// reverse-path, so that no report goes to it.
func TestMailSystemAsSender(t *testing.T) {
	for given, want := range map[string]string{
		"MAILER-DAEMON": "", "<mailer-daemon>": "", "Mailer-Daemon@example.org": "",
		"MAILER-DAEMON@x.example": "MAILER-DAEMON@x.example", "MAILER-DAEMONS": "MAILER-DAEMONS@example.org",
	} {
		h := newHost(t, "")
		s := h.serve(&server{})
		h.send("Subject: s\n\nx\n", "-f", given, "bob").want(t, 0, "")
		if m := s.mails()[0]; m.from != want || want == "" && !strings.Contains(m.data, "\nFrom: MAILER-DAEMON@example.org\n") {
			t.Errorf("-f %s: from %q, %q", given, m.from, m.data)
		}
	}
}
