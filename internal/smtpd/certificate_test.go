package smtpd_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/smtpd"
	"postrider/internal/smtptest"
)

// pair is a certificate and its key in PEM.
func pair(t *testing.T, cfg *tls.Config) (certificate, key []byte) {
	t.Helper()
	c := cfg.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	// A new file, as renewals make them: the time alone may be too coarse.
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestCertificateIsRenewed(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	ca := smtptest.NewCA(t)
	oldCert, oldKey := pair(t, ca.Server(t, "old.test"))
	newCert, newKey := pair(t, ca.NewLeaf(t, smtptest.Leaf{Names: []string{"new.test"}, NotAfter: time.Now().Add(-time.Hour)}))
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, nil))
	if _, err := smtpd.LoadCertificate(certFile, keyFile, logger); err == nil {
		t.Error("files that are not there were read")
	}
	write(t, certFile, oldCert)
	write(t, keyFile, newKey)
	if _, err := smtpd.LoadCertificate(certFile, keyFile, logger); err == nil {
		t.Error("another certificate's key was taken")
	}
	write(t, keyFile, oldKey)
	c, err := smtpd.LoadCertificate(certFile, keyFile, logger)
	if err != nil {
		t.Fatal(err)
	}
	in := func(want string) {
		t.Helper()
		got, err := c.Get(nil)
		if err != nil || got.Leaf.DNSNames[0] != want {
			t.Errorf("got %v, %v; want %s", got.Leaf.DNSNames, err, want)
		}
	}
	in("old.test")
	write(t, certFile, newCert) // the key is not there yet
	in("old.test")
	in("old.test")
	if n := strings.Count(log.String(), "certificate not renewed"); n != 1 {
		t.Errorf("%d complaints: %s", n, &log)
	}
	write(t, keyFile, newKey)
	in("new.test")
	if !strings.Contains(log.String(), "certificate has expired") {
		t.Errorf("nothing said of its end: %s", &log)
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	log.Reset()
	for range 3 {
		in("new.test")
	}
	if n := strings.Count(log.String(), "certificate not renewed"); n != 1 {
		t.Errorf("%d complaints of a key that is gone: %s", n, &log)
	}
	if err := c.Reload(); err == nil {
		t.Error("reload without a key succeeds")
	}
	in("new.test")
}
