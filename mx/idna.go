package mx

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// toASCII turns a name into lower-case A-labels (RFC 5891 §5).
func toASCII(name string) (string, error) {
	if strings.IndexFunc(name, beyondASCII) < 0 {
		return strings.ToLower(name), nil
	}
	if !utf8.ValidString(name) {
		return "", errIDNA
	}
	ascii, err := idna.Lookup.ToASCII(name)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errIDNA, err)
	}
	return ascii, nil
}

var errIDNA = errors.New("not an internationalised domain name")

func beyondASCII(r rune) bool { return r > 0x7f }
