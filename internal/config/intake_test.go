package config_test

import (
	"fmt"
	"strings"
	"testing"

	"postrider/internal/config"
)

func TestTrustedNetworks(t *testing.T) {
	for _, tt := range []struct {
		network string
		public  bool
		says    string // of the refusal; empty if it is taken
	}{
		{"127.0.0.0/8", false, ""}, {"10.0.0.0/8", false, ""}, {"172.16.5.4/30", false, ""}, {"192.168.7.0/24", false, ""}, {"100.64.0.0/10", false, ""},
		{"169.254.0.0/16", false, ""}, {"fd00::/8", false, ""}, {"fe80::/10", false, ""}, {"::1/128", false, ""},
		{"0.0.0.0/0", false, "everybody"}, {"0.0.0.0/0", true, "everybody"}, {"::/0", true, "everybody"}, {"10.0.0.0/0", true, "everybody"},
		{"0.0.0.0/1", true, "more of the Internet"}, {"128.0.0.0/1", false, "more of the Internet"}, {"2000::/3", true, "more of the Internet"},
		{"10.0.0.0/7", false, "more of the Internet"}, {"fc00::/6", true, "more of the Internet"},
		{"198.51.100.0/24", false, "trust_public_networks"}, {"198.51.100.0/24", true, ""}, {"2001:db8::/32", false, "trust_public_networks"}, {"2001:db8::/32", true, ""},
		{"172.16.0.0/11", false, "trust_public_networks"}, {"100.64.0.0/9", false, "trust_public_networks"},
		{"::ffff:10.0.0.0/104", false, "IPv6 notation"}, {"192.168.7.1", false, "/32"}, {"office", false, "192.168.7.0/24"},
	} {
		src := host(t, "h.test", map[string]string{"postrider.toml": fmt.Sprintf("[submission]\ntrusted_networks = [%q]\ntrust_public_networks = %v\n", tt.network, tt.public)})
		c, err := config.Load(src)
		if tt.says == "" {
			if err != nil || len(c.Submission.Trusted()) != 1 {
				t.Errorf("%s: %v", tt.network, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.network, err, tt.says)
		}
	}
}

func TestSubmissionNeedsCertificate(t *testing.T) {
	for text, says := range map[string]string{
		`listen = ["submission://[::]:587"]`:               "needs TLS",
		`listen = ["submissions://0.0.0.0:465"]`:           "needs TLS",
		`listen = "127.0.0.1:25"`:                          "key \"submission.listen\": is a TOML string, but must be a list of texts",
		`max_recipients = "1"`:                             "must be a number",
		`trust_public_networks = 1`:                        "must be true or false",
		`certificate_file = 1`:                             "must be a text",
		`sender_rules = "x"`:                               "must be tables",
		`certificate_file = "/c.pem"`:                      "belong together",
		`key_file = "/k.pem"`:                              "belong together",
		`listen = ["imap://0.0.0.0:143"]`:                  "none of smtp",
		`listen = ["127.0.0.1:25", "smtp://127.0.0.1:25"]`: "same port",
		`listen = ["127.0.0.1:25", "0.0.0.0:25"]`:          "same port",
		`listen = ["[::]:25", "[::1]:25"]`:                 "same port",
		`listen = ["[::]:25", "0.0.0.0:25", "[::]:26"]`:    "",
		`listen = ["127.0.0.1:0", "127.0.0.1:0"]`:          "",
		`listen = ["smtp://0.0.0.0:25"]`:                   "",
		"listen = [\"submission://0.0.0.0:587\", \"submissions://[::]:465\"]\ncertificate_file = \"/c.pem\"\nkey_file = \"/k.pem\"": "",
	} {
		_, err := config.Load(host(t, "h.test", map[string]string{"postrider.toml": "[submission]\n" + text + "\n"}))
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}
