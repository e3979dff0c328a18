package daemon

import (
	"os"
	"path/filepath"
	"testing"

	"postrider/internal/address"
	"postrider/internal/config"
)

// TestUnknownRecipients: only an address that certainly is nobody's is turned away.
func TestUnknownRecipients(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "aliases")
	text := "list: :include:" + dir + "/members\ngone: no-such-user-at-all\naway: x@elsewhere.test\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		local, mailbox string
		aliases        []string
		unknown        bool
	}{
		{"root", "mbox:/m/{user}", []string{path}, false},
		{"root+tag", "mbox:/m/{user}", []string{path}, false},
		{"Postmaster", "mbox:/m/{user}", []string{path}, false},
		{"list", "mbox:/m/{user}", []string{path}, false},
		{"gone", "mbox:/m/{user}", []string{path}, false},
		{"away", "mbox:/m/{user}", []string{path}, false},
		{"no-such-user-at-all", "mbox:/m/{user}", []string{path}, true},
		{"|/bin/true", "mbox:/m/{user}", []string{path}, true},
		{"no-such-user-at-all", "lmtp:unix:/s", []string{path}, false},
		{"no-such-user-at-all", "mbox:/m/{user}", []string{dir}, false}, // that cannot be read
	} {
		cfg := &config.Config{Origin: "here.test", LocalDomains: []string{"here.test"}}
		cfg.Local.Mailbox, cfg.Local.Aliases, cfg.Local.Delimiter = tt.mailbox, tt.aliases, "+"
		var a agent
		a.recipients.Store(recipientCheck(cfg, newExpander(cfg, cfg.Routes(), nil)))
		if why := a.unknown(address.Address{Local: tt.local, Domain: "here.test"}); (why != "") != tt.unknown {
			t.Errorf("%+v: %q", tt, why)
		}
	}
}
