package smtp_test

import (
	"strings"
	"testing"

	"postrider/delivery/smtp"
	"postrider/internal/smtptest"
)

func TestLogin(t *testing.T) {
	ca := smtptest.NewCA(t)
	users := map[string]string{"me": "secret"}
	tests := map[string]struct {
		mechanisms []string
		password   string
		mode       smtp.TLSMode
		plain      bool
		flags      string
	}{
		"both":          {nil, "secret", smtp.TLSVerify, false, "none"},
		"LOGIN only":    {[]string{"XOAUTH2", "login"}, "secret", smtp.TLSVerify, false, "none"},
		"wrong":         {nil, "guess", smtp.TLSVerify, false, "AUTH temporary auth"},
		"wrong, LOGIN":  {[]string{"LOGIN"}, "guess", smtp.TLSVerify, false, "AUTH temporary auth"},
		"none known":    {[]string{"XOAUTH2"}, "secret", smtp.TLSVerify, false, "AUTH temporary auth"},
		"not encrypted": {nil, "secret", smtp.TLSNone, false, "AUTH temporary auth"},
		"allowed":       {nil, "secret", smtp.TLSNone, true, "none"},
		"verified anyway": {
			nil, "secret", smtp.TLSOpportunistic, false, "none",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			// Names of mechanisms are compared without case.
			sink := smtptest.NewSink(t, smtptest.Options{TLS: ca.Server(t, "mx.example.com"), Users: users, Mechanisms: test.mechanisms, PlainAuth: true})
			tg := target(sink.Addr())
			tg.TLS, tg.RootCAs, tg.AllowPlainAuth = test.mode, ca.Pool(), test.plain
			tg.Auth = &smtp.Credentials{Username: "me", Password: test.password}
			rep := newClient(t, smtp.Options{}).Send(t.Context(), tg, message("a@x"))
			wantFlags(t, rep, test.flags)
			if test.flags != "none" {
				if r := rep.Results[0]; r.Done || !r.Reply.Temporary() || strings.Contains(r.Reply.Text, test.password) {
					t.Errorf("result is %s %q, want a temporary one without the password", result(r), r.Reply.Text)
				}
				return
			}
			wantDelivered(t, rep)
			if m := sink.Messages()[0]; m.User != "me" {
				t.Errorf("the message came from %q, want me", m.User)
			}
		})
	}
}

func TestLoginUnverified(t *testing.T) {
	ca := smtptest.NewCA(t)
	srv := scriptTLS(t, smtptest.Script{"EHLO": {"250-a\n250-STARTTLS\n250 AUTH PLAIN"}}, ca.Server(t, "elsewhere.example.com"))
	tg := target(srv.Addr())
	tg.TLS, tg.RootCAs, tg.Auth = smtp.TLSRequired, ca.Pool(), &smtp.Credentials{Username: "me", Password: "secret"}
	rep := newClient(t, smtp.Options{}).Send(t.Context(), tg, message("a@x"))
	wantFlags(t, rep, "AUTH temporary auth")
	if n := count(srv.Lines(), "AUTH"); n != 0 {
		t.Error("the password was sent")
	}
}

func TestLoginDialogue(t *testing.T) {
	tests := map[string]struct {
		script smtptest.Script
		flags  string
		lines  string
	}{
		"PLAIN": {
			smtptest.Script{"EHLO": {"250-a\n250 auth=LOGIN PLAIN"}, "AUTH": {"235 ok"}},
			"none", "AUTH PLAIN AG1lAHNlY3JldA==",
		},
		"LOGIN in other words": {
			smtptest.Script{"EHLO": {"250-a\n250 AUTH LOGIN"}, "AUTH": {"334 bmFtZT8="}, "bWU=": {"334 "}, "c2VjcmV0": {"235 ok"}},
			"none", "AUTH LOGIN, bWU=, c2VjcmV0",
		},
		"454": {
			smtptest.Script{"EHLO": {"250-a\n250 AUTH PLAIN"}, "AUTH": {"454 4.7.0 later"}},
			"AUTH temporary next auth", "AUTH PLAIN AG1lAHNlY3JldA==",
		},
		"535": {
			smtptest.Script{"EHLO": {"250-a\n250 AUTH PLAIN"}, "AUTH": {"535 5.7.8 no"}},
			"AUTH temporary auth", "AUTH PLAIN AG1lAHNlY3JldA==",
		},
		"questions without end": {
			smtptest.Script{"EHLO": {"250-a\n250 AUTH PLAIN"}, "AUTH": {"334 bW9yZQ=="}, "*": {"501 ok"}},
			"AUTH temporary auth", "AUTH PLAIN AG1lAHNlY3JldA==, *",
		},
		"broken question": {
			smtptest.Script{"EHLO": {"250-a\n250 AUTH LOGIN"}, "AUTH": {"334 !!"}, "*": {"501 ok"}},
			"AUTH temporary auth", "AUTH LOGIN, *",
		},
		"drop": {
			smtptest.Script{"EHLO": {"250-a\n250 AUTH PLAIN"}, "AUTH": {smtptest.Drop}},
			"AUTH temporary next", "AUTH PLAIN AG1lAHNlY3JldA==",
		},
		"not offered": {smtptest.Script{}, "AUTH temporary auth", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			srv := script(t, test.script)
			tg := target(srv.Addr())
			tg.AllowPlainAuth, tg.Auth = true, &smtp.Credentials{Username: "me", Password: "secret"}
			rep := newClient(t, smtp.Options{}).Send(t.Context(), tg, message("a@x"))
			wantFlags(t, rep, test.flags)
			var auth []string
			for _, l := range srv.Lines() {
				if verb, _, _ := strings.Cut(l, " "); verb == "EHLO" || verb == "MAIL" || verb == "RCPT" || verb == "DATA" || verb == "QUIT" {
					continue
				}
				auth = append(auth, l)
			}
			if got := strings.Join(auth, ", "); got != test.lines {
				t.Errorf("dialogue was %q, want %q", got, test.lines)
			}
		})
	}
}
