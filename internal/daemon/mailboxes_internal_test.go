package daemon

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/user"
	"strconv"
	"strings"
	"testing"

	"postrider/delivery/local"
	"postrider/internal/address"
	"postrider/internal/config"
	"postrider/internal/mailboxd"
	"postrider/queue"
)

// TestWhoDelivers: as root, what is not root's own goes to the helper, but for
// mailboxes of the kind mbox of users that cannot have a .forward.
func TestWhoDelivers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	games, err := user.Lookup("games")
	if err != nil {
		t.Skip("needs the user games")
	}
	uid, _ := strconv.Atoi(games.Uid)
	open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("\nx\n")), nil }
	envelope := func(kind queue.TargetKind, value, user string) local.Envelope {
		return local.Envelope{To: address.Address{Local: "games", Domain: "example.com"}, Target: queue.Target{Kind: kind, Value: value, User: user}}
	}
	setUp := func(mailbox string) (*mailboxes, string) {
		dir := t.TempDir()
		if err := os.Mkdir(dir+"/forward", 0o755); err != nil {
			t.Fatal(err)
		}
		cfg := &config.Config{}
		cfg.Local.Mailbox, cfg.Local.Forward, cfg.Local.Delimiter = strings.ReplaceAll(mailbox, "DIR", dir), dir+"/forward/{user}", "+"
		cfg.Local.DefaultUser = "nobody"
		m, err := (&daemon{logger: slog.New(slog.DiscardHandler)}).newMailboxes(cfg)
		if err != nil {
			t.Fatal(err)
		}
		m.helper = &mailboxd.Client{Dial: func(context.Context) (net.Conn, error) { return nil, errors.New("helper was asked") }}
		return m, dir
	}
	ours := func(o local.Outcome, result queue.Result) {
		t.Helper()
		if o.Result != result || strings.Contains(o.Text, "helper") {
			t.Errorf("%+v", o)
		}
	}
	helpers := func(o local.Outcome) {
		t.Helper()
		if o.Result != queue.Temporary || !strings.Contains(o.Text, "helper was asked") {
			t.Errorf("%+v", o)
		}
	}
	m, dir := setUp("mbox:DIR/{user}")
	ours(m.Deliver(t.Context(), envelope(queue.TargetAddress, "", ""), open), queue.Delivered)
	ours(m.Deliver(t.Context(), envelope(queue.TargetUser, "games", ""), open), queue.Delivered)
	ours(m.Deliver(t.Context(), envelope(queue.TargetUser, "root", ""), open), queue.Delivered)
	ours(m.Deliver(t.Context(), envelope(queue.TargetUser, "no-such-user", ""), open), queue.Failed)
	ours(m.Deliver(t.Context(), envelope(queue.TargetFile, "/dev/null", ""), open), queue.Delivered)
	ours(m.Deliver(t.Context(), envelope(queue.TargetCommand, "true", "root"), open), queue.Failed)
	ours(m.Forward(t.Context(), "games"), queue.Pending)
	ours(m.Forward(t.Context(), "root"), queue.Pending)
	helpers(m.Deliver(t.Context(), envelope(queue.TargetCommand, "true", ""), open))
	helpers(m.Deliver(t.Context(), envelope(queue.TargetFile, dir+"/file", "games"), open))
	helpers(m.Include(t.Context(), "games", dir+"/list"))

	if err := errors.Join(os.WriteFile(dir+"/forward/games", []byte("bob\n"), 0o644), os.Chown(dir+"/forward/games", uid, -1)); err != nil {
		t.Fatal(err)
	}
	helpers(m.Deliver(t.Context(), envelope(queue.TargetUser, "games", ""), open))
	helpers(m.Forward(t.Context(), "games"))
	ours(m.Deliver(t.Context(), envelope(queue.TargetMailbox, "games", ""), open), queue.Delivered)

	m, _ = setUp("maildir:DIR/{user}")
	helpers(m.Deliver(t.Context(), envelope(queue.TargetUser, "games", ""), open))
	ours(m.Deliver(t.Context(), envelope(queue.TargetUser, "root", ""), open), queue.Delivered)
	m, _ = setUp("pipe:/bin/cat")
	helpers(m.Deliver(t.Context(), envelope(queue.TargetUser, "games", ""), open))
	ours(m.Deliver(t.Context(), envelope(queue.TargetUser, "root", ""), open), queue.Temporary)
	m, _ = setUp("mbox:{home}/mbox")
	helpers(m.Deliver(t.Context(), envelope(queue.TargetUser, "games", ""), open))
}
