package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// CertificateError says why a certificate does not prove the host's name. Reason
// is a result type of RFC 8460 §4.3.2.
type CertificateError struct {
	Reason string
	Err    error
}

// Error implements error.
func (e *CertificateError) Error() string { return e.Err.Error() }

// Unwrap gives the error of the verification.
func (e *CertificateError) Unwrap() error { return e.Err }

// handshake encrypts the wire and notes the verdict.
func (s *session) handshake(ctx context.Context, t *Target, o *Options) error {
	ctx, cancel := context.WithDeadline(ctx, s.wire.deadline(o.Timeouts.Handshake))
	defer cancel()
	s.wire.begin(PhaseHandshake)
	// The deadline of the last command ends; the context bounds from here.
	if err := s.wire.conn.SetDeadline(time.Time{}); err != nil {
		return s.wire.fail(err)
	}
	conn := tls.Client(s.wire.conn, tlsConfig(t, o.Now))
	if err := conn.HandshakeContext(ctx); err != nil {
		return s.wire.fail(err)
	}
	state := conn.ConnectionState()
	s.wire.secure(conn)
	s.encrypted = true
	s.tls = tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite)
	// In authenticated modes the handshake has verified already.
	if err := verify(&state, t, o.Now()); err != nil {
		s.tls += " unverified (" + reason(err) + ")"
		return nil
	}
	s.verified = true
	s.tls += " verified"
	return nil
}

// tlsConfig leaves the check of the certificate to us: where it does not matter,
// its result is recorded nevertheless.
func tlsConfig(t *Target, now func() time.Time) *tls.Config {
	cfg := &tls.Config{
		ServerName: t.name(), InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, Time: now,
		// Few large records: a message and its final dot in one write.
		DynamicRecordSizingDisabled: true,
	}
	if t.TLS == TLSVerify {
		cfg.VerifyConnection = func(state tls.ConnectionState) error { return verify(&state, t, now()) }
	}
	if t.TLS != TLSOpportunistic {
		return cfg
	}
	// Weak encryption is better than the clear text that would follow (RFC 7435
	// §3).
	cfg.MinVersion = tls.VersionTLS10
	for _, list := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, suite := range list {
			cfg.CipherSuites = append(cfg.CipherSuites, suite.ID)
		}
	}
	return cfg
}

// name is what the certificate must be valid for.
func (t *Target) name() string {
	if t.Host == "" {
		return t.Address.Addr().WithZone("").String()
	}
	return strings.Trim(strings.TrimSuffix(t.Host, "."), "[]")
}

// verify checks the peer's certificate against the target's name.
func verify(state *tls.ConnectionState, t *Target, now time.Time) error {
	if len(state.PeerCertificates) == 0 {
		return &CertificateError{Reason: "validation-failure", Err: errors.New("no certificate")}
	}
	leaf := state.PeerCertificates[0]
	opts := x509.VerifyOptions{Roots: t.RootCAs, CurrentTime: now, DNSName: t.name(), Intermediates: x509.NewCertPool()}
	for _, c := range state.PeerCertificates[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(opts); err != nil {
		return &CertificateError{Reason: resultType(err), Err: fmt.Errorf("verify certificate for %q: %w", t.name(), err)}
	}
	return nil
}

// resultType sorts a failure as reports do (RFC 8460 §4.3.2).
func resultType(err error) string {
	var (
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		unknown x509.UnknownAuthorityError
	)
	switch {
	case errors.As(err, &host):
		return "certificate-host-mismatch"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "certificate-expired"
	case errors.As(err, &unknown):
		return "certificate-not-trusted"
	}
	return "validation-failure"
}

// reason names a failure in a few words for the record.
func reason(err error) string {
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) && unknown.Cert != nil && isSelfSigned(unknown.Cert) {
		return "self-signed certificate"
	}
	var ce *CertificateError
	if errors.As(err, &ce) {
		err = errors.Unwrap(ce.Err)
	}
	if err == nil {
		return "no certificate"
	}
	return strings.TrimPrefix(err.Error(), "x509: ")
}

// isSelfSigned does not ask whether it may sign, as CheckSignatureFrom does.
func isSelfSigned(c *x509.Certificate) bool {
	return c.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil
}

// brokenTLS remembers the hosts whose TLS failed, so that opportunistic delivery
// does not pay for it each time.
type brokenTLS struct {
	keep  time.Duration
	mu    sync.Mutex
	hosts map[netip.AddrPort]breakage
}

type breakage struct {
	until time.Time
	why   string
}

// maxBroken bounds the memory; beyond it everything is forgotten.
const maxBroken = 10000

func newBrokenTLS(keep time.Duration) *brokenTLS {
	return &brokenTLS{keep: keep, hosts: make(map[netip.AddrPort]breakage)}
}

func (b *brokenTLS) add(a netip.AddrPort, why string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.hosts) >= maxBroken {
		clear(b.hosts)
	}
	b.hosts[a] = breakage{until: now.Add(b.keep), why: why}
}

func (b *brokenTLS) look(a netip.AddrPort, now time.Time) (why string, broken bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.hosts[a]
	if ok && !now.Before(e.until) {
		delete(b.hosts, a)
		return "", false
	}
	return e.why, ok
}
