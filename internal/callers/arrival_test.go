package callers

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// relayed is the place of what arrives at the sink, and what ends in maildir the
// Maildir of a user. Other places are the mailboxes of the users of their names.
const (
	relayed = "the sink"
	maildir = "'s Maildir"
)

// arrival is a message that has arrived at a place.
type arrival struct {
	place string
	id    string   // tells it from all others
	from  string   // the reverse-path
	to    []string // the recipients
	data  string   // header and body, with LF
}

// one waits for the only message of a place that contains a text.
func (m *machine) one(t *testing.T, place, text string) arrival {
	t.Helper()
	return m.within(t, patience, place, text)
}

// within is one with more patience or less.
func (m *machine) within(t *testing.T, patience time.Duration, place, text string) arrival {
	t.Helper()
	var found []arrival
	until(t, patience, text+" arrives at "+place, func() bool {
		found = m.find(t, place, text)
		return len(found) > 0
	})
	if len(found) > 1 {
		t.Errorf("%d messages with %s arrived at %s", len(found), text, place)
	}
	m.claim(found[0])
	return found[0]
}

// both waits for a text at bob's and at the sink, and checks what arrived there: the
// reverse-path, that the recipient is bob or <somebody>.caller@example.net, and what
// the function checks.
func (m *machine) both(t *testing.T, text, from string, check func(arrival)) {
	t.Helper()
	caller := regexp.MustCompile(`[a-z0-9]+\.caller`).FindString(text)
	for place, to := range map[string]string{"bob": "bob@example.org", relayed: caller + "@example.net"} {
		a := m.one(t, place, text)
		a.check(t, from, to)
		check(a)
		if t.Failed() {
			t.Log(a.data)
		}
	}
}

func (m *machine) find(t *testing.T, place, text string) []arrival {
	t.Helper()
	return slices.DeleteFunc(m.at(t, place), func(a arrival) bool { return !strings.Contains(a.data, text) })
}

func (m *machine) claim(a arrival) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claimed[a.id] = true
}

// unclaimed fails for every message that no test has asked for: second copies,
// bounces, and what was left in the queue.
func (m *machine) unclaimed(t *testing.T) {
	t.Helper()
	until(t, time.Minute, "the queue is empty", func() bool { return m.must(t, "root", "postrider queue list --json") == "" })
	for _, place := range m.places() {
		for _, a := range m.at(t, place) {
			if !m.claimed[a.id] {
				t.Errorf("nobody has asked for %s from <%s>:\n%s", a.id, a.from, a.data)
			}
		}
	}
}

// places gives all that have mail.
func (m *machine) places() []string {
	names := []string{relayed}
	for user, who := range m.users {
		names = append(names, user)
		if exists(m.root + who.home + "/Maildir") {
			names = append(names, user+maildir)
		}
	}
	return names
}

// emptied waits until the queue is empty.
func (m *machine) emptied(t *testing.T, variables ...string) {
	t.Helper()
	until(t, patience, "the queue is empty", func() bool { return m.must(t, "root", "postrider queue list --json", variables...) == "" })
}

// at gives what has arrived at a place.
func (m *machine) at(t *testing.T, place string) []arrival {
	t.Helper()
	if place == relayed {
		return m.atSink()
	}
	messages := entries(m.mailbox(t, "/var/mail/"+place))
	if user, ok := strings.CutSuffix(place, maildir); ok {
		messages = m.maildir(t, user)
	}
	var list []arrival
	for i, message := range messages {
		list = append(list, arrival{
			place: place,
			id:    fmt.Sprintf("message %d of %s", i+1, place),
			from:  strings.Trim(field(message, "Return-Path"), "<>"),
			to:    []string{strings.Trim(field(message, "Delivered-To"), "<>")},
			data:  message,
		})
	}
	return list
}

// maildir reads a user's new messages, in the order of their arrival.
func (m *machine) maildir(t *testing.T, user string) []string {
	t.Helper()
	names, err := filepath.Glob(m.root + m.users[user].home + "/Maildir/new/*")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		names[i] = m.read(t, strings.TrimPrefix(name, m.root))
	}
	return names
}

func (m *machine) atSink() []arrival {
	var list []arrival
	for i, got := range m.sink.Messages() {
		a := arrival{place: relayed, id: fmt.Sprintf("message %d of %s", i+1, relayed), from: got.From, data: strings.ReplaceAll(string(got.Data), "\r\n", "\n")}
		for _, to := range got.To {
			a.to = append(a.to, to.Address)
		}
		list = append(list, a)
	}
	return list
}

// mailbox reads a mailbox while nobody writes it.
func (m *machine) mailbox(t *testing.T, path string) string {
	t.Helper()
	path = filepath.Join(m.root, path)
	for {
		before := exists(path + ".lock")
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return ""
		}
		if err != nil {
			t.Fatal(err)
		}
		if !before && !exists(path+".lock") {
			return string(text)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// entries splits a mailbox in mboxrd format.
func entries(text string) []string {
	var list []string
	quoted := regexp.MustCompile(`(?m)^>(>*From )`)
	for _, entry := range strings.Split("\n\n"+text+"From ", "\n\nFrom ") {
		if _, entry, _ = strings.Cut(entry, "\n"); entry != "" {
			list = append(list, quoted.ReplaceAllString(entry+"\n", "$1"))
		}
	}
	return list
}

// field gives the value of the first header field of a name, unfolded.
func field(message, name string) string {
	m, err := mail.ReadMessage(strings.NewReader(message))
	if err != nil {
		return ""
	}
	text, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get(name))
	if err != nil {
		return m.Header.Get(name)
	}
	return text
}

// body gives the text of a message of one part, decoded.
func (a arrival) body(t *testing.T) string {
	t.Helper()
	m, err := mail.ReadMessage(strings.NewReader(a.data))
	if err != nil {
		t.Fatalf("%s is no message: %v", a.id, err)
	}
	r := m.Body
	switch strings.ToLower(m.Header.Get("Content-Transfer-Encoding")) {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("decode %s: %v", a.id, err)
	}
	return string(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
}

// hasBody compares the text.
func (a arrival) hasBody(t *testing.T, want string) {
	t.Helper()
	if got := a.body(t); got != want {
		t.Errorf("the body of %s is\n%q, want\n%q", a.id, got, want)
	}
}

// check compares the envelope of a message.
func (a arrival) check(t *testing.T, from string, to ...string) {
	t.Helper()
	if a.from != from {
		t.Errorf("%s has the reverse-path <%s>, want <%s>", a.id, a.from, from)
	}
	if !slices.Equal(a.to, to) {
		t.Errorf("%s is for %q, want %q", a.id, a.to, to)
	}
}

// contains looks for a part of a message.
func (a arrival) contains(t *testing.T, part string) {
	t.Helper()
	if !strings.Contains(a.data, part) {
		t.Errorf("%s lacks %q", a.id, part)
	}
}

// says compares header fields, given as name and value in turn.
func (a arrival) says(t *testing.T, fields ...string) {
	t.Helper()
	for i := 0; i+1 < len(fields); i += 2 {
		if got := field(a.data, fields[i]); got != fields[i+1] {
			t.Errorf("%s has %s: %q, want %q", a.id, fields[i], got, fields[i+1])
		}
	}
}
