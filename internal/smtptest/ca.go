package smtptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// CA is a certificate authority that lives as long as the process.
type CA struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// Leaf describes a server certificate.
type Leaf struct {
	// Names are host names or IP addresses.
	Names []string
	// NotAfter ends its validity; the zero time means in one day.
	NotAfter time.Time
	// SelfSigned leaves the authority out.
	SelfSigned bool
}

// MakeCA makes an authority.
func MakeCA() (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key of test authority: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "smtptest authority"},
		NotBefore: time.Now().AddDate(-2, 0, 0), NotAfter: time.Now().AddDate(2, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate of test authority: %w", err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read certificate of test authority: %w", err)
	}
	return &CA{certificate: certificate, key: key}, nil
}

// NewCA makes an authority for a test.
func NewCA(t TB) *CA {
	t.Helper()
	ca, err := MakeCA()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return ca
}

// Pool trusts the authority and nobody else.
func (ca *CA) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.certificate)
	return pool
}

// PEM is the authority's certificate as programs read it from a file.
func (ca *CA) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.certificate.Raw})
}

// Issue makes a server configuration with a new certificate.
func (ca *CA) Issue(l Leaf) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key for %v: %w", l.Names, err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "smtptest server"},
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: l.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if l.NotAfter.IsZero() {
		template.NotAfter = time.Now().AddDate(0, 0, 1)
	}
	for _, n := range l.Names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	parent, signer := ca.certificate, ca.key
	if l.SelfSigned {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return nil, fmt.Errorf("make certificate for %v: %w", l.Names, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}

// Server makes a server configuration for a test.
func (ca *CA) Server(t TB, names ...string) *tls.Config { return ca.NewLeaf(t, Leaf{Names: names}) }

// NewLeaf is Issue for a test.
func (ca *CA) NewLeaf(t TB, l Leaf) *tls.Config {
	t.Helper()
	cfg, err := ca.Issue(l)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return cfg
}
