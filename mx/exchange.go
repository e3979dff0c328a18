package mx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/miekg/dns"
)

const (
	// udpPayload is what resolvers may send without fragmentation.
	udpPayload = 1232
	// udpBuffer takes more, for servers that do not care.
	udpBuffer = 4096
)

// exchange puts one question to one server and gives a response that belongs to it
// and has the rcode NOERROR or NXDOMAIN. A truncated one is asked for again over
// TCP, and servers that do not know EDNS are asked without (RFC 6891 §7).
func exchange(ctx context.Context, server netip.AddrPort, timeout time.Duration, q question) (*dns.Msg, *Error) {
	m, err := exchangeEither(ctx, server, timeout, newQuery(q, true))
	if err == nil && m.IsEdns0() == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		m, err = exchangeEither(ctx, server, timeout, newQuery(q, false))
	}
	switch {
	case err != nil:
		return nil, &Error{Kind: kindOf(err), Err: fmt.Errorf("ask server %v: %w", server, err)}
	case m.Rcode == dns.RcodeSuccess, m.Rcode == dns.RcodeNameError:
		return m, nil
	}
	kind := ServFail
	if m.Rcode == dns.RcodeRefused {
		kind = Refused
	}
	return nil, &Error{Kind: kind, Err: fmt.Errorf("server %v answered %s", server, rcodeName(m.Rcode))}
}

func rcodeName(rcode int) string {
	if name, ok := dns.RcodeToString[rcode]; ok {
		return name
	}
	return fmt.Sprintf("rcode %d", rcode)
}

// kindOf tells servers that were silent from those that cannot be reached and those
// that talk nonsense.
func kindOf(err error) Kind {
	var netErr *net.OpError
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return Timeout
	case errors.As(err, &netErr):
		return Unreachable
	}
	return ServFail
}

// newQuery asks for validation results by AD and DO (RFC 6840 §5.7). CD is never
// set: unvalidated data is of no use here.
func newQuery(q question, edns bool) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(q.name), q.qtype)
	m.AuthenticatedData = true
	if edns {
		m.SetEdns0(udpPayload, true)
	}
	return m
}

func exchangeEither(ctx context.Context, server netip.AddrPort, timeout time.Duration, query *dns.Msg) (*dns.Msg, error) {
	m, err := exchangeOver(ctx, "udp", server, timeout, query)
	if err == nil && m.Truncated {
		m, err = exchangeOver(ctx, "tcp", server, timeout, query)
	}
	return m, err
}

func exchangeOver(ctx context.Context, network string, server netip.AddrPort, timeout time.Duration, query *dns.Msg) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var dialer net.Dialer
	raw, err := dialer.DialContext(ctx, network, server.String())
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	// A deadline in the past ends reads under way, by timeout or by cancellation.
	defer context.AfterFunc(ctx, func() { raw.SetDeadline(time.Unix(1, 0)) })()
	conn := &dns.Conn{Conn: raw, UDPSize: udpBuffer}
	if err := conn.WriteMsg(query); err != nil {
		return nil, err
	}
	if network == "tcp" {
		return readTCP(conn, query)
	}
	return readUDP(conn, query)
}

// readUDP waits for the response that belongs to the query. Whatever else arrives
// may be forged and is passed over, broken messages included.
func readUDP(conn *dns.Conn, query *dns.Msg) (*dns.Msg, error) {
	for {
		packet, err := conn.ReadMsgHeader(nil)
		if errors.Is(err, dns.ErrShortRead) {
			continue
		}
		if err != nil {
			return nil, err
		}
		m := new(dns.Msg)
		err = m.Unpack(packet)
		// A truncated message may end within a record: its question is enough.
		if (err == nil || m.Truncated) && belongs(m, query) {
			return m, nil
		}
	}
}

func readTCP(conn *dns.Conn, query *dns.Msg) (*dns.Msg, error) {
	packet, err := conn.ReadMsgHeader(nil)
	if err != nil {
		return nil, fmt.Errorf("read response over TCP: %w", err)
	}
	m := new(dns.Msg)
	switch err := m.Unpack(packet); {
	case err != nil:
		return nil, fmt.Errorf("parse response: %w", err)
	case !belongs(m, query):
		return nil, errors.New("response does not belong to the question")
	case m.Truncated:
		return nil, errors.New("response over TCP is truncated")
	}
	return m, nil
}

// belongs compares id and question (RFC 5452 §9.1). Servers that fail before they
// look at the question may leave it out.
func belongs(m, query *dns.Msg) bool {
	if m.Id != query.Id || !m.Response || m.Opcode != dns.OpcodeQuery {
		return false
	}
	if len(m.Question) == 0 {
		return m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError
	}
	got, want := m.Question[0], query.Question[0]
	return len(m.Question) == 1 && got.Qtype == want.Qtype && got.Qclass == want.Qclass &&
		foldName(got.Name) == foldName(want.Name)
}
