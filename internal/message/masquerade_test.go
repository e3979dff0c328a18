package message_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"postrider/internal/address"
	"postrider/internal/message"
)

// toOrg makes addresses of host.test and those without a domain addresses of
// example.org, and root another user.
func toOrg(a address.Address) (address.Address, bool) {
	if a.Domain != "host.test" && a.Domain != "" {
		return a, false
	}
	if a.Local == "root" {
		a.Local = "host admin"
	}
	return address.Address{Local: a.Local, Domain: "example.org"}, true
}

func never(a address.Address) (address.Address, bool) { return address.Address{}, false }

// masquerade runs a message through all forms, which must agree.
func masquerade(t *testing.T, in string, rewrite func(address.Address) (address.Address, bool)) string {
	t.Helper()
	stored := []byte(in)
	out := message.MasqueradeBytes(stored, rewrite)
	if in == string(out) && len(in) > 0 && &stored[0] != &out[0] {
		t.Errorf("%q was copied, though nothing changes", in)
	}
	for _, r := range []io.Reader{
		message.Masquerade(strings.NewReader(in), rewrite),
		iotest.OneByteReader(message.Masquerade(iotest.OneByteReader(strings.NewReader(in)), rewrite)),
		message.Masquerade(iotest.DataErrReader(strings.NewReader(in)), rewrite),
	} {
		if streamed, err := io.ReadAll(r); err != nil || string(streamed) != string(out) {
			t.Fatalf("%q streams as %q, %v; in memory it is %q", in, streamed, err, out)
		}
	}
	if string(stored) != in {
		t.Fatalf("%q was changed in place", in)
	}
	return string(out)
}

func TestMasquerade(t *testing.T) {
	long := strings.Repeat("x", 20000)
	for name, tt := range map[string]struct{ in, want string }{
		"plain": {"From: a@host.test\n\nx\n", "From: a@example.org\n\nx\n"},
		"all of them": {
			"Resent-From: a@host.test\nRESENT-SENDER: b@host.test\nresent-reply-to: c@host.test\nfrom: d@host.test\nSender: e@host.test\nReply-To: f@host.test\n\n",
			"Resent-From: a@example.org\nRESENT-SENDER: b@example.org\nresent-reply-to: c@example.org\nfrom: d@example.org\nSender: e@example.org\nReply-To: f@example.org\n\n",
		},
		"nothing else": {
			"Return-Path: <a@host.test>\nReceived: from a@host.test\nTo: a@host.test\nCc: a@host.test\nMessage-ID: <a@host.test>\nX-From: a@host.test\nResent-To: a@host.test\nErrors-To: a@host.test\nFro: a@host.test\n\n", "",
		},
		"body":            {"Subject: s\n\nFrom: a@host.test\n", ""},
		"body at once":    {"\nFrom: a@host.test\n", ""},
		"no header":       {"some text\nFrom: a@host.test\n", ""},
		"ends early":      {"Subject: s\nsome text\nFrom: a@host.test\n", ""},
		"fold at first":   {" From: a@host.test\nFrom: a@host.test\n", ""},
		"no newline":      {"From: a@host.test", "From: a@example.org"},
		"quoted phrase":   {"From: \"a@host.test, <b@host.test>\" <c@host.test>\n\n", "From: \"a@host.test, <b@host.test>\" <c@example.org>\n\n"},
		"phrase":          {"From: Alice B. Cooper <a@host.test>\n\n", "From: Alice B. Cooper <a@example.org>\n\n"},
		"comments":        {"From: (b@host.test) a@host.test (Alice (c@host.test))\n\n", "From: (b@host.test) a@example.org (Alice (c@host.test))\n\n"},
		"comments inside": {"From: <a (x) @ (y) host.test>\n\n", "From: <a (x) @ (y) example.org>\n\n"},
		"group": {
			"Reply-To: Us and Them: a@host.test, B <b@else.test>, c@host.test;, d@host.test\n\n",
			"Reply-To: Us and Them: a@example.org, B <b@else.test>, c@example.org;, d@example.org\n\n",
		},
		"empty group": {"From: undisclosed:;\n\n", ""},
		"folded": {
			"From: Alice\n\t<a@host.test>,\n B <\n b@host.test\n >,\n  c@else.test\nTo: x\n\n",
			"From: Alice\n\t<a@example.org>,\n B <\n b@example.org\n >,\n  c@else.test\nTo: x\n\n",
		},
		"encoded words": {
			"From: =?utf-8?q?a=40host=2Etest?= <a@host.test>, =?utf-8?b?YUBob3N0LnRlc3Q=?= <b@else.test>\n\n",
			"From: =?utf-8?q?a=40host=2Etest?= <a@example.org>, =?utf-8?b?YUBob3N0LnRlc3Q=?= <b@else.test>\n\n",
		},
		"8 bit":        {"From: J\xf6rg \u00e9 <j\u00f6rg@host.test>\n\n", "From: J\xf6rg \u00e9 <j\u00f6rg@example.org>\n\n"},
		"quoted local": {"From: \"a\\ b\"@host.test, \"c\"@host.test\n\n", "From: \"a\\ b\"@example.org, \"c\"@example.org\n\n"},
		"local too":    {"From: Root <root@host.test>, \"root\"@host.test\n\n", "From: Root <\"host admin\"@example.org>, \"host admin\"@example.org\n\n"},
		"no domain":    {"From: root (Cron), a\n\n", "From: \"host admin\"@example.org (Cron), a@example.org\n\n"},
		"route":        {"From: <@relay.test,@host.test:a@host.test>\n\n", "From: <a@example.org>\n\n"},
		"unreadable":   {"From: a@host.test, <b@host.test\nSender: c@host.test\n\n", "From: a@host.test, <b@host.test\nSender: c@example.org\n\n"},
		"blank name":   {"From : a@host.test\n\n", "From : a@example.org\n\n"},
		"empty field":  {"From:\nSender: \n\n", ""},
		"CRLF":         {"From: a@host.test\r\nTo: a@host.test\r\n\r\nFrom: a@host.test\r\n", "From: a@example.org\r\nTo: a@host.test\r\n\r\nFrom: a@host.test\r\n"},
		"long lines": {
			"X: " + long + "\n " + long + "\nFrom: " + long + " <a@host.test>\n\n" + long + "\n",
			"X: " + long + "\n " + long + "\nFrom: " + long + " <a@example.org>\n\n" + long + "\n",
		},
		"long name":  {long + ": x\nFrom: a@host.test\n\n", ""},
		"huge field": {"From: " + strings.Repeat("a@host.test,\n ", 30000) + "b\nSender: a@host.test\n\n", "From: " + strings.Repeat("a@host.test,\n ", 30000) + "b\nSender: a@example.org\n\n"},
		"empty":      {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.want == "" {
				tt.want = tt.in
			}
			if got := masquerade(t, tt.in, toOrg); got != tt.want {
				t.Errorf("%.300q\nbecomes %.300q\nwant    %.300q", tt.in, got, tt.want)
			}
			if got := masquerade(t, tt.in, never); got != tt.in {
				t.Errorf("%.300q becomes %.300q without a reason", tt.in, got)
			}
		})
	}
}

// TestMasqueradeFails passes on what the source says, after what it gave.
func TestMasqueradeFails(t *testing.T) {
	broken := errors.New("bad block")
	for in, want := range map[string]string{"From: a@host.test\nX": "From: a@example.org\nX", "From: a@host.test\n\nx": "From: a@example.org\n\nx", "": ""} {
		got, err := io.ReadAll(message.Masquerade(io.MultiReader(strings.NewReader(in), iotest.ErrReader(broken)), toOrg))
		if !errors.Is(err, broken) || string(got) != want {
			t.Errorf("%q gave %q, %v", in, got, err)
		}
	}
}

// originatorsOf gives the fields that say who a message is from.
func originatorsOf(header string) (values []string) {
	for _, field := range strings.SplitAfter(strings.NewReplacer("\n ", "\x01 ", "\n\t", "\x01\t").Replace(header), "\n") {
		name, value, ok := strings.Cut(field, ":")
		switch strings.TrimPrefix(strings.ToLower(strings.TrimRight(name, " \t")), "resent-") {
		case "from", "sender", "reply-to":
		default:
			ok = false
		}
		if ok {
			values = append(values, strings.ReplaceAll(value, "\x01", "\n"))
		}
	}
	return values
}

func FuzzMasquerade(f *testing.F) {
	for _, s := range append(seeds,
		"From: A <a@host.test>\n\t(x), g: b, \"c d\"@host.test;\nSender: root@host.test\n\nFrom: a@host.test\n",
		"Reply-To : <@r:a@host.test>, a (c) @ host.test\nFrom\n", "From: \"a\n b\" <a@host.test>, <c", "From: :a b: c@host.test\n\n",
	) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if got := masquerade(t, in, never); got != in {
			t.Fatalf("%q becomes %q without a reason", in, got)
		}
		masquerade(t, in, toOrg)
		if strings.Contains(in, "\x01") {
			return
		}
		stored, _ := read(t, in, fixed)
		out := masquerade(t, stored, toOrg)
		before, bodyBefore := split(t, stored)
		after, bodyAfter := split(t, out)
		if bodyBefore != bodyAfter || strings.Count(before, ":") < strings.Count(after, ":") {
			t.Fatalf("%q becomes %q", stored, out)
		}
		values, valuesAfter := originatorsOf(before), originatorsOf(after)
		if len(values) != len(valuesAfter) {
			t.Fatalf("%q becomes %q", stored, out)
		}
		for i := range values {
			checkRewritten(t, values[i], valuesAfter[i])
		}
	})
}

// checkRewritten: a field that can be read lists what its addresses become. Of
// several some may be spelled so that only leaving all of them is safe.
func checkRewritten(t *testing.T, before, after string) {
	t.Helper()
	list, bad := address.ParseHeader(before)
	if len(bad) > 0 || len(list) > 1 && before == after {
		if before != after {
			t.Fatalf("%q becomes %q", before, after)
		}
		return
	}
	for i, a := range list {
		if to, ok := toOrg(a); ok {
			list[i] = to
		}
	}
	if got, bad := address.ParseHeader(after); len(bad) > 0 || !slices.Equal(got, list) {
		t.Fatalf("%q becomes %q, which lists %v; want %v", before, after, got, list)
	}
}

func BenchmarkMasquerade(b *testing.B) {
	big := body(16 << 20)
	b.Run("stream", func(b *testing.B) {
		benchmark(b, big, func(r io.Reader) io.Reader { return message.Masquerade(r, toOrg) })
	})
	small := bytes.Clone(body(2000))
	b.Run("small, unchanged", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			message.MasqueradeBytes(small, never)
		}
	})
}
