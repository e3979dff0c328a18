package local_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/delivery/local"
	"postrider/queue"
)

// FuzzDeliver: whatever the message, the mailbox holds one message, and its body
// can be read back but for the quoting of From_ lines.
func FuzzDeliver(f *testing.F) {
	f.Add("Subject: x\n\nFrom me\n", "bob")
	f.Add("\nno end", "a b\nFrom x")
	f.Add("Return-Path: x\n\n\n\n", "")
	f.Add("From x\nContent-Length: 3", "\xff")
	f.Add(strings.Repeat("From ", 20_000), "x")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, message, sender string) {
		_ = os.Remove(dir + "/alice")
		m := newMailboxes(t, options(dir, os.Getuid()))
		env := envelope()
		env.From.Local = sender
		out := m.Deliver(t.Context(), env, text(message))
		if out.Status == "5.4.6" {
			return
		}
		want(t, out, queue.Delivered, "2.0.0", "")
		got := messages(t, dir+"/alice")
		if len(got) != 1 || !strings.HasSuffix(got[0], "\n\n") {
			t.Fatalf("%d messages, %q", len(got), got)
		}
		_, body, ok := strings.Cut("\n"+message, "\n\n")
		if ok && !strings.HasSuffix(strings.ReplaceAll(got[0], "\n>From ", "\nFrom "), strings.ReplaceAll("\n"+body, "\n>From ", "\nFrom ")+strings.Repeat("\n", 1+lacksEnd(body))) {
			t.Fatalf("body %q became %q", body, got[0])
		}
	})
}

func lacksEnd(body string) int {
	if body == "" || strings.HasSuffix(body, "\n") {
		return 0
	}
	return 1
}

// FuzzRecipient: no recipient makes a file outside of the mail directory.
func FuzzRecipient(f *testing.F) {
	for _, seed := range [][2]string{{"alice", "example.com"}, {"../alice", ".."}, {"a/b", "x/../.."}, {"{domain}", "{user}"}, {"", ""}, {".", "\x00"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, domain string) {
		root := t.TempDir()
		dir := filepath.Join(root, "mail")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		o := options(dir, os.Getuid())
		o.Template = "mbox:" + dir + "/{domain}-{user}"
		o.Lookup = func(name string) (*local.User, error) {
			return &local.User{Name: name, UID: os.Getuid(), GID: os.Getgid(), Home: root}, nil
		}
		env := envelope()
		env.To.Local, env.To.Domain = name, domain
		newMailboxes(t, o).Deliver(t.Context(), env, text("\nx\n"))
		entries, err := os.ReadDir(root)
		if err != nil || len(entries) != 1 {
			t.Fatalf("%v, %v", entries, err)
		}
		within, _ := os.ReadDir(dir)
		for _, e := range within {
			if e.IsDir() {
				t.Fatalf("made a directory %q", e.Name())
			}
		}
	})
}
