package smtpd

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"postrider/internal/logins"
	"postrider/internal/submission"
)

// fuzzedSession is the real one but for the queue.
type fuzzedSession struct {
	*session
	rec recorderSession
}

func (s fuzzedSession) Data(r io.Reader) error { return s.rec.Data(r) }

// dialogue plays a byte stream to a server and gives the messages taken and what
// was said. The submission service believes itself under TLS once it was greeted.
func dialogue(t *testing.T, stream string, piece int, service Service, book *logins.Book) (messages []string, replies string) {
	t.Helper()
	var log bytes.Buffer
	s := New(Options{
		Intake:   submission.New(submission.Options{Origin: "origin.test", LocalDomains: []string{"local.test"}}),
		Hostname: "mx.test", MaxSize: 1 << 20, MaxRecipients: 10, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError})),
		TLS: &tls.Config{}, Logins: book, LoginDelay: 1,
	})
	rec := &recorder{}
	s.engine.Backend = smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		real, err := s.newSession(c)
		if err != nil {
			return nil, err
		}
		g := c.Conn().(*guard)
		g.peer.tls = service == Submission
		return fuzzedSession{real.(*session), recorderSession{rec, g}}, nil
	})
	c := &scripted{in: []byte(stream), piece: piece}
	if err := s.ServeTCP(context.Background(), &oneConn{conn: c}, service); err != nil {
		t.Fatal(err)
	}
	if err := s.engine.Shutdown(context.Background()); err != nil && !errors.Is(err, smtp.ErrServerClosed) {
		t.Fatal(err)
	}
	if log.Len() > 0 {
		t.Fatalf("the server is in trouble: %s", &log)
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.messages, c.out.String()
}

// strictReading reads a stream once more, as RFC 5321 and RFC 3030 do and nobody
// more leniently. Of the server it takes only the replies, one for each command, and
// it gives the messages that these accept.
func strictReading(stream, replies string) (messages []string) {
	var codes []string
	for _, line := range strings.Split(replies, "\r\n") {
		if len(line) >= 3 && (len(line) == 3 || line[3] != '-') {
			codes = append(codes, line[:3])
		}
	}
	next := func() string {
		if len(codes) == 0 {
			return ""
		}
		c := codes[0]
		codes = codes[1:]
		return c
	}
	next() // the greeting
	var chunks string
	answer := false // the line is one of a login
	for {
		line, rest, ok := strings.Cut(stream, "\n")
		if !ok {
			return messages
		}
		stream = rest
		fields := strings.Fields(strings.ToUpper(line))
		isChunk := !answer && len(fields) >= 2 && fields[0] == "BDAT"
		code := next()
		answer = code == "334"
		switch {
		case code == "", code == "421", code == "220":
			return messages
		case isChunk:
			n, err := strconv.ParseUint(fields[1], 10, 32)
			if err != nil || n > uint64(len(stream)) {
				return messages
			}
			chunks += stream[:n]
			stream = stream[n:]
			if code != "250" {
				chunks = ""
			} else if len(fields) == 3 {
				messages, chunks = append(messages, chunks), ""
			}
		case code == "354":
			wire := "\r\n" + stream
			end := strings.Index(wire, "\r\n.\r\n")
			if end < 0 {
				return messages
			}
			text := wire[2:][:end]
			stream = wire[end+len("\r\n.\r\n"):]
			if strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\n") {
				return messages // a bare LF is refused
			}
			if next() == "250" {
				messages = append(messages, unstuffed(text))
			}
		}
	}
}

// unstuffed undoes dot-stuffing and makes a stray CR a blank.
func unstuffed(text string) string {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", " ")
	text = strings.ReplaceAll("\n"+text, "\n.", "\n")[1:]
	return strings.ReplaceAll(text, "\n", "\r\n")
}

// FuzzDialogue checks that no stream makes the server panic or hang, and that it
// takes in the messages that a strict reader sees, and no other: nothing of a body
// is ever a command, and no command becomes part of a body.
func FuzzDialogue(f *testing.F) {
	path := filepath.Join(f.TempDir(), "users")
	if _, err := logins.Set(path, "alice", "secret", -1); err != nil {
		f.Fatal(err)
	}
	book := logins.Open(path)
	f.Add(envelope+"DATA\r\nhi\r\n.\r\nQUIT\r\n", uint16(3), false)
	f.Add(envelope+"DATA\r\nhi\n.\r\n"+envelope+"DATA\r\nx\r\r\n.\r\n", uint16(9), false)
	f.Add("HELO\r\nRCPT TO:<\"a\\\" b>\r\nMAIL FROM:<@x:y@z> ORCPT=x400;+20+ SIZE=99999999999\r\n", uint16(100), false)
	f.Add("BDAT 0 LAST\r\nBDAT 99999999999\r\n\x00STARTTLS\r\nAUTH PLAIN\r\nVRFY x\r\n", uint16(2), true)
	f.Fuzz(func(t *testing.T, stream string, piece uint16, submission bool) {
		service := Relay
		if submission {
			service = Submission
		}
		messages, replies := dialogue(t, stream, int(piece)+1, service, book)
		if want := strictReading(stream, replies); !slices.Equal(messages, want) {
			t.Fatalf("took %q, a strict reader %q; replies:\n%s", messages, want, replies)
		}
	})
}

// TestDialogues plays the committed dialogues of real clients, each of which has to
// bring in its messages.
func TestDialogues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	if _, err := logins.Set(path, "alice", "secret", -1); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("testdata/fuzz/FuzzDialogue/client-*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	for _, file := range files {
		stream, submission := readSeed(t, file)
		service := Relay
		if submission {
			service = Submission
		}
		messages, replies := dialogue(t, stream, 1000, service, logins.Open(path))
		if len(messages) == 0 {
			t.Errorf("%s brings in nothing:\n%s", file, replies)
		}
	}
}

// readSeed reads a file of the corpus.
func readSeed(t *testing.T, file string) (stream string, submission bool) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if quoted, ok := strings.CutPrefix(line, "string("); ok {
			if stream, err = strconv.Unquote(strings.TrimSuffix(quoted, ")")); err != nil {
				t.Fatal(err)
			}
		}
		submission = submission || line == "bool(true)"
	}
	return stream, submission
}
