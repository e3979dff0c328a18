package config_test

import (
	"strings"
	"testing"

	"postrider/internal/address"
	"postrider/internal/config"
)

func TestMasquerades(t *testing.T) {
	c, err := config.Load(host(t, "box", map[string]string{"postrider.toml": `
[[masquerade]]
match = "root@box.example"
to = "box@example.org"
[[masquerade]]
match = "*@box.example"
to = "*@example.org"
`}))
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Masquerades()
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[string]string{"root": "box@example.org", "alice": "alice@example.org"} {
		if got, ok := m.Rewrite(address.Address{Local: from, Domain: "box.example"}); !ok || got.String() != want {
			t.Errorf("%s becomes %s, %v", from, got, ok)
		}
	}
}

func TestMasqueradeMistakeIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"match = \"box.example\"\nto = \"*@example.org\"\n":       `masquerade of "box.example" to "*@example.org": match is none of`,
		"match = \"*@box.example\"\nto = \"example.org\"\n":       `masquerade of "*@box.example" to "example.org": to is neither`,
		"match = \"*@box.example\"\n":                             `key "masquerade.to": must be set`,
		"match = \"*@box.example\"\nto = \"a@b\"\nfrom = \"x\"\n": `unknown key "masquerade.from"`,
	} {
		src := host(t, "box", map[string]string{"postrider.toml": "[[masquerade]]\nmatch = \"*@good.example\"\nto = \"*@example.org\"\n[[masquerade]]\n" + text})
		if _, err := config.Load(src); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), src.Path) {
			t.Errorf("%q: error %v does not say %q", text, err, want)
		}
	}
}
