package command_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"postrider/internal/command"
)

// TestVerbsAskOnTerminals: more than 20 messages want a word.
func TestVerbsAskOnTerminals(t *testing.T) {
	for answer, want := range map[string]struct {
		code int
		says string
	}{
		"y":   {0, "Hold 21 messages? [y/N] held: 21 messages (in the spool itself: no daemon is running)\n"},
		"YES": {0, "Hold 21 messages? [y/N] held: 21 messages (in the spool itself: no daemon is running)\n"},
		"":    {75, "Hold 21 messages? [y/N] postrider: nothing was done\n"},
		"no":  {75, "Hold 21 messages? [y/N] postrider: nothing was done\n"},
	} {
		h := newHost(t, "")
		s := h.open(t)
		for range 21 {
			put(t, s, time.Hour, "a@one.test", "x@two.test")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		keyboard, terminal := openTerminal(t)
		w := &typist{keyboard: keyboard, answers: []string{answer}}
		code := command.Run("1.0", []string{"-C", h.config, "queue", "hold", "--all"}, terminal, &bytes.Buffer{}, w)
		if code != want.code || w.said.String() != want.says {
			t.Errorf("%q: exit %d, %q", answer, code, w.said.String())
		}
	}
}

// TestCatKeepsTerminalsSafe: elsewhere it prints what is stored.
func TestCatKeepsTerminalsSafe(t *testing.T) {
	h := newHost(t, "")
	s := h.open(t)
	const text = "Subject: \x1b]0;evil\x07\n\n\u009b2J caf\u00e9 \u00c2\x7f\tend\xc2\n"
	id := putText(t, s, text)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, out, _ := h.run("", "queue", "cat", id.String()); out != text {
		t.Errorf("%q", out)
	}
	keyboard, terminal := openTerminal(t)
	var errs bytes.Buffer
	if code := command.Run("1.0", []string{"-C", h.config, "queue", "cat", id.String()}, strings.NewReader(""), terminal, &errs); code != 0 {
		t.Fatal(code, errs.String())
	}
	buf := make([]byte, 1000)
	n, err := keyboard.Read(buf)
	if want := "Subject: ?]0;evil?\r\n\r\n?2J caf\u00e9 \u00c2?\tend\xc2\r\n"; err != nil || strings.ReplaceAll(string(buf[:n]), "        ", "\t") != want {
		t.Errorf("%q, %v; want %q", buf[:n], err, want)
	}
}
