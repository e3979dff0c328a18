package smtpd

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Certificate is a certificate with its key in files. It is read again when they
// change, as they do at each renewal.
type Certificate struct {
	certFile, keyFile string
	logger            *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	seen    [2]os.FileInfo
	told    string // the last complaint, which clients must not be able to repeat
}

// LoadCertificate reads a certificate, with its chain, and its key, both in PEM.
func LoadCertificate(certFile, keyFile string, logger *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, logger: logger}
	return c, c.Reload()
}

// Reload reads the files. If it fails, the certificate stays what it was.
func (c *Certificate) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, err := c.stat()
	if err != nil {
		return err
	}
	return c.load(seen)
}

// Get gives the certificate, for tls.Config.GetCertificate.
func (c *Certificate) Get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, err := c.stat()
	if err == nil && !c.changed(seen) {
		return c.current, nil
	}
	if err == nil {
		err = c.load(seen)
	}
	switch {
	case err == nil:
		c.told = ""
		c.logger.Info("certificate renewed", "file", c.certFile, "expires", c.current.Leaf.NotAfter)
	case err.Error() != c.told:
		// Perhaps one of the two is not written yet: the next change tells.
		c.told = err.Error()
		c.logger.Warn("certificate not renewed, the old one stays in use", "error", err)
	}
	return c.current, nil
}

func (c *Certificate) stat() (seen [2]os.FileInfo, err error) {
	for i, path := range [...]string{c.certFile, c.keyFile} {
		if seen[i], err = os.Stat(path); err != nil {
			return seen, fmt.Errorf("certificate: %w%s", err, readRemedy(err))
		}
	}
	return seen, nil
}

func (c *Certificate) changed(now [2]os.FileInfo) bool {
	for i, before := range c.seen {
		if !os.SameFile(before, now[i]) || before.Size() != now[i].Size() || !before.ModTime().Equal(now[i].ModTime()) {
			return true
		}
	}
	return false
}

func (c *Certificate) load(seen [2]os.FileInfo) error {
	c.seen = seen // a failure is not repeated at each handshake
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w%s", c.certFile, c.keyFile, err, readRemedy(err))
	}
	c.current = &pair
	if pair.Leaf != nil && time.Now().After(pair.Leaf.NotAfter) {
		c.logger.Warn("certificate has expired, clients will refuse it", "file", c.certFile, "expired", pair.Leaf.NotAfter)
	}
	return nil
}

func readRemedy(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "; the daemon's user must be able to read it"
	}
	return ""
}
