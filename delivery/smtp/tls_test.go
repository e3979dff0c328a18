package smtp_test

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"postrider/delivery/smtp"
	"postrider/internal/smtptest"
)

// TestCertificates checks what each mode makes of each certificate.
func TestCertificates(t *testing.T) {
	ca := smtptest.NewCA(t)
	const name = "mx.example.com"
	certificates := map[string]struct {
		cfg             *tls.Config
		verdict, reason string
	}{
		"valid":       {ca.Server(t, name), " verified", ""},
		"wildcard":    {ca.Server(t, "*.example.com"), " verified", ""},
		"mismatched":  {ca.Server(t, "mx.example.org"), "mx.example.org", "certificate-host-mismatch"},
		"expired":     {ca.NewLeaf(t, smtptest.Leaf{Names: []string{name}, NotAfter: time.Now().Add(-time.Hour)}), "expired", "certificate-expired"},
		"self-signed": {ca.NewLeaf(t, smtptest.Leaf{Names: []string{name}, SelfSigned: true}), "self-signed certificate", "certificate-not-trusted"},
		"foreign":     {smtptest.NewCA(t).Server(t, name), "unknown authority", "certificate-not-trusted"},
	}
	for certificate, test := range certificates {
		for _, mode := range []smtp.TLSMode{smtp.TLSOpportunistic, smtp.TLSRequired, smtp.TLSVerify} {
			for _, implicit := range []bool{false, true} {
				t.Run(certificate+" "+mode.String()+" "+map[bool]string{true: "implicit", false: "STARTTLS"}[implicit], func(t *testing.T) {
					sink := smtptest.NewSink(t, smtptest.Options{TLS: test.cfg, ImplicitTLS: implicit})
					tg := target(sink.Addr())
					tg.TLS, tg.ImplicitTLS, tg.RootCAs = mode, implicit, ca.Pool()
					rep := newClient(t, smtp.Options{}).Send(t.Context(), tg, message("a@x"))
					if !strings.Contains(rep.TLS, test.verdict) {
						t.Errorf("TLS is %q, want it to say %q", rep.TLS, test.verdict)
					}
					if mode == smtp.TLSVerify && test.reason != "" {
						wantFlags(t, rep, "handshake temporary next connect")
						wantResults(t, rep, "open - 4.7.5")
						var ce *smtp.CertificateError
						if !errors.As(rep.Err, &ce) || ce.Reason != test.reason {
							t.Errorf("error is %v, want reason %s", rep.Err, test.reason)
						}
						return
					}
					wantDelivered(t, rep)
					if m := sink.Messages(); !m[0].TLS {
						t.Error("the message came in the clear")
					}
					if !strings.HasPrefix(rep.TLS, "TLS 1.3 TLS_") || (test.reason != "") != strings.Contains(rep.TLS, " unverified (") {
						t.Errorf("TLS is %q", rep.TLS)
					}
				})
			}
		}
	}
}

// TestWeakTLS: old versions serve where the alternative is clear text.
func TestWeakTLS(t *testing.T) {
	ca := smtptest.NewCA(t)
	old := ca.Server(t, "mx.example.com")
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
	for mode, want := range map[smtp.TLSMode]bool{smtp.TLSOpportunistic: true, smtp.TLSRequired: false, smtp.TLSVerify: false} {
		t.Run(mode.String(), func(t *testing.T) {
			sink := smtptest.NewSink(t, smtptest.Options{TLS: old})
			tg := target(sink.Addr())
			tg.TLS, tg.RootCAs = mode, ca.Pool()
			rep := newClient(t, smtp.Options{}).Send(t.Context(), tg, message("a@x"))
			if !want {
				wantFlags(t, rep, "handshake temporary next connect")
				return
			}
			wantDelivered(t, rep)
			if !strings.HasPrefix(rep.TLS, "TLS 1.0 ") || !sink.Messages()[0].TLS {
				t.Errorf("TLS is %q, want TLS 1.0", rep.TLS)
			}
		})
	}
}

// TestBrokenTLS checks the way back to clear text.
func TestBrokenTLS(t *testing.T) {
	const hello = "250-script.test\n250 StartTLS"
	ca := smtptest.NewCA(t)
	tests := map[string]struct {
		script smtptest.Script
		cfg    *tls.Config
		tls    string
		lost   string // where modes that demand TLS fail
	}{
		"refused": {
			smtptest.Script{"EHLO": {hello}, "STARTTLS": {"454 4.7.0 not now"}}, nil,
			"none (STARTTLS failed: 454 4.7.0 not now)", "STARTTLS temporary next connect",
		},
		"dropped": {
			smtptest.Script{"EHLO": {hello}, "STARTTLS": {smtptest.Drop}}, nil,
			"none (STARTTLS failed: connection closed)", "STARTTLS temporary next connect",
		},
		"not TLS": {
			smtptest.Script{"EHLO": {hello}, "STARTTLS": {"220 go" + smtptest.Drop}}, nil,
			"none (handshake failed: ", "handshake temporary next connect",
		},
		"silent": {
			smtptest.Script{"EHLO": {hello}, "STARTTLS": {"220 go" + smtptest.Hang}}, nil,
			"none (handshake failed: timed out: ", "handshake temporary next connect",
		},
		"lost after": {
			smtptest.Script{"EHLO": {hello, smtptest.Drop, hello}}, ca.Server(t, "mx.example.com"),
			"none (EHLO failed: connection closed)", "EHLO temporary next connect",
		},
	}
	for name, test := range tests {
		for _, mode := range []smtp.TLSMode{smtp.TLSOpportunistic, smtp.TLSRequired, smtp.TLSVerify} {
			t.Run(name+" "+mode.String(), func(t *testing.T) {
				srv := scriptTLS(t, test.script, test.cfg)
				c := newClient(t, smtp.Options{Timeouts: short})
				tg := target(srv.Addr())
				tg.TLS, tg.MaxMessages, tg.RootCAs = mode, 1, ca.Pool()
				rep := c.Send(t.Context(), tg, message("a@x"))
				if mode != smtp.TLSOpportunistic {
					wantFlags(t, rep, test.lost)
					if n := count(srv.Lines(), "MAIL"); n != 0 {
						t.Error("mail was sent without TLS")
					}
					return
				}
				wantDelivered(t, rep)
				if !strings.HasPrefix(rep.TLS, test.tls) {
					t.Errorf("TLS is %q, want %q", rep.TLS, test.tls)
				}
				// The next message does not try again.
				rep = c.Send(t.Context(), tg, message("a@x"))
				wantDelivered(t, rep)
				if n := count(srv.Lines(), "STARTTLS"); n != 1 || !strings.HasPrefix(rep.TLS, test.tls) {
					t.Errorf("STARTTLS was said %d times, TLS is %q", n, rep.TLS)
				}
			})
		}
	}
}

func TestBrokenTLSIsForgotten(t *testing.T) {
	srv := script(t, smtptest.Script{"EHLO": {"250-a\n250 STARTTLS"}, "STARTTLS": {"454 no"}})
	now := time.Now()
	c := newClient(t, smtp.Options{Now: func() time.Time { return now }})
	tg := target(srv.Addr())
	tg.TLS, tg.MaxMessages = smtp.TLSOpportunistic, 1
	for range 2 {
		wantDelivered(t, c.Send(t.Context(), tg, message("a@x")))
		now = now.Add(2 * time.Hour)
	}
	if n := count(srv.Lines(), "STARTTLS"); n != 2 {
		t.Errorf("STARTTLS was said %d times, want twice", n)
	}
}

func TestTLSNotOffered(t *testing.T) {
	for mode, want := range map[smtp.TLSMode]string{
		smtp.TLSNone: "none", smtp.TLSOpportunistic: "none",
		smtp.TLSRequired: "STARTTLS temporary next connect", smtp.TLSVerify: "STARTTLS temporary next connect",
	} {
		t.Run(mode.String(), func(t *testing.T) {
			srv := script(t, nil)
			tg := target(srv.Addr())
			tg.TLS = mode
			rep := newClient(t, smtp.Options{}).Send(t.Context(), tg, message("a@x"))
			wantFlags(t, rep, want)
			if rep.Err != nil {
				wantResults(t, rep, "open - 4.7.4")
			}
			if mode != smtp.TLSNone && rep.TLS != "none (not offered)" {
				t.Errorf("TLS is %q", rep.TLS)
			}
		})
	}
}

// TestClearTextInjected: CVE-2011-0411, the client's side.
func TestClearTextInjected(t *testing.T) {
	ca := smtptest.NewCA(t)
	for _, mode := range []smtp.TLSMode{smtp.TLSOpportunistic, smtp.TLSRequired, smtp.TLSVerify} {
		t.Run(mode.String(), func(t *testing.T) {
			srv := scriptTLS(t, smtptest.Script{"EHLO": {"250-a\n250 STARTTLS"}, "STARTTLS": {"220 go\n250 injected"}}, ca.Server(t, "mx.example.com"))
			tg := target(srv.Addr())
			tg.TLS, tg.RootCAs = mode, ca.Pool()
			rep := newClient(t, smtp.Options{}).Send(t.Context(), tg, message("a@x"))
			wantFlags(t, rep, "STARTTLS temporary next connect")
			if count(srv.Lines(), "MAIL") != 0 || srv.Connections() != 1 {
				t.Error("it went on after an injection")
			}
		})
	}
}

// TestOffersBeforeTLSAreForgotten: RFC 3207 §4.2.
func TestOffersBeforeTLSAreForgotten(t *testing.T) {
	ca := smtptest.NewCA(t)
	srv := scriptTLS(t, smtptest.Script{"EHLO": {"250-a\n250-STARTTLS\n250-SIZE 10\n250 DSN", "250 a"}}, ca.Server(t, "mx.example.com"))
	tg := target(srv.Addr())
	tg.TLS, tg.RootCAs = smtp.TLSVerify, ca.Pool()
	rep := newClient(t, smtp.Options{}).Send(t.Context(), tg, message("a@x"))
	wantDelivered(t, rep)
	if rep.Results[0].DSN {
		t.Error("DSN is believed from before TLS")
	}
}

// TestLargeOverTLS sends several blocks and records.
func TestLargeOverTLS(t *testing.T) {
	ca := smtptest.NewCA(t)
	sink := smtptest.NewSink(t, smtptest.Options{TLS: ca.Server(t, "mx.example.com")})
	tg := target(sink.Addr())
	tg.TLS, tg.RootCAs = smtp.TLSVerify, ca.Pool()
	content := strings.Repeat(strings.Repeat("z", 70)+"\r\n", 10000)
	c := newClient(t, smtp.Options{})
	for range 2 {
		tx := message("a@x")
		tx.Open = open(content)
		wantDelivered(t, c.Send(t.Context(), tg, tx))
	}
	for _, m := range sink.Messages() {
		if string(m.Data) != content {
			t.Errorf("%d bytes arrived, want %d", len(m.Data), len(content))
		}
	}
}
