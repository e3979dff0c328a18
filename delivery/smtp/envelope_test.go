package smtp_test

import (
	"slices"
	"strings"
	"testing"

	"postrider/delivery/smtp"
	"postrider/internal/address"
	"postrider/internal/smtptest"
	"postrider/queue"
)

// TestEnvelope checks the command lines for what host and message have in common.
func TestEnvelope(t *testing.T) {
	const all = "250-a\n250-8bitmime\n250-Size 100000\n250-dsn\n250 SmtpUtf8"
	from := addr("from@example.org")
	to := func(a string, n queue.Notify, orig string) smtp.Recipient {
		return smtp.Recipient{Address: addr(a), Notify: n, Original: orig}
	}
	tests := []struct {
		name  string
		ehlo  string
		tx    smtp.Transaction
		lines []string
		flags string
		final string
	}{
		{
			"nothing offered", "250 a",
			smtp.Transaction{From: from, EnvID: "id", Ret: queue.RetFull, Size: 5, Recipients: []smtp.Recipient{to("a@x", queue.NotifySuccess, "rfc822;B@x")}},
			[]string{"MAIL FROM:<from@example.org>", "RCPT TO:<a@x>"}, "none", "done 250 2.0.0",
		},
		{
			"all offered, in lower case", all,
			smtp.Transaction{From: from, EnvID: "a+b c", Ret: queue.RetHeaders, Size: 5, Recipients: []smtp.Recipient{
				to("a@x", queue.NotifySuccess|queue.NotifyFailure|queue.NotifyDelay, "rfc822;B=1@x"), to("b@x", queue.NotifyNever, ""), to("c@x", 0, ""),
				to("d@x", 0, "utf-8;ü@x"), to("e@x", 0, "x400;C=no"), to("f@x", 0, "nonsense"),
			}},
			[]string{
				"MAIL FROM:<from@example.org> BODY=8BITMIME SIZE=5 RET=HDRS ENVID=a+2Bb+20c",
				"RCPT TO:<a@x> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=RFC822;B+3D1@x", "RCPT TO:<b@x> NOTIFY=NEVER", "RCPT TO:<c@x>",
				"RCPT TO:<d@x> ORCPT=UTF-8;ü@x", "RCPT TO:<e@x>", "RCPT TO:<f@x>",
			},
			"none", strings.Repeat("done 250 2.0.0, ", 5) + "done 250 2.0.0",
		},
		{
			"null sender, quoted recipients", "250 a",
			smtp.Transaction{Recipients: []smtp.Recipient{to("a b@x", 0, ""), to(`q"\@x`, 0, ""), to("a>@x", 0, "")}},
			[]string{"MAIL FROM:<>", `RCPT TO:<"a b"@x>`, `RCPT TO:<"q\"\\"@x>`, `RCPT TO:<"a>"@x>`},
			"none", "done 250 2.0.0, done 250 2.0.0, done 250 2.0.0",
		},
		{
			"line breaks in addresses", "250 a",
			smtp.Transaction{From: from, Recipients: []smtp.Recipient{
				{Address: address.Address{Local: "a\r\nRSET", Domain: "x"}}, {Address: address.Address{Local: "a", Domain: "x> X=Y <y"}}, to("ok@x", 0, ""),
			}},
			[]string{"MAIL FROM:<from@example.org>", "RCPT TO:<ok@x>"}, "none", "open - 5.1.3, open - 5.1.3, done 250 2.0.0",
		},
		{
			"line break in the sender", "250 a",
			smtp.Transaction{From: address.Address{Local: "a\nb", Domain: "x"}, Recipients: []smtp.Recipient{to("ok@x", 0, "")}},
			nil, "MAIL next", "open - 5.1.3",
		},
		{
			"too large", "250-a\n250 SIZE 100",
			smtp.Transaction{From: from, Size: 101, Recipients: []smtp.Recipient{to("a@x", 0, ""), to("b@x", 0, "")}},
			nil, "MAIL next", "open - 5.3.4, open - 5.3.4",
		},
		{
			"no limit on size", "250-a\n250 SIZE 0",
			smtp.Transaction{From: from, Size: 101, Recipients: []smtp.Recipient{to("a@x", 0, "")}},
			[]string{"MAIL FROM:<from@example.org> SIZE=101", "RCPT TO:<a@x>"}, "none", "done 250 2.0.0",
		},
		{
			"8-bit content", "250 a",
			smtp.Transaction{From: from, EightBit: true, Recipients: []smtp.Recipient{to("a@x", 0, "")}},
			nil, "MAIL next", "open - 5.6.3",
		},
		{
			"internationalised, offered", "250-a\n250 SMTPUTF8",
			smtp.Transaction{From: addr("ü@bücher.example"), Recipients: []smtp.Recipient{to("é@bücher.example", 0, "")}},
			[]string{"MAIL FROM:<ü@bücher.example> SMTPUTF8", "RCPT TO:<é@bücher.example>"}, "none", "done 250 2.0.0",
		},
		{
			"internationalised domains only", "250-a\n250 SMTPUTF8",
			smtp.Transaction{From: addr("a@bücher.example"), Recipients: []smtp.Recipient{to("b@bücher.example", 0, "")}},
			[]string{"MAIL FROM:<a@xn--bcher-kva.example>", "RCPT TO:<b@xn--bcher-kva.example>"}, "none", "done 250 2.0.0",
		},
		{
			"domain without ASCII form", "250 a",
			smtp.Transaction{From: from, Recipients: []smtp.Recipient{to("b@\u0301e.example", 0, ""), to("c@x", 0, "")}},
			[]string{"MAIL FROM:<from@example.org>", "RCPT TO:<c@x>"}, "none", "open - 5.6.7, done 250 2.0.0",
		},
		{
			"internationalised recipient, not offered", "250 a",
			smtp.Transaction{From: from, Recipients: []smtp.Recipient{to("é@x", 0, ""), to("b@x", 0, "")}},
			[]string{"MAIL FROM:<from@example.org>", "RCPT TO:<b@x>"}, "none", "open - 5.6.7, done 250 2.0.0",
		},
		{
			"internationalised recipients only, not offered", "250 a",
			smtp.Transaction{From: from, Recipients: []smtp.Recipient{to("é@x", 0, "")}},
			nil, "none", "open - 5.6.7",
		},
		{
			"internationalised sender, not offered", "250 a",
			smtp.Transaction{From: addr("ü@x"), Recipients: []smtp.Recipient{to("a@x", 0, "")}},
			nil, "MAIL next", "open - 5.6.7",
		},
		{
			"internationalised header", "250-a\n250 SMTPUTF8",
			smtp.Transaction{From: from, SMTPUTF8: true, Recipients: []smtp.Recipient{to("a@x", 0, "")}},
			[]string{"MAIL FROM:<from@example.org> SMTPUTF8", "RCPT TO:<a@x>"}, "none", "done 250 2.0.0",
		},
		{
			"internationalised header, not offered", "250 a",
			smtp.Transaction{From: from, SMTPUTF8: true, Recipients: []smtp.Recipient{to("a@x", 0, "")}},
			nil, "MAIL next", "open - 5.6.7",
		},
	}
	for _, test := range tests {
		for mode, s := range bothWays(smtptest.Script{"EHLO": {test.ehlo}}) {
			t.Run(test.name+mode, func(t *testing.T) {
				srv := script(t, s)
				test.tx.Open = open(body)
				rep := newClient(t, smtp.Options{}).Send(t.Context(), target(srv.Addr()), &test.tx)
				wantFlags(t, rep, test.flags)
				wantResults(t, rep, test.final)
				var lines []string
				for _, l := range srv.Lines() {
					if strings.HasPrefix(l, "MAIL") || strings.HasPrefix(l, "RCPT") {
						lines = append(lines, l)
					}
				}
				if !slices.Equal(lines, test.lines) {
					t.Errorf("said\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(test.lines, "\n"))
				}
			})
		}
	}
}

// TestWholeServer has another implementation read what we say.
func TestWholeServer(t *testing.T) {
	for _, dsn := range []bool{true, false} {
		sink := smtptest.NewSink(t, smtptest.Options{DSN: dsn, SMTPUTF8: true, MaxMessageBytes: 1 << 20})
		tx := message("a b@example.com", "c@example.com")
		tx.EnvID, tx.Ret = "QQ+1 2", queue.RetHeaders
		tx.Recipients[1].Notify, tx.Recipients[1].Original = queue.NotifySuccess|queue.NotifyDelay, "rfc822;Old=One@example.com"
		rep := newClient(t, smtp.Options{}).Send(t.Context(), target(sink.Addr()), tx)
		wantDelivered(t, rep)
		m := sink.Messages()[0]
		if m.From != "from@example.org" || m.To[0].Address != "a b@example.com" || m.Mail.Size != int64(len(body)) || string(m.Data) != body || m.Hello != "client.test" {
			t.Errorf("got %+v", m)
		}
		if rep.Results[0].DSN != dsn || rep.Results[1].DSN != dsn {
			t.Errorf("DSN is %v, want %v", rep.Results[1].DSN, dsn)
		}
		wantID, wantOriginal := "", ""
		if dsn {
			wantID, wantOriginal = tx.EnvID, "Old=One@example.com"
		}
		if m.Mail.EnvelopeID != wantID || m.To[1].Options.OriginalRecipient != wantOriginal {
			t.Errorf("ENVID is %q and ORCPT %q, want %q and %q", m.Mail.EnvelopeID, m.To[1].Options.OriginalRecipient, wantID, wantOriginal)
		}
	}
}

func TestNoRecipients(t *testing.T) {
	srv := script(t, nil)
	rep := newClient(t, smtp.Options{}).Send(t.Context(), target(srv.Addr()), message())
	if rep.Err != nil || len(rep.Results) != 0 || srv.Connections() != 0 {
		t.Errorf("report is %+v after %d connections, want nothing done", rep, srv.Connections())
	}
}
