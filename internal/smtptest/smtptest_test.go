package smtptest_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"postrider/internal/smtptest"
)

// TestSinkOutsideOfATest starts a sink as a program does.
func TestSinkOutsideOfATest(t *testing.T) {
	sink, err := smtptest.StartSink(smtptest.Options{OnData: func(m *smtptest.Message) error {
		if strings.Contains(string(m.Data), "refuse") {
			return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "No"}
		}
		return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: "Queued as 1"}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	send := func(content string) error {
		c, err := smtp.Dial(sink.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.SendMail("a@x", []string{"b@x"}, strings.NewReader(content))
	}
	if err := send("please refuse\r\n"); err == nil || sink.Count() != 0 {
		t.Errorf("refused message: error %v, %d kept", err, sink.Count())
	}
	if err := send("hello\r\n"); err != nil {
		t.Errorf("message was not taken: %v", err)
	}
	if err := sink.Wait(t.Context(), 1); err != nil {
		t.Error(err)
	}
	if m := sink.Messages(); len(m) != 1 || string(m[0].Data) != "hello\r\n" || m[0].To[0].Address != "b@x" {
		t.Errorf("messages are %+v", m)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sink.Wait(ctx, 2); err == nil {
		t.Error("Wait returned without the second message")
	}
}

// TestScript checks that the longest key counts and replies are used in turn.
func TestScript(t *testing.T) {
	srv := smtptest.NewScript(t, smtptest.Script{"RCPT": {"550 no"}, "rcpt to:<a@x>": {"250 first", "450-second\n450 line"}}, nil)
	conn, err := net.Dial("tcp", srv.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	steps := []struct {
		line    string
		replies []string
	}{
		{"", []string{"220 script.test ESMTP"}},
		{"EHLO me", []string{"250-script.test", "250 8BITMIME"}},
		{"RCPT TO:<b@x>", []string{"550 no"}},
		{"RCPT TO:<a@x>", []string{"250 first"}},
		{"RCPT TO:<a@x>", []string{"450-second", "450 line"}},
		{"RCPT TO:<a@x>", []string{"450-second", "450 line"}},
		{"DATA", []string{"354 go on"}},
		{"..x\r\n.", []string{"250 2.0.0 queued"}},
		{"QUIT", []string{"221 bye"}},
	}
	for _, step := range steps {
		if step.line != "" {
			fmt.Fprintf(conn, "%s\r\n", step.line)
		}
		for _, want := range step.replies {
			if got, err := r.ReadString('\n'); err != nil || got != want+"\r\n" {
				t.Fatalf("%q was answered %q (%v), want %q", step.line, got, err, want)
			}
		}
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the connection goes on after QUIT")
	}
	if b := srv.Bodies(); len(b) != 1 || b[0] != "..x\r\n" {
		t.Errorf("bodies are %q", b)
	}
}
