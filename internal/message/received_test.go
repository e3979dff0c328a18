package message_test

import (
	"net/netip"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/message"
)

func TestReceived(t *testing.T) {
	date := time.Date(2026, 11, 23, 4, 5, 6, 0, time.UTC)
	const tail = "; Mon, 23 Nov 2026 04:05:06 +0000\n"
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1%eth0")
	bob := address.Address{Local: "b b", Domain: "x.example"}
	for _, tc := range []struct {
		trace message.Trace
		want  string
	}{
		{message.Trace{UID: 1001}, "Received: by mx.example (postrider, from userid 1001)\n\tid 0A1B" + tail},
		{message.Trace{UID: 0}, "Received: by mx.example (postrider, from userid 0)\n\tid 0A1B" + tail},
		{message.Trace{UID: -1}, "Received: by mx.example (postrider)\n\tid 0A1B" + tail},
		{message.Trace{UID: 7, For: bob}, "Received: by mx.example (postrider, from userid 7)\n\tid 0A1B\n\tfor <\"b b\"@x.example>" + tail},
		{message.Trace{UID: -1, Client: v4, Hello: "c.example"}, "Received: from c.example ([192.0.2.1])\n\tby mx.example (postrider) with SMTP id 0A1B" + tail},
		{message.Trace{UID: -1, Client: v4, Hello: "c.example", ClientName: "n.example", ESMTP: true, TLS: true, Auth: true, For: bob},
			"Received: from c.example (n.example [192.0.2.1])\n\tby mx.example (postrider) with ESMTPSA id 0A1B\n\tfor <\"b b\"@x.example>" + tail},
		{message.Trace{UID: -1, Client: v4, Hello: "h", ESMTP: true, TLS: true, Cipher: "TLS_AES_128_GCM_SHA256 (TLS1.3)"},
			"Received: from h ([192.0.2.1])\n\tby mx.example (postrider) with ESMTPS id 0A1B\n\ttls TLS_AES_128_GCM_SHA256 (TLS1.3)" + tail},
		{message.Trace{UID: -1, Client: v4, Hello: "h", ESMTP: true, Cipher: "none"}, "Received: from h ([192.0.2.1])\n\tby mx.example (postrider) with ESMTP id 0A1B" + tail},
		{message.Trace{UID: -1, Client: v6, ESMTP: true, UTF8: true, TLS: true}, "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\n\tby mx.example (postrider) with UTF8SMTPS id 0A1B" + tail},
		{message.Trace{UID: -1, Client: v4, Hello: "a\r\nBcc: (x)", LMTP: true, Auth: true}, "Received: from a??Bcc:??x? ([192.0.2.1])\n\tby mx.example (postrider) with LMTPA id 0A1B" + tail},
		{message.Trace{UID: -1, Client: v4, Hello: "h", ESMTP: true}, "Received: from h ([192.0.2.1])\n\tby mx.example (postrider) with ESMTP id 0A1B" + tail},
		{message.Trace{UID: -1, Client: v4, Hello: "h", LMTP: true, UTF8: true}, "Received: from h ([192.0.2.1])\n\tby mx.example (postrider) with UTF8LMTP id 0A1B" + tail},
	} {
		tc.trace.Hostname, tc.trace.ID, tc.trace.Date = "mx.example", "0A1B", date
		if got := message.Received(tc.trace); got != tc.want {
			t.Errorf("got %q\nwant %q", got, tc.want)
		}
	}
}
